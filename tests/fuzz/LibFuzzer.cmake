# The fuzzers with clang's libFuzzer and its address sanitizer, whatever compiler builds the rest.
# Sets MNEMO_LIBFUZZER to whether that is possible.
find_program(MNEMO_FUZZ_CLANG NAMES clang++ clang++-19 clang++-18 clang++-17 clang++-16 clang++-15 clang++-14)
mark_as_advanced(MNEMO_FUZZ_CLANG)
# With -no-pie: of a program at a random address, the address sanitizer of older clangs is in the way.
set(fuzz_flags -std=c++20 -O1 -gline-tables-only -fno-pie -fsanitize=address
  "-DMNEMO_VERSION=\"${PROJECT_VERSION}\"")

# fmt's library, or nothing but its headers (cmake/MnemoDeps.cmake).
get_target_property(kind fmt::fmt TYPE)
if(kind STREQUAL "INTERFACE_LIBRARY")
  list(APPEND fuzz_flags -DFMT_HEADER_ONLY)
  set(fuzz_libraries "")
else()
  set(fuzz_libraries $<TARGET_FILE:fmt::fmt>)
endif()

set(MNEMO_LIBFUZZER OFF)
# The other builds with sanitizers have their own way: the driver.
if(MNEMO_FUZZ_CLANG AND NOT MNEMO_SANITIZE AND MNEMO_FUZZ_SECONDS GREATER 0)
  set(probe ${CMAKE_CURRENT_BINARY_DIR}/probe)
  file(WRITE ${probe}.cpp
    "#include <string>\n"
    "extern \"C\" int LLVMFuzzerTestOneInput(const char* data, unsigned long size) { return std::string(data, size) == \"\\1\"; }\n")
  execute_process(COMMAND ${MNEMO_FUZZ_CLANG} ${fuzz_flags} -fsanitize=fuzzer -no-pie ${probe}.cpp -o ${probe}
    RESULT_VARIABLE built OUTPUT_QUIET ERROR_QUIET)
  if(built EQUAL 0)
    execute_process(COMMAND ${probe} -help=1 RESULT_VARIABLE ran OUTPUT_QUIET ERROR_QUIET)
    if(ran EQUAL 0)
      set(MNEMO_LIBFUZZER ON)
    endif()
  endif()
endif()
if(NOT MNEMO_LIBFUZZER)
  message(STATUS "No clang with libFuzzer: files are fuzzed for two seconds only")
endif()

# Compiles `source` for fuzzing; the object's name goes to the list `objects` of the caller.
function(mnemo_fuzz_object source)
  file(RELATIVE_PATH name ${PROJECT_SOURCE_DIR} ${source})
  string(MAKE_C_IDENTIFIER ${name} name)
  set(object ${CMAKE_CURRENT_BINARY_DIR}/objects/${name}.o)
  add_custom_command(OUTPUT ${object} DEPENDS ${source} DEPFILE ${object}.d
    COMMAND ${CMAKE_CXX_COMPILER_LAUNCHER} ${MNEMO_FUZZ_CLANG} ${fuzz_flags} -fsanitize=fuzzer-no-link
      -I${PROJECT_BINARY_DIR}/include "-I$<JOIN:$<TARGET_PROPERTY:fmt::fmt,INTERFACE_INCLUDE_DIRECTORIES>,;-I>"
      "-I$<JOIN:$<TARGET_PROPERTY:nlohmann_json::nlohmann_json,INTERFACE_INCLUDE_DIRECTORIES>,;-I>" -MD -MF ${object}.d -c ${source} -o ${object}
    COMMENT "Building ${source} for fuzzing" COMMAND_EXPAND_LISTS VERBATIM)
  set(objects ${objects} ${object} PARENT_SCOPE)
endfunction()

function(mnemo_fuzzers)
  file(MAKE_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/objects)
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/memory/*.cpp)
  # What neither reads files nor is needed for it; the log is that of the rest, which has nothing to say here.
  list(FILTER sources EXCLUDE REGEX "/(advice|advised_blocks|difference|difference_answer|earlier_steps|explanation|layer_notes|log|report|report_data|saved_bytes|summary|tuning|wording)\\.cpp$")
  list(APPEND sources ${PROJECT_SOURCE_DIR}/core/tensor_header.cpp)
  set(objects)
  foreach(source ${sources} ${CMAKE_CURRENT_SOURCE_DIR}/silent_log.cpp)
    mnemo_fuzz_object(${source})
  endforeach()
  set(library ${objects})
  set(programs)
  foreach(target ${fuzzers})
    set(objects)
    mnemo_fuzz_object(${CMAKE_CURRENT_SOURCE_DIR}/${target}.cpp)
    set(program ${CMAKE_CURRENT_BINARY_DIR}/fuzz-${target})
    add_custom_command(OUTPUT ${program} DEPENDS ${objects} ${library}
      COMMAND ${MNEMO_FUZZ_CLANG} ${fuzz_flags} -fsanitize=fuzzer -no-pie ${objects} ${library}
        ${fuzz_libraries} -o ${program} COMMENT "Linking fuzz-${target}" VERBATIM)
    list(APPEND programs ${program})
  endforeach()
  add_custom_target(fuzzers ALL DEPENDS ${programs})

  # All at a time and with the lowest priority, so that a minute is enough and the other tests hardly notice; first, so
  # that nothing waits for the minute's end.
  add_test(NAME fuzz COMMAND ${CMAKE_COMMAND} "-DFUZZERS=${fuzzers}" -DSECONDS=${MNEMO_FUZZ_SECONDS}
    -DFOLDER=${CMAKE_CURRENT_BINARY_DIR} -P ${CMAKE_CURRENT_SOURCE_DIR}/run.cmake)
  math(EXPR limit "${MNEMO_FUZZ_SECONDS} + 600")
  set_tests_properties(fuzz PROPERTIES LABELS "cpu;slow" FIXTURES_REQUIRED fuzz-corpus COST 1000 TIMEOUT ${limit}
    ENVIRONMENT "${test_environment}")
endfunction()
