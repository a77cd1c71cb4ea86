# The suite of all backends once more with a simulated card (tests/gpusim), in several orders of threads, blocks and
# streams: without it, a machine without a GPU would test nothing of the CUDA backend.
if(rondo_has_cuda AND TARGET gpusim_cudart)
  set(simulated "LD_LIBRARY_PATH=${CMAKE_CURRENT_BINARY_DIR}/gpusim/lib" "RONDO_NEEDS_CUDA=1" "GPUSIM_COMPUTE=8.0")
  foreach(seed 1 2 3)
    add_test(NAME parity_test.simulated_gpu_${seed} COMMAND parity_test)
    set_tests_properties(parity_test.simulated_gpu_${seed} PROPERTIES TIMEOUT 300
      ENVIRONMENT "${test_environment};${simulated};GPUSIM_SEED=${seed}")
  endforeach()
  add_test(NAME device_test.simulated_gpu COMMAND device_test)
  set_tests_properties(device_test.simulated_gpu PROPERTIES TIMEOUT 60 ENVIRONMENT "${test_environment};${simulated}")
endif()
