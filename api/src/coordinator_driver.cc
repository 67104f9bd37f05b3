#include "api/src/coordinator_driver.h"

#include <algorithm>

#include "runtime/base/thread.h"
#include "runtime/loop/asio_loop.h"
#include "runtime/loop/room.h"
#include "runtime/membership/coordinator.h"
#include "runtime/membership/file_log.h"
#include "runtime/membership/memory_log.h"
#include "runtime/observe/recorder.h"
#include "runtime/transport/tcp/control_server.h"

namespace rhz {

struct CoordinatorDriver::Engine {
  explicit Engine(const CoordinatorOptions& options)
      : run(wire::run_hash(options.config.run_id)), recorder("coordinator") {}

  Status open(const CoordinatorOptions& options);
  Status open_log(const CoordinatorOptions& options, std::vector<LogEntry>& entries);
  void run_loop();
  void settle();
  void carry_out(CoordinatorAction&& action);
  void note(const LogEntry& entry);

  const uint64_t run;
  AsioLoop loop;
  Recorder recorder;
  std::unique_ptr<DecisionLog> log;
  std::unique_ptr<Coordinator> core;
  std::unique_ptr<tcp::ControlServer> server;
  std::string address;
  std::atomic<bool> stop_asked{false};
  Status failure;
  bool settling = false;
};

Status CoordinatorDriver::Engine::open_log(const CoordinatorOptions& options,
                                           std::vector<LogEntry>& entries) {
  if (options.log_path.empty()) {
    log = make_memory_log();
  } else {
    auto opened = open_file_log(options.log_path, options.config.run_id);
    if (!opened) return opened.status();
    log = std::move(opened).value();
  }
  auto recovered = log->recover();
  if (!recovered) return recovered.status();
  entries = std::move(recovered).value();
  return Status::ok();
}

Status CoordinatorDriver::Engine::open(const CoordinatorOptions& options) {
  TcpOptions listen;
  listen.listen = options.listen;
  listen.socket_buffer_bytes = 0;
  auto listener = tcp::listen_on(listen);
  if (!listener) return listener.status();
  tcp::ControlServer::Events events;
  events.message = [this](SessionId session, ControlMessage&& message) {
    if (failure.is_ok()) core->receive(loop.now(), session, message);
    settle();
  };
  events.closed = [this](SessionId session) {
    if (failure.is_ok()) core->disconnected(loop.now(), session);
    settle();
  };
  server = std::make_unique<tcp::ControlServer>(loop, listener.value(), run, std::move(events));
  address = listener.value().address.text();
  std::vector<LogEntry> entries;
  if (Status status = open_log(options, entries); !status) return status;
  const bool resumed = !entries.empty();
  core = std::make_unique<Coordinator>(options.config, std::move(entries), loop.now());
  recorder.note(loop.now(), LogLevel::kInfo, "event=start address=%s run=%s resumed=%d epoch=%llu",
                address.c_str(), options.config.run_id.c_str(), resumed,
                static_cast<unsigned long long>(core->view().epoch.value));
  settle();
  return failure;
}

// Actions in order; the first append that fails ends it all (C1).
void CoordinatorDriver::Engine::settle() {
  if (settling) return;
  settling = true;
  for (auto actions = core->take_actions(); !actions.empty() && failure.is_ok();
       actions = core->take_actions()) {
    for (CoordinatorAction& action : actions) {
      if (!failure.is_ok()) break;
      carry_out(std::move(action));
    }
  }
  settling = false;
}

void CoordinatorDriver::Engine::carry_out(CoordinatorAction&& action) {
  if (auto* a = std::get_if<AppendAction>(&action)) {
    failure = log->append(a->entry);
    if (failure.is_ok()) note(a->entry);
    if (log->bytes() > kCutLogBytes) core->cut_log();
  } else if (auto* a = std::get_if<CutAction>(&action)) {
    failure = log->cut(a->snapshot);
  } else if (auto* a = std::get_if<CoordinatorSend>(&action)) {
    if (auto* reply = std::get_if<StatusReply>(&a->message)) reply->log_bytes = log->bytes();
    server->send(a->session, a->message);
  } else if (auto* a = std::get_if<CloseSession>(&action)) {
    server->close(a->session);
  }
  if (failure.is_ok()) return;
  recorder.note(loop.now(), LogLevel::kWarn, "event=stop reason=\"%s\"", failure.text().c_str());
  server->close_all();
}

void CoordinatorDriver::Engine::note(const LogEntry& entry) {
  const Time now = loop.now();
  const auto index = static_cast<unsigned long long>(entry.index.value);
  if (const auto* view = std::get_if<ViewRecord>(&entry.record)) {
    recorder.note(now, LogLevel::kInfo, "event=view index=%llu epoch=%llu members=%u cause=\"%s\"",
                  index, static_cast<unsigned long long>(view->view.epoch.value),
                  view->view.size(), view->view.cause.c_str());
  } else if (const auto* resolve = std::get_if<ResolveRecord>(&entry.record)) {
    recorder.note(now, LogLevel::kInfo, "event=resolve index=%llu epoch=%llu ops=%zu", index,
                  static_cast<unsigned long long>(resolve->resolution.epoch.value),
                  resolve->resolution.groups.front().ops.size());
  } else if (const auto* admit = std::get_if<AdmitRecord>(&entry.record)) {
    recorder.note(now, LogLevel::kInfo, "event=admit index=%llu op=%llu joiners=%zu", index,
                  static_cast<unsigned long long>(admit->op.value), admit->joiners.size());
  }
}

void CoordinatorDriver::Engine::run_loop() {
  recorder.watch_this_thread();
  while (!stop_asked.load(std::memory_order_acquire) && failure.is_ok()) {
    const Time now = loop.now();
    const Time next = std::min(core->tick(now), server->tick(now));
    settle();
    if (failure.is_ok()) loop.run_until(std::min(next, now + milliseconds(100)));
  }
  server->close_all();
}

CoordinatorDriver::CoordinatorDriver(std::unique_ptr<Engine> engine)
    : engine_(std::move(engine)), address_(engine_->address) {
  thread_ = start_thread("rhz-coordinator", [this] { engine_->run_loop(); });
}

Result<std::unique_ptr<CoordinatorDriver>> CoordinatorDriver::start(
    const CoordinatorOptions& options) {
  if (Status room = room_for_loops(1); !room) return room;
  auto engine = std::make_unique<Engine>(options);
  if (Status status = engine->open(options); !status) return status;
  return std::unique_ptr<CoordinatorDriver>(new CoordinatorDriver(std::move(engine)));
}

CoordinatorDriver::~CoordinatorDriver() { stop(); }

Status CoordinatorDriver::wait() {
  if (thread_.joinable()) thread_.join();
  return engine_->failure;
}

void CoordinatorDriver::ask_stop() {
  engine_->stop_asked.store(true, std::memory_order_release);
  engine_->loop.wake();
}

void CoordinatorDriver::stop() {
  ask_stop();
  if (thread_.joinable()) thread_.join();
}

}  // namespace rhz
