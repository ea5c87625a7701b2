# cmake --install: the library, its headers and what find_package(mnemo) needs.
include(CMakePackageConfigHelpers)

install(TARGETS mnemo EXPORT mnemo-targets)
foreach(layer memory core cuda autograd nn optim)
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/${layer}/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/mnemo/${layer}
          FILES_MATCHING PATTERN "*.h" PATTERN cpu EXCLUDE PATTERN families EXCLUDE
          PATTERN cublas EXCLUDE PATTERN cudnn EXCLUDE PATTERN device EXCLUDE PATTERN kernels EXCLUDE)
endforeach()
install(FILES ${PROJECT_SOURCE_DIR}/cmake/mnemo.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/mnemo)
install(EXPORT mnemo-targets NAMESPACE mnemo:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/mnemo)
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/mnemo-config.cmake.in
  ${PROJECT_BINARY_DIR}/mnemo-config.cmake INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/mnemo)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/mnemo-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/mnemo-config.cmake ${PROJECT_BINARY_DIR}/mnemo-config-version.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/mnemo)
