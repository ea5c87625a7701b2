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

# Either cuda/cudnn/ or what is in cuda/absent/ for it; both define the symbols that the rest asks for.
function(mnemo_cudnn target)
  find_package(CudnnHeaders 9.8)
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/cuda/cudnn/*.cpp)
  if(NOT CudnnHeaders_FOUND)
    set_source_files_properties(${sources} PROPERTIES HEADER_FILE_ONLY ON)
    return()
  endif()
  set_source_files_properties(${PROJECT_SOURCE_DIR}/cuda/absent/planner.cpp ${PROJECT_SOURCE_DIR}/cuda/absent/conv_runner.cpp
    PROPERTIES HEADER_FILE_ONLY ON)
  # The headers are told to these files alone, and warnings in them are not ours.
  list(TRANSFORM CudnnHeaders_INCLUDE_DIRS PREPEND "-isystem" OUTPUT_VARIABLE includes)
  set_source_files_properties(${sources} PROPERTIES COMPILE_OPTIONS "${includes}"
    COMPILE_DEFINITIONS "MNEMO_CUDNN_LIBRARY_DIR=\"${CudnnHeaders_LIBRARY_DIR}\"")
  target_link_libraries(${target} PRIVATE ${CMAKE_DL_LIBS})
endfunction()

# The CUDA backend: built where CUDA's compiler is found, else cuda/absent/backend.cpp says that it is not. A program starts without
# a driver and without NVIDIA's libraries either way: the runtime is linked statically, the others are loaded when used.
set(MNEMO_CUDA AUTO CACHE STRING "Build the CUDA backend: ON, OFF, or AUTO for wherever nvcc is found")
set_property(CACHE MNEMO_CUDA PROPERTY STRINGS AUTO ON OFF)
set(mnemo_has_cuda OFF)
if(MNEMO_CUDA)
  if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX} AND EXISTS /usr/local/cuda/bin/nvcc)
    set(CMAKE_CUDA_COMPILER /usr/local/cuda/bin/nvcc)
  endif()
  # For the cards of this machine; where there are none for Hopper, in a form that drivers of newer cards compile too.
  # A program for others is built with -DCMAKE_CUDA_ARCHITECTURES="80;90", say; cards from Turing (75) on are supported.
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
    execute_process(COMMAND nvidia-smi -L OUTPUT_VARIABLE mnemo_cards ERROR_QUIET RESULT_VARIABLE mnemo_no_card)
    if(mnemo_no_card OR NOT mnemo_cards MATCHES "GPU 0" OR CMAKE_VERSION VERSION_LESS 3.24)
      set(CMAKE_CUDA_ARCHITECTURES 90)
    else()
      set(CMAKE_CUDA_ARCHITECTURES native)
    endif()
  endif()
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    enable_language(CUDA)
    find_package(CUDAToolkit 12.5)
    if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake before 3.25.2 does not know that nvcc takes C++20
      set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
      set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
    endif()
  endif()
  if(CMAKE_CUDA_COMPILER AND CUDAToolkit_FOUND)
    set(mnemo_has_cuda ON)
  elseif(NOT MNEMO_CUDA STREQUAL "AUTO")
    message(FATAL_ERROR "MNEMO_CUDA is ${MNEMO_CUDA}, but there is no CUDA compiler (nvcc) of version 12.5 or newer")
  endif()
endif()

function(mnemo_cuda target)
  file(GLOB_RECURSE kernels CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/cuda/*.cu)
  file(GLOB hosts CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/cuda/device/*.cpp ${PROJECT_SOURCE_DIR}/cuda/cublas/*.cpp
       ${PROJECT_SOURCE_DIR}/cuda/cudnn/conv_runner.cpp
       ${PROJECT_SOURCE_DIR}/cuda/cudnn/session.cpp ${PROJECT_SOURCE_DIR}/cuda/cudnn/clock.cpp)
  if(NOT mnemo_has_cuda)
    set_source_files_properties(${hosts} PROPERTIES HEADER_FILE_ONLY ON)
    return()
  endif()
  set_source_files_properties(${PROJECT_SOURCE_DIR}/cuda/absent/backend.cpp PROPERTIES HEADER_FILE_ONLY ON)
  target_sources(${target} PRIVATE ${kernels})
  target_compile_options(${target} PRIVATE
    "$<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr;--expt-extended-lambda;-Xcompiler=-Wall,-Wextra,-Wno-maybe-uninitialized>"
    "$<$<AND:$<COMPILE_LANGUAGE:CUDA>,$<BOOL:${MNEMO_WERROR}>>:--Werror=all-warnings>")
  # The toolkit's headers are told to these files alone, and warnings in them are not ours.
  list(TRANSFORM CUDAToolkit_INCLUDE_DIRS PREPEND "-isystem" OUTPUT_VARIABLE includes)
  set_property(SOURCE ${hosts} APPEND PROPERTY COMPILE_OPTIONS ${includes})
  set_property(SOURCE ${hosts} APPEND PROPERTY COMPILE_DEFINITIONS "MNEMO_CUDA_LIBRARY_DIR=\"${CUDAToolkit_LIBRARY_DIR}\"")
  target_link_libraries(${target} PRIVATE CUDA::cudart_static ${CMAKE_DL_LIBS})
endfunction()
