#include "runtime/wire/codec_parts.h"

#include <algorithm>

namespace rhz::wire {
namespace {

// A switch without default: the compiler names the code that is missing here.
bool known(Code code) {
  switch (code) {
    case Code::kOk:
    case Code::kPending:
    case Code::kArgument:
    case Code::kAbi:
    case Code::kState:
    case Code::kMismatch:
    case Code::kOverlap:
    case Code::kMemory:
    case Code::kIo:
    case Code::kAddressInUse:
    case Code::kUnreachable:
    case Code::kVersion:
    case Code::kRunId:
    case Code::kWorldFull:
    case Code::kCorrupt:
    case Code::kPeerLost:
    case Code::kTimeout:
    case Code::kCancelled:
    case Code::kWorldTooSmall:
    case Code::kStateLost:
    case Code::kEvicted:
    case Code::kIsolated:
    case Code::kDiverged:
    case Code::kClosed:
    case Code::kInternal: return true;
  }
  return false;
}

}  // namespace

// ---- the passes

unsigned Writing::count(size_t size, size_t limit) {
  if (size <= limit) return static_cast<unsigned>(size);
  fits_ = false;
  return 0;
}

capnp::Text::Reader Writing::exact(const std::string& text) {
  if (text.size() <= kMaxStringBytes) return as_text(text);
  fits_ = false;
  return "";
}

void Reading::fail(const std::string& what) {
  if (ok()) status_ = Status(Code::kArgument, "malformed control message: " + what);
}

bool Reading::accepts(size_t size, size_t limit, const char* list) {
  if (size <= limit) return true;
  fail(std::string(list) + " has " + std::to_string(size) + " elements, more than " +
       std::to_string(limit));
  return false;
}

std::string Reading::text(capnp::Text::Reader text, const char* field) {
  if (text.size() > kMaxStringBytes) {
    fail(std::string(field) + " has " + std::to_string(text.size()) + " bytes, more than " +
         std::to_string(kMaxStringBytes));
    return {};
  }
  return {text.begin(), text.size()};
}

Digest Reading::digest(capnp::Data::Reader data, const char* field) {
  Digest digest{};
  if (data.size() == digest.size())
    std::copy(data.begin(), data.end(), digest.begin());
  else
    fail(std::string(field) + " has " + std::to_string(data.size()) + " bytes instead of 16");
  return digest;
}

// ---- values

capnp::Text::Reader as_text(const std::string& text) { return {text.c_str(), text.size()}; }

std::string cut_text(const std::string& text) {
  if (text.size() <= kMaxStringBytes) return text;
  size_t end = kMaxStringBytes;
  // Not inside a character: continuation bytes are 10xxxxxx, and a character has at most three of
  // them.
  for (int i = 0; i < 3 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80; ++i) --end;
  return text.substr(0, end);
}

capnp::Data::Reader as_data(const Digest& digest) { return {digest.data(), digest.size()}; }

// ---- peers and views

void write_peer_id(Writing&, schema::PeerId::Builder to, const PeerId& from) {
  to.setHigh(from.high);
  to.setLow(from.low);
}

PeerId read_peer_id(Reading&, schema::PeerId::Reader from) {
  return {from.getHigh(), from.getLow()};
}

void write_status(Writing& out, schema::Status::Builder to, const Status& from) {
  to.setCode(static_cast<int32_t>(from.code()));
  to.setText(as_text(cut_text(from.text())));
  write_peer_id(out, to.initCulprit(), from.culprit);
  to.setEpoch(from.epoch.value);
}

Status read_status(Reading& in, schema::Status::Reader from) {
  const Code code = static_cast<Code>(from.getCode());
  if (!known(code)) in.fail("unknown status code " + std::to_string(from.getCode()));
  Status status(code, in.text(from.getText(), "status text"));
  status.culprit = read_peer_id(in, from.getCulprit());
  status.epoch = Epoch(from.getEpoch());
  return status;
}

void write_member(Writing& out, schema::MemberInfo::Builder to, const MemberInfo& from) {
  write_peer_id(out, to.initId(), from.id);
  to.setSlot(from.slot.value);
  to.setHost(from.host);
  auto endpoints = to.initEndpoints(out.count(from.endpoints.size(), kMaxEndpoints));
  for (unsigned i = 0; i < endpoints.size(); ++i) endpoints.set(i, out.exact(from.endpoints[i]));
}

MemberInfo read_member(Reading& in, schema::MemberInfo::Reader from) {
  MemberInfo to;
  to.id = read_peer_id(in, from.getId());
  to.slot = Slot(from.getSlot());
  to.host = from.getHost();
  to.endpoints = read_list(
      in, from.getEndpoints(), kMaxEndpoints, "endpoints",
      [](Reading& pass, capnp::Text::Reader text) { return pass.text(text, "endpoint"); });
  return to;
}

void write_config(Writing& out, schema::RunConfig::Builder to, const RunConfig& from) {
  to.setRunId(out.exact(from.run_id));
  to.setWorld(from.world);
  to.setMaxWorld(from.max_world);
  to.setMinWorld(from.min_world);
  to.setChunkBytes(from.chunk_bytes);
  to.setSegmentBytes(from.segment_bytes);
  to.setRetainBytes(from.retain_bytes);
  to.setHeartbeatMs(from.heartbeat_ms);
  to.setSuspicionMs(from.suspicion_ms);
  to.setVerify(static_cast<uint8_t>(from.verify));
  to.setProtection(from.protection);
}

RunConfig read_config(Reading& in, schema::RunConfig::Reader from) {
  RunConfig to;
  to.run_id = in.text(from.getRunId(), "run id");
  to.world = from.getWorld();
  to.max_world = from.getMaxWorld();
  to.min_world = from.getMinWorld();
  to.chunk_bytes = from.getChunkBytes();
  to.segment_bytes = from.getSegmentBytes();
  to.retain_bytes = from.getRetainBytes();
  to.heartbeat_ms = from.getHeartbeatMs();
  to.suspicion_ms = from.getSuspicionMs();
  to.protection = from.getProtection();
  to.verify = static_cast<Verify>(from.getVerify());
  if (to.verify > Verify::kAll) in.fail("unknown way to verify " + std::to_string(from.getVerify()));
  return to;
}

void write_view(Writing& out, schema::View::Builder to, const View& from) {
  to.setEpoch(from.epoch.value);
  write_list(out, to.initMembers(out.count(from.members.size(), kMaxPeers)), from.members,
             write_member);
  to.setCause(as_text(cut_text(from.cause)));
}

View read_view(Reading& in, schema::View::Reader from) {
  View to;
  to.epoch = Epoch(from.getEpoch());
  to.members = read_list(in, from.getMembers(), kMaxPeers, "members", read_member);
  to.cause = in.text(from.getCause(), "cause");
  return to;
}

}  // namespace rhz::wire
