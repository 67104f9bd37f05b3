// What people write: sizes, addresses, lists of transports.
#include "api/tools/text.h"
#include "runtime/transport/open.h"
#include "runtime/transport/tcp/address.h"
#include "tests/fuzz/fuzz.h"

namespace rhz::fuzz {
std::vector<Bytes> seeds() {
  return {bytes_from("64MiB"), bytes_from("4 KiB"), bytes_from("1008000000G"), bytes_from("127.0.0.1:7400"), bytes_from("[::1]:0"), bytes_from("host:99999"),
          bytes_from("shm,tcp"), bytes_from("word key=1 other=\"quoted value\" last=-2.5e3")};
}
}  // namespace rhz::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace rhz;
  const std::string text(reinterpret_cast<const char*>(data), size);
  if (const auto bytes = tools::parse_bytes(text)) RHZ_FUZZ_CHECK(tools::parse_bytes(tools::bytes_text(*bytes)) == bytes);
  (void)tcp::parse_address(text);
  (void)parse_transport(text);
  (void)tools::number(text, "last");
  (void)tools::whole(text, "key");
  (void)tools::field(text, "other");
  return 0;
}
