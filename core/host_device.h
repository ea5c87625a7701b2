// Marks a function that the CPU and the CUDA backend share.
#pragma once

#ifdef __CUDACC__
#define MNEMO_HOST_DEVICE __host__ __device__
#else
#define MNEMO_HOST_DEVICE
#endif
