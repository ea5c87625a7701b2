// What `mnemo lab` answers, for the tests that hold its figures against numbers from paper.
#pragma once

#include <cstdint>
#include <string>

#include <nlohmann/json.hpp>

/// The object of `mnemo lab NAME --json --device DEVICE`; the test fails unless the lab ends well. Its answer is
/// always the same, so that it is run once.
nlohmann::json lab(const std::string& name, const std::string& device, const std::string& environment = {});

const nlohmann::json& row_of(const nlohmann::json& lab, const std::string& claim);
std::string verdict(const nlohmann::json& lab, const std::string& claim);
/// The measured figure whose name begins so; -1 if there is none.
std::int64_t measured(const nlohmann::json& row, const std::string& beginning);

/// Checks that the lab agrees with its arithmetic on every kind of device, and where cuDNN is not installed.
void check_agreement(const std::string& name);

/// Bytes of the block that the allocator gives for so many bytes.
std::int64_t blocks(std::int64_t bytes);
