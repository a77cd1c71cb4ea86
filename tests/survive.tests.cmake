rondo_test(survive_test LINKS survive io core)
rondo_script_test(launch_test TIMEOUT 300)
rondo_script_test(chaos_test TIMEOUT 300)
