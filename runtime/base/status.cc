#include "runtime/base/status.h"

namespace rhz {

const char* code_text(Code code) {
  switch (code) {
    case Code::kOk: return "ok";
    case Code::kPending: return "the op is still open";
    case Code::kArgument: return "an argument is wrong";
    case Code::kAbi: return "a struct has a size or a tail this library does not know";
    case Code::kState: return "not possible in this state";
    case Code::kMismatch: return "ops or tensors differ that should be the same";
    case Code::kOverlap: return "send and recv overlap without being equal";
    case Code::kMemory: return "out of memory";
    case Code::kIo: return "input or output failed";
    case Code::kAddressInUse: return "the address is in use";
    case Code::kUnreachable: return "no coordinator answers at that address";
    case Code::kVersion: return "another protocol version";
    case Code::kRunId: return "the coordinator serves another run";
    case Code::kWorldFull: return "all slots of the run are taken";
    case Code::kCorrupt: return "the file's contents cannot be right";
    case Code::kPeerLost: return "a participant died";
    case Code::kTimeout: return "timed out";
    case Code::kCancelled: return "cancelled";
    case Code::kWorldTooSmall: return "the view is smaller than min_world";
    case Code::kStateLost: return "this source cannot give the state back";
    case Code::kEvicted: return "this peer was evicted";
    case Code::kIsolated: return "the coordinator was out of reach for too long";
    case Code::kDiverged: return "this peer's state differs from the run's";
    case Code::kClosed: return "the communicator is closed";
    case Code::kInternal: return "a bug in the library";
  }
  return "unknown status";
}

}  // namespace rhz
