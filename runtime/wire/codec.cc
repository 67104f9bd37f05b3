#include "runtime/wire/codec.h"

#include <capnp/serialize.h>
#include <kj/array.h>
#include <kj/exception.h>

#include <cstring>

#include "runtime/wire/codec_parts.h"
#include "runtime/wire/frame.h"

namespace rhz::wire {
namespace {

constexpr size_t kWordBytes = sizeof(capnp::word);
// The deepest path is Message.entries[i].record.resolve.groups[j].ops[k].reason.culprit; each list
// counts as a level.
constexpr int kNestingLimit = 24;

template <class Root, class Plain, class WriteRoot>
std::vector<std::byte> encode_as(const Plain& plain, size_t max_bytes, WriteRoot write_root) {
  try {
    capnp::MallocMessageBuilder message;
    Writing out;
    write_root(out, message.initRoot<Root>(), plain);
    if (!out.fits() || capnp::computeSerializedSizeInWords(message) * kWordBytes > max_bytes)
      return {};
    const kj::Array<capnp::word> words = capnp::messageToFlatArray(message);
    const kj::ArrayPtr<const kj::byte> bytes = words.asBytes();
    const auto* begin = reinterpret_cast<const std::byte*>(bytes.begin());
    return {begin, begin + bytes.size()};
  } catch (const kj::Exception&) {
    return {};  // a size that Cap'n Proto itself cannot express
  }
}

Status malformed(const std::string& what) {
  return {Code::kArgument, "malformed control message: " + what};
}

// The reader may visit each word once, and some twice: enough for anything honest, and an answer to
// lists of elements without size and to many pointers to one place, by which few bytes claim to be
// many.
capnp::ReaderOptions options_for(size_t words) {
  capnp::ReaderOptions options;
  options.traversalLimitInWords = 2 * words + 64;
  options.nestingLimit = kNestingLimit;
  return options;
}

template <class Plain, class Root, class ReadRoot>
Result<Plain> decode_as(ConstBytes bytes, size_t max_bytes, ReadRoot read_root) {
  if (bytes.size() > max_bytes)
    return malformed(std::to_string(bytes.size()) + " bytes, more than " +
                     std::to_string(max_bytes));
  if (bytes.empty() || bytes.size() % kWordBytes != 0)
    return malformed(std::to_string(bytes.size()) + " bytes, not a positive multiple of 8");
  try {
    // A copy: Cap'n Proto reads aligned words only.
    auto words = kj::heapArray<capnp::word>(bytes.size() / kWordBytes);
    std::memcpy(words.begin(), bytes.data(), bytes.size());
    capnp::FlatArrayMessageReader message(words, options_for(words.size()));
    if (message.getEnd() != words.end()) return malformed("bytes behind its end");
    Reading in;
    Plain plain = read_root(in, message.getRoot<Root>());
    if (!in.ok()) return in.status();
    return plain;
  } catch (const kj::Exception& exception) {
    return malformed(exception.getDescription().cStr());
  }
}

}  // namespace

std::vector<std::byte> encode(const ControlMessage& message) {
  return encode_as<schema::Message>(message, kMaxControlBytes, write_message);
}

std::vector<std::byte> encode(const LogEntry& entry) {
  return encode_as<schema::LogEntry>(entry, kMaxEntryBytes, write_entry);
}

Result<ControlMessage> decode_message(ConstBytes bytes) {
  return decode_as<ControlMessage, schema::Message>(bytes, kMaxControlBytes, read_message);
}

Result<LogEntry> decode_entry(ConstBytes bytes) {
  return decode_as<LogEntry, schema::LogEntry>(bytes, kMaxEntryBytes, read_entry);
}

}  // namespace rhz::wire
