// One descriptor of cuDNN's backend API: created, given attributes, finalized, destroyed with its owner.
#pragma once

#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include <mnemo/cuda/cudnn/library.h>

namespace mnemo::cuda {

/// What the library calls the type of an attribute's values.
template <class T>
constexpr cudnnBackendAttributeType_t attribute_type() {
  if constexpr (std::is_same_v<T, std::int64_t>)
    return CUDNN_TYPE_INT64;
  else if constexpr (std::is_same_v<T, std::int32_t>)
    return CUDNN_TYPE_INT32;
  else if constexpr (std::is_same_v<T, cudnnHandle_t>)
    return CUDNN_TYPE_HANDLE;
  else if constexpr (std::is_same_v<T, float>)
    return CUDNN_TYPE_FLOAT;
  else if constexpr (std::is_same_v<T, double>)
    return CUDNN_TYPE_DOUBLE;
  else if constexpr (std::is_same_v<T, bool>)
    return CUDNN_TYPE_BOOLEAN;
  else if constexpr (std::is_same_v<T, cudnnPointwiseMode_t>)
    return CUDNN_TYPE_POINTWISE_MODE;
  else if constexpr (std::is_same_v<T, char>)
    return CUDNN_TYPE_CHAR;
  else if constexpr (std::is_same_v<T, cudnnDataType_t>)
    return CUDNN_TYPE_DATA_TYPE;
  else if constexpr (std::is_same_v<T, cudnnConvolutionMode_t>)
    return CUDNN_TYPE_CONVOLUTION_MODE;
  else if constexpr (std::is_same_v<T, cudnnBackendHeurMode_t>)
    return CUDNN_TYPE_HEUR_MODE;
  else if constexpr (std::is_same_v<T, cudnnBackendKnobType_t>)
    return CUDNN_TYPE_KNOB_TYPE;
  else if constexpr (std::is_same_v<T, cudnnBackendNumericalNote_t>)
    return CUDNN_TYPE_NUMERICAL_NOTE;
  else if constexpr (std::is_same_v<T, cudnnBackendBehaviorNote_t>)
    return CUDNN_TYPE_BEHAVIOR_NOTE;
  else {
    static_assert(std::is_same_v<T, cudnnBackendDescriptor_t>, "not the type of an attribute");
    return CUDNN_TYPE_BACKEND_DESCRIPTOR;
  }
}

class Descriptor {
 public:
  explicit Descriptor(cudnnBackendDescriptorType_t type) {
    check_cudnn(library(), library().create_descriptor(type, &handle_), "creating a descriptor");
  }
  Descriptor(Descriptor&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Descriptor() {
    if (handle_ != nullptr) library().destroy_descriptor(handle_);
  }

  static const CudnnLibrary& library() { return cudnn_library(); }
  cudnnBackendDescriptor_t handle() const { return handle_; }

  template <class T>
  void set(cudnnBackendAttributeName_t name, std::span<const T> values, const char* what) {
    check_cudnn(library(),
                library().set_attribute(handle_, name, attribute_type<T>(), std::ssize(values), values.data()), what);
  }
  template <class T>
  void set(cudnnBackendAttributeName_t name, const T& value, const char* what) {
    set(name, std::span<const T>(&value, 1), what);
  }
  void set(cudnnBackendAttributeName_t name, const Descriptor& value, const char* what) {
    set(name, value.handle_, what);
  }

  /// Addresses on the device; to the compiler they are what a descriptor's handle is, to the library they are not.
  void set_addresses(cudnnBackendAttributeName_t name, std::span<void* const> addresses, const char* what) {
    check_cudnn(library(),
                library().set_attribute(handle_, name, CUDNN_TYPE_VOID_PTR, std::ssize(addresses), addresses.data()),
                what);
  }

  cudnnStatus_t try_finalize() { return library().finalize(handle_); }
  void finalize(const char* what) { check_cudnn(library(), try_finalize(), what); }

  template <class T>
  T get(cudnnBackendAttributeName_t name, const char* what) const {
    T value{};
    std::int64_t count = 0;
    check_cudnn(library(), library().get_attribute(handle_, name, attribute_type<T>(), 1, &count, &value), what);
    return value;
  }
  /// All values of a list that the library makes.
  template <class T>
  std::vector<T> get_list(cudnnBackendAttributeName_t name, const char* what) const {
    std::int64_t count = 0;
    check_cudnn(library(), library().get_attribute(handle_, name, attribute_type<T>(), 0, &count, nullptr), what);
    std::vector<T> values(static_cast<std::size_t>(count));
    if (count == 0) return values;
    check_cudnn(library(), library().get_attribute(handle_, name, attribute_type<T>(), count, &count, values.data()),
                what);
    values.resize(static_cast<std::size_t>(count));
    return values;
  }
  /// The library fills a descriptor that is already there.
  void get_into(cudnnBackendAttributeName_t name, Descriptor& filled, const char* what) const {
    std::int64_t count = 0;
    check_cudnn(library(),
                library().get_attribute(handle_, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &filled.handle_),
                what);
  }
  /// A list of descriptors of one type.
  std::vector<Descriptor> get_descriptors(cudnnBackendAttributeName_t name, cudnnBackendDescriptorType_t type,
                                          const char* what) const;
  /// The same for a list whose length the library does not tell beforehand: at most `most` of them.
  std::vector<Descriptor> get_descriptors(cudnnBackendAttributeName_t name, cudnnBackendDescriptorType_t type,
                                          std::int64_t most, const char* what) const;

 private:
  cudnnBackendDescriptor_t handle_ = nullptr;
};

}  // namespace mnemo::cuda
