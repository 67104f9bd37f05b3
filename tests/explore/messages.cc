#include "tests/explore/messages.h"

#include <algorithm>
#include <cstring>

#include "runtime/wire/codec.h"

namespace rhz::explore {
namespace {

constexpr QueueId kUnknown = ~0u;

const char* frame_name(wire::Kind kind) {
  switch (kind) {
    case wire::Kind::kPartial: return "partial";
    case wire::Kind::kResult: return "result";
    case wire::Kind::kDone: return "DONE";
    case wire::Kind::kGrant: return "GRANT";
    default: return "frame";
  }
}

std::string entry_text(const LogEntry& entry) {
  if (const auto* view = std::get_if<ViewRecord>(&entry.record))
    return "VIEW(" + std::to_string(view->view.epoch.value) + ", " + view->view.cause + ")";
  if (const auto* resolve = std::get_if<ResolveRecord>(&entry.record))
    return "RESOLVE(" + std::to_string(resolve->resolution.epoch.value) + ")";
  return "record " + std::to_string(entry.index.value);
}

}  // namespace

Messages::Messages() { all_.push_back({}); }

MessageId Messages::frame(const wire::FrameHeader& header, const std::byte* payload, size_t bytes) {
  std::string key(wire::kHeaderBytes, '\0');
  wire::encode_header(header, reinterpret_cast<std::byte*>(key.data()));
  if (bytes > 0) key.append(reinterpret_cast<const char*>(payload), bytes);
  const auto [at, fresh] = known_.try_emplace(std::move(key), static_cast<MessageId>(all_.size()));
  if (fresh) all_.push_back({header, {payload, payload + bytes}, {}});
  return at->second;
}

MessageId Messages::word(const ControlMessage& message) {
  const std::vector<std::byte> bytes = wire::encode(message);
  std::string key(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const auto [at, fresh] = known_.try_emplace("word" + key, static_cast<MessageId>(all_.size()));
  if (fresh) {
    all_.push_back({{}, {}, message});
    all_.back().header.kind = wire::Kind::kControl;
  }
  return at->second;
}

std::string Messages::text(MessageId id) const {
  if (id == kEnd) return "end of the connection";
  const Message& m = all_[id];
  if (!m.is_word())
    return std::string(frame_name(m.header.kind)) + " epoch " +
           std::to_string(m.header.epoch.value) + " op " + std::to_string(m.header.op_seq.value) +
           " chunk " + std::to_string(m.header.chunk.value);
  if (const auto* entries = std::get_if<EntriesMessage>(&m.word)) {
    std::string text;
    for (const LogEntry& entry : entries->entries) text += entry_text(entry);
    return text;
  }
  if (std::get_if<HelloMessage>(&m.word)) return "HELLO";
  if (std::get_if<WelcomeMessage>(&m.word)) return "WELCOME";
  if (std::get_if<RefusedMessage>(&m.word)) return "REFUSED";
  if (const auto* fail = std::get_if<FailMessage>(&m.word))
    return "FAIL(op " + std::to_string(fail->seq.value) + ")";
  if (const auto* sealed = std::get_if<SealedMessage>(&m.word))
    return "SEALED(" + std::to_string(sealed->report.epoch.value) + ")";
  if (const auto* suspect = std::get_if<SuspectMessage>(&m.word))
    return "SUSPECT(epoch " + std::to_string(suspect->epoch.value) + ", p" +
           std::to_string(suspect->target.low - 1) + ")";
  return "word " + std::to_string(m.word.index());
}

QueueId Queues::id_of(std::vector<Letter> letters) {
  std::string key(letters.size() * sizeof(Letter), '\0');
  if (!letters.empty()) std::memcpy(key.data(), letters.data(), key.size());
  const auto [at, fresh] = known_.try_emplace(std::move(key), static_cast<QueueId>(all_.size()));
  if (fresh) {
    all_.push_back(std::move(letters));
    popped_.push_back(kUnknown);
  }
  return at->second;
}

QueueId Queues::push(QueueId queue, Letter letter) {
  auto make = [&] {
    std::vector<Letter> letters = all_[queue];
    letters.push_back(letter);
    return id_of(std::move(letters));
  };
  if (letter.number != 0) return make();
  const auto [at, fresh] = pushed_.try_emplace(uint64_t{queue} << 32 | letter.message, 0);
  if (fresh) {
    const QueueId made = make();
    at->second = made;  // make() leaves pushed_ alone
  }
  return at->second;
}

QueueId Queues::pop(QueueId queue) {
  if (popped_[queue] == kUnknown) {
    const QueueId rest = id_of({all_[queue].begin() + 1, all_[queue].end()});
    popped_[queue] = rest;
  }
  return popped_[queue];
}

QueueId Queues::changed(QueueId queue, uint32_t number, MessageId to) {
  std::vector<Letter> letters = all_[queue];
  for (Letter& letter : letters)
    if (letter.number == number) letter.message = to;
  return id_of(std::move(letters));
}

QueueId Queues::without(QueueId queue, uint32_t number) {
  std::vector<Letter> letters = all_[queue];
  std::erase_if(letters, [&](const Letter& letter) { return letter.number == number; });
  return id_of(std::move(letters));
}

}  // namespace rhz::explore
