// A transport that puts all frames on one wire in memory, for whoever delivers them.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "collectives/op.h"
#include "tests/unit/send_only.h"

namespace rhz {

inline PeerId id_of(uint32_t rank) { return {7, rank + 1}; }

struct Sent {
  uint32_t from, to;
  wire::FrameHeader header;
  std::vector<std::byte> bytes;
};

struct Port final : SendOnly {
  Port(std::deque<Sent>& wire, uint32_t self) : wire(wire), self(self) {}
  void send(PeerId to, LaneClass, OutFrame frame) override {
    frame.header.length = static_cast<uint32_t>(frame.payload.size());
    wire.push_back({self,
                    static_cast<uint32_t>(to.low - 1),
                    frame.header,
                    {frame.payload.begin(), frame.payload.end()}});
  }
  bool reads(GroupId, OpSeq) override { return reading; }
  std::deque<Sent>& wire;
  uint32_t self;
  bool reading = false;  // the caller's memory
};

struct Ended final : OpCompletion {
  void released(const OpOutcome& outcome) override {
    ok = outcome.status.is_ok();
    code = outcome.status.code();
  }
  void finalised(const Status&) override { final = true; }
  bool ok = false, final = false;
  Code code = Code::kPending;
};

}  // namespace rhz
