// The CPU backend's threads. Work is cut into chunks by its size alone, never by the number of threads,
// so that results are the same bits for any number of them.
#pragma once

#include <cstdint>
#include <functional>

namespace mnemo {

/// Threads that the CPU backend uses (this one included); at first MNEMO_THREADS or the number of cores.
int thread_count();
/// Throws ConfigError unless 1 <= count <= 1024.
void set_thread_count(int count);

/// Calls body(chunk_begin, chunk_end) for [0, count) in chunks of `grain`, on several threads when there are several
/// chunks. Nested calls run on the calling thread. An exception of the body is rethrown here. REQUIRES: grain > 0.
void parallel_for(std::int64_t count, std::int64_t grain, const std::function<void(std::int64_t, std::int64_t)>& body);

}  // namespace mnemo
