#include "api/tools/status_client.h"

#include <algorithm>

#include "runtime/loop/room.h"

namespace rhz::tools {
namespace {
// A tool that only looks need not know the run (ControlStream).
constexpr uint64_t kAnyRun = 0;
// A question that was not answered is asked again: the coordinator may have been busy or lost.
constexpr Duration kAskAgain = std::chrono::seconds(1);
}  // namespace

Result<std::unique_ptr<StatusClient>> StatusClient::open(const std::string& coordinator) {
  const auto where = tcp::parse_address(coordinator);
  if (!where) return where.status();
  if (Status room = room_for_loops(1); !room) return room;
  auto addresses = tcp::resolve(where.value(), tcp::Lookup::kNames);
  if (!addresses) return addresses.status();
  if (addresses.value().empty())
    return Status(Code::kUnreachable, "the host of " + coordinator + " has no address");
  std::unique_ptr<StatusClient> client(new StatusClient(coordinator, std::move(addresses).value()));
  client->client_.start(client->loop_.now());
  return client;
}

StatusClient::StatusClient(std::string name, std::vector<tcp::SocketAddress> addresses)
    : name_(std::move(name)),
      client_(loop_, std::move(addresses), kAnyRun,
              {[this] { ask_now(); },
               [this](ControlMessage&& message) {
                 if (auto* generations = std::get_if<GenerationsMessage>(&message)) {
                   generations_ = std::move(generations->generations);
                 } else if (auto* reply = std::get_if<StatusReply>(&message)) {
                   newest_ = std::move(*reply);
                   newest_at_ = loop_.now();
                   asked_ = false;
                 } else if (auto* no = std::get_if<RefusedMessage>(&message)) {
                   refused_ = no->status;
                 }
               },
               [this] {
                 asked_ = false;
                 newest_.reset();
               }}) {}

void StatusClient::ask_now() {
  asked_ = true;
  asked_at_ = loop_.now();
  client_.send(StatusRequest{"", true});
}

Result<StatusReply> StatusClient::ask(Duration patience) {
  const Time deadline = loop_.now() + patience;
  newest_.reset();
  if (client_.is_up()) ask_now();
  while (!newest_ && refused_.is_ok()) {
    const Time now = loop_.now();
    if (now >= deadline) break;
    const Time next = client_.tick(now);
    loop_.run_until(std::min(next, deadline));
  }
  if (newest_) return *newest_;
  if (!refused_.is_ok()) return refused_;
  const std::string& why = client_.last_error().text();
  return Status(client_.last_error().code() == Code::kVersion ? Code::kVersion : Code::kUnreachable,
                "no coordinator answers at " + name_ + ": " +
                    (why.empty() ? "it says nothing" : why) +
                    "; is `rhizome coordinator` running there?");
}

void StatusClient::poll(Duration pause) {
  const Time now = loop_.now();
  (void)client_.tick(now);
  const bool due = asked_ ? now - asked_at_ >= kAskAgain : now - asked_at_ >= pause;
  if (client_.is_up() && due) ask_now();
  loop_.poll();
}

}  // namespace rhz::tools
