#include <doctest/doctest.h>

#include <sstream>

#include <mnemo/autograd/ops.h>
#include <mnemo/autograd/print.h>

using namespace mnemo;

TEST_CASE("tensors as text") {
  CHECK(text(Tensor()) == "undefined tensor");
  CHECK(text(tensor<float>({0.5f}, {})) == "0.5 float32 () on cpu");
  CHECK(text(tensor<double>({1.0 / 3, -2, 1e10}, {3})) == "[0.3333, -2, 1e+10] float64 (3) on cpu");
  CHECK(text(tensor<std::int64_t>({9007199254740993, -1}, {2})) == "[9007199254740993, -1] int64 (2) on cpu");
  CHECK(text(zeros({0, 2})) == "[]\nfloat32 (0, 2) on cpu");
  const Tensor matrix = tensor<float>({1, 2, 3, 4}, {2, 2});
  CHECK(text(matrix) == "[[1, 2],\n [3, 4]]\nfloat32 (2, 2) on cpu");
  CHECK(text(transpose(matrix, 0, 1)) == "[[1, 3],\n [2, 4]]\nfloat32 (2, 2) on cpu");
  CHECK(text(Tensor(tensor<float>({0, 3}, {2}).array().to(DType::boolean))) == "[false, true] bool (2) on cpu");
  CHECK(text(reshape(tensor<float>({1, 2}, {2}), {2, 1, 1})) == "[[[1]],\n\n [[2]]]\nfloat32 (2, 1, 1) on cpu");
  CHECK(text(zeros({2, 600})) == "[[0, 0, 0, ..., 0, 0, 0],\n [0, 0, 0, ..., 0, 0, 0]]\nfloat32 (2, 600) on cpu");
  CHECK(text(zeros({1001, 1})) == "[[0],\n [0],\n [0],\n ...,\n [0],\n [0],\n [0]]\nfloat32 (1001, 1) on cpu");
  CHECK(text(ones({3}, {.device = "virtual:h200"})) == "float32 (3) on virtual:h200");
  std::ostringstream stream;
  stream << matrix;
  CHECK(stream.str() == text(matrix));
}
