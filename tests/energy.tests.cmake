# Hundreds of billions of operations against a deadline: not under a sanitizer.
if(NOT RONDO_SANITIZE)
  rondo_script_test(energy_test ALONE TIMEOUT 900)
endif()
