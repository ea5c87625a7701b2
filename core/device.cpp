#include <mnemo/core/device.h>

#include <cctype>
#include <charconv>
#include <map>
#include <mutex>
#include <optional>

#include <fmt/format.h>

#include <mnemo/core/card.h>
#include <mnemo/core/cpu/backend.h>
#include <mnemo/core/cuda_device.h>
#include <mnemo/core/error.h>
#include <mnemo/core/planning/card_decisions.h>
#include <mnemo/core/virtual_backend.h>

namespace mnemo {

namespace {

std::optional<std::string_view> after(std::string_view text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return std::nullopt;
  return text.substr(prefix.size());
}

/// "; did you mean virtual:h200?" for h200 and for virtual:H200.
std::string suggestion(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  for (const std::string& name : {lower, "virtual:" + lower}) {
    if (name != text && (name == "cpu" || name == "cuda" || card_of_device(name) != nullptr))
      return fmt::format("; did you mean {}?", name);
  }
  return {};
}

[[noreturn]] void refuse(std::string_view text, const std::string& reason) {
  std::string names;
  for (const Card& card : cards()) names += fmt::format("{}{}", names.empty() ? "" : ", ", card.name);
  throw DeviceError(
      fmt::format("[device] \"{}\": {}{}; write cpu, cpu:SIZE, cuda, cuda:N, virtual:cpu, virtual:cpu:SIZE, "
                  "virtual:SIZE, virtual:CARD, virtual:CARD,SIZE or virtual:CARD,cudnn=VERSION, with SIZE such as "
                  "16GiB and CARD one "
                  "of {}",
                  text, reason, suggestion(text), names));
}

/// A SIZE after the colon; a text that is no size is refused as `what`.
memory::Bytes size_in(std::string_view device, std::string_view size, const char* what) {
  try {
    return memory::parse_bytes(size);
  } catch (const ConfigError& error) {
    refuse(device, fmt::format("\"{}\" is not {} ({})", size, what, error.what()));
  }
}

std::shared_ptr<Backend> open_virtual(std::string_view text, std::string_view target,
                                      const memory::AllocatorConfig& config) {
  const std::string name(text);
  const auto make = [&](memory::Bytes capacity, memory::Bytes context, std::shared_ptr<const Decisions> decisions) {
    return std::make_shared<VirtualBackend>(name, std::make_unique<memory::VirtualSource>(capacity, context), config,
                                            std::move(decisions));
  };
  if (target == "cpu") return make(0, 0, cpu_decisions());
  if (const auto size = after(target, "cpu:")) return make(size_in(text, *size, "a size"), 0, cpu_decisions());
  std::size_t comma = target.find(',');
  if (const Card* card = find_card(target.substr(0, comma))) {
    memory::Bytes capacity = card->capacity;
    std::string_view version;
    while (comma != std::string_view::npos) {
      target.remove_prefix(comma + 1);
      comma = target.find(',');
      const std::string_view option = target.substr(0, comma);
      const auto named = after(option, "cudnn=");
      if (named && !named->empty())
        version = *named;
      else
        capacity = size_in(text, option, "a size, and behind a card's name there may also be cudnn=VERSION");
    }
    return make(capacity, card->context, card_decisions(*card, version));
  }
  return make(size_in(text, target, "a card or a size"), 0, estimated_decisions());
}

std::shared_ptr<Backend> open_backend(std::string_view text, const memory::AllocatorConfig& config) {
  if (text == "cpu" || text.starts_with("cpu:")) {
    const auto size = after(text, "cpu:");
    const memory::Bytes capacity = size ? size_in(text, *size, "a size") : 0;
    return std::make_shared<cpu::CpuBackend>(std::string(text), memory::make_host_source(capacity), config,
                                             cpu_decisions());
  }
  if (const auto target = after(text, "virtual:")) return open_virtual(text, *target, config);
  if (text == "cuda" || text.starts_with("cuda:")) {
    int index = 0;
    if (const auto number = after(text, "cuda:")) {
      const auto [end, error] = std::from_chars(number->data(), number->data() + number->size(), index);
      if (error != std::errc{} || end != number->data() + number->size() || index < 0)
        refuse(text, "the index is not a number");
    }
    std::string reason;
    if (auto backend = open_cuda_device(index, config, reason)) return backend;
    throw DeviceError(fmt::format("[device] \"{}\": {}; use cpu, or virtual:h200 to run shape-only", text, reason));
  }
  refuse(text, "no such device");
}

Device& current_device() {
  thread_local Device device{std::string_view("cpu")};
  return device;
}

}  // namespace

Device::Device() : Device(current_device()) {}

Device::Device(std::string_view text) {
  if (text == "cuda") text = "cuda:0";  // two names of one device
  static std::mutex mutex;
  // Kept until the end of the process, so that a name means the same device throughout.
  static auto* devices = new std::map<std::string, std::shared_ptr<Backend>, std::less<>>;
  const std::lock_guard lock(mutex);
  auto found = devices->find(text);
  if (found == devices->end()) {
    found = devices->emplace(text, open_backend(text, memory::AllocatorConfig::from_environment())).first;
  }
  backend_ = found->second;
}

Device Device::open(std::string_view text, const memory::AllocatorConfig& config) {
  return Device(open_backend(text, config));
}

const std::string& Device::name() const { return backend_->name(); }
bool Device::is_virtual() const { return backend_->is_virtual(); }
memory::CachingAllocator& Device::allocator() const { return backend_->allocator(); }

DeviceScope::DeviceScope(Device device) : before_(current_device()) { current_device() = std::move(device); }
DeviceScope::~DeviceScope() { current_device() = before_; }

}  // namespace mnemo
