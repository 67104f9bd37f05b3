// Everything that is ever sent, by content, and what is under way on a channel: both numbered, so
// that a state of the whole run is a few numbers.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "runtime/agreement/message.h"
#include "runtime/wire/frame.h"

namespace rhz::explore {

struct Message {
  wire::FrameHeader header;  // kControl: `word` is what counts
  std::vector<std::byte> payload;
  ControlMessage word;
  bool is_word() const { return header.kind == wire::Kind::kControl; }
};

using MessageId = uint32_t;
// Of a control connection: its end, as either side sees it.
inline constexpr MessageId kEnd = 0;

class Messages {
 public:
  Messages();
  MessageId frame(const wire::FrameHeader& header, const std::byte* payload, size_t bytes);
  MessageId word(const ControlMessage& message);
  const Message& operator[](MessageId id) const { return all_[id]; }
  std::string text(MessageId id) const;
  size_t size() const { return all_.size(); }

 private:
  std::vector<Message> all_;
  std::unordered_map<std::string, MessageId> known_;
};

// What is under way on one channel, in order.
struct Letter {
  MessageId message = kEnd;
  // Of a frame that reads its sender's memory when it arrives: its number at the sender, from 1.
  uint32_t number = 0;
};
using QueueId = uint32_t;  // 0: nothing

class Queues {
 public:
  Queues() { id_of({}); }
  QueueId push(QueueId queue, Letter letter);
  QueueId pop(QueueId queue);
  // As it is when its sender changed what the frame of that number reads, or took it back.
  QueueId changed(QueueId queue, uint32_t number, MessageId to);
  QueueId without(QueueId queue, uint32_t number);
  const std::vector<Letter>& operator[](QueueId queue) const { return all_[queue]; }

 private:
  QueueId id_of(std::vector<Letter> letters);
  std::vector<std::vector<Letter>> all_;
  std::unordered_map<std::string, QueueId> known_;
  std::unordered_map<uint64_t, QueueId> pushed_;  // of those without a number
  std::vector<QueueId> popped_;
};

}  // namespace rhz::explore
