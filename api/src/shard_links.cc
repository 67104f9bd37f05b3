#include "api/src/shard_links.h"

#include <algorithm>

#include "runtime/wire/frame.h"

namespace rhz {
namespace {

// Without a word from a vault that was asked: it is frozen, or its host is gone, and the
// coordinator has not said so yet.  Others have the shards.
constexpr Duration kLinkPatience = std::chrono::seconds(5);
// Whoever was not called for much longer than that stood still itself.
constexpr Duration kLinkLook = kLinkPatience / 8;

using recovery::VaultReply;
using recovery::VaultRequest;

bool answers(const VaultRequest& reply, const VaultRequest& asked) {
  return reply.verb == asked.verb && reply.stage == asked.stage &&
         reply.revision == asked.revision && reply.stripe == asked.stripe &&
         reply.shard == asked.shard && reply.offset == asked.offset &&
         reply.length == asked.length && reply.tag == asked.tag;
}

std::vector<tcp::SocketAddress> addresses_of(const VaultInfo& info) {
  std::vector<tcp::SocketAddress> all;
  for (const std::string& endpoint : info.endpoints) {
    const auto where = tcp::parse_address(endpoint);
    if (!where) continue;
    auto found = tcp::resolve(where.value(), tcp::Lookup::kNames);
    if (found) all.insert(all.end(), found.value().begin(), found.value().end());
  }
  return all;
}

}  // namespace

ShardLinks::ShardLinks(AsioLoop& loop, std::string run_id, OnReply on_reply)
    : loop_(loop),
      run_id_(std::move(run_id)),
      run_(wire::run_hash(run_id_)),
      on_reply_(std::move(on_reply)) {}

void ShardLinks::know(const std::vector<VaultInfo>& vaults, bool complete) {
  if (complete) known_.clear();
  for (const VaultInfo& info : vaults) known_[info.holder.vault] = info;
  for (auto& [id, link] : links_)
    if (!known_.contains(id)) fail(*link, {Code::kUnreachable, "the vault is gone"});
  std::erase_if(links_, [&](const auto& entry) { return !known_.contains(entry.first); });
}

void ShardLinks::open(Link& link, const VaultInfo& info) {
  link.vault = info.holder.vault;
  auto addresses = addresses_of(info);
  if (addresses.empty()) {
    link.refused = {Code::kUnreachable, "the vault of host " + info.holder.host +
                                            " has no address that this host can find"};
    return;
  }
  Link* const at = &link;
  tcp::ControlClient::Events events;
  events.up = [this, at] { up(*at); };
  events.message = [at](ControlMessage&& message) {
    if (auto* no = std::get_if<RefusedMessage>(&message)) at->refused = std::move(no->status);
  };
  events.down = [this, at] {
    fail(*at, {Code::kUnreachable, "the connection to a vault was lost"});
  };
  events.vault = [this, at](ConstBytes bytes) { answered(*at, bytes); };
  link.client =
      std::make_unique<tcp::ControlClient>(loop_, std::move(addresses), run_, std::move(events));
  link.client->start(loop_.now());
}

void ShardLinks::send(Job job, const recovery::VaultSend& send) {
  Asked asked{job, send.request, {send.request.bytes.begin(), send.request.bytes.end()}};
  asked.request.bytes = {};
  const auto known = known_.find(send.vault);
  if (known == known_.end()) {
    failed_.push_back(
        {job, send.vault, {asked.request, {Code::kUnreachable, "no such vault"}, {}}});
    return;
  }
  std::unique_ptr<Link>& link = links_[send.vault];
  if (!link) {
    link = std::make_unique<Link>();
    open(*link, known->second);
  }
  if (link->waiting.empty() && link->asked.empty()) link->moved = loop_.now();
  if (link->client && link->client->is_up()) return put_out(*link, asked);
  link->waiting.push_back(std::move(asked));
}

void ShardLinks::put_out(Link& link, Asked& asked) {
  const std::vector<std::byte> bytes = std::exchange(asked.bytes, {});
  const auto header = recovery::encode_header(asked.request);
  link.asked.push_back(std::move(asked));  // before it may fail
  link.client->send_vault(std::as_bytes(std::span(header)), bytes);
}

void ShardLinks::up(Link& link) {
  link.client->send(VaultCallMessage{run_id_, link.vault});
  while (!link.waiting.empty() && link.client->is_up()) {
    Asked next = std::move(link.waiting.front());
    link.waiting.pop_front();
    put_out(link, next);
  }
}

void ShardLinks::answered(Link& link, ConstBytes bytes) {
  const auto reply = recovery::decode_reply(bytes);
  if (!reply || link.asked.empty() || !answers(reply->request, link.asked.front().request)) {
    link.refused = {Code::kUnreachable, "a vault answers what it was not asked"};
    return;  // tick() gives it up: not from inside one of its own events
  }
  link.moved = loop_.now();
  const Job job = link.asked.front().job;
  link.asked.pop_front();
  on_reply_(job, link.vault, *reply);
}

// All that is open there.
void ShardLinks::fail(Link& link, const Status& why) {
  for (std::deque<Asked>* open : {&link.asked, &link.waiting}) {
    for (Asked& asked : *open) failed_.push_back({asked.job, link.vault, {asked.request, why, {}}});
    open->clear();
  }
}

Time ShardLinks::tick(Time now) {
  Time next = kNever;
  const bool stood_still = now - ticked_ > 4 * kLinkLook;
  ticked_ = now;
  for (auto& [id, owned] : links_) {
    Link& link = *owned;
    if (stood_still) link.moved = now;
    if (!link.refused.is_ok()) {
      if (link.client) link.client->stop();
      fail(link, {Code::kUnreachable, link.refused.text()});
      continue;
    }
    const bool open = !link.asked.empty() || !link.waiting.empty();
    if (open && !link.client->is_up() && link.client->refused())
      fail(link, {Code::kUnreachable, "the vault's process is gone"});
    if (open && now - link.moved > kLinkPatience) {
      fail(link, {Code::kUnreachable, "a vault does not answer"});
      link.client->drop({Code::kUnreachable, "it does not answer"});
    } else if (open) {
      next = std::min({next, link.moved + kLinkPatience, now + kLinkLook});
    }
    next = std::min(next, link.client->tick(now));
  }
  for (const Failed& failed : std::exchange(failed_, {}))
    on_reply_(failed.job, failed.vault, failed.reply);
  return failed_.empty() ? next : now;
}

}  // namespace rhz
