# How the parts of mnemo are built: folders as layers, one set of warnings, optional sanitizers.

# Makes <mnemo/LAYER/...> and <mnemo/mnemo.h> resolve to the source tree.
function(mnemo_headers)
  file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/include/mnemo)
  foreach(layer ${ARGN})
    file(CREATE_LINK ${PROJECT_SOURCE_DIR}/${layer} ${PROJECT_BINARY_DIR}/include/mnemo/${layer} SYMBOLIC)
  endforeach()
  file(CREATE_LINK ${PROJECT_SOURCE_DIR}/cmake/mnemo.h ${PROJECT_BINARY_DIR}/include/mnemo/mnemo.h SYMBOLIC)
endfunction()

# Adds a layer's sources to the library.
function(mnemo_layer layer)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${layer}/*.cpp)
  target_sources(mnemo PRIVATE ${sources})
endfunction()

# Warnings, instruction set and sanitizers, for the library, the command, the tests and the benchmarks alike.
function(mnemo_compile_options target)
  set(options -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wold-style-cast)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # GCC sees these in library code that it has inlined, where they cannot happen; the sanitizers find those that can.
    list(APPEND options -Wno-array-bounds -Wno-stringop-overflow -Wno-stringop-overread -Wno-restrict
         -Wno-maybe-uninitialized)
  endif()
  # Nobody asks for the floating-point flags or for errno after a function: loops with conditions and roots are vectorized.
  list(APPEND options -fno-trapping-math -fno-math-errno)
  if(MNEMO_WERROR)
    list(APPEND options -Werror)
  endif()
  if(MNEMO_NATIVE)
    list(APPEND options -march=native)
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
      # GCC 12 with AVX-512 compiles `f() == std::vector<double>{0.5, 0.5, 0, 0}` to the wrong answer unless this is off.
      list(APPEND options -fno-tree-slp-vectorize)
    endif()
  endif()
  target_compile_options(${target} PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:${options}>")
  if(MNEMO_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${MNEMO_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
    target_link_options(${target} PUBLIC -fsanitize=${MNEMO_SANITIZE})
  endif()
endfunction()

# Compiles headers beforehand, unless by way of a compiler cache, to which that is in the way.
function(mnemo_precompile target)
  if(CMAKE_CXX_COMPILER_LAUNCHER)
    return()
  endif()
  foreach(header ${ARGN})
    string(REPLACE ">" "$<ANGLE-R>" header "${header}")
    target_precompile_headers(${target} PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:${header}>")
  endforeach()
endfunction()

# The standard library's that nearly every source reads: half a second of each. None of mnemo's own, so that a source
# sees only what it includes.
set(mnemo_standard_headers <algorithm> <array> <atomic> <cmath> <cstdint> <functional> <memory> <mutex> <optional>
    <span> <string> <unordered_map> <vector>)

# For what is not worth the time of optimizing: targets that call the library, where the work is done.
function(mnemo_quick_compile target)
  target_compile_options(${target} PRIVATE $<$<CONFIG:Release>:-O1>)
  mnemo_precompile(${target} ${ARGN})
endfunction()
