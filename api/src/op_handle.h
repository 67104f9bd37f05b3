// What is behind an rhz_op: the completion that the runtime calls, and what the caller reads afterwards.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <mutex>

#include "api/src/open_ops.h"
#include "api/src/peer_driver.h"
#include "collectives/op.h"
#include "rhizome/rhizome.h"

struct rhz_op final : rhz::OpenOp {
 public:
  rhz_op(std::shared_ptr<rhz::PeerDriver> driver, rhz::GroupId group)
      : driver_(std::move(driver)), group_(group) {}

  // Submits; the runtime keeps a reference until the op is final.  On an error it took none, and the caller deletes by discard().
  [[nodiscard]] rhz::Status submit(const rhz::AnySpec& spec);
  // The same, with memory of a device or in the order of a stream.
  [[nodiscard]] rhz::Status submit_on_device(rhz::AnySpec spec, void* stream);
  void discard() { delete this; }
  // Between rhz_group_begin and _end it is not submitted; a third reference is the group's.
  void enter_group(const rhz::AnySpec& spec);
  void leave_group(uint64_t handle);
  bool is_in_group() const { return in_group_.load(std::memory_order_acquire); }
  rhz::GroupId group() const { return group_; }
  bool is_released() const { return released_.load(std::memory_order_acquire); }
  bool is_final() const { return final_.load(std::memory_order_acquire); }
  // Of a released op.
  rhz::Status status() const;
  rhz::Status final_status() const { return is_final() ? final_status_ : rhz::Status::ok(); }
  const rhz::OpOutcome& outcome() const { return outcome_; }
  uint64_t count() const { return count_; }
  rhz::PeerDriver& driver() { return *driver_; }
  void cancel();
  rhz::Result<int> event_fd();
  void unreference();

  // For rhz_state_verify: the digest and its complement, whose minima are equal and opposite when all ranks agree.
  std::array<uint64_t, 4> verify_send{}, verify_recv{};

 private:
  ~rhz_op() override;
  void when_released(const rhz::OpOutcome& outcome) override;
  void when_final(const rhz::Status& status) override;
  void note(const rhz::AnySpec& spec);

  std::shared_ptr<rhz::PeerDriver> driver_;
  const rhz::GroupId group_;
  uint64_t handle_ = 0;
  rhz::OpKind kind_ = rhz::OpKind::kAllReduce;
  uint64_t count_ = 0;  // elements
  std::atomic<bool> released_{false}, final_{false};
  std::atomic<bool> in_group_{false}, cancel_asked_{false};
  std::atomic<int> references_{2};  // the caller's and the runtime's
  rhz::OpOutcome outcome_;
  rhz::Status final_status_;
  std::mutex event_mutex_;
  int event_fd_ = -1;
};
