# Runs all fuzzers at a time, each on its corpus and on what it found before; fails if one does, which then has said why
# and left the bytes in FOLDER/found.
set(commands)
foreach(fuzzer ${FUZZERS})
  set(found ${FOLDER}/found/${fuzzer})
  file(MAKE_DIRECTORY ${found})
  # Leaks are what the driver looks for in the build with sanitizers; looking here needs more rights than some have.
  list(APPEND commands COMMAND nice -n 19 ${FOLDER}/fuzz-${fuzzer} -max_total_time=${SECONDS} -timeout=20
    -rss_limit_mb=1024 -max_len=16384 -detect_leaks=0 -verbosity=0 -print_final_stats=1
    -artifact_prefix=${FOLDER}/found/${fuzzer}- ${found} ${FOLDER}/corpus/${fuzzer})
endforeach()
execute_process(${commands} RESULTS_VARIABLE results ERROR_VARIABLE said)
string(REGEX MATCHALL "stat::number_of_executed_units: [0-9]+" runs "${said}")
list(JOIN runs ", " runs)
message(STATUS "${FUZZERS}: ${runs}")
if(results MATCHES "[^0;]")
  message(FATAL_ERROR "${FUZZERS} ended with ${results}\n${said}")
endif()
