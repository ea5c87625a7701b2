#include "command/output.h"

#include <iostream>

namespace mnemo::command {

void print_json(const Json& object) {
  // Names come from the command line and need not be valid UTF-8.
  std::cout << object.dump(2, ' ', false, Json::error_handler_t::replace) << std::endl;
}

void print(const std::string& text) { std::cout << text << std::flush; }

void complain(const std::string& text) { std::cerr << "mnemo: " << text << std::endl; }

}  // namespace mnemo::command
