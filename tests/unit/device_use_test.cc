// What has to be copied of buffers that are a device's.
#include <gtest/gtest.h>

#include "api/src/device_use.h"

namespace rhz::api::test {
namespace {

OpSpec spec_of(OpKind kind, std::byte* send, std::byte* recv) {
  OpSpec spec;
  spec.kind = kind;
  spec.dtype = reduce::Dtype::u16;
  spec.count = 10;
  spec.ranks = has_layout(kind) ? 3 : 0;
  spec.send = send;
  spec.recv = recv;
  return spec;
}

using Extents = std::vector<Extent>;

TEST(DeviceUse, IsWhatEachCollectiveGivesAndGets) {
  std::byte s, r;
  const Extents none, block{{0, 20}}, all{{0, 60}};
  struct {
    OpKind kind;
    bool root;
    Extents reads, writes;
  } const cases[] = {
      {OpKind::kAllReduce, false, block, block},   {OpKind::kBroadcast, true, block, none},
      {OpKind::kBroadcast, false, none, block},    {OpKind::kReduce, true, block, block},
      {OpKind::kReduce, false, block, none},       {OpKind::kAllGather, false, block, all},
      {OpKind::kReduceScatter, false, all, block}, {OpKind::kGather, true, block, all},
      {OpKind::kGather, false, block, none},       {OpKind::kScatter, true, all, block},
      {OpKind::kScatter, false, none, block},      {OpKind::kAllToAll, false, all, all},
  };
  for (const auto& c : cases) {
    const DeviceUse use = use_of(spec_of(c.kind, &s, &r), c.root);
    EXPECT_EQ(use.send.reads, c.reads) << static_cast<int>(c.kind);
    EXPECT_EQ(use.recv.writes, c.writes) << static_cast<int>(c.kind);
    EXPECT_TRUE(use.send.writes.empty() && use.recv.reads.empty());
  }
}

TEST(DeviceUse, InPlaceCopiesAllBlocksBecauseRanksMayMove) {
  std::byte b;
  const DeviceUse gather = use_of(spec_of(OpKind::kAllGather, nullptr, &b), false);
  EXPECT_EQ(gather.recv.reads, (Extents{{0, 60}}));
  EXPECT_EQ(gather.recv.writes, (Extents{{0, 60}}));
  const DeviceUse scatter = use_of(spec_of(OpKind::kReduceScatter, &b, nullptr), false);
  EXPECT_EQ(scatter.send.reads, (Extents{{0, 60}}));
  EXPECT_EQ(scatter.send.writes, (Extents{{0, 60}}));
}

TEST(DeviceUse, LeavesAloneWhatLiesBetweenBlocks) {
  std::byte s, r;
  OpSpec spec = spec_of(OpKind::kAllGather, &s, &r);
  auto varying = std::make_shared<Varying>();
  varying->counts = {4, 0, 7};
  varying->send_at = {0};
  varying->recv_at = {1, 9, 20};
  varying->rank = 2;
  spec.varying = varying;
  DeviceUse use = use_of(spec, false);
  EXPECT_EQ(use.send.reads, (Extents{{0, 14}}));
  EXPECT_EQ(use.recv.writes, (Extents{{2, 8}, {40, 14}}));
  EXPECT_EQ(use.recv.end(), 54u);
  spec.send = nullptr;  // in place
  use = use_of(spec, false);
  EXPECT_EQ(use.recv.reads, (Extents{{40, 14}}));
}

TEST(DeviceUse, OfNothingIsNothing) {
  std::byte b;
  OpSpec spec = spec_of(OpKind::kAllReduce, &b, &b);
  spec.count = 0;
  EXPECT_EQ(use_of(spec, false).send.end(), 0u);
}

}  // namespace
}  // namespace rhz::api::test
