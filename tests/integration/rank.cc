#include "tests/integration/rank.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>

namespace rhz::test {
std::string last_error(rhz_status status) { return status >= 100 ? rhz_last_error() : ""; }

Rank::Rank(const Line& options) : options_(options), state_memory_(nullptr, &std::free) {
  const uint64_t words = options.number("state_bytes") / sizeof(uint64_t);
  state_memory_.reset(static_cast<uint64_t*>(std::calloc(words + 1, sizeof(uint64_t))));
  state_ = {state_memory_.get(), words};
  created_ = create(options_);
}

Rank::~Rank() {
  rhz_comm_close(comm_);
  for (auto& [name, part] : parts_) rhz_comm_close(part);
  for (auto& [id, open] : open_) rhz_op_release(open.op);
}

rhz_status Rank::create(const Line& options) {
  if (!options.text("algorithm").empty())
    setenv("RHZ_ALGORITHM", options.text("algorithm").c_str(), 1);
  rhz_comm_params params{};
  params.struct_size = sizeof params;
  params.coordinator = options.text("coordinator").c_str();
  if (!options.text("run").empty()) params.run_id = options.text("run").c_str();
  params.slot_plus_one = static_cast<uint32_t>(options.number("slot_plus_one"));
  params.op_timeout_ms = static_cast<uint32_t>(options.number("op_timeout_ms"));
  params.isolation_ms = static_cast<uint32_t>(options.number("isolation_ms"));
  if (const rhz_status status = rhz_comm_create(&params, &comm_); status != RHZ_OK) return status;
  if (state_.empty()) return RHZ_OK;
  rhz_tensor tensor{};
  tensor.struct_size = sizeof tensor;
  tensor.name = "state";
  tensor.data = state_.data();
  tensor.count_elems = state_.size();
  tensor.dtype = RHZ_DTYPE_U64;
  return rhz_state_register(comm_, &tensor);
}

bool Rank::obey(const Line& command) {
  if (command.verb == "bye") return false;
  const std::map<std::string, std::function<void()>> verbs = {
      {"join", [&] { join(command); }},
      {"allreduce", [&] { run(command); }},
      {"collective", [&] { run(command); }},
      {"submit", [&] { (void)submit(command); }},
      {"send", [&] { post(command); }},
      {"recv", [&] { post(command); }},
      {"wait", [&] { wait(command); }},
      {"series", [&] { series(command); }},
      {"batch", [&] { batch(command); }},
      {"cancel", [&] { cancel(command); }},
      {"scribble", [&] { scribble(command); }},
      {"admit", [&] { admit(command); }},
      {"step", [&] { step(); }},
      {"state", [&] { state(); }},
      {"spoil", [&] { spoil(); }},
      {"verify", [&] { verify(); }},
      {"view", [&] { view(command); }},
      {"costs", [&] { costs(command); }},
      {"split", [&] { split(command); }},
      {"close", [&] { close_part(command); }},
      {"barrier", [&] { await_barrier(); }},
      {"leave", [&] { leave(command); }},
      {"rejoin", [&] { rejoin(command); }},
      {"prepare", [&] { prepare(command); }},
      {"reset_peak", [&] { reset_peak(); }},
  };
  const auto found = verbs.find(command.verb);
  if (found == verbs.end())
    std::printf("unknown verb=%s\n", command.verb.c_str());
  else
    found->second();
  return true;
}

void Rank::join(const Line& command) {
  rhz_status status = created_;
  astray_ = command.number("follow") == 2;
  if (status == RHZ_OK && command.number("follow") > 0) status = rhz_sync_follow(comm_, &Rank::make_revision, this);
  if (status == RHZ_OK)
    status = rhz_comm_join(comm_, static_cast<uint32_t>(command.number("timeout_ms")));
  const std::string text = last_error(status);
  view_ = {};
  view_.struct_size = sizeof view_;
  if (status == RHZ_OK) status = rhz_comm_view(comm_, &view_);
  if (status == RHZ_OK && !view_.joined && !state_.empty()) {
    fill_state(state_, 1);
    status = rhz_state_commit(comm_, 1);
  }
  const bool right = !view_.joined || state_is(state_, view_.revision);  // R2, before it trains
  uint64_t others = 0, rounds = 0;
  const bool goes_on = command.number("world") > view_.world_size || command.number("work");
  if (status == RHZ_OK && view_.joined && goes_on)
    status = admit_until(0, command, others, rounds);
  rhz_sync_info sync{};
  sync.struct_size = sizeof sync;
  if (status == RHZ_OK) status = rhz_sync_info_get(comm_, &sync);
  std::printf(
      "joined status=%d slot=%u rank=%u epoch=%llu world=%u synced=%u revision=%llu bulk=%llu rest=%llu updates=%llu right=%d wrong=%llu text=%s\n",
      status, view_.slot, view_.rank, static_cast<unsigned long long>(view_.epoch),
      view_.world_size, view_.joined, static_cast<unsigned long long>(view_.revision),
      static_cast<unsigned long long>(sync.bulk_bytes), static_cast<unsigned long long>(sync.rest_bytes),
      static_cast<unsigned long long>(sync.updates), right, static_cast<unsigned long long>(wrong_),
      text.c_str());
}

// As the members do in admit_until(); follow=2: otherwise.
int Rank::make_revision(uint64_t revision, const void* update, uint64_t bytes, void* rank) {
  Rank& self = *static_cast<Rank*>(rank);
  uint64_t recorded = 0;
  if (bytes != sizeof recorded) return 1;
  std::memcpy(&recorded, update, sizeof recorded);
  if (recorded != revision) return 1;
  fill_state(self.state_, self.astray_ ? ~revision : revision);
  return 0;
}

// An op between two boundaries, and whether all go on: who sees a whole world says so in an op, so that all stop behind the same one,
// whoever dies.  `wrong`: elements of results.
rhz_status Rank::work(uint64_t count, uint64_t id, bool& over) {
  std::vector<float> data(count), vote{over ? 1.0f : 0.0f};
  fill_input(data, id, view_.slot);
  rhz_status status = RHZ_OK;
  for (std::vector<float>* buffer : {&data, &vote}) {
    rhz_allreduce_params params{};
    params.struct_size = sizeof params;
    params.recv = buffer->data();
    params.count_elems = buffer->size();
    params.dtype = RHZ_DTYPE_F32;
    rhz_op* op = nullptr;
    if (status == RHZ_OK) status = rhz_allreduce(comm_, &params, &op);
    if (status == RHZ_OK) status = rhz_op_wait(op, 0, 0);
    if (status == RHZ_OK && buffer == &data) wrong_ += check_result(op, data, id, false).wrong;
    rhz_op_release(op);
  }
  over = vote[0] > 0;
  return status;
}

// One boundary after the other, until so many peers have entered or the world is that large.  With train=1 the state is another
// one at each, with work=N there is an op of so many elements before each.
rhz_status Rank::admit_until(uint64_t joined_wanted, const Line& command, uint64_t& joined, uint64_t& rounds) {
  rhz_status status = RHZ_OK;
  do {
    if (command.number("train") == 1) {
      status = refresh();
      const uint64_t next = view_.revision + 1;
      if (status == RHZ_OK) status = rhz_sync_record(comm_, next, &next, sizeof next);
      fill_state(state_, next);
      if (status == RHZ_OK) status = rhz_state_commit(comm_, view_.revision + 1);
      if (status != RHZ_OK) return status;
    }
    if (const uint64_t count = command.number("work")) {
      bool over = view_.world_size >= command.number("world");
      if (const rhz_status worked = work(count, view_.revision, over); worked != RHZ_OK || over) return worked;
    }
    rhz_op* op = nullptr;
    status = rhz_admit(comm_, &op);
    if (status == RHZ_OK) status = rhz_op_wait(op, 0, 0);
    rhz_op_info info{};
    info.struct_size = sizeof info;
    if (op && rhz_op_info_get(op, &info) == RHZ_OK) joined += info.joined;
    rhz_op_release(op);
    ++rounds;
    if (status == RHZ_OK) status = refresh();
  } while (status == RHZ_OK && (command.number("work") || joined < joined_wanted || view_.world_size < command.number("world")));
  return status;
}

void Rank::admit(const Line& command) {
  uint64_t joined = 0, rounds = 0;
  const rhz_status status =
      admit_until(command.number("until"), command, joined, rounds);
  std::printf("admitted status=%d joined=%llu rounds=%llu world=%u epoch=%llu wrong=%llu text=%s\n", status,
              static_cast<unsigned long long>(joined), static_cast<unsigned long long>(rounds),
              view_.world_size, static_cast<unsigned long long>(view_.epoch), static_cast<unsigned long long>(wrong_),
              last_error(status).c_str());
}

void Rank::step() {
  (void)refresh();
  const uint64_t revision = view_.revision + 1;
  fill_state(state_, revision);
  const rhz_status status = rhz_state_commit(comm_, revision);
  std::printf("stepped status=%d revision=%llu text=%s\n", status,
              static_cast<unsigned long long>(revision), last_error(status).c_str());
}

void Rank::state() {
  rhz_status status = refresh();
  uint8_t digest[16] = {};
  if (status == RHZ_OK) status = rhz_state_digest(comm_, digest);
  std::string hex;
  for (const uint8_t byte : digest) {
    char two[3];
    std::snprintf(two, sizeof two, "%02x", byte);
    hex += two;
  }
  std::printf("state status=%d revision=%llu right=%d digest=%s text=%s\n", status,
              static_cast<unsigned long long>(view_.revision), state_is(state_, view_.revision),
              hex.c_str(), last_error(status).c_str());
}

void Rank::spoil() {
  state_[state_.size() / 2] ^= 1;
  std::printf("spoilt\n");
}

void Rank::verify() {
  rhz_op* op = nullptr;
  rhz_status status = rhz_state_verify(comm_, &op);
  if (status == RHZ_OK) status = rhz_op_wait(op, 0, 0);
  const std::string text = last_error(status);
  rhz_op_release(op);
  std::printf("verified status=%d text=%s\n", status, text.c_str());
}

rhz_status Rank::refresh() {
  rhz_view now{};
  now.struct_size = sizeof now;
  const rhz_status status = rhz_comm_view(comm_, &now);
  if (status == RHZ_OK) view_ = now;
  return status;
}

void Rank::view(const Line& command) {
  rhz_view now{};
  now.struct_size = sizeof now;
  const rhz_status status = rhz_comm_view(comm_of(command), &now);
  std::printf("view status=%d epoch=%llu world=%u slot=%u rank=%u revision=%llu text=%s\n", status,
              static_cast<unsigned long long>(now.epoch), now.world_size, now.slot, now.rank,
              static_cast<unsigned long long>(now.revision), last_error(status).c_str());
}

void Rank::costs(const Line& command) {
  rhz_costs costs{};
  costs.struct_size = sizeof costs;
  const rhz_status status = rhz_comm_costs(comm_of(command), command.number("bytes"), &costs);
  std::printf("costs status=%d known=%d from=%llu chosen=%s links=", status, costs.measured_by_op != RHZ_COSTS_UNKNOWN,
              static_cast<unsigned long long>(costs.measured_by_op), costs.chosen);
  for (uint64_t number : {costs.local_latency_ns, costs.local_bytes_per_s, costs.remote_latency_ns,
                          costs.remote_bytes_per_s, costs.reduce_bytes_per_s})
    std::printf("%llu,", static_cast<unsigned long long>(number));
  std::printf(" predicted=");
  for (uint64_t ns : costs.predicted_ns) std::printf("%llu,", static_cast<unsigned long long>(ns));
  std::printf(" text=%s\n", last_error(status).c_str());
}

rhz_comm* Rank::comm_of(const Line& command) {
  const auto part = parts_.find(command.text("comm"));
  return part == parts_.end() ? comm_ : part->second;
}

void Rank::split(const Line& command) {
  rhz_split_params params{};
  params.struct_size = sizeof params;
  params.colour = std::atoi(command.text("colour").c_str());
  params.key = std::atoi(command.text("key").c_str());
  rhz_comm*& part = parts_[command.text("name")];
  rhz_comm_close(part);
  rhz_status status = rhz_comm_split(comm_of(command), &params, &part);
  const std::string text = last_error(status);
  rhz_view now{};
  now.struct_size = sizeof now;
  if (part) status = rhz_comm_view(part, &now);
  std::printf("split status=%d rank=%u world=%u text=%s\n", status, now.rank, now.world_size, text.c_str());
}

void Rank::close_part(const Line& command) {
  rhz_comm_close(parts_[command.text("comm")]);
  parts_.erase(command.text("comm"));
  std::printf("closed\n");
}

void Rank::await_barrier() {
  const rhz_status status = barrier();
  std::printf("barrier status=%d text=%s\n", status, last_error(status).c_str());
}

void Rank::leave(const Line& command) {
  const rhz_status status =
      rhz_comm_leave(comm_, static_cast<uint32_t>(command.number("timeout_ms")));
  std::printf("left status=%d text=%s\n", status, last_error(status).c_str());
}

// A buffer for the next op in place: its pages are there before the memory of an op is measured.
void Rank::prepare(const Line& command) {
  spare_.emplace_back(command.number("count"), 1.0f);
  std::printf("prepared\n");
}

void Rank::reset_peak() {
  std::ofstream("/proc/self/clear_refs") << "5";
  std::printf("reset\n");
}

// Closes what is left of the communicator and comes back as a new peer.
void Rank::rejoin(const Line& command) {
  rhz_comm_close(comm_);
  comm_ = nullptr;
  for (auto& [id, open] : open_) rhz_op_release(open.op);
  open_.clear();
  std::fill(state_.begin(), state_.end(), 0);
  created_ = create(options_);
  join(command);
}

}  // namespace rhz::test
