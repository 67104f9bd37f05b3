# Release is CMake's -O3, for what is measured.  What mostly waits for that, or reads arguments and prints, is compiled in half the time.

# Tests that wait for the library.
set(RHZ_TEST_SPEED -O0)

# Targets that compute a little: tests, the command.
function(rhz_optimise_less)
  foreach(target ${ARGN})
    target_compile_options(${target} PRIVATE $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CONFIG:Release>>:-O1>)
  endforeach()
endfunction()
