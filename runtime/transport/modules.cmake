# Transports over libraries for fast networks: a module each, loaded only when it is chosen, so that nothing else depends on these
# libraries.  What is not found is left out of the build.
find_path(UCX_INCLUDE_DIR ucp/api/ucp.h)
find_library(UCP_LIBRARY ucp)
find_library(UCS_LIBRARY ucs)
find_path(LIBFABRIC_INCLUDE_DIR rdma/fabric.h)
find_library(LIBFABRIC_LIBRARY fabric)

# Beside librhizome.so, as installed.
set(RHZ_MODULE_DIR ${PROJECT_BINARY_DIR}/api/rhizome CACHE INTERNAL "")
set(RHZ_MODULES "" CACHE INTERNAL "")

function(rhz_module name)
  cmake_parse_arguments(ARG "" "INCLUDE" "SOURCES;LIBRARIES" ${ARGN})
  add_library(rhizome-${name} MODULE ${ARG_SOURCES})
  target_include_directories(rhizome-${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_include_directories(rhizome-${name} SYSTEM PRIVATE ${ARG_INCLUDE})
  target_link_libraries(rhizome-${name} PRIVATE ${ARG_LIBRARIES})
  target_compile_options(rhizome-${name} PRIVATE -fvisibility=hidden)
  set_target_properties(rhizome-${name} PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${RHZ_MODULE_DIR})
  set(RHZ_MODULES ${RHZ_MODULES} rhizome-${name} CACHE INTERNAL "")
  install(TARGETS rhizome-${name} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/rhizome)
endfunction()

if(UCX_INCLUDE_DIR AND UCP_LIBRARY AND UCS_LIBRARY)
  rhz_module(ucx SOURCES transport/ucx/module.cc transport/ucx/ucx_fabric.cc transport/ucx/ucx_settings.cc
    INCLUDE ${UCX_INCLUDE_DIR} LIBRARIES ${UCP_LIBRARY} ${UCS_LIBRARY})
  target_compile_definitions(rhz_transport PUBLIC RHZ_HAS_UCX)
endif()
if(LIBFABRIC_INCLUDE_DIR AND LIBFABRIC_LIBRARY)
  rhz_module(ofi SOURCES transport/libfabric/module.cc transport/libfabric/ofi_fabric.cc transport/libfabric/provider.cc
    INCLUDE ${LIBFABRIC_INCLUDE_DIR} LIBRARIES ${LIBFABRIC_LIBRARY})
  target_compile_definitions(rhz_transport PUBLIC RHZ_HAS_OFI)
endif()
