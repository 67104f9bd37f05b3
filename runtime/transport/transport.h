// Moves frames between peers.  The progress thread owns it; nothing here blocks.
//
// A *lane* is an ordered, numbered stream of frames from one peer to another.  Every peer has one
// express lane to each other peer it talks to (small ops, DONE, GRANT, heartbeats) and one or more
// bulk lanes.  Lanes outlive connections: after a reset the same lane is resumed behind the highest
// frame consumed, within the same epoch.
#pragma once

#include <atomic>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/bytes.h"
#include "runtime/base/status.h"
#include "runtime/memory/buffer.h"
#include "runtime/wire/frame.h"

namespace rhz {

// Why an edge is suspected; hard evidence first (docs/protocol.md, "A peer dies, or is suspected").
enum class Evidence : uint8_t {
  kDied = 1,     // this host's kernel says that the process ends
  kRefused = 2,  // EOF or reset without GOODBYE, and the reconnect was refused: the process is gone
  kReset = 3,    // EOF or reset without GOODBYE, and the reconnect did not come about in time
  kTimeout = 4,  // never connected
  kStall = 5,    // bytes wait, the far side lives but does not read
  kSilence = 6,  // no heartbeat
};

// How endpoints begin: on shared memory, over UCX, over libfabric.  Those of TCP begin with a host.
inline constexpr std::string_view kShmScheme = "shm:", kUcxScheme = "ucx:", kOfiScheme = "ofi:";
constexpr std::string_view scheme_of(std::string_view endpoint) {
  for (const std::string_view scheme : {kShmScheme, kUcxScheme, kOfiScheme})
    if (endpoint.starts_with(scheme)) return scheme;
  return {};
}

struct PeerAddress {
  PeerId id;
  Slot slot;
  // "HOST:PORT" or "[V6]:PORT", best first, and what other transports are reached by ("shm:NAME").
  std::vector<std::string> endpoints;
  // Connections of this peer are welcome, but none is made before something is sent to it.
  bool only_accept = false;
};

enum class LaneClass : uint8_t { kExpress, kBulk };

// What is to be sent.  The transport fills in run, length and lane_seq of the header.
struct OutFrame {
  wire::FrameHeader header;
  ConstBytes payload;
  // Keeps payload alive where it is the runtime's own.  Empty: the caller's memory, read until the
  // frame is credited, its op is released (release_op) or the transport is quiesced.  Express
  // frames are always copied.
  Buffer keep;
};

// Where the payload of an arriving frame goes.
struct Landing {
  enum class Verdict : uint8_t {
    kInto,  // read it to `into` (header.length bytes), then call on_frame
    kDrop,  // read and forget it
    kHold,  // not now: pause this lane until resume()
  };
  Verdict verdict = Verdict::kDrop;
  std::byte* into = nullptr;
  Buffer keep;        // what `into` points to, where that is the runtime's own
  uint32_t note = 0;  // the receiver's own, handed back with the frame

  // Set in on_header: nobody here reads the payload soon, so that it need not go through the caches.
  bool cold = false;

  // Set in on_header: the payload is only looked at, inside on_frame, and nothing made of it counts
  // before still_there() has been asked behind its use.  Then `into` may come back as the sender's
  // own memory, not to be written to.
  bool may_look = false;
  // False: the sender has taken the payload back meanwhile.  The frame counts as a VOID.
  bool still_there() const {
    if (!word) return true;
    std::atomic_thread_fence(std::memory_order_seq_cst);
    return word->load(std::memory_order_acquire) == number;
  }
  // The transport's: where the sender says that it may be looked at.
  const std::atomic<uint64_t>* word = nullptr;
  uint64_t number = 0;
};

class TransportEvents {
 public:
  virtual ~TransportEvents() = default;
  // A header arrived.  Called again for the same frame after resume() when the verdict was kHold,
  // and after a reset came before its payload was complete (the landing of the first time is then
  // destroyed without on_frame).
  virtual Landing on_header(PeerId from, const wire::FrameHeader& header) = 0;
  // The payload is complete in landing.into.  Not called when quiesce() came between, except for
  // kStateData that lands in the runtime's own memory (landing.keep).
  virtual void on_frame(PeerId from, const wire::FrameHeader& header, Landing&& landing) = 0;
  // At most once per peer until set_peers names it anew, and once more if it turns out that it died.
  virtual void on_edge_down(PeerId peer, Evidence evidence) = 0;
  // The peer said GOODBYE.
  virtual void on_goodbye(PeerId peer) = 0;
};

struct TransportCounters {
  uint64_t sent_frames = 0, sent_bytes = 0, received_frames = 0, received_bytes = 0;
  uint64_t refused_connections = 0, refused_frames = 0, dropped_frames = 0, reconnects = 0;
  uint64_t queued_bytes = 0;  // not yet handed to the kernel
};

class Transport {
 public:
  virtual ~Transport() = default;

  virtual void set_events(TransportEvents* events) = 0;
  // Where others reach this peer.
  virtual std::vector<std::string> endpoints() const = 0;
  // The peers to talk to from now on; links to others are closed.  `likely_next`: whom bulk lanes
  // are opened to ahead of need.
  virtual void set_peers(std::span<const PeerAddress> peers,
                         std::span<const PeerId> likely_next) = 0;
  // Queues a frame.  Frames of one lane class to one peer leave in this order; with several bulk
  // lanes a bulk frame may overtake another.  To a peer that set_peers does not name: dropped.
  virtual void send(PeerId to, LaneClass lane, OutFrame frame) = 0;
  // W8, rule J: after this returns true no byte of caller memory is read or written by this
  // transport, and every data frame that was queued is gone (one partly in the kernel is completed
  // from a private copy).  False: on its way, call again.
  virtual bool quiesce() = 0;
  // Frames of this op that still wait read no caller memory from now on: unsent ones go,
  // unacknowledged ones are resent as VOID.
  virtual void release_op(GroupId group, OpSeq op) = 0;
  // Whether frames of this op that read caller memory wait to be taken: by the kernel, which then has a copy; where the receiver
  // reads that memory itself, by the receiver.
  virtual bool reads(GroupId group, OpSeq op) = 0;
  // Offers held frames again (after an install), from the loop and never inside this call.  Also
  // ends quiescence.
  virtual void resume() = 0;
  // Drains what is queued until `deadline`, says GOODBYE and closes; then calls `closed`.
  virtual void close(Time deadline, std::function<void()> closed) = 0;
  // Periodic work: reconnects, stalls, late credits.  Returns when it wants to be called next.
  virtual Time tick(Time now) = 0;
  // For transports that hear of new bytes without a system call.  poll() moves what has come, does
  // not block, and returns whether it did anything; who polls does not need to be woken.  arm(),
  // called before the loop sleeps: from now on and until the next poll() whoever has something for
  // this transport wakes the loop.  False: something is there already, poll again. A transport that
  // is never polled is armed.
  virtual bool poll() { return false; }
  virtual bool arm() { return true; }
  virtual bool polled() const { return false; }  // there is something for poll() to look at
  virtual TransportCounters counters() const = 0;
};

}  // namespace rhz
