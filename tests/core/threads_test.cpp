#include <doctest/doctest.h>

#include <atomic>
#include <numeric>
#include <stdexcept>
#include <thread>

#include <mnemo/memory/error.h>

#include "numbers.h"

using namespace mnemo;
using numbers::Threads;

TEST_CASE("parallel_for: every element once, in chunks that depend on sizes alone") {
  for (const int threads : {1, 2, 3, 8}) {
    const Threads scope(threads);
    for (const std::int64_t count : {0, 1, 2, 7, 100, 1000}) {
      for (const std::int64_t grain : {1, 3, 100, 5000}) {
        std::vector<std::atomic<int>> visits(static_cast<std::size_t>(count));
        parallel_for(count, grain, [&](std::int64_t begin, std::int64_t end) {
          const bool is_chunk = begin % grain == 0 && end == std::min(count, begin + grain);
          for (std::int64_t i = begin; i < end; ++i) visits[static_cast<std::size_t>(i)] += is_chunk ? 1 : 1000;
        });
        CHECK(std::all_of(visits.begin(), visits.end(), [](const auto& n) { return n == 1; }));
      }
    }
  }
}

TEST_CASE("parallel_for: nested calls run, on the same thread") {
  const Threads scope(3);
  std::atomic<int> wrong = 0, total = 0;
  parallel_for(20, 1, [&](std::int64_t, std::int64_t) {
    const auto self = std::this_thread::get_id();
    parallel_for(10, 2, [&](std::int64_t begin, std::int64_t end) {
      if (std::this_thread::get_id() != self) ++wrong;
      total += static_cast<int>(end - begin);
    });
  });
  CHECK(wrong == 0);
  CHECK(total == 200);
}

TEST_CASE("parallel_for: an exception arrives at the caller, and the next call works") {
  for (const int threads : {1, 3}) {
    const Threads scope(threads);
    for (int round = 0; round < 50; ++round) {
      CHECK_THROWS_AS(parallel_for(100, 1,
                                   [](std::int64_t begin, std::int64_t) {
                                     if (begin == 50) throw std::domain_error("fifty");
                                   }),
                      std::domain_error);
      std::atomic<int> total = 0;
      parallel_for(100, 1, [&](std::int64_t, std::int64_t) { ++total; });
      CHECK(total == 100);
    }
  }
}

TEST_CASE("parallel_for: several threads call at once, while the number of threads changes") {
  const Threads scope(3);
  std::atomic<int> wrong = 0;
  std::vector<std::thread> users;
  for (int user = 0; user < 4; ++user) {
    users.emplace_back([&wrong, user] {
      for (int round = 0; round < 300; ++round) {
        std::vector<std::int64_t> parts(50);
        parallel_for(500, 10, [&](std::int64_t begin, std::int64_t end) {
          for (std::int64_t i = begin; i < end; ++i) parts[static_cast<std::size_t>(begin / 10)] += i;
        });
        if (std::accumulate(parts.begin(), parts.end(), std::int64_t{0}) != 500 * 499 / 2) ++wrong;
        if (user == 0 && round % 20 == 0) set_thread_count(1 + round / 20 % 4);
      }
    });
  }
  for (auto& user : users) user.join();
  CHECK(wrong == 0);
}

TEST_CASE("set_thread_count: from 1 to 1024") {
  CHECK_THROWS_AS(set_thread_count(0), ConfigError);
  CHECK_THROWS_AS(set_thread_count(1025), ConfigError);
  const Threads scope(5);
  CHECK(thread_count() == 5);
}
