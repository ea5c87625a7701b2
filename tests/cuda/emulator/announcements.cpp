// What kernels call before each access: compiled for the thread sanitizer, but linked with this in its place. It gives
// every access with its size; the undefined-behaviour sanitizer gives those that are not aligned as their types ask.
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>

#include "checks.h"
#include "launch.h"

namespace {

using emulator::Access;

inline void announce(void* at, std::size_t bytes, Access kind, bool aligned) {
  if (emulator::judging) emulator::access(reinterpret_cast<std::uintptr_t>(at), bytes, kind, aligned);
}

/// What the compiler leaves about a place in a source.
struct SourcePlace {
  const char* file;
  std::uint32_t line, column;

  std::string text() const {
    const char* const slash = std::strrchr(file, '/');
    return std::string(slash != nullptr ? slash + 1 : file) + ":" + std::to_string(line);
  }
};
struct TypeName {
  std::uint16_t kind, info;
  char name[1];
};
struct Mismatch {
  SourcePlace place;
  const TypeName* type;
  unsigned char log_alignment, check_kind;
};
struct OutOfBounds {
  SourcePlace place;
  const TypeName *array, *index;
};

}  // namespace

#define MNEMO_ANNOUNCE(bytes)                                                               \
  void __tsan_read##bytes(void* at) { announce(at, bytes, Access::read, true); }            \
  void __tsan_write##bytes(void* at) { announce(at, bytes, Access::write, true); }          \
  void __tsan_unaligned_read##bytes(void* at) { announce(at, bytes, Access::read, false); } \
  void __tsan_unaligned_write##bytes(void* at) { announce(at, bytes, Access::write, false); }

// Atomics of the host's code in the same sources, such as shared pointers': kernels have CUDA's.
#define MNEMO_ATOMICS(bits, type)                                                                                 \
  type __tsan_atomic##bits##_load(const volatile type* at, int) { return __atomic_load_n(at, __ATOMIC_SEQ_CST); } \
  void __tsan_atomic##bits##_store(volatile type* at, type value, int) {                                          \
    __atomic_store_n(at, value, __ATOMIC_SEQ_CST);                                                                \
  }                                                                                                               \
  type __tsan_atomic##bits##_exchange(volatile type* at, type value, int) {                                       \
    return __atomic_exchange_n(at, value, __ATOMIC_SEQ_CST);                                                      \
  }                                                                                                               \
  type __tsan_atomic##bits##_fetch_add(volatile type* at, type value, int) {                                      \
    return __atomic_fetch_add(at, value, __ATOMIC_SEQ_CST);                                                       \
  }                                                                                                               \
  type __tsan_atomic##bits##_fetch_sub(volatile type* at, type value, int) {                                      \
    return __atomic_fetch_sub(at, value, __ATOMIC_SEQ_CST);                                                       \
  }                                                                                                               \
  type __tsan_atomic##bits##_fetch_and(volatile type* at, type value, int) {                                      \
    return __atomic_fetch_and(at, value, __ATOMIC_SEQ_CST);                                                       \
  }                                                                                                               \
  type __tsan_atomic##bits##_fetch_or(volatile type* at, type value, int) {                                       \
    return __atomic_fetch_or(at, value, __ATOMIC_SEQ_CST);                                                        \
  }                                                                                                               \
  type __tsan_atomic##bits##_fetch_xor(volatile type* at, type value, int) {                                      \
    return __atomic_fetch_xor(at, value, __ATOMIC_SEQ_CST);                                                       \
  }                                                                                                               \
  int __tsan_atomic##bits##_compare_exchange_strong(volatile type* at, type* expected, type value, int, int) {    \
    return __atomic_compare_exchange_n(at, expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);           \
  }                                                                                                               \
  int __tsan_atomic##bits##_compare_exchange_weak(volatile type* at, type* expected, type value, int, int) {      \
    return __atomic_compare_exchange_n(at, expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);           \
  }                                                                                                               \
  type __tsan_atomic##bits##_compare_exchange_val(volatile type* at, type expected, type value, int, int) {       \
    __atomic_compare_exchange_n(at, &expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);                 \
    return expected;                                                                                              \
  }

extern "C" {

void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}

MNEMO_ANNOUNCE(1)
MNEMO_ANNOUNCE(2)
MNEMO_ANNOUNCE(4)
MNEMO_ANNOUNCE(8)
MNEMO_ANNOUNCE(16)

void __tsan_read_range(void* at, std::size_t bytes) { announce(at, bytes, Access::read, false); }
void __tsan_write_range(void* at, std::size_t bytes) { announce(at, bytes, Access::write, false); }
#ifdef __clang__
// Clang moves structures by calls of these: the program is linked with --wrap for each.
void* __real_memcpy(void* to, const void* from, std::size_t bytes);
void* __real_memset(void* to, int value, std::size_t bytes);
void* __wrap_memcpy(void* to, const void* from, std::size_t bytes) {
  announce(const_cast<void*>(from), bytes, Access::read, false);
  announce(to, bytes, Access::write, false);
  return __real_memcpy(to, from, bytes);
}
void* __wrap_memset(void* to, int value, std::size_t bytes) {
  announce(to, bytes, Access::write, false);
  return __real_memset(to, value, bytes);
}
#endif
void __tsan_vptr_read(void** at) { announce(at, sizeof(void*), Access::read, true); }
void __tsan_vptr_update(void** at, void*) { announce(at, sizeof(void*), Access::write, true); }

MNEMO_ATOMICS(8, std::uint8_t)
MNEMO_ATOMICS(16, std::uint16_t)
MNEMO_ATOMICS(32, std::uint32_t)
MNEMO_ATOMICS(64, std::uint64_t)
void __tsan_atomic_thread_fence(int) { std::atomic_thread_fence(std::memory_order_seq_cst); }
void __tsan_atomic_signal_fence(int) { std::atomic_signal_fence(std::memory_order_seq_cst); }

void __ubsan_handle_type_mismatch_v1(Mismatch* what, std::uintptr_t at) {
  if (!emulator::judging) return;
  const emulator::Pause pause;
  const std::size_t alignment = std::size_t{1} << what->log_alignment;
  emulator::report(emulator::Finding::Kind::alignment,
                   emulator::running_thread() + " takes " + what->type->name +
                       " at an address that is no multiple of " + std::to_string(alignment) + " but " +
                       std::to_string(at % alignment) + " behind one, in " + what->place.text());
  emulator::end_thread();
}
void __ubsan_handle_out_of_bounds(OutOfBounds* what, std::uintptr_t index) {
  if (!emulator::judging) return;
  const emulator::Pause pause;
  emulator::report(emulator::Finding::Kind::address, emulator::running_thread() + " takes element " +
                                                         std::to_string(static_cast<std::intptr_t>(index)) + " of " +
                                                         what->array->name + ", in " + what->place.text());
}

}  // extern "C"
