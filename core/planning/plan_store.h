// What was learned of cards, kept on the disk from one process to the next: a cache, whose loss costs nothing but time.
// FOLDER/cudnn-VERSION/CARD.plans, where FOLDER is $MNEMO_CACHE_DIR/plans, else $XDG_CACHE_HOME/mnemo/plans, else
// $HOME/.cache/mnemo/plans. Nothing is kept if MNEMO_CACHE_DIR is empty, or none of them is set.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <mnemo/core/planning/plan_table.h>

namespace mnemo {

/// "" if nothing is kept. Looks at the environment anew.
std::filesystem::path plan_store_folder();

/// The versions of cuDNN that there is a file of this card for, in no order.
std::vector<std::string> stored_versions(std::string_view card);
/// Empty if there is no file. A broken one is as none, with a warning, one per process and file.
PlanTable load_plans(const std::string& version, const std::string& card);
/// Adds the table to what is on the disk by now. What two processes save at the same moment may be lost for one of
/// them, but no reader ever sees half a file. If nothing can be written there is a warning, one per process
/// and folder.
void save_plans(const PlanTable& table) noexcept;

}  // namespace mnemo
