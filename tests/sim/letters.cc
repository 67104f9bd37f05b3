#include "tests/sim/letters.h"

#include <algorithm>

namespace rhz::sim {
namespace {
constexpr uint64_t kPoison = 0xfeedfacefeedfaceull;
constexpr size_t kKeepPast = 32;   // whose buffers are watched for late writes
constexpr uint32_t kFirst = 2000;  // OpKey::index
constexpr uint32_t kSends = 1000;  // more than a step has
}  // namespace

struct Letters::Letter final : OpCompletion {
  explicit Letter(Letters& owner) : letters(owner) {}
  void released(const OpOutcome& outcome) override { letters.returned(*this, outcome); }
  void finalised(const Status&) override { final = true; }

  OpKey side() const { return {plan.key.step, plan.key.index + (sends ? kSends : 0)}; }  // to itself it has both

  Letters& letters;
  Plan plan;
  bool sends = false, over = false, final = false;
  NodeIndex partner = 0;
  std::vector<uint64_t> buffer;
  uint64_t handle = 0;
};

Letters::Letters(World& world, const Config& config, Oracles& oracles, NodeIndex self)
    : world_(world), config_(config), oracles_(oracles), self_(self) {}

Letters::~Letters() {
  for (const auto& letter : letters_)
    if (letter->over) check_poison(*letter);
}

void Letters::attach(Node& node, std::function<Time()> clock, std::function<void()> all_returned) {
  node_ = &node;
  clock_ = std::move(clock);
  all_returned_ = std::move(all_returned);
}

std::vector<Letters::Plan> Letters::plan_of(uint64_t step) const {
  Prng dice(mix64(config_.seed ^ 0x1e77e2) ^ mix64(step));
  std::vector<Plan> plans(config_.letters ? dice.below(config_.letters + 1) : 0);
  for (uint32_t i = 0; i < plans.size(); ++i) {
    Plan& plan = plans[i];
    plan.key = {step, kFirst + i};
    plan.from = Slot(static_cast<uint32_t>(dice.below(config_.run.max_world)));
    plan.to = Slot(static_cast<uint32_t>(dice.below(config_.run.max_world)));
    // Where a receive may be missing, no later one takes what was meant for it.
    plan.tag = config_.hurried_letters ? step * 64 + i : dice.below(2);
    // Of several pieces at most: each may cost a slow network twice its latency.
    plan.words = dice.below(dice.chance(0.4) ? 16 * config_.run.segment_bytes / 8 : 12);
    plan.room = plan.words;
    if (dice.chance(0.1)) plan.room += 5;
    if (dice.chance(0.02)) plan.room /= 2;
  }
  return plans;
}

void Letters::begin(uint64_t step) {
  const View& view = node_->view();
  const Slot own = view.members[view.rank_of(node_->member().self().id).value].slot;
  for (const Plan& plan : plan_of(step)) {
    // In some order; each channel keeps its own.
    if (plan.from == own) submit(plan, true);
    if (plan.to == own) submit(plan, false);
  }
}

void Letters::submit(const Plan& plan, bool sends) {
  letters_.push_back(std::make_unique<Letter>(*this));
  Letter& letter = *letters_.back();
  letter.plan = plan;
  letter.sends = sends;
  MessageSpec spec;
  spec.sends = sends;
  spec.peer = sends ? plan.to : plan.from;
  spec.channel.tag = plan.tag;
  if (config_.hurried_letters)
    spec.timeout = World::between(world_.letters, milliseconds(20), milliseconds(400));
  for (const MemberInfo& member : node_->view().members)
    if (member.slot == spec.peer) letter.partner = index_of(member.id);
  if (sends) {
    for (uint64_t w = 0; w < plan.words; ++w)
      letter.buffer.push_back(input_of(config_.seed, plan.key, self_, w));
    spec.bytes = plan.words * 8;
    spec.send = reinterpret_cast<const std::byte*>(letter.buffer.data());
  } else {
    letter.buffer.assign(plan.room, kPoison);
    spec.bytes = plan.room * 8;
    spec.recv = reinterpret_cast<std::byte*>(letter.buffer.data());
  }
  ++open_;
  oracles_.begun(self_, letter.side(), spec.timeout, spec.bytes);
  letter.handle = node_->submit(clock_(), spec, &letter);
}

void Letters::returned(Letter& letter, const OpOutcome& outcome) {
  if (letter.over) return oracles_.fail("O4", "a message returned twice");
  letter.over = true;
  --open_;
  oracles_.ended(self_, letter.side());
  world_.trace(letter.sends ? "sent" : "received", static_cast<int>(self_), letter.plan.key.step,
               letter.plan.key.index, code_text(outcome.status.code()));
  const Code code = outcome.status.code();
  const bool allowed =
      code == Code::kOk || code == Code::kPeerLost || node_->ended() ||
      (config_.hurried_letters && (code == Code::kTimeout || code == Code::kCancelled)) ||
      (!letter.sends && code == Code::kMismatch && letter.plan.room < letter.plan.words);
  if (!allowed)
    oracles_.fail("R3", "p" + std::to_string(self_) + ": a message of step " +
                            std::to_string(letter.plan.key.step) +
                            " ended so: " + outcome.status.text());
  if (!letter.sends) check_received(letter, outcome);
  std::fill(letter.buffer.begin(), letter.buffer.end(), kPoison);
  for (size_t i = 0; letters_.size() > kKeepPast && i < letters_.size();) {
    Letter& past = *letters_[i];
    if (&past == &letter || !past.final || !past.over) {
      ++i;
      continue;
    }
    check_poison(past);
    letters_.erase(letters_.begin() + static_cast<long>(i));
  }
  if (open_ == 0) all_returned_();
}

// Its own message, all of it, once.
void Letters::check_received(const Letter& letter, const OpOutcome& outcome) {
  const Plan& plan = letter.plan;
  const std::string name =
      "p" + std::to_string(self_) + " from p" + std::to_string(letter.partner) + ", step " +
      std::to_string(plan.key.step) + ", message " + std::to_string(plan.key.index - kFirst);
  if (outcome.status.code() == Code::kMismatch || !outcome.status.is_ok()) return;
  if (plan.room < plan.words) return oracles_.fail("R3", name + " did not fit and was received");
  if (outcome.bytes != plan.words * 8)
    oracles_.fail("R3", name + " has " + std::to_string(outcome.bytes) + " bytes");
  for (uint64_t w = 0; w < plan.room; ++w) {
    const uint64_t right =
        w < plan.words ? input_of(config_.seed, plan.key, letter.partner, w) : kPoison;
    if (letter.buffer[w] == right) continue;
    return oracles_.fail("R3", name + ": word " + std::to_string(w) + " is not its own");
  }
  oracles_.received_message();
}

void Letters::check_poison(const Letter& letter) const {
  for (uint64_t word : letter.buffer)
    if (word != kPoison)
      return oracles_.fail("R6", "p" + std::to_string(self_) + ": a buffer of a message of step " +
                                     std::to_string(letter.plan.key.step) +
                                     " was written after it returned");
}

bool Letters::cancel_something(uint64_t which) {
  if (!config_.hurried_letters || letters_.empty()) return false;
  Letter& letter = *letters_[which % letters_.size()];
  if (letter.over) return false;
  node_->cancel(clock_(), kRootGroup, letter.handle);
  return true;
}

}  // namespace rhz::sim
