// A promise to the compiler about one loop. Private.
#pragma once

/// Before a loop none of whose turns reads what another one writes, although some may write where they read. Clang,
/// whose pragma is an error where it does not help, finds that out while it runs.
#if defined(__clang__)
#define MNEMO_INDEPENDENT
#else
#define MNEMO_INDEPENDENT _Pragma("GCC ivdep")
#endif
