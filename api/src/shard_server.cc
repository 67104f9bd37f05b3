#include "api/src/shard_server.h"

#include <algorithm>
#include <atomic>
#include <set>

#include "api/src/reach.h"
#include "recovery/shards/shard_store.h"
#include "runtime/base/prng.h"
#include "runtime/base/thread.h"
#include "runtime/loop/asio_loop.h"
#include "runtime/loop/room.h"
#include "runtime/observe/recorder.h"
#include "runtime/transport/tcp/control_client.h"
#include "runtime/transport/tcp/control_server.h"
#include "runtime/transport/tcp/listening.h"

namespace rhz {
namespace {

constexpr size_t kMostCallers = 1024;  // B1: trainers and tools of the run, at once
constexpr Duration kBeat = milliseconds(250);
constexpr Duration kSilence = std::chrono::seconds(10);  // of a coordinator whose host is gone
// What is held is read again and again, this much each time: a bit that flips is found before its
// shard is needed.
constexpr Duration kScrubPause = milliseconds(100);
constexpr uint64_t kScrubBytes = uint64_t{4} << 20;

}  // namespace

using tcp::ControlServer;

struct ShardServer::Engine {
  Engine(const ShardServerOptions& the_options, std::vector<tcp::SocketAddress> coordinator,
         const tcp::Listener& listener);

  void called(ControlServer::SessionId session, const ControlMessage& message);
  void asked(ControlServer::SessionId session, ConstBytes bytes);
  void refuse(ControlServer::SessionId session, Status why);
  void coordinator_said(const ControlMessage& message);
  void announce();
  void begin_anew();
  void tick(Time now);
  void run_loop();

  const ShardServerOptions options;
  const uint64_t run;
  AsioLoop loop;
  Recorder recorder;
  recovery::ShardStore store;
  PeerId id = random_peer_id();
  std::vector<std::string> endpoints;
  std::set<ControlServer::SessionId> callers;
  ControlServer server;
  tcp::ControlClient client;
  Time next_beat{}, next_scrub{}, heard{}, ticked{};
  std::atomic<bool> stop_asked{false};
};

ShardServer::Engine::Engine(const ShardServerOptions& the_options,
                            std::vector<tcp::SocketAddress> coordinator,
                            const tcp::Listener& listener)
    : options(the_options),
      run(wire::run_hash(options.run_id)),
      recorder("vault"),
      store(options.limit_bytes),
      server(
          loop, listener, run,
          {[this](ControlServer::SessionId session, ControlMessage&& message) {
             called(session, message);
           },
           [this](ControlServer::SessionId session) { callers.erase(session); },
           [this](ControlServer::SessionId session, ConstBytes bytes) { asked(session, bytes); }}),
      client(loop, std::move(coordinator), run,
             {[this] { announce(); },
              [this](ControlMessage&& message) { coordinator_said(message); }, [] {}}) {}

// ---- trainers

void ShardServer::Engine::called(ControlServer::SessionId session, const ControlMessage& message) {
  const auto* call = std::get_if<VaultCallMessage>(&message);
  if (!call) return refuse(session, {Code::kArgument, "this is the port of a vault"});
  if (call->run_id != options.run_id)
    return refuse(session, {Code::kRunId, "this vault serves the run \"" + options.run_id + "\""});
  if (call->vault != id)
    return refuse(session,
                  {Code::kEvicted, "the vault that was here is gone; this is another one"});
  if (callers.size() >= kMostCallers)
    return refuse(session, {Code::kWorldFull, "too many trainers ask this vault at once"});
  callers.insert(session);
}

void ShardServer::Engine::asked(ControlServer::SessionId session, ConstBytes bytes) {
  if (!callers.contains(session))
    return refuse(session, {Code::kArgument, "a vault is called before it is asked"});
  const auto request = recovery::decode_request(bytes);
  if (!request) return refuse(session, {Code::kArgument, "no request that a vault knows"});
  next_scrub = loop.now() + kScrubPause;
  const recovery::VaultReply reply = store.handle(*request);
  const auto header = recovery::encode_header(reply.request, reply.status.code());
  const std::string& text = reply.status.text();
  const ConstBytes body = reply.status ? reply.bytes : bytes_of(text.data(), text.size());
  server.send_vault(session, std::as_bytes(std::span(header)), body);
}

void ShardServer::Engine::refuse(ControlServer::SessionId session, Status why) {
  callers.erase(session);
  server.send(session, RefusedMessage{Term(0), std::move(why)});
  server.close(session);
}

// ---- the coordinator

void ShardServer::Engine::announce() {
  heard = loop.now();
  next_beat = heard + kBeat;
  VaultInfo info{{id, options.host, options.rack}, endpoints, store.bytes(), store.limit_bytes()};
  client.send(VaultHereMessage{options.run_id, std::move(info)});
}

void ShardServer::Engine::coordinator_said(const ControlMessage& message) {
  heard = loop.now();
  const auto* refused = std::get_if<RefusedMessage>(&message);
  if (!refused) return;
  recorder.note(loop.now(), LogLevel::kWarn, "event=refused text=\"%s\"",
                refused->status.text().c_str());
  if (refused->status.code() == Code::kEvicted) return begin_anew();
  client.stop();  // another run's: nobody of this one will ask
}

// It was given up: what it held lies elsewhere, and nobody will ask for it under the old id.
void ShardServer::Engine::begin_anew() {
  id = random_peer_id();
  store = recovery::ShardStore(options.limit_bytes);
  for (const auto session : callers) server.close(session);
  callers.clear();
}

void ShardServer::Engine::tick(Time now) {
  if (now - ticked > kSilence / 2) heard = now;  // it was this process that stood still
  ticked = now;
  if (client.is_up() && now - heard > kSilence)
    client.drop({Code::kUnreachable, "the coordinator is silent"});
  if (client.is_up() && now >= next_beat) {
    const Time last = heard;
    announce();
    heard = last;
  }
  if (now < next_scrub) return;
  next_scrub = now + kScrubPause;
  const uint64_t before = store.dropped_corrupt();
  store.scrub(kScrubBytes);
  if (store.dropped_corrupt() != before)
    recorder.note(now, LogLevel::kWarn, "event=shard_corrupt dropped=%llu",
                  static_cast<unsigned long long>(store.dropped_corrupt()));
}

void ShardServer::Engine::run_loop() {
  recorder.watch_this_thread();
  client.start(loop.now());
  while (!stop_asked.load(std::memory_order_acquire)) {
    const Time now = loop.now();
    tick(now);
    const Time next = std::min(
        {server.tick(now), client.tick(now), next_scrub, client.is_up() ? next_beat : kNever});
    loop.run_until(next);
  }
  client.stop();
  server.close_all();
}

Result<std::unique_ptr<ShardServer>> ShardServer::start(const ShardServerOptions& options) {
  auto coordinator = coordinator_addresses(options.coordinator);
  if (!coordinator) return coordinator.status();
  if (Status room = room_for_loops(1); !room) return room;
  TcpOptions tcp_options;
  tcp_options.listen = where_to_listen(options.listen, coordinator.value().front());
  if (!options.advertise.empty()) tcp_options.advertise = {with_port(options.advertise)};
  auto listener = tcp::listen_on(tcp_options);
  if (!listener) return listener.status();
  auto engine = std::make_unique<Engine>(options, std::move(coordinator).value(), listener.value());
  engine->endpoints = tcp::endpoints_of(tcp_options, listener.value().address);
  return std::unique_ptr<ShardServer>(new ShardServer(std::move(engine)));
}

ShardServer::ShardServer(std::unique_ptr<Engine> engine) : engine_(std::move(engine)) {
  if (!engine_->endpoints.empty()) address_ = engine_->endpoints.front();
  thread_ = start_thread("rhz-shards", [this] { engine_->run_loop(); });
}

ShardServer::~ShardServer() {
  engine_->stop_asked.store(true, std::memory_order_release);
  engine_->loop.wake();
  thread_.join();
}

}  // namespace rhz
