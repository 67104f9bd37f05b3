// rhizome_state.h, section "sync of joiners".
#include "api/src/abi.h"
#include "api/src/handles.h"
#include "rhizome/rhizome.h"

namespace {
using rhz::Code;
using rhz::Status;
using rhz::api::guard;

uint64_t in_us(rhz::Duration took) {
  return static_cast<uint64_t>(std::chrono::duration_cast<rhz::microseconds>(took).count());
}
}  // namespace

extern "C" {

RHZ_API rhz_status rhz_sync_strategy(rhz_comm* comm, uint32_t strategy) {
  return guard([&]() -> Status {
    auto driver = rhz::api::find_root(comm, "joiners enter the communicator that joined the run");
    if (!driver) return driver.status();
    if (strategy > RHZ_SYNC_SEND_ONLY)
      return Status(Code::kArgument, "strategy " + std::to_string(strategy) + " is none of RHZ_SYNC_*");
    return driver.value()->set_strategy(static_cast<rhz::SyncStrategy>(strategy));
  });
}

RHZ_API rhz_status rhz_sync_follow(rhz_comm* comm, rhz_sync_update update, void* context) {
  return guard([&]() -> Status {
    auto driver = rhz::api::find_root(comm, "joiners enter the communicator that joined the run");
    if (!driver) return driver.status();
    if (!update) return driver.value()->follow(nullptr);
    return driver.value()->follow([update, context](uint64_t revision, rhz::ConstBytes bytes) {
      return update(revision, bytes.data(), bytes.size(), context) == 0;
    });
  });
}

RHZ_API rhz_status rhz_sync_record(rhz_comm* comm, uint64_t revision, const void* update, uint64_t bytes) {
  return guard([&]() -> Status {
    auto driver = rhz::api::find_root(comm, "joiners enter the communicator that joined the run");
    if (!driver) return driver.status();
    if (revision == 0) return Status(Code::kArgument, "revision is 0: which one does the update make?");
    if (!update && bytes > 0) return Status(Code::kArgument, "update is NULL");
    return driver.value()->record_update(revision, rhz::bytes_of(update, bytes));
  });
}

RHZ_API rhz_status rhz_sync_info_get(rhz_comm* comm, rhz_sync_info* out_info) {
  return guard([&]() -> Status {
    auto driver = rhz::api::find_root(comm, "joiners enter the communicator that joined the run");
    if (!driver) return driver.status();
    const rhz::SyncNumbers numbers = driver.value()->sync_numbers();
    rhz_sync_info info{};
    info.bulk_bytes = numbers.bulk.fetched_bytes;
    info.bulk_us = in_us(numbers.bulk.took);
    info.rest_bytes = numbers.rest.fetched_bytes;
    info.rest_us = in_us(numbers.rest.took);
    info.equal_bytes = numbers.rest.equal_bytes;
    info.donors_lost = numbers.bulk.donors_lost + numbers.rest.donors_lost;
    info.copies = static_cast<uint32_t>(numbers.copies);
    info.pause_us = in_us(numbers.pause);
    info.served_bytes = numbers.served_bytes;
    info.updates = numbers.updates;
    info.update_bytes = numbers.update_bytes;
    return rhz::api::write_struct(info, "rhz_sync_info", out_info);
  });
}
}
