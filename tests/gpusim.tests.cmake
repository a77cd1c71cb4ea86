# A simulated GPU: stand-ins for the CUDA libraries that run the product's own kernels on the CPU.
add_subdirectory(gpusim)
set(gpusim_libraries ${CMAKE_CURRENT_BINARY_DIR}/gpusim/lib)
# The stand-ins cannot be loaded beside a sanitizer's allocator.
if(rondo_has_cuda AND TARGET gpusim_nccl AND NOT RONDO_SANITIZE)
  foreach(name gpu_train_test gpu_commands_test gpu_coverage_test)
    rondo_script_test(${name} TIMEOUT 500)
    set_property(TEST ${name} APPEND PROPERTY ENVIRONMENT "RONDO_GPUSIM=${gpusim_libraries}"
      "RONDO_PARITY=$<TARGET_FILE:parity_test>")
  endforeach()
  foreach(ranks 1 2 3)
    add_test(NAME exchange_test.simulated_gpu.${ranks}_ranks
      COMMAND ${mpirun} -n ${ranks} $<TARGET_FILE:exchange_test>)
    set_tests_properties(exchange_test.simulated_gpu.${ranks}_ranks PROPERTIES TIMEOUT 120 PROCESSORS 2 ENVIRONMENT
      "${mpi_environment};LD_LIBRARY_PATH=${gpusim_libraries};GPUSIM_DEVICES=3;RONDO_NEEDS_CUDA=1")
  endforeach()
  foreach(name parity_test device_test device_gradient_test)
    foreach(seed 1 2)
      if(name STREQUAL parity_test AND seed EQUAL 1)
        continue()  # gpu_coverage_test runs it
      endif()
      add_test(NAME ${name}.simulated_gpu_${seed} COMMAND ${name})
      set_tests_properties(${name}.simulated_gpu_${seed} PROPERTIES TIMEOUT 300
        ENVIRONMENT "LD_LIBRARY_PATH=${gpusim_libraries};GPUSIM_SEED=${seed};GPUSIM_COMPUTE=8.0;RONDO_NEEDS_CUDA=1")
    endforeach()
  endforeach()
else()
  message(STATUS "Tests on simulated GPUs are left out: they need CUDA, NCCL and a build without sanitizers")
endif()
