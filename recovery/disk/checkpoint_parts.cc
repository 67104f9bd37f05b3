#include "recovery/disk/checkpoint_parts.h"

#include <cinttypes>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <utility>

#include "recovery/disk/checkpoints.h"
#include "recovery/disk/file.h"
#include "runtime/digest/digest.h"

namespace rhz::recovery {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxNoteBytes = uint64_t{1} << 30;  // as of a manifest

std::string stem(const CheckpointAttempt& attempt, uint32_t writer) {
  char point[24];
  std::snprintf(point, sizeof point, "at-%016" PRIx64, attempt.point);
  return point + (".part-" + std::to_string(writer)) + "-of-" + std::to_string(attempt.writers);
}

std::string note_name(const CheckpointAttempt& attempt, uint32_t writer) {
  return stem(attempt, writer) + ".json";
}

Status add_note(const CheckpointAttempt& attempt, const std::string& path,
                CheckpointManifest& manifest) {
  const Result<std::string> text = read_text(path, kMaxNoteBytes);
  if (!text) return text.status();
  const auto part = CheckpointManifest::parse_part(text.value());
  if (!part) return {part.status().code(), path + ": " + part.status().text()};
  if (part.value().run_id != attempt.run_id || part.value().revision != attempt.revision)
    return {Code::kCorrupt, path + ": it is of another run or revision"};
  if (part.value().root != Digest{}) {
    if (manifest.root != Digest{} && manifest.root != part.value().root)
      return {Code::kDiverged, path + ": the state had the digest " + to_hex(part.value().root) +
                                   " there, and " + to_hex(manifest.root) + " at another writer"};
    manifest.root = part.value().root;
  }
  return manifest.add(part.value());
}

// What the manifest does not name is of no more use: notes, and files of attempts that ended early.
void tidy(const std::string& folder, const CheckpointManifest& manifest) {
  std::error_code ignored;
  for (auto i = fs::directory_iterator(folder, ignored); i != fs::directory_iterator();
       i.increment(ignored)) {
    const std::string name = i->path().filename().string();
    if (name.starts_with("at-") && manifest.file(name) == nullptr) fs::remove(i->path(), ignored);
  }
}

}  // namespace

std::string CheckpointAttempt::file_name(uint32_t writer) const {
  return stem(*this, writer) + ".safetensors";
}

Status note_part(const CheckpointAttempt& attempt, uint32_t writer,
                 const CheckpointManifest& part) {
  return write_durably(checkpoint_folder(attempt.root, attempt.revision),
                       note_name(attempt, writer), part.serialise());
}

Result<bool> publish_parts(const CheckpointAttempt& attempt) {
  const std::string folder = checkpoint_folder(attempt.root, attempt.revision);
  const auto path = [&](uint32_t writer) { return folder + "/" + note_name(attempt, writer); };
  if (is_complete(attempt.root, attempt.revision)) return true;
  std::error_code ignored;
  for (uint32_t writer = 0; writer < attempt.writers; ++writer)
    if (!fs::exists(path(writer), ignored)) return false;
  CheckpointManifest manifest;
  manifest.run_id = attempt.run_id;
  manifest.revision = attempt.revision;
  Status status;
  for (uint32_t writer = 0; status && writer < attempt.writers; ++writer)
    status = add_note(attempt, path(writer), manifest);
  if (status) status = manifest.settle();
  if (status) status = publish_checkpoint(attempt.root, manifest);
  // Somebody else may have been faster, and has tidied up.
  if (!status && is_complete(attempt.root, attempt.revision)) return true;
  if (!status) return status;
  tidy(folder, manifest);
  return true;
}

}  // namespace rhz::recovery
