// A convolution as cuDNN is told it: tensors, the operation, a graph of it and of what is done to its output.
#pragma once

#include <optional>
#include <string>

#include <mnemo/core/planning/conv_query.h>
#include <mnemo/cuda/cudnn/descriptor.h>

namespace mnemo::cuda {

/// The numbers of a graph's operands. The output is y, whatever the epilogue.
enum class Operand : std::int64_t { x = 1, w, y, bias, product, biased };

/// The graph, or none and the library's words if it does not support such operations. `handle` is that of the device
/// which will run it, or null.
std::optional<Descriptor> conv_graph(const ConvQuery& query, std::string& refusal, cudnnHandle_t handle = nullptr,
                                     const ConvEpilogue& epilogue = {});

/// Whether a status means "not this one" rather than "something is wrong".
inline bool is_refusal(cudnnStatus_t status) { return status / 1000 * 1000 == CUDNN_STATUS_NOT_SUPPORTED; }

}  // namespace mnemo::cuda
