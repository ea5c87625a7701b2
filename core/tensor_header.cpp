#include <mnemo/core/tensor_header.h>

#include <algorithm>
#include <iterator>
#include <limits>
#include <set>
#include <tuple>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <mnemo/memory/error.h>

namespace mnemo {

namespace {

constexpr const char* kMetadata = "__metadata__";

struct FormatType {
  const char* name;
  std::uint64_t bits;
  std::optional<DType> dtype = {};
};

/// In the format's own order, by which files are sorted.
constexpr FormatType kTypes[] = {
    {"BOOL", 8, DType::boolean},
    {"F4", 4},
    {"F6_E2M3", 6},
    {"F6_E3M2", 6},
    {"U8", 8, DType::uint8},
    {"I8", 8},
    {"F8_E5M2", 8},
    {"F8_E4M3", 8},
    {"F8_E8M0", 8},
    {"F8_E4M3FNUZ", 8},
    {"F8_E5M2FNUZ", 8},
    {"I16", 16},
    {"U16", 16},
    {"F16", 16, DType::float16},
    {"BF16", 16, DType::bfloat16},
    {"I32", 32, DType::int32},
    {"U32", 32},
    {"F32", 32, DType::float32},
    {"C64", 64},
    {"F64", 64, DType::float64},
    {"I64", 64, DType::int64},
    {"U64", 64},
};

/// std::end(kTypes) for a name that the format does not have.
const FormatType* find_type(std::string_view name) {
  return std::find_if(std::begin(kTypes), std::end(kTypes),
                      [name](const FormatType& type) { return type.name == name; });
}

/// A name from a file, as an error text quotes it: printable, and not endless.
std::string shown(std::string_view text) {
  constexpr std::size_t kLongest = 100;
  std::string printable;
  for (const char c : text.substr(0, kLongest))
    printable += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  return '"' + printable + (text.size() > kLongest ? "...\"" : "\"");
}

bool multiply(std::uint64_t a, std::uint64_t b, std::uint64_t& product) {
  return !__builtin_mul_overflow(a, b, &product);
}

/// Follows the header through the parser, which tells it piece by piece; false ends the parsing, with `reason`.
class HeaderBuilder : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool null() override { return refuse("null"); }
  bool boolean(bool) override { return refuse("a truth value"); }
  bool number_integer(number_integer_t) override { return refuse("a negative number"); }
  bool number_unsigned(number_unsigned_t value) override {
    if (place_ != Place::numbers) return refuse("a number");
    if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
      return stop(fmt::format("has {} in {}, which is too large", value, where()));
    numbers_->push_back(static_cast<std::int64_t>(value));
    return true;
  }
  // Also whole numbers beyond 2^64.
  bool number_float(number_float_t, const string_t& text) override { return refuse("the number " + shown(text)); }
  bool string(string_t& value) override {
    if (place_ == Place::metadata) {
      header.metadata[key_] = std::move(value);
      return true;
    }
    if (place_ != Place::entry || key_ != "dtype") return refuse("a text");
    if (find_type(value) == std::end(kTypes))
      return stop(fmt::format("says that {} is {}, a dtype that the format does not have", shown(name_), shown(value)));
    entry_.dtype = std::move(value);
    return true;
  }
  bool binary(binary_t&) override { return false; }

  bool key(string_t& value) override {
    if (place_ == Place::top) {
      if (!names_.insert(value).second) return stop(fmt::format("has {} twice", shown(value)));
      name_ = std::move(value);
      return true;
    }
    if (!keys_.insert(value).second) return stop(fmt::format("has {} twice in {}", shown(value), shown(name_)));
    if (place_ == Place::entry && value != "dtype" && value != "shape" && value != "data_offsets")
      return stop(fmt::format("has the unknown field {} in {}", shown(value), shown(name_)));
    key_ = std::move(value);
    return true;
  }
  bool start_object(std::size_t) override {
    if (place_ != Place::outside && place_ != Place::top) return refuse("an object");
    keys_.clear();
    key_.clear();
    if (place_ == Place::outside) {
      place_ = Place::top;
    } else if (name_ == kMetadata) {
      place_ = Place::metadata;
    } else {
      place_ = Place::entry;
      entry_ = {};
      entry_.name = name_;
      offsets_.clear();
    }
    return true;
  }
  bool end_object() override {
    if (place_ == Place::entry) {
      for (const char* field : {"dtype", "shape", "data_offsets"}) {
        if (!keys_.contains(field)) return stop(fmt::format("has no {} for {}", field, shown(name_)));
      }
      if (offsets_.size() != 2)
        return stop(fmt::format("has {} data_offsets for {}, not 2", offsets_.size(), shown(name_)));
      entry_.begin = static_cast<std::uint64_t>(offsets_[0]);
      entry_.end = static_cast<std::uint64_t>(offsets_[1]);
      header.entries.push_back(std::move(entry_));
    }
    place_ = place_ == Place::top ? Place::outside : Place::top;
    return true;
  }
  bool start_array(std::size_t) override {
    if (place_ != Place::entry || key_ == "dtype") return refuse("a list");
    place_ = Place::numbers;
    numbers_ = key_ == "shape" ? &entry_.sizes : &offsets_;
    return true;
  }
  bool end_array() override {
    place_ = Place::entry;
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    return stop(fmt::format("is no valid JSON at byte {} of its header", position + kTensorHeaderLength));
  }

  TensorHeader header;
  std::string reason;

 private:
  enum class Place { outside, top, metadata, entry, numbers };

  std::string where() const {
    if (place_ == Place::outside || name_.empty()) return "its header";
    return key_.empty() || place_ == Place::top ? shown(name_) : fmt::format("{} of {}", shown(key_), shown(name_));
  }
  bool stop(std::string text) {
    reason = std::move(text);
    return false;
  }
  bool refuse(const std::string& what) {
    const char* wanted = place_ == Place::outside    ? "an object"
                         : place_ == Place::top      ? "an object"
                         : place_ == Place::metadata ? "a text"
                         : place_ == Place::numbers  ? "a whole number from 0 on"
                         : key_ == "dtype"           ? "a text"
                                                     : "a list";
    return stop(fmt::format("has {} as {}, which must be {}", what, where(), wanted));
  }

  Place place_ = Place::outside;
  std::string name_, key_;              // of the entry, of its field
  std::set<std::string> names_, keys_;  // those that came so far
  TensorEntry entry_;
  std::vector<std::int64_t> offsets_;
  std::vector<std::int64_t>* numbers_ = nullptr;
};

/// How many bytes a tensor of these sizes has; nothing where that overflows or is no whole number, with the reason.
std::optional<std::uint64_t> bytes_of(const TensorEntry& entry, std::string& reason) {
  std::uint64_t elements = 1, bits = 0;
  bool fits = true;
  for (const std::int64_t size : entry.sizes)
    fits = fits && multiply(elements, static_cast<std::uint64_t>(size), elements);
  fits = fits && multiply(elements, find_type(entry.dtype)->bits, bits);
  if (!fits) reason = "overflow 64 bits";
  if (fits && bits % 8 != 0) reason = fmt::format("are {} bits, no whole bytes", bits);
  return fits && bits % 8 == 0 ? std::optional(bits / 8) : std::nullopt;
}

void check_places(std::vector<TensorEntry>& entries, std::uint64_t buffer_size, const std::string& file) {
  const auto refuse = [&](const TensorEntry& entry, const std::string& text) {
    throw FileError(fmt::format("{}: {} {}", file, shown(entry.name), text));
  };
  std::sort(entries.begin(), entries.end(), [](const TensorEntry& a, const TensorEntry& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  std::uint64_t end = 0;
  for (const TensorEntry& entry : entries) {
    if (entry.end < entry.begin)
      refuse(entry, fmt::format("ends at {} before it begins at {}", entry.end, entry.begin));
    if (entry.begin != end) {
      refuse(entry, fmt::format("begins at {} of the buffer, where the one before ends at {}: tensors leave no gap and "
                                "do not overlap",
                                entry.begin, end));
    }
    std::string reason;
    const std::optional<std::uint64_t> bytes = bytes_of(entry, reason);
    if (!bytes)
      refuse(entry, fmt::format("has elements ({} of {}) that {}", fmt::join(entry.sizes, " x "), entry.dtype, reason));
    if (*bytes != entry.end - entry.begin) {
      refuse(entry, fmt::format("has {} bytes at its place, and needs {} for {} of ({})", entry.end - entry.begin,
                                *bytes, entry.dtype, fmt::join(entry.sizes, ", ")));
    }
    end = entry.end;
  }
  if (end != buffer_size)
    throw FileError(fmt::format("{}: its tensors are {} bytes, and {} are there", file, end, buffer_size));
}

}  // namespace

std::uint64_t tensor_header_length(std::string_view first, std::uint64_t file_size, const std::string& name) {
  if (first.size() < kTensorHeaderLength || file_size < kTensorHeaderLength)
    throw FileError(fmt::format("{}: is too short for a file of tensors: {} bytes", name, file_size));
  std::uint64_t length = 0;
  for (std::size_t i = kTensorHeaderLength; i > 0; --i) length = length << 8 | static_cast<std::uint8_t>(first[i - 1]);
  if (length > kLongestTensorHeader) {
    throw FileError(fmt::format("{}: is no file of tensors (safetensors): its header would have {} bytes, more than {}",
                                name, length, kLongestTensorHeader));
  }
  if (length > file_size - kTensorHeaderLength) {
    throw FileError(
        fmt::format("{}: has a header of {} bytes, and ends after {}", name, length, file_size - kTensorHeaderLength));
  }
  return length;
}

TensorHeader parse_tensor_header(std::string_view text, std::uint64_t buffer_size, const std::string& name) {
  const auto refuse = [&name](const std::string& reason) { throw FileError(fmt::format("{}: {}", name, reason)); };
  // The parser would pass over a byte order mark and blanks, and take a NUL byte for the end.
  if (!text.starts_with('{')) refuse("has a header that does not begin with {");
  const std::size_t last = text.find_last_not_of(' ');
  if (text[last] != '}') refuse("has a header that does not end with } and blanks");
  if (text.find('\0') != std::string_view::npos) refuse("has a NUL byte in its header");
  HeaderBuilder builder;
  const std::string_view object = text.substr(0, last + 1);
  if (!nlohmann::json::sax_parse(object.begin(), object.end(), &builder))
    refuse(builder.reason.empty() ? "has a header that is no valid JSON" : builder.reason);
  check_places(builder.header.entries, buffer_size, name);
  return std::move(builder.header);
}

void lay_out(std::vector<TensorEntry>& entries) {
  std::sort(entries.begin(), entries.end(), [](const TensorEntry& a, const TensorEntry& b) {
    const FormatType *first = find_type(a.dtype), *second = find_type(b.dtype);
    return first != second ? first > second : a.name < b.name;
  });
  std::uint64_t end = 0;
  for (TensorEntry& entry : entries) {
    std::string reason;
    entry.begin = end;
    entry.end = end += bytes_of(entry, reason).value();
  }
}

std::string write_tensor_header(const TensorHeader& header, const std::string& name) {
  const auto json = [&name](const std::string& text) {
    try {
      return nlohmann::json(text).dump();
    } catch (const nlohmann::json::exception&) {
      throw FileError(fmt::format("{}: {} cannot be written, it is no UTF-8", name, shown(text)));
    }
  };
  std::string text = "{";
  if (!header.metadata.empty()) {
    std::vector<std::string> pairs;
    for (const auto& [key, value] : header.metadata) pairs.push_back(json(key) + ':' + json(value));
    text += fmt::format("\"{}\":{{{}}}", kMetadata, fmt::join(pairs, ","));
  }
  std::set<std::string_view> names{kMetadata};
  for (const TensorEntry& entry : header.entries) {
    if (!names.insert(entry.name).second)
      throw FileError(fmt::format("{}: a tensor cannot be named {}: {}", name, shown(entry.name),
                                  entry.name == kMetadata ? "that stands for something else" : "another one is"));
    text += fmt::format("{}{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}", text.size() > 1 ? "," : "",
                        json(entry.name), entry.dtype, fmt::join(entry.sizes, ","), entry.begin, entry.end);
  }
  text += '}';
  text.resize((text.size() + 7) / 8 * 8, ' ');
  if (text.size() > kLongestTensorHeader) {
    throw FileError(fmt::format("{}: needs a header of {} bytes, more than the format's {}", name, text.size(),
                                kLongestTensorHeader));
  }
  std::string length;
  for (std::size_t i = 0; i < kTensorHeaderLength; ++i) length += static_cast<char>(text.size() >> (8 * i) & 0xff);
  return length + text;
}

const char* format_name(DType dtype) {
  return std::find_if(std::begin(kTypes), std::end(kTypes),
                      [dtype](const FormatType& type) { return type.dtype == dtype; })
      ->name;
}

std::optional<DType> dtype_of_format(std::string_view text) {
  const FormatType* type = find_type(text);
  return type == std::end(kTypes) ? std::nullopt : type->dtype;
}

}  // namespace mnemo
