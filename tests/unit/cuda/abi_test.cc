// The numbers and sizes that runtime/device/cuda/driver.h writes down, beside those of the toolkit.
// Built where cuda.h is.
#include <cuda.h>
#include <gtest/gtest.h>

#include "runtime/device/cuda/driver.h"

namespace rhz::cuda {
namespace {

static_assert(sizeof(CUresult) == sizeof(Error) && sizeof(CUdevice) == sizeof(DeviceNumber));
static_assert(sizeof(CUdeviceptr) == sizeof(Address) && sizeof(CUcontext) == sizeof(Context) &&
              sizeof(CUstream) == sizeof(Stream));
static_assert(sizeof(CUpointer_attribute) == sizeof(int) &&
              sizeof(CUstreamCaptureStatus) == sizeof(int));
static_assert(sizeof(CUmemorytype) == sizeof(unsigned) && sizeof(cuuint32_t) == sizeof(uint32_t));
static_assert(sizeof(CUmemGenericAllocationHandle) == sizeof(Allocation) &&
              sizeof(CUmemAllocationProp) == sizeof(AllocationKind) &&
              offsetof(CUmemAllocationProp, location) == offsetof(AllocationKind, location) &&
              sizeof(CUmemAccessDesc) == sizeof(Access) &&
              offsetof(CUmemAccessDesc, flags) == offsetof(Access, flags));
static_assert(sizeof(CUipcMemHandle) == sizeof(IpcHandle) && sizeof(CUuuid) == 16);

TEST(CudaAbi, NumbersAreThoseOfTheDriver) {
  EXPECT_EQ(kSuccess, int{CUDA_SUCCESS});
  EXPECT_EQ(kNotReady, int{CUDA_ERROR_NOT_READY});
  EXPECT_EQ(kAttributeContext, int{CU_POINTER_ATTRIBUTE_CONTEXT});
  EXPECT_EQ(kAttributeMemoryType, int{CU_POINTER_ATTRIBUTE_MEMORY_TYPE});
  EXPECT_EQ(kAttributeDeviceOrdinal, int{CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL});
  EXPECT_EQ(kMemoryTypeDevice, unsigned{CU_MEMORYTYPE_DEVICE});
  EXPECT_EQ(kHostRegisterPortable, unsigned{CU_MEMHOSTREGISTER_PORTABLE});
  EXPECT_EQ(kHostAllocPortable, unsigned{CU_MEMHOSTALLOC_PORTABLE});
  EXPECT_EQ(kHostAllocMapped, unsigned{CU_MEMHOSTALLOC_DEVICEMAP});
  EXPECT_EQ(kStreamNonBlocking, unsigned{CU_STREAM_NON_BLOCKING});
  EXPECT_EQ(kWaitGeq, unsigned{CU_STREAM_WAIT_VALUE_GEQ});
  EXPECT_EQ(kWriteDefault, unsigned{CU_STREAM_WRITE_VALUE_DEFAULT});
  EXPECT_EQ(kCaptureNone, int{CU_STREAM_CAPTURE_STATUS_NONE});
  EXPECT_EQ(kIpcLazyPeerAccess, unsigned{CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS});
  EXPECT_EQ(kOutOfMemory, int{CUDA_ERROR_OUT_OF_MEMORY});
  EXPECT_EQ(kFileDescriptor, int{CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR});
  EXPECT_EQ(kLeastGranularity, int{CU_MEM_ALLOC_GRANULARITY_MINIMUM});
  EXPECT_EQ(AllocationKind{}.type, int{CU_MEM_ALLOCATION_TYPE_PINNED});
  EXPECT_EQ(AllocationKind{}.handles, int{CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR});
  EXPECT_EQ(Location{}.type, int{CU_MEM_LOCATION_TYPE_DEVICE});
  EXPECT_EQ(Access{}.flags, int{CU_MEM_ACCESS_FLAGS_PROT_READWRITE});
  EXPECT_EQ(reinterpret_cast<uintptr_t>(CU_STREAM_LEGACY), kLegacyStream);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(CU_STREAM_PER_THREAD), kPerThreadStream);
}

}  // namespace
}  // namespace rhz::cuda
