rondo_test(survive_test LINKS survive io core)
rondo_script_test(launch_test ALONE TIMEOUT 300)
rondo_script_test(chaos_test ALONE TIMEOUT 300)
rondo_script_test(flipped_bits_test ALONE TIMEOUT 120)
add_library(set_clock_back MODULE set_clock_back.c)
rondo_script_test(troubles_test ALONE TIMEOUT 300)
if(NOT RONDO_SANITIZE)
  set_property(TEST troubles_test APPEND PROPERTY ENVIRONMENT "RONDO_SET_CLOCK_BACK=$<TARGET_FILE:set_clock_back>")
endif()
# In the job: on Open MPI 5; skipped elsewhere.
rondo_script_test(in_job_test ALONE TIMEOUT 600)
set_tests_properties(in_job_test PROPERTIES SKIP_RETURN_CODE 77)
# On a real Slurm, for which it waits most of the time; skipped where it is not installed or this is not root.
rondo_script_test(slurm_test TIMEOUT 600)
set_tests_properties(slurm_test PROPERTIES SKIP_RETURN_CODE 77 COST 100)  # first, so that others fit beside it
rondo_test(balancer_test LINKS survive io core)
rondo_test(mirrors_test LINKS survive io core)
