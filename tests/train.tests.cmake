rondo_test(step_trace_test LINKS train tasks data io exchange optim nn comm device core)
rondo_test(agreement_test LINKS tasks train survive data io exchange optim nn comm device core RANKS 2 3)
rondo_test(scale_model_test LINKS train tasks data io exchange optim nn comm device core)
rondo_script_test(scale_test ALONE TIMEOUT 300)
