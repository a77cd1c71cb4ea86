rondo_test(step_trace_test LINKS train tasks data io exchange optim nn comm device core)
rondo_test(scale_model_test LINKS train tasks data io exchange optim nn comm device core)
rondo_script_test(scale_test TIMEOUT 300)
