// A lane's way in through a fabric.  Messages are a stream of bytes, cut anywhere; a payload is
// copied to its place from where the fabric has put it, or used there.  Nothing but this process
// writes to a landing, so quiescence is only a matter of not writing.  Owner: PeerLink.  Progress
// thread only.
#pragma once

#include <array>
#include <deque>

#include "runtime/transport/fabric/introduction.h"
#include "runtime/transport/fabric/pump.h"
#include "runtime/transport/tcp/credited_incoming.h"

namespace rhz::fabric {

class InLane final : public tcp::CreditedIncoming, private Receiver {
 public:
  InLane(tcp::Shared& shared, tcp::Edge& edge, uint32_t number, uint64_t generation,
         std::function<void()> lost, Pump& pump);
  ~InLane() override { let_go(); }

  void attach(tcp::Connection&& connection) override;

 private:
  void hear();
  bool heard(const wire::FrameHeader& header);
  bool digest();
  bool read_header();
  bool land();

  void take(const Piece& piece) override;
  void work() override;
  void fabric_renewed() override;

  void go_on() override;
  void drop_connection() override;
  void let_go();

  ConstBytes front() const { return {pieces_.front().data + used_, pieces_.front().size - used_}; }
  void use(size_t bytes);

  Pump& pump_;
  uint64_t tag_ = 0;          // 0: none
  std::deque<Piece> pieces_;  // that wait
  size_t piece_bytes_ = 0;
  size_t used_ = 0;           // of the first of them
  wire::HeaderBytes header_;  // of a frame that is cut there
  size_t header_bytes_ = 0;
  std::array<std::byte, 4 * wire::kHeaderBytes> beside_;  // what came on the connection
  size_t beside_bytes_ = 0;
  bool shares_ = false, orderly_ = false;  // the far side has said so (Beside)
};

}  // namespace rhz::fabric
