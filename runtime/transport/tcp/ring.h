// A queue in one block of memory that is reused: no allocation once it has grown.  Single owner.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

namespace rhz::tcp {

template <class T>
class Ring {
 public:
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  T& operator[](size_t i) { return items_[(begin_ + i) & (items_.size() - 1)]; }
  const T& operator[](size_t i) const { return items_[(begin_ + i) & (items_.size() - 1)]; }
  T& front() { return (*this)[0]; }

  void push_back(T&& item) {
    if (size_ == items_.size()) grow();
    ++size_;
    (*this)[size_ - 1] = std::move(item);
  }
  // Ahead of the items from position `at` on.
  void insert(size_t at, T&& item) {
    push_back(std::move(item));
    for (size_t i = size_ - 1; i > at; --i) std::swap((*this)[i], (*this)[i - 1]);
  }
  void pop_front() {
    front() = T();  // lets go what the item holds
    begin_ = (begin_ + 1) & (items_.size() - 1);
    --size_;
  }
  // Removes the items from `from` on for which `unwanted(item)` is true; keeps the order of the
  // others.
  template <class Unwanted>
  void erase_if(size_t from, Unwanted unwanted) {
    size_t kept = from;
    for (size_t i = from; i < size_; ++i) {
      if (unwanted((*this)[i])) continue;
      if (kept != i) (*this)[kept] = std::move((*this)[i]);
      ++kept;
    }
    for (; size_ > kept; --size_) (*this)[size_ - 1] = T();
  }

 private:
  void grow() {
    std::vector<T> larger(items_.empty() ? 16 : items_.size() * 2);
    for (size_t i = 0; i < size_; ++i) larger[i] = std::move((*this)[i]);
    items_.swap(larger);
    begin_ = 0;
  }

  std::vector<T> items_;  // a power of two
  size_t begin_ = 0, size_ = 0;
};

}  // namespace rhz::tcp
