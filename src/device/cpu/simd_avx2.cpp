#define RONDO_SIMD_TABLE avx2_table
#define RONDO_SIMD_NAME "avx2"
#include "simd_loops.inc"
