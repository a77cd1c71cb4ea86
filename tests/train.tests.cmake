rondo_test(step_trace_test LINKS train tasks data io exchange optim nn comm device core)
