#include "tests/explore/suite.h"

namespace rhz::explore {
namespace {

Options with(uint32_t crashes, uint32_t suspicions, uint32_t restarts) {
  Options o;
  o.crashes = crashes;
  o.suspicions = suspicions;
  o.restarts = restarts;
  return o;
}
Options keep(Options o) { return o.mode = RebuildMode::kKeep, o; }
Options include(Options o) { return o.mode = RebuildMode::kInclude, o; }
Options fail(Options o) { return o.mode = RebuildMode::kFail, o; }
Options retain(Options o) { return o.retain = true, o; }
Options bulk(Options o) { return o.bulk = true, o; }
Options in_place(Options o) { return o.in_place = true, o; }
Options two_ops(Options o) { return o.ops = 2, o; }
Options one_chunk(Options o) { return o.chunks = 1, o; }
Options together(Options o) { return o.together = true, o; }
Options halves(Options o) { return o.halves = 1, o; }
Options late_read(Options o) { return o.bulk = o.late_read = true, o; }

}  // namespace

std::vector<Options> fast_suite() {
  const Options calm = with(0, 0, 0), crash = with(1, 0, 0), suspicion = with(0, 1, 0),
                restart = with(0, 0, 1);
  return {
      bulk(calm),
      retain(two_ops(calm)),
      crash,
      keep(crash),
      fail(together(crash)),
      include(crash),
      include(two_ops(one_chunk(crash))),
      bulk(together(crash)),
      in_place(together(crash)),
      keep(retain(two_ops(together(crash)))),
      suspicion,
      keep(retain(suspicion)),
      fail(together(suspicion)),
      late_read(together(suspicion)),
      two_ops(together(suspicion)),
      halves(together(suspicion)),
      together(restart),
  };
}

std::vector<Options> deep_suite() {
  const Options crashes = together(with(2, 0, 0)), suspicions = together(with(0, 2, 0)),
                restarts = together(with(0, 0, 2));
  const Options both = together(with(1, 1, 0));
  return {
      keep(crashes),
      include(crashes),
      include(bulk(suspicions)),
      include(both),
      keep(retain(suspicions)),
      keep(retain(both)),
      fail(both),
      keep(bulk(suspicions)),
      keep(retain(two_ops(suspicions))),
      crashes,
      suspicions,
      both,
      together(with(0, 1, 1)),
      restarts,
      together(with(1, 0, 1)),
      two_ops(crashes),
  };
}

}  // namespace rhz::explore
