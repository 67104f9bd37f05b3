#include "api/src/device_op.h"

#include <algorithm>

#include "runtime/agreement/blocks.h"

namespace rhz::api {
namespace {

// Some ten times what a word costs on the stream.
constexpr size_t kLeastPieceBytes = size_t{4} << 20;

}  // namespace

Line line_of(GroupId group, const AnySpec& spec) {
  const auto* message = std::get_if<MessageSpec>(&spec);
  if (!message) return {group};
  return {message->channel.group, true, message->sends, message->peer, message->channel.tag};
}

Status DeviceOp::prepare(Device& device, Slabs& slabs, const DeviceWords& words,
                         const DeviceQueue* on, bool is_root, const PutAgainKernel* again) {
  const auto [send, recv] = buffers_of(spec_);
  std::byte* const buffers[] = {const_cast<std::byte*>(send), recv};
  for (size_t side : {0u, 1u})
    if (!theirs_[side] && device.owns(buffers[side])) theirs_[side] = buffers[side];
  if (on) {
    in_ = out_ = *on;
  } else {
    auto own = device.own_queues(theirs_[0] ? theirs_[0] : theirs_[1]);
    if (!own) return own.status();
    in_ = own.value().in;
    out_ = own.value().out;
  }
  if (Status status = lend(slabs, is_root); !status) return status;
  words_ = words;
  if (!again || !theirs_[1] || !again->is_loaded(out_)) return Status::ok();
  // A kernel reaches the memory of its own device.
  const auto beside = device.own_queues(theirs_[1]);
  if (beside && beside.value().out.context == out_.context) cut_output(*again);
  return Status::ok();
}

Status DeviceOp::lend(Slabs& slabs, bool is_root) {
  use_ = use_of(spec_, is_root);
  Status status = take(slabs, use_.send, 0);
  if (status) status = take(slabs, use_.recv, 1);
  std::visit(
      [this](auto& spec) {
        if (theirs_[0]) spec.send = slabs_[0].begin;
        if (theirs_[1]) spec.recv = slabs_[1].begin;
      },
      spec_);
  cut_input();
  return status;
}

// Only what is one piece of the caller's memory, from the beginning of it.
void DeviceOp::cut_input() {
  auto* const spec = std::get_if<OpSpec>(&spec_);
  if (!spec || !has_many_sources(spec->kind) || !theirs_[0] || !use_.recv.reads.empty()) return;
  if (use_.send.reads.size() != 1 || use_.send.reads[0].offset != 0) return;
  const size_t bytes = use_.send.reads[0].bytes, most = DeviceWords::kMorePieces + 1;
  pieces_ = std::clamp<size_t>(bytes / kLeastPieceBytes, 1, most);
  if (pieces_ == 1) return;
  piece_bytes_ = (bytes + pieces_ - 1) / pieces_;
  spec->input_there = piece_bytes_;
}

Status DeviceOp::enqueue_pieces(Device& device) {
  const size_t bytes = use_.send.reads[0].bytes;
  for (size_t i = 0; i < pieces_; ++i) {
    const size_t at = i * piece_bytes_;
    Status status = device.fetch(in_, slabs_[0].begin + at, theirs_[0] + at, std::min(piece_bytes_, bytes - at));
    if (status) status = device.raise(in_, i == 0 ? *words_->ready : words_->more[i - 1]);
    if (!status) return status;
  }
  return Status::ok();
}

// Only what is one piece of the caller's memory, from the beginning of it.
void DeviceOp::cut_output(const PutAgainKernel& again) {
  if (!std::holds_alternative<OpSpec>(spec_) || !slabs_[1].begin) return;
  if (use_.recv.writes.size() != 1 || use_.recv.writes[0].offset != 0) return;
  if (reinterpret_cast<uintptr_t>(theirs_[1]) % PutAgainKernel::kAlignment != 0) return;
  const size_t bytes = use_.recv.writes[0].bytes, most = DeviceWords::kMorePieces + 1;
  parts_ = std::clamp<size_t>(bytes / kLeastPieceBytes, 1, most);
  part_bytes_ = (bytes + parts_ - 1) / parts_;
  again_ = &again;
}

// The last part's gate is that of the op.
Status DeviceOp::enqueue_parts(Device& device) {
  const size_t bytes = use_.recv.writes[0].bytes;
  std::byte *theirs = theirs_[1], *own = slabs_[1].begin;
  Status status;
  for (size_t i = 0; status && i < parts_; ++i) {
    const size_t at = i * part_bytes_;
    status = device.await(out_, i + 1 < parts_ ? words_->parts[i] : *words_->gate);
    if (status) status = device.put(out_, theirs + at, own + at, std::min(part_bytes_, bytes - at));
  }
  return status ? again_->enqueue(device, out_, *words_->again, theirs, own, bytes) : status;
}

bool DeviceOp::result_there(uint64_t bytes) {
  const size_t before = parts_there_;
  for (; parts_there_ + 1 < parts_ && (parts_there_ + 1) * part_bytes_ <= bytes; ++parts_there_)
    raise(words_->parts + parts_there_);
  return parts_there_ != before;
}

// All that the device was to write into copies and words, which others use next: on a queue of its own it may come behind the result.
bool DeviceOp::has_input() const {
  return in_ == out_ || is_raised(pieces_ > 1 ? words_->more + pieces_ - 2 : words_->ready);
}

void DeviceOp::open_all() {
  for (size_t i = parts_there_; i + 1 < parts_; ++i) raise(words_->parts + i);
  raise(words_->gate);
}

std::optional<uint64_t> DeviceOp::more_input() {
  const size_t before = pieces_there_;
  if (!submitted_ || released_) return std::nullopt;
  while (pieces_there_ < pieces_ && is_raised(words_->more + pieces_there_ - 1)) ++pieces_there_;
  if (pieces_there_ == before) return std::nullopt;
  return pieces_there_ == pieces_ ? OpSpec::kWhole : pieces_there_ * piece_bytes_;
}

Status DeviceOp::take(Slabs& slabs, const BufferUse& use, size_t side) {
  const size_t bytes = use.end();
  if (!theirs_[side] || bytes == 0) return Status::ok();
  auto slab = slabs.take(in_, bytes);
  if (slab) slabs_[side] = slab.value();
  return slab.status();
}

Status DeviceOp::copy(Device& device, bool in) {
  const BufferUse* const uses[] = {&use_.send, &use_.recv};
  for (size_t side : {0u, 1u}) {
    if (!theirs_[side]) continue;
    for (const Extent& e : in ? uses[side]->reads : uses[side]->writes) {
      std::byte *theirs = theirs_[side] + e.offset, *own = slabs_[side].begin + e.offset;
      Status status =
          in ? device.fetch(in_, own, theirs, e.bytes) : device.put(out_, theirs, own, e.bytes);
      if (!status) return status;
    }
  }
  return Status::ok();
}

Status DeviceOp::enqueue_input(Device& device) {
  if (pieces_ > 1) return enqueue_pieces(device);
  Status status = copy(device, true);
  return status ? device.raise(in_, *words_->ready) : status;
}

Status DeviceOp::enqueue_output(Device& device) {
  Status status = parts_ > 1 ? enqueue_parts(device) : device.await(out_, *words_->gate);
  if (status && parts_ == 1) status = copy(device, false);
  if (status) status = device.raise(out_, *words_->done);
  if (!status) open_gates();  // nobody else would
  return status;
}

const AnySpec* DeviceOp::next() const {
  const bool ready = !words_ || is_raised(words_->ready);
  return ready && !submitted_ && !released_ ? &spec_ : nullptr;
}

void DeviceOp::released(const OpOutcome& outcome) {
  outcome_ = outcome;
  released_ = true;
  if (words_ && outcome.remade) raise(words_->again);
  if (words_) open_gates();
}

void DeviceOp::finalised(const Status& status) {
  final_status_ = status;
  final_ = true;
  if (told_) user_->finalised(status);
}

void DeviceOp::tell(const Status& device) {
  told_ = true;
  if (!device && outcome_.status) outcome_.status = device;
  user_->released(outcome_);
  if (final_) user_->finalised(final_status_);
}

void DeviceOp::refuse(const Status& status) {
  if (released_) return;
  OpOutcome outcome;
  outcome.status = status;
  released(outcome);
  finalised(status);
}

}  // namespace rhz::api
