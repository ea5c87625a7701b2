# Where other projects' headers come from: the packages that CMake finds, or one folder with nothing but headers
# (MNEMO_DEPS_DIR), for a machine without those packages and without a network. `./run gather-deps DIR` makes one.
set(MNEMO_DEPS_DIR "" CACHE PATH
  "A folder of headers (eigen3/ spdlog/ fmt/ nlohmann/ doctest/ CLI/) to build from, instead of packages")
if(NOT MNEMO_DEPS_DIR AND NOT "$ENV{MNEMO_DEPS_DIR}" STREQUAL "")  # remembered, as a later configuration may lack it
  get_filename_component(folder "$ENV{MNEMO_DEPS_DIR}" ABSOLUTE BASE_DIR ${CMAKE_SOURCE_DIR})
  set_property(CACHE MNEMO_DEPS_DIR PROPERTY VALUE ${folder})
endif()

# Takes the place of find_package for what the folder can hold; without a folder it is find_package.
macro(mnemo_find_package package)
  if(NOT MNEMO_DEPS_DIR)
    find_package(${package} ${ARGN})
  endif()
endmacro()

# A target that is nothing but the headers in a folder, without warnings about them.
function(mnemo_header_target target folder)
  if(NOT TARGET ${target})
    add_library(${target} INTERFACE IMPORTED GLOBAL)
    set_target_properties(${target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES ${folder})
  endif()
endfunction()

if(MNEMO_DEPS_DIR)
  set(wanted fmt/format.h spdlog/spdlog.h eigen3/Eigen/Core nlohmann/json.hpp)
  if(MNEMO_TESTS)
    list(APPEND wanted doctest/doctest.h)
  endif()
  if(MNEMO_EXAMPLES)
    list(APPEND wanted CLI/CLI.hpp)
  endif()
  set(missing "")
  foreach(header ${wanted})
    if(NOT EXISTS ${MNEMO_DEPS_DIR}/${header})
      list(APPEND missing ${header})
    endif()
  endforeach()
  if(missing)
    list(JOIN missing "\n  " missing)
    message(FATAL_ERROR "MNEMO_DEPS_DIR is ${MNEMO_DEPS_DIR}, where these are missing:\n  ${missing}\n"
      "Where the packages are installed, `./run gather-deps DIR` copies their headers into a folder.")
  endif()
  message(STATUS "Headers of other projects come from ${MNEMO_DEPS_DIR}")

  # No file may compile fmt as if its library were there: that is why it says so to whoever includes it, spdlog included.
  mnemo_header_target(fmt::fmt ${MNEMO_DEPS_DIR})
  set_target_properties(fmt::fmt PROPERTIES INTERFACE_COMPILE_DEFINITIONS FMT_HEADER_ONLY)
  mnemo_header_target(spdlog::spdlog ${MNEMO_DEPS_DIR})
  set_target_properties(spdlog::spdlog PROPERTIES
    INTERFACE_COMPILE_DEFINITIONS SPDLOG_FMT_EXTERNAL INTERFACE_LINK_LIBRARIES fmt::fmt)
  mnemo_header_target(Eigen3::Eigen ${MNEMO_DEPS_DIR}/eigen3)
  mnemo_header_target(nlohmann_json::nlohmann_json ${MNEMO_DEPS_DIR})
  mnemo_header_target(doctest::doctest ${MNEMO_DEPS_DIR})
  mnemo_header_target(CLI11::CLI11 ${MNEMO_DEPS_DIR})
endif()
