// Queries as few bytes: sorted, each told by where it differs from the one before, the output's size by where it
// differs from what follows from the other sizes.
#pragma once

#include <span>
#include <vector>

#include <mnemo/core/planning/conv_query.h>
#include <mnemo/core/planning/packed_bytes.h>

namespace mnemo {

/// By layer, then size, batch, dtype, layout, pass; those that are there twice are dropped.
void sort_queries(std::vector<ConvQuery>& queries);

/// REQUIRES: as `sort_queries` left them, with sizes and ranks as `core/` makes them.
void write_queries(std::span<const ConvQuery> queries, PackedWriter& writer);
/// What `write_queries` wrote. Throws FileError, also where a query could not be.
std::vector<ConvQuery> read_queries(PackedReader& reader);

}  // namespace mnemo
