// A folder in the one for temporary files, or in another, which goes with its owner unless it is to be kept.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

namespace rhz::tools {

class TempFolder {
 public:
  explicit TempFolder(const std::string& where = "") {
    std::error_code error;
    const std::filesystem::path parent =
        where.empty() ? std::filesystem::temp_directory_path(error) : std::filesystem::path(where);
    std::string pattern = (parent / "rhizome-bench-XXXXXX").string();
    if (mkdtemp(pattern.data())) path_ = pattern;
  }
  ~TempFolder() {
    std::error_code error;
    if (!path_.empty() && !kept_) std::filesystem::remove_all(path_, error);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  bool good() const { return !path_.empty(); }
  const std::string& path() const { return path_; }
  void keep() { kept_ = true; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
  bool kept_ = false;
};

}  // namespace rhz::tools
