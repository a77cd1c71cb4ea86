# Gradients are checked in double precision: `nn` a second time with another `real`, on a backend of plain
# loops. The program must not link the float libraries.
file(GLOB nn_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/nn/*.cpp)
add_library(rondo_nn_double STATIC ${nn_sources})
target_compile_definitions(rondo_nn_double PUBLIC RONDO_REAL=double)
target_include_directories(rondo_nn_double PUBLIC ${CMAKE_SOURCE_DIR}/src/nn)
target_link_libraries(rondo_nn_double PUBLIC rondo_core)
rondo_test(gradient_test LINKS nn_double FILES reference_backend.cpp reference_ops.cpp)
rondo_test(device_gradient_test LINKS optim nn device core FILES reference_ops.cpp)
target_include_directories(device_gradient_test PRIVATE ${CMAKE_SOURCE_DIR}/src/nn)
rondo_test(parity_test LINKS optim nn device core FILES parity_moves.cpp parity_arena.cpp parity_again.cpp reference_ops.cpp)
# What is done for AVX2 only, on processors with more, too. As below, a filter that selects nothing must not pass.
add_test(NAME parity_test.avx2 COMMAND parity_test "a large product on CPU cores*")
set_tests_properties(parity_test.avx2 PROPERTIES ENVIRONMENT "${test_environment};ONEDNN_MAX_CPU_ISA=AVX2" TIMEOUT 120
  PASS_REGULAR_EXPRESSION "All tests passed")
rondo_test(simd_test LINKS device core FILES reference_ops.cpp)
rondo_test(fixed_point_test LINKS exchange optim nn comm device core)

# The gate in front of oneDNN, also in environments that are set against it. A tag that selects nothing would
# pass in Catch2 2, so the words are looked for.
rondo_test(thread_gate_test LINKS device core FILES reference_ops.cpp)
foreach(case "limit;OMP_THREAD_LIMIT=1" "dynamic;OMP_DYNAMIC=true")
  list(GET case 0 tag)
  list(GET case 1 setting)
  add_test(NAME thread_gate_test.${tag} COMMAND thread_gate_test [.${tag}])
  set_tests_properties(thread_gate_test.${tag} PROPERTIES ENVIRONMENT "${test_environment};${setting}" TIMEOUT 60
    PASS_REGULAR_EXPRESSION "All tests passed")
endforeach()
