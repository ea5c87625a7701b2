#include <mnemo/cuda/cudnn/descriptor.h>

namespace mnemo::cuda {

std::vector<Descriptor> Descriptor::get_descriptors(cudnnBackendAttributeName_t name, cudnnBackendDescriptorType_t type,
                                                    const char* what) const {
  std::int64_t count = 0;
  check_cudnn(library(), library().get_attribute(handle_, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &count, nullptr),
              what);
  return get_descriptors(name, type, count, what);
}

std::vector<Descriptor> Descriptor::get_descriptors(cudnnBackendAttributeName_t name, cudnnBackendDescriptorType_t type,
                                                    std::int64_t most, const char* what) const {
  std::vector<Descriptor> filled;
  if (most == 0) return filled;
  std::vector<cudnnBackendDescriptor_t> handles;
  for (std::int64_t i = 0; i < most; ++i) handles.push_back(filled.emplace_back(type).handle());
  std::int64_t count = 0;
  check_cudnn(library(),
              library().get_attribute(handle_, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, most, &count, handles.data()),
              what);
  if (count < most) filled.erase(filled.begin() + count, filled.end());  // a library may count those that it left out
  return filled;
}

}  // namespace mnemo::cuda
