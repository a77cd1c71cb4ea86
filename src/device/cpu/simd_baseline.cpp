#define RONDO_SIMD_TABLE baseline_table
#define RONDO_SIMD_NAME "baseline"
#include "simd_loops.inc"
