# On two namespaced hosts (scripts/two-hosts); skipped, with the reason, where the system does not allow them.
rondo_script_test(two_hosts_test ALONE TIMEOUT 300)
set_tests_properties(two_hosts_test PROPERTIES SKIP_RETURN_CODE 77)
rondo_script_test(compression_test ALONE TIMEOUT 300)
math(EXPR timeout "180 * ${patience}")
foreach(ranks 2 4 3,1 1,2)
  string(REPLACE "," "_and_" name ${ranks})
  add_test(NAME comm_test.two_hosts_${name} COMMAND ${RONDO_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/two_hosts.py
    ${ranks} $<TARGET_FILE:comm_test>)
  set_tests_properties(comm_test.two_hosts_${name} PROPERTIES ENVIRONMENT "${test_environment};${mpi_environment}"
    TIMEOUT ${timeout} PROCESSORS 2 SKIP_RETURN_CODE 77)
endforeach()
