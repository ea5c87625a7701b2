// What a refusal of backward says.
#pragma once

#include <functional>
#include <string>

#include <mnemo/core/error.h>

/// The text of the GradError that `action` throws; "nothing was refused" when it throws none.
inline std::string refusal(const std::function<void()>& action) {
  try {
    action();
  } catch (const mnemo::GradError& error) {
    return error.what();
  }
  return "nothing was refused";
}

inline bool mentions(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }
