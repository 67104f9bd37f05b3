#include "api/tools/connections.h"

#include <arpa/inet.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "api/tools/child.h"
#include "api/tools/text.h"

namespace rhz::tools {
namespace {

constexpr std::string_view kEstablished = "01";
constexpr uint64_t kPatienceNs = 5'000'000'000;

std::set<std::string> sockets_of(pid_t pid) {
  std::set<std::string> inodes;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/fd", error)) {
    const std::string target = std::filesystem::read_symlink(entry.path(), error).string();
    if (target.starts_with("socket:[")) inodes.insert(target.substr(8, target.size() - 9));
  }
  return inodes;
}

// "0100007F:1F90" or its IPv6 form → "127.0.0.1:8080", "[::1]:8080".
std::string address_of(const std::string& hex) {
  const size_t colon = hex.find(':');
  if (colon != 8 && colon != 32) return {};
  uint32_t words[4] = {};
  for (size_t i = 0; i < colon / 8; ++i) words[i] = static_cast<uint32_t>(std::stoul(hex.substr(8 * i, 8), nullptr, 16));
  char text[INET6_ADDRSTRLEN] = {};
  inet_ntop(colon == 8 ? AF_INET : AF_INET6, words, text, sizeof text);
  const auto port = std::stoul(hex.substr(colon + 1), nullptr, 16);
  return format(colon == 8 ? "%s:%lu" : "[%s]:%lu", text, port);
}

}  // namespace

std::vector<Connection> connections_of(pid_t pid) {
  const std::set<std::string> inodes = sockets_of(pid);
  std::vector<Connection> found;
  for (const char* table : {"/net/tcp", "/net/tcp6"}) {
    std::ifstream file("/proc/" + std::to_string(pid) + table);
    std::string line, number, local, remote, state, skipped, inode;
    std::getline(file, line);
    while (std::getline(file, line)) {
      std::istringstream words(line);
      words >> number >> local >> remote >> state;
      for (int i = 0; i < 5; ++i) words >> skipped;
      words >> inode;
      if (state == kEstablished && inodes.contains(inode)) found.push_back({address_of(local), address_of(remote)});
    }
  }
  return found;
}

bool reset_connection(const Connection& connection) {
  bool ended = false;
  (void)read_lines({"ss", "-K", "-t", "-n", "-H", "src", connection.local, "and", "dst", connection.remote}, kPatienceNs,
                   [&](std::string_view line) { ended |= line.starts_with("ESTAB"); });
  return ended;
}

}  // namespace rhz::tools
