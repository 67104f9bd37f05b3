#include "runtime/device/cuda/driver.h"

#include <dlfcn.h>

namespace rhz::cuda {
namespace {

class Finder {
 public:
  explicit Finder(void* library) : library_(library) {}
  template <class Function>
  void find(const char* name, Function& function) {
    function = reinterpret_cast<Function>(dlsym(library_, name));
    if (!function && missing_.empty()) missing_ = name;
  }
  const std::string& missing() const { return missing_; }

 private:
  void* library_;
  std::string missing_;
};

Result<Driver> load() {
  // Never unloaded: the program uses it as well.
  void* library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!library) return Status(Code::kIo, "no CUDA driver (libcuda.so.1)");
  Driver d;
  Finder finder(library);
  finder.find("cuGetErrorString", d.get_error_string);
  finder.find("cuInit", d.initialise);
  finder.find("cuPointerGetAttribute", d.pointer_get_attribute);
  finder.find("cuPointerGetAttributes", d.pointer_get_attributes);
  finder.find("cuDevicePrimaryCtxRetain", d.primary_context_retain);
  finder.find("cuDeviceGet", d.device_get);
  finder.find("cuCtxGetCurrent", d.context_get_current);
  finder.find("cuCtxPushCurrent_v2", d.context_push);
  finder.find("cuCtxPopCurrent_v2", d.context_pop);
  finder.find("cuMemHostAlloc", d.host_alloc);
  finder.find("cuMemHostGetDevicePointer_v2", d.host_get_device_pointer);
  finder.find("cuMemHostRegister_v2", d.host_register);
  finder.find("cuMemHostUnregister", d.host_unregister);
  finder.find("cuStreamCreate", d.stream_create);
  finder.find("cuStreamGetCtx", d.stream_get_context);
  finder.find("cuStreamIsCapturing", d.stream_is_capturing);
  finder.find("cuStreamQuery", d.stream_query);
  finder.find("cuMemcpyDtoHAsync_v2", d.copy_to_host);
  finder.find("cuMemcpyHtoDAsync_v2", d.copy_to_device);
  finder.find("cuStreamWaitValue32_v2", d.stream_wait_value);
  finder.find("cuStreamWriteValue32_v2", d.stream_write_value);
  finder.find("cuMemGetAddressRange_v2", d.get_address_range);
  finder.find("cuDeviceGetUuid_v2", d.device_get_uuid);
  finder.find("cuIpcGetMemHandle", d.ipc_get_handle);
  finder.find("cuIpcOpenMemHandle_v2", d.ipc_open_handle);
  finder.find("cuIpcCloseMemHandle", d.ipc_close_handle);
  finder.find("cuMemAlloc_v2", d.allocate);
  finder.find("cuMemFree_v2", d.free);
  finder.find("cuMemsetD8_v2", d.fill);
  finder.find("cuCtxSynchronize", d.context_synchronize);
  finder.find("cuMemcpyDtoDAsync_v2", d.copy_on_device);
  finder.find("cuModuleLoadData", d.module_load);
  finder.find("cuModuleGetFunction", d.module_get_function);
  finder.find("cuLaunchKernel", d.launch);
  finder.find("cuCtxGetDevice", d.context_get_device);
  finder.find("cuDeviceGetCount", d.device_get_count);
  finder.find("cuStreamCreateWithPriority", d.stream_create_urgent);
  finder.find("cuStreamSynchronize", d.stream_synchronize);
  finder.find("cuMemsetD8Async", d.fill_in_order);
  finder.find("cuMemGetAllocationGranularity", d.get_granularity);
  finder.find("cuMemCreate", d.create);
  finder.find("cuMemRelease", d.release);
  finder.find("cuMemExportToShareableHandle", d.export_handle);
  finder.find("cuMemImportFromShareableHandle", d.import_handle);
  finder.find("cuMemAddressReserve", d.reserve);
  finder.find("cuMemAddressFree", d.unreserve);
  finder.find("cuMemMap", d.map);
  finder.find("cuMemUnmap", d.unmap);
  finder.find("cuMemSetAccess", d.set_access);
  if (!finder.missing().empty())
    return Status(Code::kIo, "the CUDA driver is too old: it has no " + finder.missing());
  return d;
}

}  // namespace

Status Driver::check(Error error, const char* what) const {
  if (error == kSuccess) return Status::ok();
  const char* text = nullptr;
  if (get_error_string(error, &text) != kSuccess || !text) text = "unknown error";
  return Status(Code::kIo,
                std::string("CUDA: ") + what + ": " + text + " (" + std::to_string(error) + ")");
}

Result<const Driver*> driver() {
  static const Result<Driver> loaded = load();
  if (!loaded) return loaded.status();
  return &loaded.value();
}

}  // namespace rhz::cuda
