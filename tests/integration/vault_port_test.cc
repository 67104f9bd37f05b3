// The port on which a vault serves shards: strangers, wrong runs, and bytes that are no request.
#include <gtest/gtest.h>

#include "recovery/shards/vault_messages.h"
#include "runtime/wire/codec.h"
#include "tests/integration/raw_socket.h"
#include "tests/integration/vault_hosts.h"

namespace rhz::test {
namespace {

using recovery::VaultRequest;
using recovery::VaultVerb;

std::string text_of(ConstBytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string frame(wire::Kind kind, const std::string& payload, uint64_t run) {
  wire::FrameHeader header;
  header.kind = kind;
  header.run = run;
  header.length = static_cast<uint32_t>(payload.size());
  wire::HeaderBytes bytes;
  wire::encode_header(header, bytes.data());
  return text_of(bytes) + payload;
}

class VaultPort : public testing::Test {
 protected:
  VaultPort()
      : run_("port-" + std::to_string(getpid()) + "-" +
             testing::UnitTest::GetInstance()->current_test_info()->name()),
        coordinator_("--world 1 --run-id " + run_),
        hosts_(run_, coordinator_.address, 1) {
    hosts_.start(0);
  }
  // Of the vault, as `rhizome status` prints it.
  PeerId id() {
    std::string digits;
    EXPECT_TRUE(until([&] {
      Cli status(words("status --json --coordinator " + coordinator_.address));
      if (status.end() != 0) return false;
      const std::string all = status.output();
      const size_t at = all.find("\"vaults\":[{\"id\":\"");
      if (at == std::string::npos) return false;
      digits = all.substr(at + 17, 32);
      return true;
    }));
    return {std::stoull(digits.substr(0, 16), nullptr, 16),
            std::stoull(digits.substr(16), nullptr, 16)};
  }
  std::string call(PeerId vault, const std::string& run) const {
    return frame(wire::Kind::kControl,
                 text_of(wire::encode(ControlMessage(VaultCallMessage{run, vault}))),
                 wire::run_hash(run));
  }
  std::string ask(const std::string& bytes) const {
    return frame(wire::Kind::kVault, bytes, wire::run_hash(run_));
  }
  static std::string begin(uint64_t revision) {
    VaultRequest request;
    request.verb = VaultVerb::begin;
    request.epoch = Epoch(1);
    request.revision = revision;
    const auto header = recovery::encode_header(request);
    return text_of(std::as_bytes(std::span(header)));
  }
  // What a stranger who says this is told before the connection ends.
  std::string told(const std::string& bytes) {
    RawSocket socket(hosts_.address(0));
    socket.write(bytes);
    return socket.read_all();
  }

  const std::string run_;
  CliCoordinator coordinator_;
  VaultHosts hosts_;
};

TEST_F(VaultPort, AnswersWhoCallsItByItsIdAndNobodyElse) {
  const PeerId vault = id();
  RawSocket friendly(hosts_.address(0));
  friendly.write(call(vault, run_) + ask(begin(7)));
  const std::string answer = friendly.read(wire::kHeaderBytes + recovery::kVaultHeaderBytes);
  ASSERT_EQ(answer.size(), wire::kHeaderBytes + recovery::kVaultHeaderBytes);
  const auto reply = recovery::decode_reply(
      bytes_of(answer.data() + wire::kHeaderBytes, recovery::kVaultHeaderBytes));
  ASSERT_TRUE(reply);
  EXPECT_TRUE(reply->status) << reply->status.text();
  EXPECT_EQ(reply->request.revision, 7u);

  EXPECT_NE(told(call({1, 2}, run_)).find("another one"), std::string::npos);
  EXPECT_NE(told(call(vault, "other")).find("serves the run"), std::string::npos);
  EXPECT_EQ(told(ask(begin(1))), "") << "asked before it was called";
}

TEST_F(VaultPort, WhatIsNoRequestEndsTheConnectionAndHarmsNobody) {
  const PeerId vault = id();
  std::string bad_verb = begin(1), bad_revision = begin(0), longer = begin(1) + "x";
  bad_verb[0] = 99;
  std::string huge = begin(1);
  huge[0] = 2;         // a put …
  huge[32 + 5] = 127;  // … of a shard of terabytes
  for (const std::string& bad : {std::string(), std::string("short"), bad_verb, bad_revision,
                                 longer, huge, std::string(4096, '\xff')})
    EXPECT_NE(told(call(vault, run_) + ask(bad)).find("no request"), std::string::npos)
        << bad.size();
  // Of another run, though the caller was of this one.
  const std::string other = frame(wire::Kind::kVault, begin(1), wire::run_hash("other"));
  EXPECT_EQ(told(call(vault, run_) + other), "");
  EXPECT_EQ(told(raw_header(wire::Kind::kVault, 15u << 20, wire::kProtocolVersion)), "");
  EXPECT_EQ(told(std::string(200, 'G')), "");
  RawSocket friendly(hosts_.address(0));
  friendly.write(call(vault, run_) + ask(begin(7)));
  EXPECT_EQ(friendly.read(wire::kHeaderBytes).size(), wire::kHeaderBytes) << "it lives";
}

TEST_F(VaultPort, ACoordinatorTakesNoVaultMessages) {
  RawSocket socket(coordinator_.address);
  socket.write(ask(begin(1)));
  EXPECT_EQ(socket.read_all(), "");
}

}  // namespace
}  // namespace rhz::test
