// A new folder for what a test writes, and where its processes' standard error goes; gone with it,
// unless the test has failed. What a sanitizer said there fails it, be it of a process that is dead
// or replaced since.
#pragma once

#include <string>

namespace rhz::test {

class Folder {
 public:
  Folder();
  ~Folder();
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace rhz::test
