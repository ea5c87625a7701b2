# Read by mnemo's project() call in the add_subdirectory test: headers that most files include are compiled once.
cmake_language(DEFER CALL target_precompile_headers mnemo PRIVATE
  <algorithm> <cmath> <functional> <map> <memory> <mutex> <string> <vector> <fmt/format.h> <mnemo/core/backend.h>)

# Kernels are no part of what is tried here: the installed library has them.
set(MNEMO_CUDA OFF)
