// The functions of the CUDA driver that the library calls, found in libcuda.so.1 at run time:
// neither the toolkit nor the driver has to be there when it is built or loaded.  Types and numbers
// are those of the driver's ABI, which CUDA keeps across versions; where cuda.h is found,
// tests/unit/cuda/abi_test.cc compares them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/base/status.h"

namespace rhz::cuda {

// As cuda.h defines them: ints, and pointers to types that only the driver knows.
using Error = int;                   // CUresult
using DeviceNumber = int;            // CUdevice
using Address = unsigned long long;  // CUdeviceptr
using Context = void*;
using Stream = void*;
using Module = void*;
using Function = void*;
struct IpcHandle {  // CUipcMemHandle
  char bytes[64];
};

struct Location {  // CUmemLocation
  int type = 1;    // CU_MEM_LOCATION_TYPE_DEVICE
  int id = 0;      // its ordinal
};
struct AllocationKind {  // CUmemAllocationProp
  int type = 1;          // CU_MEM_ALLOCATION_TYPE_PINNED
  int handles = 1;       // CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR
  Location location;
  void* of_windows = nullptr;
  unsigned char flags[8] = {};
};
struct Access {  // CUmemAccessDesc
  Location location;
  int flags = 3;  // CU_MEM_ACCESS_FLAGS_PROT_READWRITE
};
using Allocation = unsigned long long;  // CUmemGenericAllocationHandle

inline constexpr Error kSuccess = 0;
inline constexpr Error kOutOfMemory = 2;
inline constexpr Error kNotReady = 600;
inline constexpr int kAttributeContext = 1;        // CU_POINTER_ATTRIBUTE_CONTEXT
inline constexpr int kAttributeMemoryType = 2;     // CU_POINTER_ATTRIBUTE_MEMORY_TYPE
inline constexpr int kAttributeDeviceOrdinal = 9;  // CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL
inline constexpr unsigned kMemoryTypeDevice = 2;   // CU_MEMORYTYPE_DEVICE
inline constexpr unsigned kHostRegisterPortable = 1, kHostAllocPortable = 1, kHostAllocMapped = 2;
inline constexpr unsigned kStreamNonBlocking = 1;
inline constexpr unsigned kWaitGeq = 0, kWriteDefault = 0;
inline constexpr int kCaptureNone = 0;
inline constexpr unsigned kIpcLazyPeerAccess = 1;
inline constexpr int kFileDescriptor = 1;    // CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR
inline constexpr int kLeastGranularity = 0;  // CU_MEM_ALLOC_GRANULARITY_MINIMUM
// CU_STREAM_LEGACY and CU_STREAM_PER_THREAD: names of the default streams of the current context.
inline constexpr uintptr_t kLegacyStream = 1, kPerThreadStream = 2;

// The versions of the ABI are in the names by which they are found (driver.cc).
struct Driver {
  Error (*get_error_string)(Error, const char**) = nullptr;
  Error (*initialise)(unsigned) = nullptr;
  Error (*pointer_get_attribute)(void*, int, Address) = nullptr;
  // Of memory that CUDA does not know: no error, and zeros.
  Error (*pointer_get_attributes)(unsigned, const int*, void**, Address) = nullptr;
  Error (*primary_context_retain)(Context*, DeviceNumber) = nullptr;
  Error (*device_get)(DeviceNumber*, int) = nullptr;
  Error (*context_get_current)(Context*) = nullptr;
  Error (*context_push)(Context) = nullptr;
  Error (*context_pop)(Context*) = nullptr;
  Error (*host_alloc)(void**, size_t, unsigned) = nullptr;
  Error (*host_get_device_pointer)(Address*, void*, unsigned) = nullptr;
  Error (*host_register)(void*, size_t, unsigned) = nullptr;
  Error (*host_unregister)(void*) = nullptr;
  Error (*stream_create)(Stream*, unsigned) = nullptr;
  Error (*stream_get_context)(Stream, Context*) = nullptr;
  Error (*stream_is_capturing)(Stream, int*) = nullptr;
  Error (*stream_query)(Stream) = nullptr;
  Error (*copy_to_host)(void*, Address, size_t, Stream) = nullptr;
  Error (*copy_to_device)(Address, const void*, size_t, Stream) = nullptr;
  Error (*stream_wait_value)(Stream, Address, uint32_t, unsigned) = nullptr;
  Error (*stream_write_value)(Stream, Address, uint32_t, unsigned) = nullptr;

  Error (*get_address_range)(Address*, size_t*, Address) = nullptr;
  Error (*device_get_uuid)(void*, DeviceNumber) = nullptr;
  Error (*ipc_get_handle)(IpcHandle*, Address) = nullptr;
  Error (*ipc_open_handle)(Address*, IpcHandle, unsigned) = nullptr;
  Error (*ipc_close_handle)(Address) = nullptr;
  Error (*allocate)(Address*, size_t) = nullptr;
  Error (*free)(Address) = nullptr;
  Error (*fill)(Address, unsigned char, size_t) = nullptr;
  Error (*context_synchronize)() = nullptr;
  Error (*copy_on_device)(Address, Address, size_t, Stream) = nullptr;
  Error (*module_load)(Module*, const void*) = nullptr;
  Error (*module_get_function)(Function*, Module, const char*) = nullptr;
  Error (*launch)(Function, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                  Stream, void**, void**) = nullptr;

  // Memory by its handle, and addresses of their own: what can be exported as a descriptor.
  Error (*context_get_device)(DeviceNumber*) = nullptr;
  Error (*device_get_count)(int*) = nullptr;
  Error (*stream_create_urgent)(Stream*, unsigned, int) = nullptr;
  Error (*stream_synchronize)(Stream) = nullptr;
  Error (*fill_in_order)(Address, unsigned char, size_t, Stream) = nullptr;
  Error (*get_granularity)(size_t*, const AllocationKind*, int) = nullptr;
  Error (*create)(Allocation*, size_t, const AllocationKind*, unsigned long long) = nullptr;
  Error (*release)(Allocation) = nullptr;
  Error (*export_handle)(void*, Allocation, int, unsigned long long) = nullptr;
  Error (*import_handle)(Allocation*, void*, int) = nullptr;
  Error (*reserve)(Address*, size_t, size_t, Address, unsigned long long) = nullptr;
  Error (*unreserve)(Address, size_t) = nullptr;
  Error (*map)(Address, size_t, size_t, Allocation, unsigned long long) = nullptr;
  Error (*unmap)(Address, size_t) = nullptr;
  Error (*set_access)(Address, size_t, const Access*, size_t) = nullptr;

  // kIo, with the driver's own words.
  [[nodiscard]] Status check(Error error, const char* what) const;
};

// Loads the driver once for the process; the reason when it cannot be.  Initialises nothing: the
// program does, by using CUDA, and who holds memory for others.
[[nodiscard]] Result<const Driver*> driver();

}  // namespace rhz::cuda
