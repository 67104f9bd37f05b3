# CUDA: looked for, and used when it is there.  Only kernels need the toolkit; the library finds the driver when it runs.
set(RHZ_CUDA AUTO CACHE STRING "Kernels for CUDA devices: AUTO (when nvcc is found), ON, OFF")
set(RHZ_NVCC "")
if(NOT RHZ_CUDA STREQUAL OFF)
  find_program(RHZ_NVCC_PROGRAM nvcc HINTS ENV CUDA_HOME ENV CUDA_PATH PATHS /usr/local/cuda PATH_SUFFIXES bin)
  if(RHZ_NVCC_PROGRAM)
    set(RHZ_NVCC ${RHZ_NVCC_PROGRAM})
  elseif(RHZ_CUDA STREQUAL ON)
    message(FATAL_ERROR "RHZ_CUDA=ON, and there is no nvcc: set CUDA_HOME, or RHZ_NVCC_PROGRAM")
  endif()
endif()

# Machine code for Hopper, and PTX that drivers make code of for what is newer than Ampere; embedded as rhz_NAME_fatbin.  Headers of kernels
# are beside them.
function(rhz_embed_kernels target name source)
  set(fatbin ${PROJECT_BINARY_DIR}/kernels/${name}.fatbin)
  set(wrapper ${CMAKE_CURRENT_BINARY_DIR}/${name}.fatbin.cc)
  if(NOT TARGET rhz_kernels_${name})  # once, for however many
    file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/kernels)
    get_filename_component(folder ${source} DIRECTORY)
    file(GLOB headers CONFIGURE_DEPENDS ${folder}/*.h ${folder}/*.cuh)
    add_custom_command(OUTPUT ${fatbin} DEPENDS ${source} ${headers}
      COMMAND ${RHZ_NVCC} -std=c++17 -O3 -fatbin -gencode arch=compute_90,code=sm_90 -gencode arch=compute_80,code=compute_80
              -I${PROJECT_SOURCE_DIR} -o ${fatbin} ${source}
      COMMENT "Compiling kernels ${name}")
    add_custom_target(rhz_kernels_${name} DEPENDS ${fatbin})
  endif()
  add_dependencies(${target} rhz_kernels_${name})
  file(WRITE ${wrapper}.in "__asm__(\".section .rodata\\n.balign 64\\n.global rhz_${name}_fatbin\\n.hidden rhz_${name}_fatbin\\nrhz_${name}_fatbin:\\n.incbin \\\"${fatbin}\\\"\\n.previous\\n\");\n")
  configure_file(${wrapper}.in ${wrapper} COPYONLY)
  set_source_files_properties(${wrapper} PROPERTIES OBJECT_DEPENDS ${fatbin})
  target_sources(${target} PRIVATE ${wrapper})
endfunction()
