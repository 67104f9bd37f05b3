// Has the pages of new memory made before somebody stands still for them.  The system makes a page
// when it is first written, and that takes four times as long as copying one, or a hundred times
// where the host of a virtual machine has to find it first.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rhz::recovery {

class PageMaker {
 public:
  virtual ~PageMaker() = default;
  // Of bytes that nobody has written; not between a begin() and its end().
  virtual void begin(std::byte* memory, uint64_t bytes) = 0;
  // All are made, or as many as can be.
  virtual bool ready() const = 0;
  // Makes no more.  Before anybody writes those bytes, or gives them back.
  virtual void end() = 0;
};

}  // namespace rhz::recovery
