// What PyTorch asks libnvidia-ml.so.1: no fabric, no other processes.
namespace {
constexpr int kSuccess = 0, kNotSupported = 3;
}

extern "C" {

int nvmlInit_v2() { return kSuccess; }
int nvmlDeviceGetHandleByPciBusId_v2(const char*, void** device) { return *device = nullptr, kSuccess; }
int nvmlDeviceGetGpuFabricInfoV(void*, void*) { return kNotSupported; }
int nvmlDeviceGetNvLinkRemoteDeviceType() { return kNotSupported; }
int nvmlDeviceGetNvLinkRemotePciInfo_v2() { return kNotSupported; }
int nvmlSystemGetCudaDriverVersion_v2(int* version) { return *version = 13000, kSuccess; }
int nvmlDeviceGetComputeRunningProcesses(void*, unsigned* count, void*) { return *count = 0, kSuccess; }

}  // extern "C"
