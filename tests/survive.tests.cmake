rondo_test(survive_test LINKS survive io core)
rondo_script_test(launch_test TIMEOUT 300)
rondo_script_test(chaos_test TIMEOUT 300)
rondo_script_test(flipped_bits_test TIMEOUT 120)
# In the job: on Open MPI 5; skipped elsewhere.
rondo_script_test(in_job_test TIMEOUT 600)
set_tests_properties(in_job_test PROPERTIES SKIP_RETURN_CODE 77)
# On a real Slurm; skipped where it is not installed or this is not root.
rondo_script_test(slurm_test TIMEOUT 600)
set_tests_properties(slurm_test PROPERTIES SKIP_RETURN_CODE 77)
rondo_test(balancer_test LINKS survive io core)
