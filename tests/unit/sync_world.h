// A joiner and its donors, wired in memory: messages lie in a list until a test delivers, drops, doubles or damages them.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "recovery/state/manifest.h"
#include "recovery/state/state.h"
#include "recovery/sync/donor.h"
#include "recovery/sync/puller.h"
#include "runtime/base/prng.h"
#include "runtime/digest/digest.h"
#include "runtime/memory/pool.h"

namespace rhz::recovery::test {

inline constexpr size_t kBlock = kDigestBlockBytes;
using Sizes = std::vector<size_t>;
using Contents = std::vector<std::vector<std::byte>>;

inline Contents random_contents(const Sizes& sizes, uint64_t seed) {
  Prng prng(seed);
  Contents contents;
  for (const size_t size : sizes) {
    contents.emplace_back(size + 8);
    for (size_t at = 0; at < size; at += 8) store(contents.back().data() + at, prng.next());
    contents.back().resize(size);
  }
  return contents;
}

// Tensors "t000000", "t000001", … of bytes that it owns.
struct Holder {
  explicit Holder(Contents given) : contents(std::move(given)) {
    for (size_t i = 0; i < contents.size(); ++i) {
      const std::string digits = std::to_string(i);
      auto& bytes = contents[i];
      const Status status = state.add({"t" + std::string(6 - digits.size(), '0') + digits, 2,
                                       bytes.size(), bytes.data(), bytes.size()});
      EXPECT_TRUE(status) << status.text();
    }
  }
  Holder(const Holder&) = delete;
  Contents contents;
  State state;
};

struct Message {
  size_t donor = 0;
  std::vector<std::byte> pull;  // towards the donor …
  SendData data;                // … or from it
  bool to_donor() const { return !pull.empty(); }
};

struct World {
  struct Node {
    Node(PeerId peer, const Contents& contents, BufferPool& pool)
        : id(peer), held(contents), donor(pool) {}
    PeerId id;
    Holder held;
    Donor donor;
    bool alive = true;
  };

  World(size_t donors, const Contents& logged_contents, const Contents& joiner_contents,
        Puller::Options options = {})
      : logged(logged_contents), joiner(joiner_contents), puller(joiner.state, options) {
    admit = {OpSeq(5), {}, 7, {}};
    for (size_t i = 0; i < donors; ++i) {
      nodes.push_back(std::make_unique<Node>(PeerId{1, i + 1}, logged, pool));
      donor_ids.push_back(nodes[i]->id);
      if (i == 0) admit.root = nodes[0]->held.state.root();
      nodes[i]->donor.open(admit.op, admit.revision, admit.root, nodes[i]->held.state);
    }
  }

  void start() { apply(puller.start(admit, donor_ids, now)); }

  void apply(SyncActions actions) {
    for (SyncAction& action : actions) {
      EXPECT_FALSE(finished()) << "an action after the last one";
      if (auto* pull = std::get_if<SendPull>(&action)) {
        messages.push_back({pull->to.low - 1, {pull->payload.begin(), pull->payload.end()}, {}});
      } else if (auto* done = std::get_if<Synced>(&action)) {
        synced = *done;
      } else {
        failed = std::get<SyncFailed>(action).status;
      }
    }
  }

  Message take(size_t index) {
    Message message = std::move(messages[index]);
    messages.erase(messages.begin() + static_cast<long>(index));
    return message;
  }
  void deliver(const Message& message) {
    Node& node = *nodes[message.donor];
    if (!node.alive) return;
    if (!message.to_donor()) {
      apply(puller.handle(node.id, {message.data.payload.data(), message.data.length}, now));
    } else if (auto answer = node.donor.handle(PeerId{2, 0}, message.pull)) {
      messages.push_back({message.donor, {}, std::move(*answer)});
    }
  }
  // A private copy, as another frame would have it.
  Message copy(const Message& message) {
    Message other = message;
    if (message.to_donor()) return other;
    other.data.payload = pool.take(message.data.length);
    std::memcpy(other.data.payload.data(), message.data.payload.data(), message.data.length);
    return other;
  }
  void damage(Message& message, size_t byte) {
    message.data.payload.data()[byte % message.data.length] ^= std::byte{0x10};
  }

  void lose(size_t donor) {
    nodes[donor]->alive = false;
    apply(puller.donor_lost(nodes[donor]->id, now));
  }
  // The admit op is over at this donor, and its application trains on.
  void close_and_train(size_t donor) {
    nodes[donor]->donor.close();
    for (auto& bytes : nodes[donor]->held.contents)
      for (size_t at = 0; at < bytes.size(); at += 1000) bytes[at] ^= std::byte{0x55};
  }

  // In order and without faults, until there is a result or `steps` are used up.
  void run(size_t steps = 100000) {
    for (; steps > 0 && !finished(); --steps) {
      if (!messages.empty() && puller.next_tick() > now) {
        deliver(take(0));
      } else if (puller.next_tick() == kNever) {
        return;
      } else {
        now = std::max(now, puller.next_tick());
        apply(puller.tick(now));
      }
    }
  }

  bool finished() const { return synced || failed; }
  bool joiner_has_the_logged_bytes() const { return joiner.contents == logged; }
  // Every block of the joiner is one it had before, or the logged one: nothing else was ever written.
  bool blocks_are_old_or_logged(const Contents& old) const {
    for (size_t t = 0; t < logged.size(); ++t) {
      for (uint64_t b = 0; b < digest_blocks(logged[t].size()); ++b) {
        const auto is = digest_block(joiner.contents[t], b), was = digest_block(old[t], b);
        const auto should = digest_block(logged[t], b);
        if (!std::equal(is.begin(), is.end(), was.begin()) &&
            !std::equal(is.begin(), is.end(), should.begin()))
          return false;
      }
    }
    return true;
  }

  BufferPool pool;
  Contents logged;
  AdmitRecord admit;
  std::vector<std::unique_ptr<Node>> nodes;
  std::vector<PeerId> donor_ids;
  Holder joiner;
  Puller puller;
  std::vector<Message> messages;
  Time now{1000};
  std::optional<Synced> synced;
  std::optional<Status> failed;
};

}  // namespace rhz::recovery::test
