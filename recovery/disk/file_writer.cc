#include "recovery/disk/file_writer.h"

#include <algorithm>
#include <cstdio>
#include <new>
#include <utility>

#include "recovery/disk/safetensors.h"
#include "runtime/digest/digest.h"

namespace rhz::recovery {
namespace {

constexpr const char* kSuffix = ".safetensors";
constexpr uint64_t kPieceBlocks = 4;  // 1 MiB: a disk is asked once for as much
// Written back as it grows, so that the fsync at the end has little left to do.
constexpr uint64_t kWritebackBlocks = 32;  // 8 MiB

Status check(const TensorSlice& slice) {
  const auto refused = [&](const char* why) {
    return Status(Code::kArgument, "tensor \"" + slice.name + "\": " + why);
  };
  uint64_t count = 0;
  if (!reduce::valid_dtype(static_cast<uint32_t>(slice.dtype)))
    return refused("its dtype is unknown");
  if (!element_count(slice.shape, count)) return refused("its shape has too many elements");
  if (slice.first > count || slice.count > count - slice.first)
    return refused("the slice goes beyond its end");
  const uint64_t size = reduce::size_of(slice.dtype);
  if (slice.bytes.size() / size != slice.count || slice.bytes.size() % size != 0)
    return refused("the slice's bytes do not follow from its count");
  return Status::ok();
}

SafetensorsEntry entry_of(const TensorSlice& slice, uint64_t begin) {
  uint64_t whole = 0;
  (void)element_count(slice.shape, whole);
  SafetensorsEntry entry;
  entry.name = slice.name;
  entry.dtype = slice.dtype;
  entry.shape = slice.count == whole ? slice.shape : std::vector<uint64_t>{slice.count};
  entry.begin = begin;
  entry.end = begin + slice.bytes.size();
  return entry;
}

}  // namespace

struct FileWriter::Piece {
  alignas(DirectFile::kUnit) std::byte bytes[kPieceBlocks * kDigestBlockBytes];
};

FileWriter::FileWriter() = default;
FileWriter::FileWriter(FileWriter&&) noexcept = default;
FileWriter& FileWriter::operator=(FileWriter&&) noexcept = default;
FileWriter::~FileWriter() = default;

Result<FileWriter> FileWriter::make(std::string folder, std::string name,
                                    std::vector<TensorSlice> slices,
                                    std::map<std::string, std::string> metadata) {
  if (!name.ends_with(kSuffix) || name.front() == '.' || name.find('/') != std::string::npos)
    return Status(Code::kArgument, "\"" + name + "\" is no name for a safetensors file");
  FileWriter writer;
  SafetensorsHeader header;
  header.metadata = std::move(metadata);
  for (const TensorSlice& slice : slices) {
    if (Status status = check(slice); !status) return status;
    header.tensors.push_back(
        entry_of(slice, header.tensors.empty() ? 0 : header.tensors.back().end));
    if (header.tensors.back().shape != slice.shape)
      header.metadata["slice " + slice.name] =
          "elements from " + std::to_string(slice.first) + " on, of " + shape_text(slice.shape);
  }
  Result<std::string> text = write_safetensors_header(header);
  if (!text) return text.status();
  writer.folder_ = std::move(folder);
  writer.header_ = std::move(text).value();
  writer.slices_ = std::move(slices);
  writer.record_.name = std::move(name);
  writer.record_.bytes = writer.header_.size();
  for (const TensorSlice& slice : writer.slices_) {
    writer.offsets_.push_back(writer.record_.bytes);
    writer.record_.bytes += slice.bytes.size();
  }
  return writer;
}

Status FileWriter::add_to(CheckpointManifest& manifest) const {
  CheckpointManifest part;
  part.files.push_back(record_);
  for (const TensorSlice& slice : slices_)
    part.tensors.push_back(
        {slice.name, slice.dtype, slice.shape, {{record_.name, slice.first, slice.count}}});
  return manifest.add(part);
}

bool FileWriter::step(uint64_t budget_bytes) {
  for (uint64_t spent = 0; !done() && (spent == 0 || spent < budget_bytes);) {
    const uint64_t before = next_;
    switch (phase_) {
      case Phase::begin: begin(); break;
      case Phase::compare: compare_block(); break;
      case Phase::write: write_piece(); break;
      case Phase::sync:
      case Phase::rename: finish(); return done();  // each a step of its own: it may take long
      case Phase::done: break;
    }
    spent += kDigestBlockBytes * (next_ > before ? next_ - before : 1);
  }
  return done();
}

void FileWriter::begin() {
  piece_.reset(new (std::nothrow) Piece);
  if (!piece_) return fail({Code::kMemory, path() + ": no memory for a piece of it"});
  Result<File> old = File::open(path());
  const Result<uint64_t> size = old ? old.value().size() : Result<uint64_t>(uint64_t{0});
  if (!old || !size || size.value() != record_.bytes) return rewrite();
  file_ = std::move(old).value();
  other_.resize(kDigestBlockBytes);
  phase_ = Phase::compare;
}

void FileWriter::rewrite() {
  record_.blocks.clear();
  next_ = 0;
  Result<File> created = File::create(folder_ + "/" + temporary());
  if (!created) return fail(created.status());
  file_ = std::move(created).value();
  direct_ = DirectFile(file_.path());
  phase_ = Phase::write;
}

void FileWriter::compare_block() {
  const ConstBytes wanted = make_block(piece_->bytes);
  const MutableBytes there = MutableBytes(other_).first(wanted.size());
  const Status read = file_.read(there, next_ * kDigestBlockBytes);
  if (!read || !std::equal(wanted.begin(), wanted.end(), there.begin())) return rewrite();
  record_.blocks.push_back(digest128(wanted));
  if (++next_ < digest_blocks(record_.bytes)) return;
  reused_ = true;
  // The run that wrote it may have died before its fsync.
  phase_ = Phase::sync;
}

void FileWriter::write_piece() {
  const uint64_t at = next_ * kDigestBlockBytes;
  MutableBytes room(piece_->bytes);
  for (; !room.empty() && next_ < digest_blocks(record_.bytes); ++next_) {
    const ConstBytes block = make_block(room);
    record_.blocks.push_back(digest128(block));
    room = room.subspan(block.size());
  }
  const ConstBytes all = ConstBytes(piece_->bytes).first(sizeof(piece_->bytes) - room.size());
  if (!direct_.write(all, at)) {
    if (Status status = file_.write(all, at); !status) return fail(std::move(status));
    if (next_ % kWritebackBlocks == 0)
      file_.start_writeback((next_ - kWritebackBlocks) * kDigestBlockBytes,
                            kWritebackBlocks * kDigestBlockBytes);
  }
  if (next_ == digest_blocks(record_.bytes)) phase_ = Phase::sync;
}

void FileWriter::finish() {
  if (phase_ == Phase::sync) {
    if (Status status = file_.sync(); !status) return fail(std::move(status));
    phase_ = Phase::rename;
    return;
  }
  Status status =
      reused_ ? sync_folder(folder_) : rename_durably(folder_, temporary(), record_.name);
  if (!status) return fail(std::move(status));
  file_ = File();
  direct_ = DirectFile();
  phase_ = Phase::done;
}

void FileWriter::abandon() {
  if (!done()) fail({Code::kCancelled, path() + ": it was given up"});
}

void FileWriter::fail(Status status) {
  status_ = std::move(status);
  file_ = File();
  direct_ = DirectFile();
  std::remove((folder_ + "/" + temporary()).c_str());
  phase_ = Phase::done;
}

ConstBytes FileWriter::make_block(MutableBytes memory) const {
  const uint64_t begin = next_ * kDigestBlockBytes;
  const MutableBytes block =
      memory.first(std::min<uint64_t>(kDigestBlockBytes, record_.bytes - begin));
  copy(begin, block);
  return block;
}

// The file's bytes [at, at + out.size()).
void FileWriter::copy(uint64_t at, MutableBytes out) const {
  const auto take = [&](uint64_t begin, ConstBytes part) {
    if (out.empty() || at < begin || at >= begin + part.size()) return;
    const size_t bytes = std::min<uint64_t>(out.size(), begin + part.size() - at);
    std::memcpy(out.data(), part.data() + (at - begin), bytes);
    out = out.subspan(bytes);
    at += bytes;
  };
  take(0, bytes_of(header_.data(), header_.size()));
  const auto behind = std::upper_bound(offsets_.begin(), offsets_.end(), at);
  size_t i = static_cast<size_t>(behind - offsets_.begin());
  if (i > 0) --i;  // the slice that `at` lies in
  for (; i < slices_.size() && !out.empty(); ++i) take(offsets_[i], slices_[i].bytes);
}

}  // namespace rhz::recovery
