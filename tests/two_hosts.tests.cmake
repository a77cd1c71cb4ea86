# On two namespaced hosts (scripts/two-hosts); skipped, with the reason, where the system does not allow them.
rondo_script_test(two_hosts_test TIMEOUT 180)
set_tests_properties(two_hosts_test PROPERTIES SKIP_RETURN_CODE 77)
