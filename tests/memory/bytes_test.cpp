#include <doctest/doctest.h>

#include <initializer_list>
#include <string>

#include <mnemo/memory/bytes.h>
#include <mnemo/memory/error.h>

namespace mnemo::memory {
namespace {

TEST_CASE("sizes are read with binary and decimal units") {
  CHECK(parse_bytes("1") == 1);
  CHECK(parse_bytes("25769803776") == 25'769'803'776);
  CHECK(parse_bytes("24GiB") == 25'769'803'776);
  CHECK(parse_bytes("512 MiB") == 536'870'912);
  CHECK(parse_bytes("2GB") == 2'000'000'000);
  CHECK(parse_bytes("1.5GiB") == 1'610'612'736);
  CHECK(parse_bytes("0.5KiB") == 512);
  CHECK(parse_bytes(" 3 kib ") == 3'072);
  CHECK(parse_bytes("1TiB") == 1'099'511'627'776);
  CHECK(parse_bytes("10 bytes") == 10);
  CHECK(parse_bytes("9223372036854775807") == 9'223'372'036'854'775'807);
}

TEST_CASE("what is not a size is refused with the text and what would be allowed") {
  for (const char* text : {"", " ", "0", "0GiB", "-1", "+1", "GiB", "1.2.3", ".", "12 parsecs", "1e9", "0x10", "nan",
                           "inf", "9223372036854775808", "99999999999GiB", "1 2", "9000000000.5GiB"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(parse_bytes(text), ConfigError);
  }
  try {
    parse_bytes("12 parsecs");
  } catch (const ConfigError& error) {
    const std::string text = error.what();
    CHECK(text.find("12 parsecs") != std::string::npos);
    CHECK(text.find("GiB") != std::string::npos);
  }
}

TEST_CASE("sizes are written with two decimals") {
  CHECK(format_bytes(0) == "0 bytes");
  CHECK(format_bytes(1) == "1 byte");
  CHECK(format_bytes(512) == "512 bytes");
  CHECK(format_bytes(1536) == "1.50 KiB");
  CHECK(format_bytes(20 * MiB) == "20.00 MiB");
  CHECK(format_bytes(3 * GiB + 256 * MiB) == "3.25 GiB");
  CHECK(format_bytes(-1536) == "-1.50 KiB");
  CHECK(format_bytes(1023 * GiB) == "1023.00 GiB");
  CHECK(format_bytes(1024 * GiB) == "1.00 TiB");
  CHECK(format_bytes(-2560 * GiB) == "-2.50 TiB");
}

TEST_CASE("rounding up to a multiple") {
  CHECK(round_up(0, 512) == 0);
  CHECK(round_up(1, 512) == 512);
  CHECK(round_up(512, 512) == 512);
  CHECK(round_up(513, 512) == 1024);
}

}  // namespace
}  // namespace mnemo::memory
