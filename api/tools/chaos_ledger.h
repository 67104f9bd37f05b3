// What the peers say that came of each op, where they say it: a line on standard output
//
//   ledger op=NUMBER outcome=TEXT digest=TEXT contributors=TEXT [wrong=NUMBER] [us=NUMBER] [epoch=NUMBER]
//
// by every peer that has it, once no fault can give another peer something else (RHZ_WAIT_FINAL).  `wrong`: elements that are not
// what the contributors make, as the peer found itself.  `us`: from submission to release.  `epoch`: of the view in which it ended.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace rhz::tools {

struct LedgerLine {
  uint64_t op = 0, wrong = 0, us = 0, epoch = 0;
  std::string result;  // what has to be the same everywhere
  // Empty: it is another line.
  static std::optional<LedgerLine> of(std::string_view line);
};

class Ledger {
 public:
  // Empty; or what is wrong with the line, alone or beside those of others.
  std::string note(size_t slot, const LedgerLine& line);
  uint64_t ops() const { return ops_; }            // that anybody told of
  uint64_t compared() const { return compared_; }  // lines that had another one to be compared with
  uint64_t slowest_us() const { return slowest_us_; }
  // What is kept: the newest ops, as the first who told had them.
  void write(const std::string& path) const;

 private:
  struct Entry {
    std::string text;
    size_t slot = 0;
  };
  std::map<uint64_t, Entry> entries_;  // the newest, a bounded number
  uint64_t ops_ = 0, compared_ = 0, slowest_us_ = 0;
};

}  // namespace rhz::tools
