# The page of reports: its own files, and the curve library dygraphs where the system has it (libjs-dygraphs on Debian).

# Declares the text `symbol`, the files one after another, to the variables `includes` and `entries` of the caller.
function(mnemo_page_text symbol)
  set(symbol mnemo_page_${symbol})
  set(copies "")
  foreach(file ${ARGN})
    string(APPEND copies "    \".incbin \\\"${file}\\\"\\n\"\n")
  endforeach()
  string(APPEND includes
    "asm(\".pushsection .rodata\\n\"\n"
    "    \".globl ${symbol}, ${symbol}_end\\n\"\n"
    "    \".hidden ${symbol}, ${symbol}_end\\n\"\n"
    "    \"${symbol}:\\n\"\n${copies}"
    "    \"${symbol}_end: .byte 0\\n\"\n"
    "    \".popsection\");\n"
    "extern \"C\" __attribute__((visibility(\"hidden\"))) const char ${symbol}[], ${symbol}_end[];\n\n")
  string(APPEND entries "      {${symbol}, static_cast<std::size_t>(${symbol}_end - ${symbol})},\n")
  set(includes "${includes}" PARENT_SCOPE)
  set(entries "${entries}" PARENT_SCOPE)
endfunction()

# Writes memory/page/ and the library into the target, so that a program needs no files.
function(mnemo_page target)
  set(folder ${PROJECT_SOURCE_DIR}/memory/page)
  file(GLOB scripts CONFIGURE_DEPENDS ${folder}/*.js)
  list(REMOVE_ITEM scripts ${folder}/main.js)
  list(APPEND scripts ${folder}/main.js)

  find_path(MNEMO_DYGRAPHS_DIR dygraph.min.js PATHS /usr/share/javascript/dygraphs /usr/share/nodejs/dygraphs/dist)
  find_file(MNEMO_DYGRAPHS_LICENCE NAMES copyright LICENSE.txt NO_DEFAULT_PATH
            PATHS /usr/share/doc/libjs-dygraphs ${MNEMO_DYGRAPHS_DIR} ${MNEMO_DYGRAPHS_DIR}/..)
  mark_as_advanced(MNEMO_DYGRAPHS_DIR MNEMO_DYGRAPHS_LICENCE)
  if(MNEMO_DYGRAPHS_DIR AND MNEMO_DYGRAPHS_LICENCE)
    set(style ${MNEMO_DYGRAPHS_DIR}/dygraph.css)
    set(script ${MNEMO_DYGRAPHS_DIR}/dygraph.min.js)
    set(licence ${MNEMO_DYGRAPHS_LICENCE})
  else()
    message(STATUS "Reports draw their curves without zoom: dygraphs is missing (libjs-dygraphs)")
  endif()

  set(includes "")
  set(entries "")
  mnemo_page_text(frame ${folder}/template.html)
  mnemo_page_text(style ${folder}/page.css)
  mnemo_page_text(script ${scripts})
  mnemo_page_text(library_style ${style})
  mnemo_page_text(library_script ${script})
  mnemo_page_text(library_licence ${licence})
  set(source ${PROJECT_BINARY_DIR}/memory/page_files.cpp)
  configure_file(${folder}/page_files.cpp.in ${source} @ONLY)
  set_source_files_properties(${source} PROPERTIES
    OBJECT_DEPENDS "${folder}/template.html;${folder}/page.css;${scripts};${style};${script};${licence}")
  target_sources(${target} PRIVATE ${source})
endfunction()
