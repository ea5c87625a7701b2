#include <doctest/doctest.h>

#include <string>
#include <vector>

#include <mnemo/autograd/ops.h>
#include <mnemo/autograd/transaction.h>
#include <mnemo/core/random.h>
#include <mnemo/memory/allocator.h>

using namespace mnemo;

namespace {

using Values = std::vector<float>;

Tensor leaf(double value) { return full({3}, value, {.requires_grad = true}); }
/// d/dw sum(factor * w) = factor
void accumulate(const Tensor& w, double factor) { sum(w * factor).backward(); }

}  // namespace

TEST_CASE("a transaction that ends early puts gradients, buffers and random numbers back") {
  const Tensor first = leaf(1), second = leaf(2);
  Tensor buffer = full({2, 2}, 5, {});
  Tensor view = transpose(buffer, 0, 1);
  accumulate(first, 2);
  const RandomState before = random_state();
  {
    const Transaction transaction({first, second}, {buffer, Tensor()});
    accumulate(first, 3);
    accumulate(first, 4);
    accumulate(second, 7);
    fill_(buffer, 6);
    static_cast<void>(rand({10}));
    CHECK(first.grad().values<float>() == Values{9, 9, 9});
    CHECK(second.grad().values<float>() == Values{7, 7, 7});
  }
  CHECK(first.grad().values<float>() == Values{2, 2, 2});
  CHECK_FALSE(second.grad().defined());
  CHECK(buffer.values<float>() == Values{5, 5, 5, 5});
  CHECK(view.values<float>() == Values{5, 5, 5, 5});  // whoever holds the buffer sees it
  CHECK(random_state().offset == before.offset);
}

TEST_CASE("a committed transaction changes nothing") {
  const Tensor w = leaf(1);
  Tensor buffer = full({4}, 5, {});
  accumulate(w, 2);
  {
    Transaction transaction({w}, {buffer});
    accumulate(w, 3);
    fill_(buffer, 6);
    transaction.commit();
    transaction.commit();
  }
  CHECK(w.grad().values<float>() == Values{5, 5, 5});
  CHECK(buffer.values<float>() == Values{6, 6, 6, 6});
}

TEST_CASE("transactions nest: an outer one takes back what an inner one has committed") {
  const Tensor w = leaf(1);
  accumulate(w, 1);
  {
    const Transaction outer({w});
    {
      const Transaction lost({w});
      accumulate(w, 10);
    }
    CHECK(w.grad().values<float>() == Values{1, 1, 1});
    Transaction inner({w});
    accumulate(w, 100);
    inner.commit();
    CHECK(w.grad().values<float>() == Values{101, 101, 101});
  }
  CHECK(w.grad().values<float>() == Values{1, 1, 1});
  {
    const Transaction outer({w});
    const Transaction inner({w});
    accumulate(w, 5);
    Transaction::commit_all();
  }
  CHECK(w.grad().values<float>() == Values{6, 6, 6});
}

TEST_CASE("a transaction costs a copy of the buffers, and the gradients from before once they are added to") {
  const Device device = Device::open("virtual:1GiB");
  const DeviceScope on_device(device);
  constexpr std::int64_t kBytes = 4 << 20;
  const Tensor w = full({kBytes / 4}, 1, {.requires_grad = true});
  Tensor buffer = zeros({kBytes / 4});
  accumulate(w, 1);
  const memory::Bytes before = device.allocator().allocated();
  CHECK(before == 3 * kBytes);
  {
    Transaction transaction({w}, {buffer});
    CHECK(device.allocator().allocated() == before + kBytes);
    accumulate(w, 1);
    CHECK(device.allocator().allocated() == before + 2 * kBytes);
    transaction.commit();
    CHECK(device.allocator().allocated() == before);
  }
  CHECK(device.allocator().allocated() == before);
}

TEST_CASE("what else a transaction takes back: the latest first, also of inner ones that were committed") {
  std::string order;
  const auto note = [&order](char c) { Transaction::on_rollback([&order, c] { order += c; }); };
  note('x');  // no transaction: nothing happens
  {
    const Transaction outer({});
    note('a');
    {
      Transaction inner({});
      note('b');
      inner.commit();
      note('c');
    }
    {
      const Transaction lost({});
      note('d');
      note('e');
    }
    CHECK(order == "ed");
  }
  CHECK(order == "edcba");
  {
    const Transaction outer({});
    const Transaction inner({});
    note('f');
    Transaction::commit_all();
  }
  CHECK(order == "edcba");
}
