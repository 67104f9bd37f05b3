#include <algorithm>
#include <cstring>

#include "runtime/base/assert.h"
#include "tests/sim/trainer_op.h"

namespace rhz::sim {
namespace {
constexpr uint64_t kPoison = 0xdeadbeefdeadbeefull;
constexpr uint32_t kBoundary = 1000;  // OpKey::index of an admit op
constexpr size_t kKeepPast = 24;      // ops whose buffers are watched for late writes
}  // namespace

Trainer::Trainer(World& world, const Config& config, Oracles& oracles, Directory& directory,
                 NodeIndex self, recovery::State& state)
    : world_(world),
      config_(config),
      oracles_(oracles),
      directory_(directory),
      self_(self),
      state_(state),
      letters_(world, config, oracles, self),
      tensor_(config.big_state ? 40000 : 8) {
  recovery::Tensor tensor;
  tensor.name = "state";
  tensor.dtype = static_cast<uint32_t>(reduce::Dtype::u64);
  tensor.count_elems = tensor_.size();
  tensor.data = reinterpret_cast<std::byte*>(tensor_.data());
  tensor.bytes = tensor_.size() * sizeof(uint64_t);
  RHZ_ASSERT("sim", state_.add(std::move(tensor)).is_ok());
}

Trainer::~Trainer() {
  for (const auto& op : past_) check_poison(*op);
  for (const auto& op : ops_)
    if (op->returned) check_poison(*op);
}

void Trainer::attach(Node& node, std::function<Time()> clock) {
  node_ = &node;
  clock_ = std::move(clock);
  letters_.attach(node, clock_, [this] { step_over(Duration::zero()); });
}

bool Trainer::idle() const {
  if (!config_.hurried_letters) return node_->idle();
  return node_->communicator().idle() && node_->messenger().pending() == 0;
}

uint64_t Trainer::state_hash() const {
  return hash_bytes(reinterpret_cast<const std::byte*>(tensor_.data()),
                    tensor_.size() * sizeof(uint64_t));
}

void Trainer::poll() {
  if (!started_ && node_->joined()) {
    started_ = true;
    world_.trace("starts", static_cast<int>(self_), step() + 1);
    if (node_->synced()) oracles_.entered(self_, step(), state_hash());
    begin_epoch();
  }
  follow();
  if (leaving_ && !left_ && (!started_ || (open_ == 0 && splits_open_ == 0 && letters_.open() == 0 && idle()))) {
    left_ = true;
    world_.trace("leaves", static_cast<int>(self_), step());
    node_->leave(clock_());
  }
}

void Trainer::begin_step() {
  if (step() >= last_step_) {
    done_ = true;
    return;
  }
  if (leaving_) return;
  const uint64_t next = step() + 1;
  Prng plan(mix64(config_.seed ^ 0x5e) ^ mix64(next));
  const auto count = 1 + plan.below(config_.ops_per_step);
  submitted_ = 0;
  at_boundary_ = false;
  const bool ahead = std::exchange(ahead_, false);
  if (!ahead) results_.clear();
  for (uint32_t i = ahead; i < count; ++i) {
    const Workload workload = workload_of(config_, {next, i}, self_);
    if (workload.axis == 0 || axes_[workload.axis].group != kRootGroup) make_op({next, i}, workload);
  }
  open_ = static_cast<uint32_t>(ops_.size());
  if (!ops_.empty()) submit_later();
  letters_.begin(next);
  if (ops_.empty()) step_over(Duration::zero());
}

Trainer::Op& Trainer::make_op(OpKey key, const Workload& workload) {
  auto op = std::make_unique<Op>(*this);
  op->key = key;
  op->workload = workload;
  op->in_place = world_.workload.chance(config_.in_place);
  op->group = axes_[workload.axis].group;
  op->workload.root = root_of(workload);
  if (const Communicator* communicator = communicator_of(*op)) {
    op->ranks = has_layout(workload.kind) ? communicator->view().size() : 1;
    op->rank = communicator->view().rank_of(node_->member().self().id).value;
  }
  op->input.assign(workload.words() * op->ranks, kPoison);
  if (workload.kind == OpKind::kVerify) {
    const uint64_t digest = state_hash();  // and its complement, as in rhz_state_verify
    op->input = {digest, ~digest, ~digest, digest};
  } else {
    Workload whole = workload;  // also what lies between the blocks of one that varies, which nobody reads
    whole.count *= op->ranks;
    fill_input(config_, key, self_, whole, op->input.data());
  }
  // An all-gather in place has its own block in the middle of the result; that is tried elsewhere.
  const bool may = is_uniform(workload.kind) || workload.kind == OpKind::kReduceScatter;
  op->in_place &= may;
  if (!op->in_place) op->output.assign(workload.words() * op->ranks, kPoison);
  ops_.push_back(std::move(op));
  return *ops_.back();
}

// Peers are not in step with each other: some submit at once, some let the others wait.
void Trainer::submit_later() {
  Duration gap = world_.workload.chance(0.5)
                     ? Duration::zero()
                     : World::between(world_.workload, Duration(0), 2 * config_.base_latency);
  if (world_.workload.chance(0.01)) gap += milliseconds(10);
  world_.after(gap, [this, self = self_, &directory = directory_] {
    directory.run(self, [this] { submit_next(); });
  });
}

void Trainer::submit_next() {
  if (node_->ended()) return;
  maybe_close_early();
  Op& op = *ops_[submitted_++];
  OpSpec spec;
  spec.kind = op.workload.kind;
  if (spec.kind == OpKind::kProbe) {
    spec.dtype = reduce::Dtype::u32;
    spec.redop = reduce::RedOp::max;
    spec.count = 1;
  } else {
    spec.dtype = op.workload.floats ? reduce::Dtype::f32 : reduce::Dtype::u64;
    spec.redop = op.workload.average ? reduce::RedOp::avg : reduce::RedOp::sum;
    if (op.workload.kind == OpKind::kVerify) spec.redop = reduce::RedOp::min;
    spec.timeout = op.workload.timeout;
    spec.rebuild = op.workload.mode;
    spec.algorithm = op.workload.algorithm;
    spec.count = op.workload.count;
    spec.send = reinterpret_cast<const std::byte*>(op.input.data());
    spec.recv = reinterpret_cast<std::byte*>(op.in_place ? op.input.data() : op.output.data());
    if (op.in_place && spec.kind == OpKind::kReduceScatter) spec.recv = nullptr;
    spec.root = op.workload.root;
    spec.ranks = op.ranks;
    if (op.workload.varying) spec.varying = blocks_of(op);
  }
  const bool more = submitted_ < ops_.size();
  if (!communicator_of(op)) {
    op.returned = op.final = true;
    --open_;
    op_over(op, true);
    return more ? submit_later() : void();
  }
  if (config_.late > 0 && has_many_sources(spec.kind) && spec.kind != OpKind::kProbe && op.workload.kind != OpKind::kVerify &&
      world_.workload.chance(config_.late)) {
    op.to_come = op.input;
    spec.input_there = world_.workload.below(op.input.size() + 1) * sizeof(uint64_t);
    std::fill(op.input.begin() + static_cast<long>(spec.input_there / sizeof(uint64_t)), op.input.end(), kPoison);
    more_input_later(op.key, spec.input_there / sizeof(uint64_t));
  }
  if (config_.early > 0 && spec.kind != OpKind::kProbe && world_.readers.chance(config_.early)) {
    op.result = spec.recv ? spec.recv : spec.send;
    read_early_later(op.key);
  }
  op.submitted = true;
  oracles_.submitted(self_, op.key);
  oracles_.begun(self_, op.key, spec.timeout, op.input.size() * sizeof(uint64_t));
  op.handle = node_->submit(clock_(), op.group, spec, &op);
  if (more) submit_later();
}

// Of an op whose input was not all there.
void Trainer::more_input_later(OpKey key, uint64_t there) {
  const Duration gap = World::between(world_.workload, Duration(0), 2 * config_.base_latency);
  world_.after(gap, [this, key, there, self = self_, &directory = directory_] {
    directory.run(self, [this, key, there] { more_input(key, there); });
  });
}

void Trainer::more_input(OpKey key, uint64_t there) {
  const auto found = std::find_if(ops_.begin(), ops_.end(), [&](const auto& op) { return op->key == key; });
  if (found == ops_.end() || (*found)->returned || (*found)->to_come.size() <= there) return;
  Op& op = **found;
  const uint64_t until = there + 1 + world_.workload.below(op.to_come.size() - there);
  std::copy(op.to_come.begin() + static_cast<long>(there), op.to_come.begin() + static_cast<long>(until),
            op.input.begin() + static_cast<long>(there));
  if (until < op.to_come.size()) more_input_later(key, until);
  node_->input_there(clock_(), op.group, op.handle, until * sizeof(uint64_t));
}

// Of an op whose result is read while it is still being made, as a copy to a device does.
void Trainer::read_early_later(OpKey key) {
  const Duration gap = World::between(world_.readers, Duration(0), 4 * config_.base_latency);
  world_.after(gap, [this, key, self = self_, &directory = directory_] {
    directory.run(self, [this, key] { read_early(key); });
  });
}

void Trainer::read_early(OpKey key) {
  const auto found = std::find_if(ops_.begin(), ops_.end(), [&](const auto& op) { return op->key == key; });
  if (node_->ended() || found == ops_.end() || (*found)->returned || !(*found)->result) return;  // or it is the next try
  Op& op = **found;
  const uint64_t there = node_->result_there(op.group, op.handle);
  if (there < op.early.size()) return oracles_.fail("W15", "less of a result is there than was");
  op.early.insert(op.early.end(), op.result + op.early.size(), op.result + there);
  read_early_later(key);
}

void Trainer::check_early(const Op& op, const OpOutcome& outcome) {
  if (outcome.remade && outcome.rebuilds == 0) oracles_.fail("W15", "a result was made anew without a rebuild");
  if (!outcome.remade && !std::equal(op.early.begin(), op.early.end(), op.result))
    oracles_.fail("W15", "a result that was read was made anew, and nobody was told");
}

// Each at the place that it would have if all had the size of the largest.
VaryingRef Trainer::blocks_of(const Op& op) const {
  const uint32_t n = op.ranks;
  const uint64_t step = op.workload.count;
  const OpKind kind = op.workload.kind;
  auto varying = std::make_shared<Varying>();
  varying->rank = op.rank;
  const auto count = [&](uint32_t block) { return varying_count(config_, op.key, op.workload, block); };
  for (uint32_t r = 0; r < n; ++r) {
    if (kind == OpKind::kAllToAll) {
      varying->give.push_back(count(op.rank * n + r));
      varying->expect.push_back(count(r * n + op.rank));
    } else {
      varying->counts.push_back(count(r));
    }
    varying->send_at.push_back(r * step);
    varying->recv_at.push_back(r * step);
  }
  const bool gives_one = kind == OpKind::kAllGather || kind == OpKind::kGather;
  const bool gets_one = kind == OpKind::kScatter || kind == OpKind::kReduceScatter;
  if (gives_one) varying->send_at = {0};
  if (gets_one) varying->recv_at = {0};
  return varying;
}

void Trainer::op_released(Op& op, const OpOutcome& outcome) {
  if (op.returned) return oracles_.fail("O4", "an op returned twice");
  op.returned = true;
  oracles_.ended(self_, op.key);
  op.seq = outcome.seq;
  --open_;
  if (const Communicator* communicator = communicator_of(op)) oracles_.learned(self_, op.group, communicator->chooser());
  world_.trace("returned", static_cast<int>(self_), outcome.seq.value, outcome.last_epoch.value,
               code_text(outcome.status.code()));
  uint64_t result = static_cast<uint64_t>(outcome.status.code());
  if (node_->ended()) {  // that ends a peer, not an op
    result = 0;
  } else if (op.key.index != kBoundary) {
    const auto* bytes =
        reinterpret_cast<const std::byte*>(op.in_place ? op.input.data() : op.output.data());
    Communicator::OpState state{};
    for (auto& open : communicator_of(op)->open_ops())
      if (open.seq == outcome.seq) state = std::move(open);
    const RunConfig& run = node_->member().config();
    const View& view = communicator_of(op)->view();
    const bool ok = outcome.status.is_ok();
    if (ok && op.result) check_early(op, outcome);
    const bool retained = may_retain(op.workload.kind) && outcome.bytes <= run.retain_bytes;
    const Oracles::Care care{!retained && !is_unprotected(op.workload.kind), is_unprotected(op.workload.kind)};
    if (is_uniform(op.workload.kind)) {
      oracles_.released(self_, op.group, op.key, op.workload, outcome, state.held,
                        make_layout(op.workload.count, static_cast<uint32_t>(op.workload.element()), run), bytes,
                        view, care);
      if (ok) result = hash_bytes(bytes, op.workload.count * op.workload.element(), 1);
    } else {
      // In place the result stands where the own block did.
      const uint64_t at = op.in_place && ok && !outcome.result_blocks.empty()
                              ? outcome.result_blocks.first * op.workload.count * 8 : 0;
      oracles_.released_blocks(self_, op.group, op.key, op.workload, outcome,
                               {&state, bytes + at, &view, care});
      if (ok) result = 1000 + static_cast<uint64_t>(op.workload.kind);  // what each got is its own
    }
  } else {
    oracles_.left_boundary(self_, op.key, outcome);
  }
  const bool everybodys = op.workload.axis == 0 && !is_unprotected(op.workload.kind);
  if (everybodys && op.key.index != kBoundary) results_.emplace_back(op.key, result);  // the state is everybody's
  op_over(op, result == 0 || result >= 1000);
  if (!node_->ended()) directory_.reached(self_, Mark::kReturned);
}

// Members may see other outcomes of one op.
bool Trainer::is_unprotected(OpKind kind) const {
  const bool may = kind == OpKind::kAllReduce || kind == OpKind::kBarrier || kind == OpKind::kAllGather ||
                   kind == OpKind::kReduceScatter || kind == OpKind::kAllToAll;
  return may && !config_.run.protection;
}

// The buffers are the program's again, and it uses them at once.
void Trainer::op_over(Op& op, bool well) {
  std::fill(op.input.begin(), op.input.end(), kPoison);
  std::fill(op.output.begin(), op.output.end(), kPoison);
  if (!is_step_over()) return;
  Duration pause = World::between(world_.workload, Duration(0), 8 * config_.base_latency);
  // After an error a program waits for better times before it tries the next step.
  if (!well) pause += milliseconds(20);
  step_over(pause);
}

bool Trainer::is_step_over() const {
  return open_ == 0 && submitted_ == ops_.size() && letters_.open() == 0 && !advancing_;
}

// The last one of all has returned, perhaps.
void Trainer::step_over(Duration pause) {
  if (!is_step_over()) return;
  advancing_ = true;
  world_.after(pause, [this, self = self_, &directory = directory_] {
    directory.run(self, [this] { advance(); });
  });
}

void Trainer::op_finalised(Op& op, const Status& status) {
  op.final = true;
  if (status.is_ok() && config_.run.verify == Verify::kAll) oracles_.finalised(self_, op.group, op.seq);
}

// All ops of the step, or the boundary, are over.
void Trainer::advance() {
  advancing_ = false;
  if (node_->ended()) return;
  std::move(ops_.begin(), ops_.end(), std::back_inserter(past_));
  ops_.clear();
  for (size_t i = 0; past_.size() > kKeepPast && i < past_.size();) {
    check_poison(*past_[i]);
    past_[i]->final ? void(past_.erase(past_.begin() + static_cast<long>(i))) : void(++i);
  }
  if (at_boundary_) return begin_epoch();
  finish_step();
}

void Trainer::finish_step() {
  std::sort(results_.begin(), results_.end());
  if (auto memory = node_->update_memory(results_.size() * 2 * sizeof(uint64_t))) {
    std::vector<uint64_t> words;
    for (const auto& [key, result] : results_) words.insert(words.end(), {key.index, result});
    RHZ_ASSERT("R2", memory->fill(step() + 1, std::as_bytes(std::span(words))));
    node_->record(std::move(*memory));
  }
  apply_results();
  RHZ_ASSERT("R1", state_.commit(tensor_[0]).is_ok());
  world_.trace("step", static_cast<int>(self_), step(), state_hash() & 0xffff);
  oracles_.finished_step(self_, step(), state_hash());
  if (step() % config_.admit_every != 0) return begin_step();
  at_boundary_ = true;
  submitted_ = 0;
  results_.clear();
  Workload none;
  none.kind = OpKind::kProbe;
  make_op({step(), kBoundary}, none);
  const OpKey next{step() + 1, 0};
  const Workload first = workload_of(config_, next, self_);
  ahead_ = goes_ahead(first);
  if (ahead_) make_op(next, first);
  open_ = static_cast<uint32_t>(ops_.size());
  submit_later();
}

// What does not depend on who is there may wait behind the boundary; newcomers take part in it.
bool Trainer::goes_ahead(const Workload& workload) const {
  return config_.ahead && !config_.groups && workload.kind == OpKind::kAllReduce && step() < last_step_ && !leaving_;
}

void Trainer::apply_results() {
  for (const auto& [key, result] : results_) {
    for (size_t i = 1; i < 8; ++i) tensor_[i] = mix64(tensor_[i] ^ mix64(result + i + key.index));
    if (tensor_.size() > 8) tensor_[8 + result % (tensor_.size() - 8)] ^= result;
  }
  ++tensor_[0];
}

// As a joiner: makes the steps that the members have made since.  Some go astray, or give up; both is found out.
void Trainer::follow() {
  if (applying_ || !node_->has_update()) return;
  applying_ = true;
  auto taken = std::make_shared<recovery::Follower::Taken>(node_->begin_applying());
  const ConstBytes update = taken->bytes;
  results_.clear();
  for (size_t at = 0; at + 16 <= update.size(); at += 16)
    results_.push_back({{taken->revision, static_cast<uint32_t>(load<uint64_t>(update.data() + at))},
                        load<uint64_t>(update.data() + at + 8)});
  const auto takes = World::between(world_.workload, Duration(0), 4 * config_.base_latency);
  world_.after(takes, [this, taken, self = self_, &directory = directory_] {
    directory.run(self, [this, taken] {
      applying_ = false;
      astray_ |= world_.workload.chance(config_.astray);
      if (astray_) ++tensor_[7];
      apply_results();
      if (!astray_) oracles_.followed(self_, step(), state_hash());
      node_->applied(clock_(), std::move(*taken), !world_.workload.chance(config_.astray));
    });
  });
}

void Trainer::check_poison(const Op& op) {
  for (const auto* buffer : {&op.input, &op.output})
    for (uint64_t word : *buffer)
      if (word != kPoison)
        return oracles_.fail(
            "J", "p" + std::to_string(self_) + ": a buffer of op " + std::to_string(op.key.step) +
                     "." + std::to_string(op.key.index) + " was written after it returned");
}

bool Trainer::cancel_something(uint64_t which) {
  if (which % 2 == 0 && letters_.cancel_something(which / 2)) return true;
  if (ops_.empty()) return false;
  Op& op = *ops_[which % ops_.size()];
  if (!op.submitted || op.returned) return false;
  node_->cancel(clock_(), op.group, op.handle);
  return true;
}

std::string Trainer::text() const {
  return "step " + std::to_string(step()) + (at_boundary_ ? " boundary" : "") + " submitted " +
         std::to_string(submitted_) + "/" + std::to_string(ops_.size()) + " open " +
         std::to_string(open_) + " letters " + std::to_string(letters_.open()) + (splits_open_ > 0 ? " splitting" : "") +
         (leaving_ ? " leaving" : "") + (done_ ? " done" : "");
}

}  // namespace rhz::sim
