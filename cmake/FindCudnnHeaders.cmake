# Finds the headers of cuDNN 9.8 or newer, with those of the CUDA toolkit that they include; the library itself is only
# looked for when the program runs. CUDNN_ROOT, as a variable or in the environment, says where to look first.
# Sets CudnnHeaders_FOUND, CudnnHeaders_INCLUDE_DIRS, CudnnHeaders_LIBRARY_DIR (or "") and CudnnHeaders_VERSION.
set(hints ${CUDNN_ROOT} $ENV{CUDNN_ROOT} $ENV{CUDA_HOME} $ENV{CUDA_PATH} /usr/local/cuda)
find_path(CudnnHeaders_INCLUDE_DIR cudnn_graph.h HINTS ${hints} PATH_SUFFIXES include)
# Those of Python's packages (nvidia/cudnn) have the toolkit's headers in a folder beside them, if at all.
file(GLOB beside ${CudnnHeaders_INCLUDE_DIR}/../../cu[0-9]* ${CudnnHeaders_INCLUDE_DIR}/../../cuda_runtime)
list(APPEND hints ${CUDAToolkit_INCLUDE_DIRS} ${beside})
find_path(CudnnHeaders_TOOLKIT_DIR cuda_runtime_api.h HINTS ${CudnnHeaders_INCLUDE_DIR} ${hints}
          PATH_SUFFIXES include targets/x86_64-linux/include)
find_path(CudnnHeaders_LIBRARY_DIR libcudnn.so.9 HINTS ${hints} ${CudnnHeaders_INCLUDE_DIR}/..
          PATH_SUFFIXES lib lib64)
mark_as_advanced(CudnnHeaders_INCLUDE_DIR CudnnHeaders_TOOLKIT_DIR CudnnHeaders_LIBRARY_DIR)

unset(CudnnHeaders_VERSION)
foreach(header cudnn_version.h cudnn_version_v9.h)
  if(NOT CudnnHeaders_VERSION AND EXISTS "${CudnnHeaders_INCLUDE_DIR}/${header}")
    file(STRINGS "${CudnnHeaders_INCLUDE_DIR}/${header}" lines REGEX "^#define CUDNN_(MAJOR|MINOR|PATCHLEVEL) [0-9]+")
    string(REGEX MATCHALL "[0-9]+" numbers "${lines}")
    list(JOIN numbers "." CudnnHeaders_VERSION)
  endif()
endforeach()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(CudnnHeaders
  REQUIRED_VARS CudnnHeaders_INCLUDE_DIR CudnnHeaders_TOOLKIT_DIR VERSION_VAR CudnnHeaders_VERSION)
set(CudnnHeaders_INCLUDE_DIRS ${CudnnHeaders_INCLUDE_DIR} ${CudnnHeaders_TOOLKIT_DIR})
list(REMOVE_DUPLICATES CudnnHeaders_INCLUDE_DIRS)
if(NOT CudnnHeaders_LIBRARY_DIR)
  set(CudnnHeaders_LIBRARY_DIR "")
endif()
