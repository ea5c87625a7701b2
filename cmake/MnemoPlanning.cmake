# The plan tables that the library carries.

# Writes core/planning/tables/*.plans into the library, so that a program needs no files. There may be none.
function(mnemo_tables target)
  set(folder ${PROJECT_SOURCE_DIR}/core/planning/tables)
  file(GLOB files CONFIGURE_DEPENDS ${folder}/*.plans)
  list(LENGTH files count)
  set(includes "")
  set(entries "")
  set(number 0)
  foreach(file ${files})
    get_filename_component(name ${file} NAME_WLE)
    set(symbol mnemo_shipped_table_${number})
    string(APPEND includes
      "asm(\".pushsection .rodata\\n\"\n"
      "    \".globl ${symbol}, ${symbol}_end\\n\"\n"
      "    \".hidden ${symbol}, ${symbol}_end\\n\"\n"
      "    \"${symbol}: .incbin \\\"${file}\\\"\\n\"\n"
      "    \"${symbol}_end: .byte 0\\n\"\n"
      "    \".popsection\");\n"
      "extern \"C\" __attribute__((visibility(\"hidden\"))) const char ${symbol}[], ${symbol}_end[];\n\n")
    string(APPEND entries "      {\"${name}\", {${symbol}, static_cast<std::size_t>(${symbol}_end - ${symbol})}},\n")
    math(EXPR number "${number} + 1")
  endforeach()
  set(source ${PROJECT_BINARY_DIR}/core/shipped_tables.cpp)
  configure_file(${folder}/shipped_tables.cpp.in ${source} @ONLY)
  set_source_files_properties(${source} PROPERTIES OBJECT_DEPENDS "${files}")
  target_sources(${target} PRIVATE ${source})
endfunction()
