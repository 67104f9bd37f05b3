// The kernels that this library was built with.
#pragma once

namespace rhz::api {

// A fat binary; null: it was built without CUDA's compiler.
const void* kernel_image();

}  // namespace rhz::api
