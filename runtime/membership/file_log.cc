#include "runtime/membership/file_log.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "runtime/base/fd.h"
#include "runtime/membership/log_format.h"

namespace rhz {
namespace {

// Opening races with a coordinator that just cuts the log at most once per cut.
constexpr int kOpenAttempts = 8;
constexpr const char* kRestore =
    "; restore the file from a copy, or start a new run with another --log path";

Status log_error(Code code, const std::string& path, const std::string& what) {
  return {code, "log " + path + ": " + what};
}

// From errno.
Status io_error(const std::string& path, const std::string& doing) {
  return log_error(Code::kIo, path, doing + ": " + std::generic_category().message(errno));
}

Status write_all(int fd, ConstBytes bytes, uint64_t at, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t n = pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return io_error(path, "write at byte " + std::to_string(at));
    bytes = bytes.subspan(static_cast<size_t>(n));
    at += static_cast<uint64_t>(n);
  }
  return Status::ok();
}

// The first bytes of the file, at most `limit`.
Result<std::vector<std::byte>> read_front(int fd, uint64_t limit, const std::string& path) {
  struct stat info {};
  if (fstat(fd, &info) != 0) return io_error(path, "stat");
  const auto size = static_cast<uint64_t>(info.st_size);
  if (size > kMaxLogBytes)
    return log_error(Code::kCorrupt, path, std::to_string(size) + " bytes are no log" + kRestore);
  std::vector<std::byte> bytes(std::min(size, limit));
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = pread(fd, bytes.data() + done, bytes.size() - done, static_cast<off_t>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return io_error(path, "read at byte " + std::to_string(done));
    if (n == 0) return log_error(Code::kIo, path, "it became shorter while it was read");
    done += static_cast<size_t>(n);
  }
  return bytes;
}

// A new name in a directory is durable only when the directory is.
Status sync_directory_of(const std::string& path) {
  std::string directory = std::filesystem::path(path).parent_path().string();
  if (directory.empty()) directory = ".";
  const Fd fd(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid() || fsync(fd.get()) != 0) return io_error(path, "fsync of its directory");
  return Status::ok();
}

Status lock(int fd, const std::string& path) {
  if (flock(fd, LOCK_EX | LOCK_NB) == 0) return Status::ok();
  if (errno != EWOULDBLOCK) return io_error(path, "lock");
  return log_error(Code::kState, path,
                   "another coordinator has it locked; stop that one, or give another --log path");
}

// Opened and locked, and under that lock still the file at `path`: a cut replaces it by another.
Result<Fd> open_locked(const std::string& path) {
  for (int attempt = 0; attempt < kOpenAttempts; ++attempt) {
    Fd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0644));
    struct stat mine {
    }, there{};
    if (!fd.valid() || fstat(fd.get(), &mine) != 0) return io_error(path, "open");
    if (!S_ISREG(mine.st_mode)) return log_error(Code::kIo, path, "not a regular file");
    if (Status locked = lock(fd.get(), path); !locked) return locked;
    if (stat(path.c_str(), &there) == 0 && there.st_ino == mine.st_ino &&
        there.st_dev == mine.st_dev)
      return fd;
  }
  return log_error(Code::kIo, path, "it is replaced all the time");
}

// What scan_log found, with the path and what to do.
Status explain(const Status& status, const std::string& path) {
  switch (status.code()) {
    case Code::kCorrupt: return log_error(Code::kCorrupt, path, status.text() + kRestore);
    case Code::kRunId:
      return log_error(Code::kRunId, path,
                       status.text() + "; give that run's id, or another --log path");
    case Code::kVersion:
      return log_error(Code::kVersion, path,
                       status.text() + "; use the release that wrote it, or another --log path");
    default: return log_error(status.code(), path, status.text());
  }
}

class FileLog final : public DecisionLog {
 public:
  FileLog(std::string path, std::string run_id, Fd fd)
      : path_(std::move(path)), run_id_(std::move(run_id)), fd_(std::move(fd)) {}

  // Writes the header of a new log, checks that of an old one.
  Status prepare();
  Result<std::vector<LogEntry>> recover() override;
  Status append(const LogEntry& entry) override;
  Status cut(const LogEntry& snapshot) override;
  uint64_t bytes() const override { return bytes_; }
  LogTip tip() const override { return tip_; }

 private:
  Status ready() const;
  Status write_replacement(const Fd& fd, ConstBytes contents) const;
  // The outcome is unknown: nothing more until the log is opened again.
  Status broken(Status status);

  const std::string path_, run_id_;
  Fd fd_;
  LogTip tip_;
  uint64_t bytes_ = 0;
  bool recovered_ = false;
  Status health_;  // why appends are refused
};

Status FileLog::prepare() {
  Result<std::vector<std::byte>> file = read_front(fd_.get(), kLogHeaderBytes + 1, path_);
  if (!file) return file.status();
  if (log_header_is_torn(file.value(), run_id_)) {
    const std::vector<std::byte> header = make_log_header(run_id_);
    if (Status written = write_all(fd_.get(), header, 0, path_); !written) return written;
    if (fsync(fd_.get()) != 0) return io_error(path_, "fsync");
  } else if (Status header = check_log_header(file.value(), run_id_); !header) {
    return explain(header, path_);
  }
  // Also for an old file: whoever created or renamed it may have died before this.
  return sync_directory_of(path_);
}

Result<std::vector<LogEntry>> FileLog::recover() {
  if (!health_) return health_;
  recovered_ = false;
  Result<std::vector<std::byte>> file = read_front(fd_.get(), kMaxLogBytes, path_);
  if (!file) return file.status();
  Result<ScannedLog> scanned = scan_log(file.value(), run_id_);
  if (!scanned) return explain(scanned.status(), path_);
  ScannedLog& log = scanned.value();
  if (log.good_bytes < file.value().size() &&
      ftruncate(fd_.get(), static_cast<off_t>(log.good_bytes)) != 0)
    return io_error(path_, "cut of the torn tail");
  // The last record may be one whose writer died between write and fdatasync: it was read from
  // memory, not from the disk.
  if (fsync(fd_.get()) != 0) return broken(io_error(path_, "fsync"));
  tip_ = log.tip;
  bytes_ = log.good_bytes;
  recovered_ = true;
  return std::move(log.entries);
}

Status FileLog::ready() const {
  if (!health_)
    return log_error(Code::kIo, path_, "closed to appends since this failed: " + health_.text());
  if (!recovered_) return log_error(Code::kState, path_, "append before recover");
  return Status::ok();
}

Status FileLog::broken(Status status) {
  health_ = std::move(status);
  return health_;
}

Status FileLog::append(const LogEntry& entry) {
  if (Status status = ready(); !status) return status;
  if (Status refused = check_append(tip_, entry); !refused) return refused;
  Result<LogRecordBytes> record = make_log_record(tip_.hash, entry);
  if (!record) return record.status();
  const std::vector<std::byte>& bytes = record.value().bytes;
  if (bytes_ + bytes.size() > kMaxLogBytes)
    return log_error(Code::kIo, path_, "it would become larger than 1 GiB: it was never cut");
  if (Status written = write_all(fd_.get(), bytes, bytes_, path_); !written) return broken(written);
  if (fdatasync(fd_.get()) != 0) return broken(io_error(path_, "fdatasync"));
  bytes_ += bytes.size();
  tip_ = {entry.term, entry.index, record.value().chain};
  return Status::ok();
}

Status FileLog::write_replacement(const Fd& fd, ConstBytes contents) const {
  // Locked before it gets its name, so that there is no moment at which another coordinator could
  // have it.
  if (Status locked = lock(fd.get(), path_ + ".new"); !locked) return locked;
  if (Status written = write_all(fd.get(), contents, 0, path_ + ".new"); !written) return written;
  if (fsync(fd.get()) != 0) return io_error(path_ + ".new", "fsync");
  return Status::ok();
}

Status FileLog::cut(const LogEntry& snapshot) {
  if (Status status = ready(); !status) return status;
  if (Status refused = check_cut(tip_, snapshot); !refused) return refused;
  std::vector<std::byte> contents = make_log_header(run_id_);
  Result<LogRecordBytes> record = make_log_record(log_chain_start(contents), snapshot);
  if (!record) return record.status();
  contents.insert(contents.end(), record.value().bytes.begin(), record.value().bytes.end());

  const std::string path = path_ + ".new";
  Fd fd(open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!fd.valid()) return io_error(path, "open");
  if (Status written = write_replacement(fd, contents); !written) {
    unlink(path.c_str());
    return written;
  }
  // From here on it is unknown which of the two files a crash leaves.
  if (rename(path.c_str(), path_.c_str()) != 0) return broken(io_error(path, "rename"));
  if (Status synced = sync_directory_of(path_); !synced) return broken(synced);
  fd_ = std::move(fd);
  bytes_ = contents.size();
  tip_ = {snapshot.term, snapshot.index, record.value().chain};
  return Status::ok();
}

}  // namespace

Result<std::unique_ptr<DecisionLog>> open_file_log(const std::string& path,
                                                   std::string_view run_id) {
  Result<Fd> fd = open_locked(path);
  if (!fd) return fd.status();
  // A cut renames: over the file itself, not over a link to it, and also after a change of the
  // working directory.
  std::error_code error;
  const std::filesystem::path real = std::filesystem::canonical(path, error);
  if (error) return log_error(Code::kIo, path, "its real path: " + error.message());
  auto log = std::make_unique<FileLog>(real.string(), std::string(run_id), std::move(fd).value());
  if (Status prepared = log->prepare(); !prepared) return prepared;
  return std::unique_ptr<DecisionLog>(std::move(log));
}

}  // namespace rhz
