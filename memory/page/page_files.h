// The parts of the report's page, as the build has put them into the library.
#pragma once

#include <string_view>

namespace mnemo::memory {

struct PageFiles {
  std::string_view frame;  ///< template.html
  std::string_view style;
  std::string_view script;  ///< every .js file, main.js last
  // The curve library dygraphs; empty when the build found none.
  std::string_view library_style;
  std::string_view library_script;
  std::string_view library_licence;
  std::string_view version;  ///< of mnemo
};

const PageFiles& page_files();

}  // namespace mnemo::memory
