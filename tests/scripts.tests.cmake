rondo_script_test(promise_test TIMEOUT 600)
rondo_script_test(resume_test TIMEOUT 600)
rondo_script_test(bad_inputs_test TIMEOUT 600)
rondo_script_test(commands_test TIMEOUT 600)
