# The installed tree: header, library, CMake package, pkg-config file.
install(TARGETS rhizome EXPORT rhizome-targets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/rhizome DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT rhizome-targets NAMESPACE rhizome::
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/rhizome)
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/rhizome-config.cmake.in
  ${CMAKE_CURRENT_BINARY_DIR}/rhizome-config.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/rhizome)
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/rhizome-config-version.cmake
  COMPATIBILITY SameMajorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/rhizome-config.cmake
              ${CMAKE_CURRENT_BINARY_DIR}/rhizome-config-version.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/rhizome)
# Relative, so that the tree may be installed elsewhere (cmake --install --prefix) or moved.
file(RELATIVE_PATH RHZ_PREFIX_FROM_PC "/prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/prefix")
configure_file(${PROJECT_SOURCE_DIR}/cmake/rhizome.pc.in ${CMAKE_CURRENT_BINARY_DIR}/rhizome.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/rhizome.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
