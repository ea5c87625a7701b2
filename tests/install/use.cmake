# Builds and runs the consumer project the way a user would: cmake -DHOW=find_package|add_subdirectory ... -P use.cmake
set(options -G ${GENERATOR} -DCMAKE_CXX_COMPILER=${COMPILER})

if(HOW STREQUAL find_package)
  file(REMOVE_RECURSE ${WORK}/prefix)
  execute_process(COMMAND ${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/prefix
                  OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
  list(APPEND options -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH=${WORK}/prefix)
else()
  # The library is compiled once more here: as quickly as that goes, and again only where it changed.
  list(APPEND options -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG=-O0 -DMNEMO_SOURCES=${SOURCE}
       -DCMAKE_PROJECT_mnemo_INCLUDE=${CMAKE_CURRENT_LIST_DIR}/quick.cmake)
endif()

execute_process(COMMAND ${CMAKE_COMMAND} -S ${CONSUMER} -B ${WORK}/build ${options} COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${CMAKE_COMMAND} --build ${WORK}/build --parallel 2 COMMAND_ERROR_IS_FATAL ANY)

# It trains for real, and a virtual device says the same about its memory.
execute_process(COMMAND ${WORK}/build/consumer cpu OUTPUT_VARIABLE real COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${WORK}/build/consumer virtual:cpu OUTPUT_VARIABLE virtual COMMAND_ERROR_IS_FATAL ANY)
message("${real}")
string(REGEX REPLACE ".*peak " "" real_peak "${real}")
string(REGEX REPLACE ".*peak " "" virtual_peak "${virtual}")
if(NOT real MATCHES "step 2: loss [0-9]+\\.[0-9]+\npeak " OR NOT real_peak STREQUAL virtual_peak)
  message(FATAL_ERROR "not the output that was expected; on the virtual device:\n${virtual}")
endif()

# The program that docs/scopes.md shows: what it says is what that page says, with the mistake and without.
function(scopes expected forbidden)
  execute_process(COMMAND ${WORK}/build/scopes virtual:cpu ${WORK}/scopes.mnemo ${ARGN}
                  OUTPUT_VARIABLE said COMMAND_ERROR_IS_FATAL ANY)
  if(NOT said MATCHES "${expected}" OR said MATCHES "${forbidden}")
    message(FATAL_ERROR "scopes ${ARGN}: not what was expected:\n${said}")
  endif()
endfunction()
scopes("peaks at 18\\.16 MiB in step 2, backward: linear of 0, .*inputs 1\\.00 MiB" "graph")
scopes("The graph grows over steps: in step 103, 3\\.02 MiB of activations that steps 100 to 102 saved" "evaluated: [0-9]" mistake)
file(READ ${CMAKE_CURRENT_LIST_DIR}/consumer/scopes.cpp program)
file(READ ${SOURCE}/docs/scopes.md page)
string(FIND "${page}" "${program}" place)
if(place EQUAL -1)
  message(FATAL_ERROR "docs/scopes.md does not show tests/install/consumer/scopes.cpp as it is")
endif()
