// Calls of the other collectives that are wrong by themselves, or fit no view: refused, or ended
// alike on every rank.
#include <map>

#include "tests/integration/local_run.h"

namespace rhz::test {
namespace {

using Call = rhz_status (*)(rhz_comm*, const rhz_collective_params*, rhz_op**);

const std::map<std::string, Call> kCalls = {
    {"broadcast", rhz_broadcast}, {"reduce", rhz_reduce},
    {"allgather", rhz_allgather}, {"reduce_scatter", rhz_reduce_scatter},
    {"gather", rhz_gather},       {"scatter", rhz_scatter},
    {"alltoall", rhz_alltoall}};
const std::vector<std::string> kSpanning = {"allgather", "reduce_scatter", "gather", "scatter",
                                            "alltoall"};

class BadCollective : public testing::Test {
 protected:
  BadCollective() : run_(2), comms_(run_.found()), a_(64, 1.0f), b_(64, 2.0f) {}
  ~BadCollective() override { expect_sum(comms_); }  // nothing is broken by it

  rhz_collective_params params(const void* send, void* recv, uint64_t count = 8) const {
    auto p = sized<rhz_collective_params>();
    p.send = send;
    p.recv = recv;
    p.count_elems = count;
    p.dtype = RHZ_DTYPE_F32;
    p.world_size = 2;
    return p;
  }
  void refused(const std::string& kind, uint32_t slot, const rhz_collective_params& p,
               rhz_status status, const std::vector<std::string>& words) {
    SCOPED_TRACE(kind + " on slot " + std::to_string(slot));
    rhz_op* op = nullptr;
    expect_refused(kCalls.at(kind)(comms_[slot], &p, &op), status, words);
    EXPECT_EQ(op, nullptr);
  }
  // Both ranks submit, each as `change` wants it; the same end for both.
  template <class Change>
  std::string ends(const std::string& kind, rhz_status status, Change&& change) {
    SCOPED_TRACE(kind);
    rhz_op* ops[2] = {};
    std::vector<float> send[2] = {a_, a_}, recv[2] = {b_, b_};
    for (uint32_t slot : {0u, 1u}) {
      auto p = params(send[slot].data(), recv[slot].data());
      p.timeout_ms = 5000;  // a hang would end as TIMEOUT
      change(slot, p);
      EXPECT_EQ(kCalls.at(kind)(comms_[slot], &p, &ops[slot]), RHZ_OK) << rhz_last_error();
    }
    return same_end(ops, status);
  }

  LocalRun run_;
  const std::vector<rhz_comm*> comms_;
  std::vector<float> a_, b_;
};

TEST_F(BadCollective, WithoutABufferThatThisRankNeedsNamesIt) {
  const auto no_send = params(nullptr, b_.data()), no_recv = params(a_.data(), nullptr),
             none = params(nullptr, nullptr);
  for (const char* kind : {"gather", "alltoall"})
    refused(kind, 0, no_send, RHZ_ERR_ARGUMENT, {"send is NULL", "this rank needs it"});
  refused("gather", 1, no_send, RHZ_ERR_ARGUMENT, {"send is NULL"});
  refused("scatter", 0, no_send, RHZ_ERR_ARGUMENT, {"send is NULL"});
  for (const char* kind : {"reduce", "gather", "scatter", "alltoall", "allgather"})
    refused(kind, 0, no_recv, RHZ_ERR_ARGUMENT, {"recv is NULL", "this rank needs it"});
  for (const char* kind : {"broadcast", "scatter"})
    refused(kind, 1, no_recv, RHZ_ERR_ARGUMENT, {"recv is NULL"});
  for (const auto& [kind, call] : kCalls)
    for (uint32_t slot : {0u, 1u}) refused(kind, slot, none, RHZ_ERR_ARGUMENT, {"is NULL"});
}

TEST_F(BadCollective, WithBuffersThatOverlapSaysHowTheyMayLie) {
  // A block is 8 elements, all blocks are 16.
  const auto equal = params(a_.data(), a_.data());
  for (const auto& kind : kSpanning)
    refused(kind, 0, equal, RHZ_ERR_OVERLAP, {"equal", "rhizome.h"});
  const auto inside = params(a_.data() + 4, a_.data());
  for (const auto& kind : kSpanning) refused(kind, 0, inside, RHZ_ERR_OVERLAP, {"disjoint"});
  refused("reduce", 0, inside, RHZ_ERR_OVERLAP, {"disjoint"});
  refused("allgather", 1, params(a_.data() + 15, a_.data()), RHZ_ERR_OVERLAP, {"disjoint"});
  refused("scatter", 0, params(a_.data(), a_.data() + 15), RHZ_ERR_OVERLAP, {"disjoint"});
}

TEST_F(BadCollective, WithANumberThatMakesNoSenseSaysWhich) {
  for (const auto& [kind, call] : kCalls) {
    auto p = params(a_.data(), b_.data());
    p.dtype = 0;
    refused(kind, 0, p, RHZ_ERR_ARGUMENT, {"dtype 0", "RHZ_DTYPE_*"});
    p.dtype = 13;
    refused(kind, 0, p, RHZ_ERR_ARGUMENT, {"dtype 13"});
    p = params(a_.data(), b_.data());
    p.redop = 9;
    refused(kind, 0, p, RHZ_ERR_ARGUMENT, {"redop 9", "RHZ_REDOP_*"});
    p = params(a_.data(), b_.data());
    p.rebuild = RHZ_REBUILD_INCLUDE + 1;
    refused(kind, 0, p, RHZ_ERR_ARGUMENT, {"rebuild 5"});
    p = params(a_.data(), b_.data());
    p.struct_size = 0;
    refused(kind, 0, p, RHZ_ERR_ABI, {"sizeof(rhz_collective_params)"});
    for (const uint64_t count : {(uint64_t{1} << 40) + 1, uint64_t{1} << 63, UINT64_MAX})
      refused(kind, 0, params(a_.data(), b_.data(), count), RHZ_ERR_ARGUMENT, {"2^40"});
    expect_refused(call(comms_[0], &p, nullptr), RHZ_ERR_ABI, {"struct_size"});
    rhz_op* op = nullptr;
    expect_refused(call(comms_[0], nullptr, &op), RHZ_ERR_ARGUMENT, {"is NULL"});
    expect_refused(call(nullptr, &p, &op), RHZ_ERR_ARGUMENT, {"communicator is NULL"});
  }
  auto p = params(a_.data(), b_.data());
  p.redop = RHZ_REDOP_BAND;
  refused("reduce", 1, p, RHZ_ERR_ARGUMENT, {"bitwise", "f32"});
  p = params(a_.data(), b_.data());
  p.root_slot = UINT32_MAX;
  refused("gather", 1, p, RHZ_ERR_ARGUMENT, {"root_slot 4294967295"});
}

TEST_F(BadCollective, ForTooFewOrTooManyRanksSaysWhatToSet) {
  auto p = params(a_.data(), b_.data());
  p.world_size = 0;
  for (const auto& kind : kSpanning)
    refused(kind, 0, p, RHZ_ERR_ARGUMENT, {"world_size 0", "number of ranks"});
  p.world_size = UINT32_MAX;
  for (const auto& kind : kSpanning)
    refused(kind, 1, p, RHZ_ERR_ARGUMENT, {"world_size 4294967295"});
  // All blocks of 2^39 elements would be 2^40 of them, and one more is too much.
  p = params(a_.data(), b_.data(), (uint64_t{1} << 39) + 1);
  for (const auto& kind : kSpanning) refused(kind, 0, p, RHZ_ERR_ARGUMENT, {"2^40"});
}

TEST_F(BadCollective, ForAnotherNumberOfRanksThanTheViewHasEndsAlikeEverywhere) {
  for (const auto& kind : kSpanning) {
    for (const uint32_t wrong_ones : {1u, 2u, 3u}) {  // a bit for each rank
      const std::string text = ends(kind, RHZ_ERR_PEER_LOST, [&](uint32_t slot, auto& p) {
        if (wrong_ones >> slot & 1) p.world_size = 3;
      });
      EXPECT_NE(text.find("the op spans 2 ranks, its buffers are for 3"), std::string::npos)
          << text;
    }
  }
}

TEST_F(BadCollective, WithARootThatIsNobodyEndsAlikeEverywhere) {
  for (const char* kind : {"broadcast", "reduce", "gather", "scatter"}) {
    for (const uint64_t count : {uint64_t{0}, uint64_t{8}}) {
      const std::string text = ends(kind, RHZ_ERR_PEER_LOST, [&](uint32_t, auto& p) {
        p.root_slot = 7;
        p.count_elems = count;
      });
      EXPECT_NE(text.find("the root, slot 7, is no member"), std::string::npos) << text;
    }
  }
}

}  // namespace
}  // namespace rhz::test
