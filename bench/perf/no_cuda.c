/* Stands in for the CUDA driver, libcuda.so.1, where there is none: PyPI's PCCL is linked against
 * it, and does not load without, though it calls nothing of it for buffers in main memory.  Every
 * function says that there is no device. */

enum { kNoDevice = 100 }; /* CUDA_ERROR_NO_DEVICE */

int cuCtxSetCurrent(void);
int cuDeviceGet(void);
int cuDevicePrimaryCtxRetain(void);
int cuMemAlloc_v2(void);
int cuMemFree_v2(void);
int cuMemcpyDtoH_v2(void);
int cuMemcpyHtoD_v2(void);
int cuPointerGetAttribute(void);
int cuStreamSynchronize(void);
int cuGetErrorName(int error, const char** out);
int cuGetErrorString(int error, const char** out);

int cuCtxSetCurrent(void) { return kNoDevice; }
int cuDeviceGet(void) { return kNoDevice; }
int cuDevicePrimaryCtxRetain(void) { return kNoDevice; }
int cuMemAlloc_v2(void) { return kNoDevice; }
int cuMemFree_v2(void) { return kNoDevice; }
int cuMemcpyDtoH_v2(void) { return kNoDevice; }
int cuMemcpyHtoD_v2(void) { return kNoDevice; }
int cuPointerGetAttribute(void) { return kNoDevice; }
int cuStreamSynchronize(void) { return kNoDevice; }

int cuGetErrorName(int error, const char** out) {
  (void)error;
  *out = "no device";
  return 0;
}

int cuGetErrorString(int error, const char** out) { return cuGetErrorName(error, out); }
