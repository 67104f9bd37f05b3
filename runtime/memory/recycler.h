// Objects of one type that come and go all the time: their memory is kept.  Owned by one owner, which outlives them; one thread.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace rhz {

template <class T>
class Recycler {
 public:
  struct Return {
    Recycler* to;
    void operator()(T* object) const { to->give_back(object); }
  };
  using Owner = std::unique_ptr<T, Return>;

  // The memory of so many is kept.
  explicit Recycler(size_t most = 64) : most_(most) { idle_.reserve(most); }
  ~Recycler() {
    for (void* memory : idle_) ::operator delete(memory, std::align_val_t{alignof(T)});
  }
  Recycler(const Recycler&) = delete;
  Recycler& operator=(const Recycler&) = delete;

  template <class... Args>
  Owner make(Args&&... args) {
    void* memory;
    if (idle_.empty()) {
      memory = ::operator new(sizeof(T), std::align_val_t{alignof(T)});
    } else {
      memory = idle_.back();
      idle_.pop_back();
    }
    return Owner(new (memory) T(std::forward<Args>(args)...), Return{this});
  }

 private:
  void give_back(T* object) {
    object->~T();
    if (idle_.size() < most_) idle_.push_back(object);
    else ::operator delete(object, std::align_val_t{alignof(T)});
  }

  const size_t most_;
  std::vector<void*> idle_;
};

}  // namespace rhz
