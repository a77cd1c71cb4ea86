rondo_test(core_test LINKS core)
