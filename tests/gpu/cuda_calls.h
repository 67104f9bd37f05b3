// What the GPU checks and benchmarks call of CUDA: the driver, found at run time, so that they are
// built where no toolkit is. A call that fails ends the process with its name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>

namespace rhz::gpu {

using Memory = unsigned long long;  // CUdeviceptr
using Stream = void*;
using Event = void*;

// Makes the device's primary context the thread's, as the runtime API does.  False: there is no
// driver or no such device.
bool begin(int device);
int devices();
std::string device_name(int device);

Memory allocate(size_t bytes);
void free(Memory memory);
void to_device(Memory to, const void* from, size_t bytes, Stream stream);
void to_host(void* to, Memory from, size_t bytes, Stream stream);
void copy(Memory to, Memory from, size_t bytes, Stream stream);
void fill(Memory at, unsigned char value, size_t bytes, Stream stream);
Stream make_stream();
void run_on_host(Stream stream, void (*function)(void*), void* argument);
// 0 when everything on the stream is done; else the driver's error number.
int synchronize(Stream stream);

// Memory of the host that the device reads and writes.
void* allocate_mapped(size_t bytes);
Event make_event();
void record(Event event, Stream stream);
double ms_between(Event begin, Event end);

struct Handle {  // of memory, for other processes
  char bytes[64];
};
Handle share(Memory memory);
Memory map(const Handle& handle);
int unmap(Memory memory);

using Kernel = void*;
// From a fat binary.
Kernel kernel(const void* image, const char* name);
void launch(Kernel kernel, unsigned blocks, unsigned threads, Stream stream,
            std::initializer_list<const void*> parameters);

}  // namespace rhz::gpu
