// The ops of a group that are not over, by number.  Numbers rise by one and most ops end soon after they began, so that the table is a ring
// of places for the numbers from the oldest to the newest; some of these are empty.
#pragma once

#include <algorithm>
#include <iterator>
#include <memory>
#include <vector>

#include "runtime/base/assert.h"
#include "runtime/base/types.h"

namespace rhz {

template <class Owner>  // a unique_ptr
class OpTable {
 public:
  using Op = typename Owner::element_type;
  struct Entry {
    OpSeq seq;
    Op* op;
  };

  // Ops may end and be added on the way; those that are added are met as well.
  class Iterator {
   public:
    Iterator(const OpTable& table, uint64_t at) : table_(&table), at_(at) { skip(); }
    Entry operator*() const { return {OpSeq(at_), table_->place(at_).get()}; }
    Iterator& operator++() {
      ++at_;
      skip();
      return *this;
    }
    bool operator==(std::default_sentinel_t) const { return at_ >= table_->next_; }

   private:
    void skip() {
      at_ = std::max(at_, table_->first_);
      while (at_ < table_->next_ && !table_->place(at_)) ++at_;
    }
    const OpTable* table_;
    uint64_t at_;
  };

  Iterator begin() const { return {*this, first_}; }
  Iterator from(OpSeq seq) const { return {*this, seq.value}; }
  std::default_sentinel_t end() const { return {}; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  Op* find(OpSeq seq) const {
    return seq.value >= first_ && seq.value < next_ ? place(seq.value).get() : nullptr;
  }

  // A number above all that were added before.
  Op& add(OpSeq seq, Owner op) {
    RHZ_ASSERT("numbers rise", seq.value >= next_);
    if (size_ == 0) first_ = seq.value;
    if (seq.value - first_ >= places_.size()) grow(seq.value);
    next_ = seq.value + 1;
    ++size_;
    return *(place(seq.value) = std::move(op));
  }

  void erase(OpSeq seq) {
    if (!find(seq)) return;
    --size_;
    const Owner over = std::move(place(seq.value));  // destroyed when the table is in order again
    while (first_ < next_ && !place(first_)) ++first_;
  }

 private:
  const Owner& place(uint64_t seq) const { return places_[seq & (places_.size() - 1)]; }
  Owner& place(uint64_t seq) { return places_[seq & (places_.size() - 1)]; }

  void grow(uint64_t seq) {
    size_t size = places_.empty() ? 16 : places_.size();
    while (seq - first_ >= size) size *= 2;
    std::vector<Owner> places(size);
    for (uint64_t at = first_; at < next_ && size_ > 0; ++at) places[at & (size - 1)] = std::move(place(at));
    places_ = std::move(places);
  }

  std::vector<Owner> places_;           // a power of two of them
  uint64_t first_ = 0, next_ = 0;       // the oldest that is there; behind the newest that ever was
  size_t size_ = 0;
};

}  // namespace rhz
