#include "models/layer.h"

#include <charconv>
#include <string>

#include <fmt/format.h>

#include "models/convolutions.h"

namespace mnemo::models {

namespace {

constexpr const char* kForm =
    "a layer is written conv3d:16,32,k3,p1@4x16x32x32x32: channels in and out, then k(ernel), "
    "p(adding), s(tride), d(ilation), g(roups), then the input's shape";

/// The text being read, for errors.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  [[noreturn]] void refuse(const std::string& reason) const {
    throw ConfigError(fmt::format("\"{}\": {}; {}", text_, reason, kForm));
  }

  std::int64_t number(std::string_view digits, std::int64_t least) const {
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc{} || end != digits.data() + digits.size() || value < least || value > INT32_MAX) {
      refuse(fmt::format("\"{}\" is not a whole number from {} to {}", digits, least, INT32_MAX));
    }
    return value;
  }

  /// "1x3x3"
  std::vector<std::int64_t> numbers(std::string_view list, std::int64_t least) const {
    std::vector<std::int64_t> values;
    for (const std::string_view part : split(list, 'x')) values.push_back(number(part, least));
    return values;
  }

  static std::vector<std::string_view> split(std::string_view list, char between) {
    std::vector<std::string_view> parts;
    for (std::size_t at = 0; at != std::string_view::npos;) {
      const std::size_t end = list.find(between, at);
      parts.push_back(list.substr(at, end == std::string_view::npos ? end : end - at));
      at = end == std::string_view::npos ? end : end + 1;
    }
    return parts;
  }

 private:
  std::string_view text_;
};

/// One number per size from one or all of them.
struct Sizes3 {
  std::vector<std::int64_t> values;

  Extent extent() const {
    if (values.size() == 1) return values[0];
    if (values.size() == 2) return {values[0], values[1]};
    return {values[0], values[1], values[2]};
  }
  Padding padding() const {
    if (values.size() == 1) return values[0];
    if (values.size() == 2) return {values[0], values[1]};
    return {values[0], values[1], values[2]};
  }
};

nn::ConvLayerOptions read_options(const Reader& reader, std::string_view list, int rank) {
  const auto parts = Reader::split(list, ',');
  if (parts.size() < 2) reader.refuse("the channels in and out are missing");
  nn::ConvLayerOptions options{.in = reader.number(parts[0], 1), .out = reader.number(parts[1], 1)};
  bool has_kernel = false;
  std::string seen;
  for (std::size_t i = 2; i < parts.size(); ++i) {
    const char word = parts[i].empty() ? ' ' : parts[i][0];
    if (std::string_view("kpsdg").find(word) == std::string_view::npos || parts[i].empty())
      reader.refuse(fmt::format("\"{}\" is not one of kN, pN, sN, dN, gN", parts[i]));
    if (seen.find(word) != std::string::npos) reader.refuse(fmt::format("{} is given twice", word));
    seen += word;
    const Sizes3 sizes{reader.numbers(parts[i].substr(1), word == 'p' ? 0 : 1)};
    if (sizes.values.size() != 1 && (word == 'g' || sizes.values.size() != static_cast<std::size_t>(rank)))
      reader.refuse(fmt::format("\"{}\" has {} numbers", parts[i], sizes.values.size()));
    if (word == 'k') options.kernel = sizes.extent(), has_kernel = true;
    if (word == 'p') options.padding = sizes.padding();
    if (word == 's') options.stride = sizes.extent();
    if (word == 'd') options.dilation = sizes.extent();
    if (word == 'g') options.groups = sizes.values[0];
  }
  if (!has_kernel) reader.refuse("the kernel is missing, such as k3");
  return options;
}

template <int rank>
std::function<std::unique_ptr<Model>()> maker(const nn::ConvLayerOptions& options) {
  return [options] { return as_model(SingleConv<rank>(options)); };
}

}  // namespace

bool is_layer(std::string_view text) {
  return text.starts_with("conv1d:") || text.starts_with("conv2d:") || text.starts_with("conv3d:");
}

Spec layer_spec(std::string_view text) {
  const Reader reader(text);
  if (!is_layer(text)) reader.refuse("it begins with none of conv1d:, conv2d: and conv3d:");
  const int rank = text[4] - '0';
  const std::size_t at = text.find('@');
  if (at == std::string_view::npos) reader.refuse("the input's shape is missing, such as @4x16x32x32x32");
  const nn::ConvLayerOptions options = read_options(reader, text.substr(7, at - 7), rank);
  const std::vector<std::int64_t> shape = reader.numbers(text.substr(at + 1), 1);
  if (shape.size() != static_cast<std::size_t>(rank) + 2)
    reader.refuse(fmt::format("the input has {} sizes, not {}", shape.size(), rank + 2));
  if (shape[1] != options.in)
    reader.refuse(fmt::format("the input has {} channels, the layer takes {}", shape[1], options.in));
  if (options.in % options.groups != 0 || options.out % options.groups != 0)
    reader.refuse(fmt::format("{} groups do not divide {} and {} channels", options.groups, options.in, options.out));
  Spec spec{.name = std::string(text), .description = "one convolution", .batch = shape[0]};
  spec.extents.assign(shape.begin() + 2, shape.end());
  spec.channels = options.in;
  spec.spatial_rank = rank;
  spec.make = rank == 1 ? maker<1>(options) : rank == 2 ? maker<2>(options) : maker<3>(options);
  return spec;
}

}  // namespace mnemo::models
