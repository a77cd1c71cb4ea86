rondo_test(device_test LINKS device core)
# A program that was built with CUDA starts and computes where no driver is installed.
if(rondo_has_cuda)
  rondo_script_test(cuda_start_test TIMEOUT 120)
else()
  message(STATUS "cuda_start_test is left out: this build has no CUDA backend")
endif()
