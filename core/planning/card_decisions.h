// The decisions of a GPU: its library's plans, and what is done where the library has none.
#pragma once

#include <memory>
#include <string_view>

#include <mnemo/core/card.h>
#include <mnemo/core/decisions.h>

namespace mnemo {

class PlanBook;
class PlanClock;

/// The decisions for a card, with the cuDNN of that version ("" means the one at hand, or else the newest
/// that a table is there for). What neither the library nor a table knows is marked as estimated. Throws DeviceError if
/// a version is asked for that is neither at hand nor in a table.
std::shared_ptr<const Decisions> card_decisions(const Card& card, std::string_view cudnn_version = {});

/// The decisions of a real device, over what its own library says; where that is absent, mnemo's own algorithms. The
/// clock may be null: the policy `fastest` is then refused.
std::shared_ptr<const Decisions> device_decisions(const Card& device, std::shared_ptr<PlanBook> book,
                                                  std::shared_ptr<PlanClock> clock);

}  // namespace mnemo
