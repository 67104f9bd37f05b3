// What the peers say that came of each op, where they say it: a line on standard output
//
//   ledger op=NUMBER outcome=TEXT digest=TEXT contributors=TEXT [wrong=NUMBER] [us=NUMBER]
//
// by every peer that has it, once no fault can give another peer something else (RHZ_WAIT_FINAL).  `wrong`: elements that are not
// what the contributors make, as the peer found itself.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace rhz::tools {

class Ledger {
 public:
  // Empty; or what is wrong with the line, alone or beside those of others.
  std::string note(size_t slot, std::string_view line);
  uint64_t ops() const { return ops_; }            // that anybody told of
  uint64_t compared() const { return compared_; }  // lines that had another one to be compared with
  uint64_t slowest_us() const { return slowest_us_; }

 private:
  struct Entry {
    std::string text;
    size_t slot = 0;
  };
  std::map<uint64_t, Entry> entries_;  // the newest, a bounded number
  uint64_t ops_ = 0, compared_ = 0, slowest_us_ = 0;
};

}  // namespace rhz::tools
