// Files of tensors. What is compared byte for byte was put together by hand from the format's description; what a
// strict reader must refuse is listed there too.
#include <doctest/doctest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <limits>

#include <mnemo/core/error.h>
#include <mnemo/core/families.h>
#include <mnemo/core/random.h>
#include <mnemo/core/tensor_file.h>
#include <mnemo/memory/allocator.h>

#include "temporary_folder.h"

using namespace mnemo;

namespace {

namespace fs = std::filesystem;

/// A name for a file that is gone at the end of the test.
class File {
 public:
  File() = default;
  explicit File(const std::string& bytes) { std::ofstream(path(), std::ios::binary) << bytes; }
  std::string path() const { return folder_ / "tensors"; }
  std::string read() const {
    std::ifstream file(path(), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  std::size_t beside() const { return folder_.files(); }

 private:
  TemporaryFolder folder_;
};

std::string little_endian(std::uint64_t value, int bytes = 8) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i) & 0xff);
  return text;
}

std::string file_of(const std::string& header, const std::string& buffer) {
  return little_endian(header.size()) + header + buffer;
}

/// Why a file is refused, without its path; "" if it is not.
std::string refusal(const std::string& bytes) {
  const File file(bytes);
  try {
    TensorFile reader(file.path());
  } catch (const FileError& error) {
    const std::string text = error.what();
    REQUIRE(text.starts_with(file.path() + ": "));
    return text.substr(file.path().size() + 2);
  }
  return "";
}
std::string refusal(const std::string& header, std::size_t buffer) {
  return refusal(file_of(header, std::string(buffer, 'x')));
}

/// {"x":{...}} of these fields.
std::string entry(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"x":{"dtype":)" + dtype + R"(,"shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}";
}

void check_refused(const std::string& said, const std::string& header, std::size_t buffer) {
  CAPTURE(header);
  CHECK(refusal(header, buffer).find(said) != std::string::npos);
  if (refusal(header, buffer).find(said) == std::string::npos) MESSAGE(refusal(header, buffer));
}

}  // namespace

TEST_CASE("a file is written as the format wants it, byte for byte") {
  const File file;
  const std::vector<NamedArray> arrays{{"b", Array::from<float>({1, 2}, {2})},
                                       {"a", Array::from<bfloat16>({bfloat16(1.0F), bfloat16(-2.0F)}, {1, 2})},
                                       {"c", Array::from<std::int64_t>({-2}, {})},
                                       {"a2", Array::from<float>({0.5F}, {1})}};
  write_tensors(file.path(), arrays, {{"by", "hand \"x\""}});
  // Wide dtypes first (I64, F32, BF16), then names; blanks to a multiple of 8 bytes.
  std::string header =
      R"({"__metadata__":{"by":"hand \"x\""},"c":{"dtype":"I64","shape":[],"data_offsets":[0,8]},)"
      R"("a2":{"dtype":"F32","shape":[1],"data_offsets":[8,12]},"b":{"dtype":"F32","shape":[2],"data_offsets":[12,20]},)"
      R"("a":{"dtype":"BF16","shape":[1,2],"data_offsets":[20,24]}})";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  CHECK(file.read() == file_of(header, little_endian(static_cast<std::uint64_t>(-2)) + little_endian(0x3f000000, 4) +
                                           little_endian(0x3f800000, 4) + little_endian(0x40000000, 4) +
                                           little_endian(0x3f80, 2) + little_endian(0xc000, 2)));
  CHECK(file.beside() == 1);
}

TEST_CASE("a file by hand is read: blanks, order, scalars, empty tensors, dtypes that mnemo does not have") {
  const std::string header =
      "{ \"two\": {\"shape\": [2, 1], \"data_offsets\": [5, 9], \"dtype\": \"F16\"},\n"
      " \"none\": {\"dtype\":\"F64\",\"shape\":[3,0],\"data_offsets\":[5,5]},"
      " \"first\": {\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]},"
      " \"nibbles\": {\"dtype\":\"F4\",\"shape\":[2],\"data_offsets\":[9,10]},"
      " \"d\\u00e9j\\u00e0\": {\"dtype\":\"I32\",\"shape\":[1],\"data_offsets\":[1,5]} }   ";
  const File file(file_of(
      header, "\x07" + little_endian(0xfffffffe, 4) + little_endian(0x3c00, 2) + little_endian(0xc000, 2) + "?"));
  TensorFile reader(file.path());
  REQUIRE(reader.entries().size() == 5);
  CHECK(reader.metadata().empty());
  CHECK(reader.find("nothing") == nullptr);
  CHECK(reader.read(*reader.find("first")).item() == 7);
  const Array two = reader.read(*reader.find("two"));
  CHECK(two.dtype() == DType::float16);
  CHECK(two.shape() == Shape{2, 1});
  CHECK(two.values<double>() == std::vector<double>{1, -2});
  CHECK(reader.read(*reader.find("none")).shape() == Shape{3, 0});
  CHECK(reader.read(*reader.find("d\xc3\xa9j\xc3\xa0")).item() == -2);
  CHECK_THROWS_AS(reader.read(*reader.find("nibbles")), DTypeError);
  CHECK(reader.read(*reader.find("two"), 1, 1).item() == -2);
  CHECK(reader.read(*reader.find("two"), 2, 0).shape() == Shape{0, 1});
  for (const auto& [first, count] : {std::pair(-1, 1), std::pair(1, 2), std::pair(3, 0), std::pair(0, -1)})
    CHECK_THROWS_AS(reader.read(*reader.find("two"), first, count), ShapeError);
  CHECK_THROWS_AS(reader.read(*reader.find("first"), 0, 1), ShapeError);
  CHECK(TensorFile(File(file_of("{}", "")).path()).entries().empty());
}

TEST_CASE("all dtypes come back bit for bit, NaNs and all, from any strides") {
  manual_seed(3);
  for (const DType dtype : kDTypes) {
    CAPTURE(name(dtype));
    const File file, again;
    // Any bits at all, but of truth values 0 and 1.
    const std::int64_t count = 3 * 4 * 5 * 2;
    std::vector<std::uint8_t> bits(static_cast<std::size_t>(count * size_of(dtype)));
    for (std::size_t i = 0; i < bits.size(); ++i)
      bits[i] = dtype == DType::boolean ? i % 3 == 0 : static_cast<std::uint8_t>(i * 151 + 13);
    Array array({3, 4, 5, 2}, dtype);
    std::memcpy(array.data<std::uint8_t>(), bits.data(), bits.size());
    const Array strided = array.channels_last();
    CHECK_FALSE(strided.is_contiguous());
    write_tensors(file.path(), std::vector<NamedArray>{{"x", strided}});
    TensorFile reader(file.path());
    const Array back = reader.read(reader.entries().front());
    REQUIRE(back.dtype() == dtype);
    REQUIRE(back.shape() == array.shape());
    CHECK(std::memcmp(back.data<std::uint8_t>(), bits.data(), bits.size()) == 0);
    const Array rows = reader.read(reader.entries().front(), 1, 2);
    CHECK(std::memcmp(rows.data<std::uint8_t>(), bits.data() + bits.size() / 3, bits.size() / 3 * 2) == 0);
  }
}

TEST_CASE("what is no file of tensors is refused") {
  CHECK(refusal("") == "is too short for a file of tensors: 0 bytes");
  CHECK(refusal(std::string(7, '\0')) == "is too short for a file of tensors: 7 bytes");
  CHECK(refusal(little_endian(0)) == "has a header that does not begin with {");
  CHECK(refusal(little_endian(3) + "{}") == "has a header of 3 bytes, and ends after 2");
  CHECK(refusal(little_endian(100'000'001) + "{}").find("more than 100000000") != std::string::npos);
  CHECK(refusal(little_endian(std::numeric_limits<std::uint64_t>::max()) + "{}").find("more than") !=
        std::string::npos);
  check_refused("does not begin", " {}", 0);
  check_refused("does not begin", "\xef\xbb\xbf{}", 0);
  check_refused("does not begin", "[]", 0);
  check_refused("does not begin", "null", 0);
  check_refused("does not end", "{}\n", 0);
  check_refused("does not end", "{", 0);
  check_refused("does not end", std::string("{}\0", 3), 0);
  check_refused("NUL", std::string("{}\0}", 4), 0);
  check_refused("no valid JSON", "{}{}", 0);
  check_refused("no valid JSON at byte 10 of its header", "{]}", 0);
  check_refused("no valid JSON", "{\"\xff\":1}", 0);
  check_refused("no valid JSON", "{\"__metadata__\":{\"a\":\"\xc0\x80\"}}", 0);
  check_refused("no valid JSON", "{,}", 0);
  check_refused("its tensors are 0 bytes, and 1 are there", "{}", 1);
}

TEST_CASE("entries that are not as they must be are refused") {
  CHECK(refusal(entry("\"F32\"", "[1]", "[0,4]"), 4).empty());
  for (const char* other : {"null", "true", "1", "-1", "0.5", "\"a\"", "[]"}) {
    check_refused("which must be an object", std::string("{\"x\":") + other + "}", 0);
    check_refused("which must be an object", std::string("{\"__metadata__\":") + other + "}", 0);
    if (std::string(other) != "\"a\"") {
      check_refused("which must be a text", std::string("{\"__metadata__\":{\"a\":") + other + "}}", 0);
      check_refused("which must be a text", entry(other, "[1]", "[0,4]"), 4);
    }
    if (std::string(other) != "[]") {
      check_refused("which must be a list", entry("\"F32\"", other, "[0,4]"), 4);
      check_refused("which must be a list", entry("\"F32\"", "[1]", other), 4);
    }
  }
  check_refused("which must be a text", R"({"__metadata__":{"a":{}}})", 0);
  check_refused("which must be a text", entry("{}", "[1]", "[0,4]"), 4);
  check_refused("which must be a list", entry("\"F32\"", "{}", "[0,4]"), 4);
  for (const char* number :
       {"-1", "-0", "1.0", "1e0", "0.5", "18446744073709551616", "null", "\"1\"", "[1]", "{}", "true"}) {
    check_refused("which must be a whole number", entry("\"F32\"", std::string("[") + number + "]", "[0,4]"), 4);
    check_refused("which must be a whole number", entry("\"F32\"", "[1]", std::string("[0,") + number + "]"), 4);
  }
  check_refused("too large", entry("\"F32\"", "[9223372036854775808]", "[0,4]"), 4);
  check_refused("a dtype that the format does not have", entry("\"F33\"", "[1]", "[0,4]"), 4);
  check_refused("a dtype that the format does not have", entry("\"f32\"", "[1]", "[0,4]"), 4);
  check_refused("data_offsets", entry("\"F32\"", "[1]", "[0]"), 4);
  check_refused("data_offsets", entry("\"F32\"", "[1]", "[0,4,8]"), 4);
  check_refused("has no data_offsets for \"x\"", R"({"x":{"dtype":"F32","shape":[1]}})", 4);
  check_refused("has no shape for \"x\"", R"({"x":{"dtype":"F32","data_offsets":[0,4]}})", 4);
  check_refused("has no dtype for \"x\"", R"({"x":{"shape":[1],"data_offsets":[0,4]}})", 4);
  check_refused("unknown field \"more\"", R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"more":[]}})", 4);
  check_refused("\"shape\" twice", R"({"x":{"shape":[1],"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4);
  check_refused("\"a\" twice", R"({"__metadata__":{"a":"b","a":"b"}})", 0);
  check_refused("\"__metadata__\" twice", R"({"__metadata__":{},"__metadata__":{}})", 0);
  const std::string empty = R"({"dtype":"F32","shape":[0],"data_offsets":[0,0]})";
  check_refused("\"x\" twice", "{\"x\":" + empty + ",\"x\":" + empty + "}", 0);
  check_refused("\"x\" twice", "{\"x\":" + empty + ",\"\\u0078\":" + empty + "}", 0);
  CHECK_FALSE(refusal(std::string(50'000, '[') + "}", 0).empty());
  CHECK_FALSE(refusal("{\"x\":{\"shape\":" + std::string(50'000, '[') + "}", 0).empty());
}

TEST_CASE("places that are not just the buffer are refused") {
  const auto pair = [](const std::string& first, const std::string& second, const std::string& shape = "[4]") {
    return R"({"a":{"dtype":"U8","shape":)" + shape + R"(,"data_offsets":)" + first +
           R"(},"b":{"dtype":"U8","shape":[4],"data_offsets":)" + second + "}}";
  };
  CHECK(refusal(pair("[0,4]", "[4,8]"), 8).empty());
  CHECK(refusal(pair("[4,8]", "[0,4]"), 8).empty());
  CHECK(refusal(pair("[4,4]", "[0,4]", "[0]"), 4).empty());
  check_refused("begins at 5 of the buffer, where the one before ends at 4", pair("[0,4]", "[5,9]"), 9);
  check_refused("begins at 3 of the buffer, where the one before ends at 4", pair("[0,4]", "[3,7]"), 7);
  check_refused("begins at 0 of the buffer, where the one before ends at 4", pair("[0,4]", "[0,4]"), 4);
  check_refused("begins at 1 of the buffer, where the one before ends at 0", pair("[1,5]", "[5,9]"), 9);
  check_refused("begins at 2 of the buffer", pair("[2,2]", "[0,4]", "[0]"), 4);
  check_refused("ends at 0 before it begins at 4", pair("[4,0]", "[0,4]"), 4);
  check_refused("8 bytes, and 9 are there", pair("[0,4]", "[4,8]"), 9);
  check_refused("8 bytes, and 7 are there", pair("[0,4]", "[4,8]"), 7);
  check_refused("has 3 bytes at its place, and needs 4", pair("[0,3]", "[3,7]"), 7);
  check_refused("overflow", entry("\"U8\"", "[4294967296,4294967296]", "[0,0]"), 0);
  check_refused("overflow", entry("\"F64\"", "[4611686018427387904]", "[0,0]"), 0);
  check_refused("no whole bytes", entry("\"F4\"", "[3]", "[0,1]"), 1);
  check_refused("no whole bytes", entry("\"F6_E3M2\"", "[2]", "[0,1]"), 1);
  CHECK(refusal(entry("\"F6_E3M2\"", "[4]", "[0,3]"), 3).empty());
  // Ten tensors on the same bytes, as in an attack on readers that trust the header.
  std::string many = "{";
  for (int i = 0; i < 10; ++i)
    many += (i > 0 ? ",\"" : "\"") + std::to_string(i) + R"(":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]})";
  check_refused("begins at 0 of the buffer, where the one before ends at 16", many + "}", 16);
}

TEST_CASE("arrays whose names or values cannot be written are refused, and the file that was there stays") {
  const File file("before");
  const Array one = full({1}, 1, DType::float32);
  const auto refused = [&](const std::vector<NamedArray>& arrays) {
    CHECK_THROWS_AS(write_tensors(file.path(), arrays), Error);
    CHECK(file.read() == "before");
    CHECK(file.beside() == 1);
  };
  refused({{"a", one}, {"a", one}});
  refused({{"__metadata__", one}});
  refused({{"\xff", one}});
  refused({{"a", one}, {"b", full({1}, 1, DType::float32, Device::open("virtual:cpu", {}))}});
  CHECK_THROWS_AS(write_tensors("/nonexistent/file", std::vector<NamedArray>{{"a", one}}), FileError);
  CHECK_THROWS_AS(write_tensors(fs::temp_directory_path().string(), std::vector<NamedArray>{{"a", one}}), FileError);
  CHECK_THROWS_AS(TensorFile(fs::temp_directory_path().string()), FileError);
  write_tensors(file.path(), std::vector<NamedArray>{{"a", one}});
  CHECK(TensorFile(file.path()).entries().size() == 1);
}

TEST_CASE("a file that is cut short after it was opened is noticed") {
  const File file;
  write_tensors(file.path(), std::vector<NamedArray>{{"a", full({1000}, 1, DType::float32)}});
  TensorFile reader(file.path());
  fs::resize_file(file.path(), 2000);
  CHECK_THROWS_AS(reader.read(reader.entries().front()), FileError);
}

TEST_CASE("truth values that are neither 0 nor 1 in the file are 1 in memory; nothing is read for a virtual device") {
  const File file(file_of(entry("\"BOOL\"", "[3]", "[0,3]"), std::string("\x02\x00\xff", 3)));
  TensorFile reader(file.path());
  const Array array = reader.read(reader.entries().front());
  CHECK(std::memcmp(array.data<std::uint8_t>(), "\1\0\1", 3) == 0);
  fs::remove(file.path());
  const Device device = Device::open("virtual:cpu", {});
  CHECK(reader.read(reader.entries().front(), device).shape() == Shape{3});
}
