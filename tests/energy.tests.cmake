rondo_script_test(energy_test TIMEOUT 900)
