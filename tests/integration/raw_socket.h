// Connections that do not come from the library: what a stranger could say to a port.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "runtime/wire/frame.h"

namespace rhz::test {

// Closed with its owner.
class RawSocket {
 public:
  explicit RawSocket(const std::string& address);
  explicit RawSocket(int fd) : fd_(fd) {}
  RawSocket(RawSocket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  ~RawSocket();
  // What fits; a far side that has hung up is no error.
  void write(const std::string& bytes);
  // All of it, at most 20 s long.  False: the far side has hung up.
  bool write_all(const std::string& bytes);
  // Until the far side closes, at most 20 s; what came.
  std::string read_all();
  std::string read(size_t bytes);

 private:
  int fd_;
};

class RawListener {
 public:
  RawListener();
  ~RawListener();
  const std::string& address() const { return address_; }
  RawSocket accept();

 private:
  int fd_;
  std::string address_;
};

// A frame's header with a right CRC, whatever else may be wrong with it.
std::string raw_header(wire::Kind kind, uint32_t length, uint8_t version);

// What a tool asks a coordinator, as a frame.
std::string status_question();
// Where the members listen for data, as the coordinator tells anybody who asks.
std::vector<std::string> data_ports(const std::string& coordinator);

}  // namespace rhz::test
