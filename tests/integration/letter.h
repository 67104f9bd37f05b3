// One message of an integration test, at either end: its buffer, and what must be in it.
#pragma once

#include <string>
#include <vector>

#include "rhizome/rhizome.h"
#include "tests/integration/process.h"

namespace rhz::test {

class Letter {
 public:
  // verb send or recv, peer=, tag=, bytes=, content= (a number that all bytes follow from),
  // timeout_ms=
  explicit Letter(const Line& command);

  rhz_status submit(rhz_comm* comm, rhz_op** op);
  // Of a buffer in which a message of so many bytes should lie, or lay: bytes that are not right,
  // nor untouched behind it.
  uint64_t wrong(uint64_t bytes) const;

 private:
  rhz_message_params params_{};
  bool sends_;
  uint64_t text_;
  std::vector<unsigned char> buffer_;
};

}  // namespace rhz::test
