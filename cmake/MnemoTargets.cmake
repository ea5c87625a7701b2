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

# Warnings and sanitizers, for the library, the command, the tests and the benchmarks alike.
function(mnemo_compile_options target)
  target_compile_options(${target} PRIVATE
    -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wold-style-cast
    # GCC reports accesses that cannot happen once it has inlined library code; the sanitizers find those that can.
    $<$<CXX_COMPILER_ID:GNU>:-Wno-array-bounds;-Wno-stringop-overflow>
    $<$<BOOL:${MNEMO_WERROR}>:-Werror>)
  if(MNEMO_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${MNEMO_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
    target_link_options(${target} PUBLIC -fsanitize=${MNEMO_SANITIZE})
  endif()
endfunction()
