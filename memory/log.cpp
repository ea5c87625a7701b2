#include <mnemo/memory/log.h>

#include <cstdlib>

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

namespace mnemo::memory {

namespace {

/// Never destroyed: what ends with the process may still have something to say.
spdlog::logger& logger() {
  static spdlog::logger* const instance = [] {
    auto* made = new spdlog::logger("mnemo", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
    if (const char* level = std::getenv("MNEMO_LOG")) made->set_level(spdlog::level::from_str(level));
    return made;
  }();
  return *instance;
}

}  // namespace

void log_info(const std::string& text) { logger().info(text); }
void log_warning(const std::string& text) { logger().warn(text); }

}  // namespace mnemo::memory
