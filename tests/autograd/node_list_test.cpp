#include <doctest/doctest.h>

#include <vector>

#include <mnemo/autograd/node.h>

using namespace mnemo;

TEST_CASE("node list: any number of nodes, in their order, each held once") {
  for (std::size_t count = 0; count < 8; ++count) {
    CAPTURE(count);
    std::vector<NodeRef> nodes(count);
    NodeList list;
    for (std::size_t i = 0; i < count; ++i) {
      if (i != 1) nodes[i] = std::make_shared<Node>();  // the second input takes no part
      list.push_back(nodes[i]);
    }
    CHECK(list.empty() == (count == 0));
    const NodeList moved = std::move(list);
    REQUIRE(moved.size() == count);
    std::size_t at = 0;
    for (const NodeRef& node : moved) {
      CHECK(node == nodes[at]);
      CHECK(node == moved[at]);
      CHECK(node.use_count() == (node ? 2 : 0));
      ++at;
    }
    CHECK(at == count);
  }
}
