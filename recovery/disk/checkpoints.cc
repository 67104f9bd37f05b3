#include "recovery/disk/checkpoints.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cinttypes>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <utility>

#include "recovery/disk/file.h"

namespace rhz::recovery {
namespace {

namespace fs = std::filesystem;

constexpr const char* kManifest = "manifest.json";
constexpr std::string_view kPrefix = "revision-";
constexpr uint64_t kMaxManifestBytes = uint64_t{1}
                                       << 30;  // 4 TiB of state have 512 MiB of hexadecimal digests

Status error_of(const std::error_code& error, const std::string& path, const char* doing) {
  return {Code::kIo, path + ": " + doing + ": " + error.message()};
}

// The folder and, for good, its name in the one above.
Status make_folder(const fs::path& path) {
  std::error_code error;
  const bool made = fs::create_directory(path, error);
  if (error) return error_of(error, path.string(), "create the folder");
  if (!made) return Status::ok();
  const fs::path above = path.parent_path();
  return sync_folder(above.empty() ? "." : above.string());
}

// All revisions that have a folder, newest first.
Result<std::vector<uint64_t>> revisions(const std::string& root) {
  std::vector<uint64_t> found;
  std::error_code error;
  if (!fs::exists(root, error)) return found;
  for (auto i = fs::directory_iterator(root, error); !error && i != fs::directory_iterator();
       i.increment(error)) {
    const std::string name = i->path().filename().string();
    if (!name.starts_with(kPrefix)) continue;
    uint64_t revision = 0;
    const char* begin = name.data() + kPrefix.size();
    const char* end = name.data() + name.size();
    const auto [stop, bad] = std::from_chars(begin, end, revision);
    if (bad == std::errc() && stop == end) found.push_back(revision);
  }
  if (error) return error_of(error, root, "list the folder");
  std::sort(found.rbegin(), found.rend());
  return found;
}

Status complete_already(const std::string& root, uint64_t revision) {
  return {Code::kState, root + ": revision " + std::to_string(revision) + " is complete already"};
}

Status check_files(const std::string& folder, const CheckpointManifest& manifest) {
  for (const FileRecord& file : manifest.files) {
    const std::string path = folder + "/" + file.name;
    const Result<File> opened = File::open(path);
    if (!opened) return opened.status();
    const Result<uint64_t> size = opened.value().size();
    if (!size) return size.status();
    if (size.value() != file.bytes)
      return {Code::kIo, path + ": it has " + std::to_string(size.value()) + " bytes, and " +
                             std::to_string(file.bytes) + " in the manifest"};
  }
  return Status::ok();
}

// The manifest first: what is killed in between is an incomplete checkpoint, and is removed next
// time.
Status remove_checkpoint(const std::string& root, uint64_t revision) {
  const std::string folder = checkpoint_folder(root, revision);
  std::error_code error;
  if (fs::remove(folder + "/" + kManifest, error)) {
    if (Status status = sync_folder(folder); !status) return status;
  }
  if (!error) fs::remove_all(folder, error);
  if (error && error != std::errc::no_such_file_or_directory)
    return error_of(error, folder, "remove");
  return Status::ok();
}

}  // namespace

std::string checkpoint_folder(const std::string& root, uint64_t revision) {
  char name[32];
  std::snprintf(name, sizeof name, "%s%020" PRIu64, kPrefix.data(), revision);
  return root + "/" + name;
}

bool is_complete(const std::string& root, uint64_t revision) {
  std::error_code error;
  return fs::exists(checkpoint_folder(root, revision) + "/" + kManifest, error);
}

Result<std::string> prepare_checkpoint(const std::string& root, const std::string& run_id,
                                       uint64_t revision) {
  if (Status status = make_folder(root); !status) return status;
  const auto complete = complete_checkpoints(root);
  if (!complete) return complete.status();
  if (!complete.value().empty()) {
    const auto newest = read_checkpoint_manifest(root, run_id, complete.value().front());
    if (newest.status().code() == Code::kRunId) return newest.status();
  }
  if (is_complete(root, revision)) return complete_already(root, revision);
  std::string folder = checkpoint_folder(root, revision);
  if (Status status = make_folder(folder); !status) return status;
  return folder;
}

Status publish_checkpoint(const std::string& root, CheckpointManifest manifest) {
  if (Status status = manifest.settle(); !status) return status;
  if (is_complete(root, manifest.revision)) return complete_already(root, manifest.revision);
  const std::string folder = checkpoint_folder(root, manifest.revision);
  if (Status status = check_files(folder, manifest); !status) return status;
  return write_durably(folder, kManifest, manifest.serialise());
}

Result<std::vector<uint64_t>> complete_checkpoints(const std::string& root) {
  auto found = revisions(root);
  if (!found) return found.status();
  std::erase_if(found.value(), [&](uint64_t revision) { return !is_complete(root, revision); });
  return found;
}

Result<CheckpointManifest> read_checkpoint_manifest(const std::string& root,
                                                    const std::string& run_id, uint64_t revision) {
  const std::string folder = checkpoint_folder(root, revision);
  const std::string path = folder + "/" + kManifest;
  const Result<std::string> text = read_text(path, kMaxManifestBytes);
  if (!text) return text.status();
  Result<CheckpointManifest> manifest = CheckpointManifest::parse(text.value());
  if (!manifest) return Status(manifest.status().code(), path + ": " + manifest.status().text());
  if (manifest.value().run_id != run_id)
    return Status(Code::kRunId, path + ": a checkpoint of the run \"" + manifest.value().run_id +
                                    "\", not \"" + run_id + "\"; take another folder for this run");
  if (manifest.value().revision != revision)
    return Status(Code::kCorrupt, path + ": it is the manifest of revision " +
                                      std::to_string(manifest.value().revision));
  if (Status status = check_files(folder, manifest.value()); !status) return status;
  return manifest;
}

Result<std::vector<uint64_t>> readable_checkpoints(const std::string& root,
                                                   const std::string& run_id) {
  const auto complete = complete_checkpoints(root);
  if (!complete) return complete;
  std::vector<uint64_t> readable;
  for (const uint64_t revision : complete.value()) {
    const auto manifest = read_checkpoint_manifest(root, run_id, revision);
    if (manifest.status().code() == Code::kRunId) return manifest.status();
    if (manifest) readable.push_back(revision);
  }
  return readable;
}

Status discard_checkpoint(const std::string& root, const std::string& run_id, uint64_t revision) {
  const auto complete = complete_checkpoints(root);
  if (!complete) return complete.status();
  for (const uint64_t other : complete.value()) {
    if (other != revision && read_checkpoint_manifest(root, run_id, other))
      return remove_checkpoint(root, revision);
  }
  return {Code::kState, root + ": no other complete checkpoint than revision " +
                            std::to_string(revision) + " can be read, so it stays"};
}

Status prune_checkpoints(const std::string& root, const std::string& run_id, uint32_t keep) {
  const auto complete = complete_checkpoints(root);
  if (!complete) return complete.status();
  if (complete.value().empty()) return Status::ok();
  const uint64_t newest = complete.value().front();
  const auto manifest = read_checkpoint_manifest(root, run_id, newest);
  if (!manifest) return manifest.status();
  const auto all = revisions(root);
  if (!all) return all.status();
  uint32_t kept = 0;
  for (const uint64_t revision : all.value()) {
    if (revision > newest) continue;  // being written
    if (is_complete(root, revision) && kept < std::max(keep, 1u)) {
      ++kept;
      continue;
    }
    if (Status status = remove_checkpoint(root, revision); !status) return status;
  }
  return Status::ok();
}

}  // namespace rhz::recovery
