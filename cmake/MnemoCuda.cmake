# What cuda/ is built from: the card files, and the planner over cuDNN where its headers are there.

# Writes cuda/cards/*.json into the library, so that a program needs no files.
function(mnemo_cards target)
  file(GLOB files CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/cuda/cards/*.json)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${files})
  set(entries "")
  foreach(file ${files})
    get_filename_component(name ${file} NAME_WE)
    file(READ ${file} text)
    string(APPEND entries "    {\"${name}\", R\"card(${text})card\"},\n")
  endforeach()
  set(source ${PROJECT_BINARY_DIR}/cuda/card_files.cpp)
  configure_file(${PROJECT_SOURCE_DIR}/cuda/cards/card_files.cpp.in ${source} @ONLY)
  target_sources(${target} PRIVATE ${source})
endfunction()

# Either cuda/cudnn/ or cuda/without_cudnn.cpp; both define the one symbol that the rest asks for.
function(mnemo_cudnn target)
  find_package(CudnnHeaders 9.8)
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/cuda/cudnn/*.cpp)
  if(NOT CudnnHeaders_FOUND)
    set_source_files_properties(${sources} PROPERTIES HEADER_FILE_ONLY ON)
    return()
  endif()
  set_source_files_properties(${PROJECT_SOURCE_DIR}/cuda/without_cudnn.cpp PROPERTIES HEADER_FILE_ONLY ON)
  # The headers are told to these files alone, and warnings in them are not ours.
  list(TRANSFORM CudnnHeaders_INCLUDE_DIRS PREPEND "-isystem" OUTPUT_VARIABLE includes)
  set_source_files_properties(${sources} PROPERTIES COMPILE_OPTIONS "${includes}"
    COMPILE_DEFINITIONS "MNEMO_CUDNN_LIBRARY_DIR=\"${CudnnHeaders_LIBRARY_DIR}\"")
  target_link_libraries(${target} PRIVATE ${CMAKE_DL_LIBS})
endfunction()
