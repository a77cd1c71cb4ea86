#define RONDO_SIMD_TABLE avx512_table
#define RONDO_SIMD_NAME "avx512"
#include "simd_loops.inc"
