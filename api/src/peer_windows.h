// The windows of a peer: how they come about, and which ops can use them.  Any thread but the
// loop's owner; one at a time.
#pragma once

#include <deque>
#include <optional>

#include "api/src/peer_op.h"

namespace rhz::api {

// What a rank tells the others of what it registers.
struct WindowCard {
  PeerId id;
  uint64_t bytes = 0;
  SharedAllocation memory, flags;
  uint64_t well = 0;  // 1: it can be shared
};

class PeerWindows {
 public:
  PeerWindows(Device& device, Slabs& slabs)
      : device_(device), slabs_(slabs), access_(device.peers()) {}
  ~PeerWindows() { clear(); }

  bool any() const { return !windows_.empty(); }
  // The three steps of a registration, with an exchange between each two (device_api.cc).  begin()
  // fails here alone, and the card says so.
  WindowCard begin(PeerId self, std::byte* memory, uint64_t bytes, Status& why_not);
  [[nodiscard]] Status map(GroupId group, const View& view, const std::vector<WindowCard>& cards);
  const PeerWindow* end(bool keep);  // that was kept, or null

  // Not given: the op goes through the host, on every rank.
  struct Wish {
    GroupId group;
    const OpSpec* spec = nullptr;
    const View* view = nullptr;
    PeerId self;
  };
  std::optional<PeerOp::Plan> plan(const Wish& wish);
  // Memory for the input of an op in place, which plan() took.
  [[nodiscard]] Result<std::byte*> take_room(const DeviceQueue& queue, uint64_t bytes);
  void give_room_back(std::byte* room);
  // No kernel runs any more.
  void clear();

 private:
  struct Room {
    DeviceQueue queue;
    std::byte* begin = nullptr;
    uint64_t bytes = 0;
    bool idle = false;
  };
  [[nodiscard]] Status warm_up(const PeerWindow& window) const;
  PeerWindow* find(const Wish& wish, const void* memory, uint64_t bytes);
  void close(PeerWindow& window);

  Device& device_;
  Slabs& slabs_;
  PeerAccess* const access_;
  std::optional<PeerWindow> pending_;
  std::deque<PeerWindow> windows_;  // the newest first
  std::mutex rooms_mutex_;          // ops give theirs back as the loop's owner
  std::vector<Room> rooms_;
};

}  // namespace rhz::api
