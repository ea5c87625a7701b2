// What the address sanitizer's leak check is told of libraries that are not ours.

#if defined(__has_feature)
#define MNEMO_HAS_FEATURE(feature) __has_feature(feature)
#else
#define MNEMO_HAS_FEATURE(feature) 0
#endif

#if defined(__SANITIZE_ADDRESS__) || MNEMO_HAS_FEATURE(address_sanitizer)

extern "C" const char* __lsan_default_suppressions();

// For engines that could use cuBLASLt, cuDNN makes handles of it and leaves them, 192 bytes each.
extern "C" const char* __lsan_default_suppressions() { return "leak:libcublasLt\n"; }

#endif
