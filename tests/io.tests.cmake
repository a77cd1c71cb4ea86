rondo_test(io_test LINKS io)
rondo_test(csv_test LINKS io)
rondo_test(series_test LINKS data)
rondo_test(loader_test LINKS data)
add_executable(write_sample_checkpoint write_sample_checkpoint.cpp)
target_link_libraries(write_sample_checkpoint PRIVATE rondo_io)
add_test(NAME checkpoint_tools_test
  COMMAND ${RONDO_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/checkpoint_tools_test.py $<TARGET_FILE:write_sample_checkpoint>)
set_tests_properties(checkpoint_tools_test PROPERTIES ENVIRONMENT "${test_environment}" TIMEOUT 60)
