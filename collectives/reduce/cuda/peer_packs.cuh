// 16 bytes of each type as numbers to add in, and how a sum is rounded.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

namespace rhz::peer_kernels {

template <class T>
struct Pack;
template <>
struct Pack<float> {
  static constexpr int kElements = 4;
  using Sum = float;
  __device__ static void add(float (&sum)[4], const uint4& x) {
    const float* f = reinterpret_cast<const float*>(&x);
    for (int i = 0; i < 4; ++i) sum[i] += f[i];
  }
  __device__ static uint4 round(const float (&sum)[4]) {
    return *reinterpret_cast<const uint4*>(sum);
  }
  __device__ static float widen(float x) { return x; }
  __device__ static float narrow(float x) { return x; }
};
template <>
struct Pack<double> {
  static constexpr int kElements = 2;
  using Sum = double;
  __device__ static void add(double (&sum)[2], const uint4& x) {
    const double* f = reinterpret_cast<const double*>(&x);
    for (int i = 0; i < 2; ++i) sum[i] += f[i];
  }
  __device__ static uint4 round(const double (&sum)[2]) {
    return *reinterpret_cast<const uint4*>(sum);
  }
  __device__ static double widen(double x) { return x; }
  __device__ static double narrow(double x) { return x; }
};
template <class T>
struct HalfPack {
  static constexpr int kElements = 8;
  using Sum = float;
  __device__ static void add(float (&sum)[8], const uint4& x) {
    const T* f = reinterpret_cast<const T*>(&x);
    for (int i = 0; i < 8; ++i) sum[i] += static_cast<float>(f[i]);
  }
  __device__ static uint4 round(const float (&sum)[8]) {
    uint4 x;
    T* f = reinterpret_cast<T*>(&x);
    for (int i = 0; i < 8; ++i) f[i] = static_cast<T>(sum[i]);
    return x;
  }
  __device__ static float widen(T x) { return static_cast<float>(x); }
  __device__ static T narrow(float x) { return static_cast<T>(x); }
};
template <>
struct Pack<__half> : HalfPack<__half> {};
template <>
struct Pack<__nv_bfloat16> : HalfPack<__nv_bfloat16> {};

}  // namespace rhz::peer_kernels
