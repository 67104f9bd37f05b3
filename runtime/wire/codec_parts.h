// Inside the codec: the two passes (Writing, Reading) and the parts that messages and records
// share. A pass collects the first thing that is wrong and goes on with harmless values, so that no
// function here needs a Result of its own.  Only codec*.cc include this header.
#pragma once

#include <capnp/message.h>

#include <cstddef>
#include <string>
#include <vector>

#include "runtime/wire/codec.h"
#include "runtime/wire/control.capnp.h"

namespace rhz::wire {

// One struct on its way into a message.
class Writing {
 public:
  bool fits() const { return fits_; }
  // The length to give a Cap'n Proto list; 0 where it breaks the bound.
  unsigned count(size_t size, size_t limit);
  // A text that may not be changed: an id, an address.
  capnp::Text::Reader exact(const std::string& text);

 private:
  bool fits_ = true;
};

// One message on its way out of untrusted bytes.
class Reading {
 public:
  bool ok() const { return status_.is_ok(); }
  const Status& status() const { return status_; }
  // Keeps the first failure only.
  void fail(const std::string& what);
  // False, and a failure, where a list is longer than it may be.
  bool accepts(size_t size, size_t limit, const char* list);
  std::string text(capnp::Text::Reader text, const char* field);
  Digest digest(capnp::Data::Reader data, const char* field);

 private:
  Status status_;
};

capnp::Text::Reader as_text(const std::string& text);
// Text for people: cut at kMaxStringBytes between two UTF-8 characters.
std::string cut_text(const std::string& text);
capnp::Data::Reader as_data(const Digest& digest);

// ---- lists.  `limit` and `list` (its name in messages) as in codec.h.

// Calls write_one(out, list[i], items[i]); `list` was initialised with out.count(items.size(),
// limit) elements.
template <class ListBuilder, class Item, class WriteOne>
void write_list(Writing& out, ListBuilder list, const std::vector<Item>& items,
                WriteOne write_one) {
  for (unsigned i = 0; i < list.size(); ++i) write_one(out, list[i], items[i]);
}
template <class ListBuilder, class Strong>
void write_numbers(ListBuilder list, const std::vector<Strong>& items) {
  for (unsigned i = 0; i < list.size(); ++i) list.set(i, items[i].value);
}
// Returns read_one(in, list[i]) for every i.
template <class ListReader, class ReadOne>
auto read_list(Reading& in, ListReader list, size_t limit, const char* name, ReadOne read_one) {
  std::vector<decltype(read_one(in, list[0]))> items;
  if (!in.accepts(list.size(), limit, name)) return items;
  items.reserve(list.size());
  for (unsigned i = 0; i < list.size() && in.ok(); ++i) items.push_back(read_one(in, list[i]));
  return items;
}
template <class Strong, class ListReader>
std::vector<Strong> read_numbers(Reading& in, ListReader list, size_t limit, const char* name) {
  return read_list(in, list, limit, name, [](Reading&, auto value) { return Strong(value); });
}

// ---- parts (codec_parts.cc)

void write_peer_id(Writing& out, schema::PeerId::Builder to, const PeerId& from);
void write_status(Writing& out, schema::Status::Builder to, const Status& from);
void write_member(Writing& out, schema::MemberInfo::Builder to, const MemberInfo& from);
void write_config(Writing& out, schema::RunConfig::Builder to, const RunConfig& from);
void write_view(Writing& out, schema::View::Builder to, const View& from);
PeerId read_peer_id(Reading& in, schema::PeerId::Reader from);
Status read_status(Reading& in, schema::Status::Reader from);
MemberInfo read_member(Reading& in, schema::MemberInfo::Reader from);
RunConfig read_config(Reading& in, schema::RunConfig::Reader from);
View read_view(Reading& in, schema::View::Reader from);

// ---- records (codec_records.cc)

void write_admit(Writing& out, schema::AdmitRecord::Builder to, const AdmitRecord& from);
void write_generation(Writing& out, schema::GenerationRecord::Builder to,
                      const GenerationRecord& from);
GenerationRecord read_generation(Reading& in, schema::GenerationRecord::Reader from);
void write_vault(Writing& out, schema::VaultInfo::Builder to, const VaultInfo& from);
VaultInfo read_vault(Reading& in, schema::VaultInfo::Reader from);
void write_entry(Writing& out, schema::LogEntry::Builder to, const LogEntry& from);
AdmitRecord read_admit(Reading& in, schema::AdmitRecord::Reader from);
LogEntry read_entry(Reading& in, schema::LogEntry::Reader from);

// ---- resolutions and reports (codec_resolution.cc, codec_report.cc)

void write_decision(Writing& out, schema::OpDecision::Builder to, const OpDecision& from);
void write_resolution(Writing& out, schema::Resolution::Builder to, const Resolution& from);
void write_report(Writing& out, schema::SealReport::Builder to, const SealReport& from);
OpDecision read_decision(Reading& in, schema::OpDecision::Reader from);
Resolution read_resolution(Reading& in, schema::Resolution::Reader from);
SealReport read_report(Reading& in, schema::SealReport::Reader from);

// ---- messages (codec_status.cc, codec_messages.cc)

void write_beat(Writing& out, schema::PeerBeat::Builder to, const PeerBeatMessage& from);
void write_status_reply(Writing& out, schema::StatusReply::Builder to, const StatusReply& from);
PeerBeatMessage read_beat(Reading& in, schema::PeerBeat::Reader from);
StatusReply read_status_reply(Reading& in, schema::StatusReply::Reader from);

void write_message(Writing& out, schema::Message::Builder to, const ControlMessage& from);
ControlMessage read_message(Reading& in, schema::Message::Reader from);

}  // namespace rhz::wire
