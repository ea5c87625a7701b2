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

using ChunkBody = std::function<void(std::int64_t, std::int64_t)>;
void run_chunks(std::int64_t count, std::int64_t grain, const ChunkBody& body);

/// Calls body(chunk_begin, chunk_end) for [0, count) in chunks of `grain`, on several threads when there are several
/// chunks. Nested calls run on the calling thread. An exception of the body is rethrown here. Nothing else is thrown:
/// no memory is taken, and without threads the work is done by this one. REQUIRES: grain > 0.
template <class Body>
void parallel_for(std::int64_t count, std::int64_t grain, const Body& body) {
  run_chunks(count, grain, ChunkBody(std::cref(body)));
}

}  // namespace mnemo
