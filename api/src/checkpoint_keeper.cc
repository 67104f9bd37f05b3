#include "api/src/checkpoint_keeper.h"

#include <algorithm>
#include <utility>

#include "recovery/disk/checkpoint_parts.h"
#include "recovery/disk/checkpoints.h"
#include "recovery/disk/file_writer.h"
#include "recovery/state/device_tensors.h"
#include "recovery/state/even_part.h"
#include "runtime/memory/copy.h"

namespace rhz {
namespace {

using recovery::CheckpointAttempt;
using recovery::CheckpointManifest;
using recovery::StateHeader;
using recovery::TensorSlice;

constexpr uint64_t kPiece =
    1u << 20;  // of a copy or of writing, between two looks at who goes first
// Between two looks at the folder, for the files of others: it may be a network's.
constexpr Duration kFirstNap = milliseconds(5), kLongestNap = milliseconds(250);
constexpr size_t kMostNamed = 4;  // other revisions, in a text

// Of a tensor, where it lies now.
struct Source {
  TensorSlice slice;
  StateMemory* device = nullptr;
};

// The part of each slice that this writer writes.
std::vector<Source> own_parts(const CheckpointKeeper::Choice& choice,
                              const std::vector<MemorySlice>& slices) {
  std::vector<Source> own;
  for (const MemorySlice& slice : slices) {
    const auto range = recovery::even_part(slice.count, choice.part, choice.parts);
    if (range.count == 0) continue;
    const uint64_t size = reduce::size_of(slice.dtype);
    own.push_back({{slice.name, slice.dtype,
                    slice.shape.empty() ? std::vector<uint64_t>{slice.count} : slice.shape,
                    slice.first + range.first, range.count,
                    ConstBytes(slice.data + range.first * size, range.count * size)},
                   slice.device});
  }
  return own;
}

Status mismatch(const std::string& text) { return {Code::kMismatch, text}; }

// Whether the checkpoint has this; nothing is read.  Of flat tensors the count is the shape.
Status fits(recovery::Checkpoint& checkpoint, const MemorySlice& slice) {
  const CheckpointManifest& manifest = checkpoint.manifest();
  const recovery::TensorRecord* tensor = manifest.tensor(slice.name);
  if (tensor == nullptr)
    return mismatch("the checkpoint of revision " + std::to_string(manifest.revision) +
                    " has no tensor \"" + slice.name + "\"");
  uint64_t there = 0, here = slice.count;
  (void)recovery::element_count(tensor->shape, there);
  if (!slice.shape.empty()) (void)recovery::element_count(slice.shape, here);
  if (there != here)
    return mismatch("tensor \"" + slice.name + "\": it has " + std::to_string(there) +
                    " elements in the checkpoint, and " + std::to_string(here) + " here");
  const bool flat = slice.shape.size() < 2 || tensor->shape.size() < 2;
  const std::vector<uint64_t> any;
  const Status same =
      checkpoint.fill(slice.name, slice.dtype, flat ? any : slice.shape, slice.first, {});
  return same.code() == Code::kArgument ? mismatch(same.text()) : same;
}

// Behind an error of one that was damaged.
std::string older_ones(const std::string& root, uint64_t revision) {
  const auto complete = recovery::complete_checkpoints(root);
  std::string text;
  size_t named = 0;
  for (const uint64_t other : complete ? complete.value() : std::vector<uint64_t>())
    if (other < revision && named++ < kMostNamed) text += " " + std::to_string(other);
  if (text.empty()) return "; no older one is there";
  return "; next source: the checkpoint of an older revision (there are" + text + ")";
}

}  // namespace

struct CheckpointKeeper::Work {
  CheckpointAttempt attempt;
  uint32_t writer = 0, keep = 0;
  std::vector<Source> sources;
  Pages copy;
  std::vector<TensorSlice> slices;  // there
  uint64_t bytes = 0;
  Digest root{};  // zeros: nobody has taken it
};

CheckpointKeeper::CheckpointKeeper(Surroundings around)
    : around_(std::move(around)),
      writer_("rhz-checkpoint", "a checkpoint is being written", around_.busy),
      copier_("rhz-ckpt-copy", "the tensors of a checkpoint are being copied", around_.busy) {}

void CheckpointKeeper::note(LogLevel level, const std::string& line) {
  around_.progress.with([&] { around_.note(level, line); });
}

void CheckpointKeeper::progressed(const std::function<void(Progression&)>& change) {
  std::lock_guard lock(mutex_);
  change(now_);
}

std::vector<MemorySlice> CheckpointKeeper::registered() const {
  std::vector<MemorySlice> slices;
  for (const recovery::Tensor& tensor : around_.state.all_tensors())
    if (!tensor.own)
      slices.push_back({tensor.name,
                        static_cast<reduce::Dtype>(tensor.dtype),
                        {},
                        0,
                        tensor.count_elems,
                        tensor.data,
                        tensor.device});
  return slices;
}

// ------------------------------------------------------------------------------------ begin

Status CheckpointKeeper::may_begin(const Choice& choice) {
  if (choice.parts == 0 || choice.part >= choice.parts)
    return {Code::kArgument, "part " + std::to_string(choice.part) + " of " +
                                 std::to_string(choice.parts) + " there is not"};
  if (choice.writers == 0 || choice.writer >= choice.writers)
    return {Code::kArgument, "writer " + std::to_string(choice.writer) + " of " +
                                 std::to_string(choice.writers) + " there is not"};
  if (!choice.slices.empty()) return Status::ok();
  if (around_.state.tensors().empty())
    return {Code::kState, "no tensor is registered, and no slices are given"};
  return Status::ok();
}

// For the next one: what only waits for others is given up.
Status CheckpointKeeper::make_room() {
  if (copier_.running())
    return {Code::kState,
            "the tensors of a checkpoint are still being copied: call rhz_checkpoint_fence first"};
  if (!writer_.running()) return Status::ok();
  if (!own_part_written_.load(std::memory_order_acquire)) {
    std::lock_guard lock(mutex_);
    return {Code::kState, "the checkpoint of revision " + std::to_string(now_.revision) +
                              " is still being written (rhz_checkpoint_wait, rhz_checkpoint_poll)"};
  }
  writer_.cut_short();
  (void)writer_.wait(Duration::zero());
  return Status::ok();
}

Status CheckpointKeeper::begin(const Choice& choice) {
  std::lock_guard one(beginning_);
  if (Status may = may_begin(choice); !may) return may;
  StateKeeper::Standing standing;
  Result<uint64_t> point = uint64_t{0};
  around_.progress.with([&] {
    standing = around_.standing();
    if (standing.ended.is_ok() && standing.joined) point = around_.point();
  });
  if (!standing.ended.is_ok()) return standing.ended;
  if (!standing.joined) return {Code::kState, "not a member yet: call rhz_comm_join first"};
  if (!point) return point.status();
  const Result<uint64_t> revision = held_revision(around_.state, choice.revision);
  if (!revision) return revision.status();
  if (Status room = make_room(); !room) return room;
  auto work = std::make_shared<Work>();
  work->attempt = {choice.folder, around_.run_id, revision.value(), point.value(), choice.writers};
  work->writer = choice.writer;
  work->keep = choice.keep;
  work->sources = own_parts(choice, choice.slices.empty() ? registered() : choice.slices);
  for (const Source& source : work->sources) work->bytes += source.slice.bytes.size();
  own_part_written_.store(false, std::memory_order_release);
  progressed([&](Progression& now) { now = {revision.value(), work->bytes, false, false}; });
  return copier_.start([this, work](Background::Pace& pace) { return copy(work, pace); });
}

// Those of the last checkpoint, if they are enough: fresh ones cost the fence up to twenty times the
// copy itself, where a virtual machine has to ask its host for each.
Pages CheckpointKeeper::pages_for(uint64_t bytes) {
  Pages pages;
  {
    std::lock_guard lock(mutex_);
    pages = std::move(idle_pages_);
  }
  if (pages.valid() && pages.bytes() >= bytes) return pages;
  pages.reset();  // first: not both at once
  return Pages(bytes);
}

void CheckpointKeeper::give_back(Pages pages) {
  pages.idle();
  std::lock_guard lock(mutex_);
  idle_pages_ = std::move(pages);
}

// On the copying thread.
Status CheckpointKeeper::copy(const std::shared_ptr<Work>& work, Background::Pace& pace) {
  const StateHeader& header = around_.state.header();
  const auto held = [&] { return std::pair(header.phase.load(), header.revision.load()); };
  const auto before = held();
  work->copy = pages_for(work->bytes);
  if (!work->copy.valid())
    return {Code::kMemory,
            "no memory of " + std::to_string(work->bytes) + " bytes for the copy of a checkpoint"};
  // With tensors of the peer's own it is equal to nobody else's.
  const bool all_shared = around_.state.all_tensors().size() == around_.state.tensors().size();
  if (header.has_root() && all_shared) work->root = header.root;
  if (Status copied = copy_sources(*work, pace); !copied)
    return {copied.code(), copied.text() + " before the tensors of a checkpoint were copied"};
  if (held() != before || before.second != work->attempt.revision)
    return {Code::kState,
            "the tensors changed while they were copied: call rhz_checkpoint_fence before an "
            "update"};
  return writer_.start([this, work](Background::Pace& next) { return write(*work, next); });
}

Status CheckpointKeeper::copy_sources(Work& work, Background::Pace& pace) {
  const auto next = [&] { return pace.next(); };
  std::byte* to = work.copy.data();
  for (auto& [slice, device] : work.sources) {
    const ConstBytes from = slice.bytes;
    slice.bytes = ConstBytes(to, from.size());
    Status status;
    if (device) status = recovery::fetch(*device, {to, from.size()}, from.data(), next);
    for (uint64_t at = 0; !device && at < from.size(); at += kPiece) {
      if (status = next(); !status) break;
      copy_past_caches(to + at, from.data() + at, std::min<uint64_t>(kPiece, from.size() - at));
    }
    if (!status) return status;
    to += from.size();
    work.slices.push_back(std::move(slice));
  }
  return Status::ok();
}

// ------------------------------------------------------------------------------------ write

// On the writing thread.
Status CheckpointKeeper::write(Work& work, Background::Pace& pace) {
  Status status = write_file(work, pace);
  give_back(std::move(work.copy));
  if (status) {
    progressed([](Progression& now) { now.written = true; });
    own_part_written_.store(true, std::memory_order_release);
    status = complete(work, pace);
  }
  const std::string revision = " revision=" + std::to_string(work.attempt.revision);
  if (status)
    note(LogLevel::kInfo, "event=checkpoint_complete" + revision);
  else if (status.code() != Code::kClosed)
    note(LogLevel::kWarn, "event=checkpoint_failed" + revision + " text=\"" + status.text() + "\"");
  return status;
}

Status CheckpointKeeper::write_file(Work& work, Background::Pace& pace) {
  const CheckpointAttempt& attempt = work.attempt;
  const auto folder = recovery::prepare_checkpoint(attempt.root, attempt.run_id, attempt.revision);
  if (!folder) return folder.status();
  auto writer = recovery::FileWriter::make(
      folder.value(), attempt.file_name(work.writer), std::move(work.slices),
      {{"run_id", attempt.run_id}, {"revision", std::to_string(attempt.revision)}});
  if (!writer) return writer.status();
  do {
    if (Status go = pace.next(); !go) {
      writer.value().abandon();
      return {go.code(), go.text() + " before the checkpoint was written"};
    }
  } while (!writer.value().step(kPiece));
  if (!writer.value().status()) return writer.value().status();
  CheckpointManifest part;
  part.run_id = attempt.run_id;
  part.revision = attempt.revision;
  part.root = work.root;
  if (Status added = writer.value().add_to(part); !added) return added;
  return recovery::note_part(attempt, work.writer, part);
}

// Until the others' files are there too.
Status CheckpointKeeper::complete(Work& work, Background::Pace& pace) {
  const CheckpointAttempt& attempt = work.attempt;
  for (Duration time = kFirstNap;; time = std::min(2 * time, kLongestNap)) {
    const Result<bool> published = recovery::publish_parts(attempt);
    if (!published) return published.status();
    if (published.value()) break;
    const Status go = pace.nap(time);
    if (go.code() == Code::kCancelled)
      return {Code::kState, "the checkpoint of revision " + std::to_string(attempt.revision) +
                                " lacks the files of other writers, and the next one was begun"};
    if (!go) return go;
  }
  progressed([](Progression& now) { now.complete = true; });
  if (work.keep == 0 || work.writer != 0) return Status::ok();  // one of them prunes
  const Status pruned = recovery::prune_checkpoints(attempt.root, attempt.run_id, work.keep);
  if (!pruned) note(LogLevel::kWarn, "event=checkpoint_not_pruned text=\"" + pruned.text() + "\"");
  return Status::ok();
}

Status CheckpointKeeper::poll(Progression& now) {
  progressed([&](Progression& newest) { now = newest; });
  const Status copied = copier_.poll();
  return copied ? writer_.poll() : copied;
}

Status CheckpointKeeper::wait(Duration timeout, Progression& now) {
  const auto begun = std::chrono::steady_clock::now();
  Status status = copier_.wait(timeout);
  if (status) {
    const auto waited =
        std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now() - begun);
    status = timeout == Duration::zero() ? writer_.wait(timeout)
             : waited < timeout          ? writer_.wait(timeout - waited)
                                         : writer_.poll();
  }
  progressed([&](Progression& newest) { now = newest; });
  return status;
}

void CheckpointKeeper::stop() {
  copier_.stop();
  writer_.stop();
}

// ------------------------------------------------------------------------------------ load

Result<CheckpointKeeper::Loaded> CheckpointKeeper::load(const Wanted& wanted) {
  StateKeeper::Standing standing;
  around_.progress.with([&] { standing = around_.standing(); });
  if (!standing.ended.is_ok()) return standing.ended;
  if (standing.asked && !standing.joined)
    return Status(Code::kState, "rhz_comm_join has not ended yet");
  if (copying())
    return Status(Code::kState,
                  "the tensors of a checkpoint are still being copied: call rhz_checkpoint_fence "
                  "first");
  const bool all = wanted.slices.empty();
  const std::vector<MemorySlice> slices = all ? registered() : wanted.slices;
  if (slices.empty())
    return Status(Code::kState, "no tensor is registered, and no slices are given");
  const std::string& run_id = wanted.run_id.empty() ? around_.run_id : wanted.run_id;
  auto checkpoint = wanted.revision == 0
                        ? recovery::Checkpoint::open_newest(wanted.folder, run_id)
                        : recovery::Checkpoint::open(wanted.folder, run_id, wanted.revision);
  if (!checkpoint) return checkpoint.status();
  for (const MemorySlice& slice : slices)
    if (Status same = fits(checkpoint.value(), slice); !same) return same;
  if (Status filled = fill(checkpoint.value(), wanted, slices, all); !filled) return filled;
  Loaded loaded{checkpoint.value().manifest().revision, 0, checkpoint.value().skipped()};
  for (const MemorySlice& slice : slices) loaded.bytes += slice.bytes();
  return loaded;
}

Result<std::vector<uint64_t>> CheckpointKeeper::complete(const std::string& folder) const {
  return recovery::readable_checkpoints(folder, around_.run_id);
}

Status CheckpointKeeper::fill(recovery::Checkpoint& checkpoint, const Wanted& wanted,
                              const std::vector<MemorySlice>& slices, bool registered) {
  const uint64_t revision = checkpoint.manifest().revision;
  if (Status settled = recovery::settle(around_.state.all_tensors()); !settled) return settled;
  around_.progress.with([&] { around_.state.forget_revision(); });
  for (const MemorySlice& slice : slices) {
    // Of a device's, the bytes are checked in the host's memory first.
    Pages copy;
    if (slice.device) copy = Pages(slice.bytes());
    if (slice.device && !copy.valid())
      return {Code::kMemory, "no memory of " + std::to_string(slice.bytes()) + " bytes for tensor \"" +
                                 slice.name + "\" of a device"};
    const MutableBytes out(slice.device ? copy.data() : slice.data, slice.bytes());
    const Status filled = checkpoint.fill(slice.name, slice.dtype, {}, slice.first, out);
    if (!filled) return {filled.code(), filled.text() + older_ones(wanted.folder, revision)};
    if (!slice.device) continue;
    const Status there = recovery::put(*slice.device, slice.data, out, [] { return Status::ok(); });
    if (!there) return there;
  }
  // Of slices, and of its own tensors, the caller knows when all is there, and commits it.
  if (registered) around_.progress.with([&] { around_.state.adopt_synced(revision); });
  return Status::ok();
}

}  // namespace rhz
