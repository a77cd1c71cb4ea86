// Instructions that the compiler seldom chooses by itself, against what the PTX manual says of them.
#include "harness.cuh"

static __device__ unsigned bfe_s(unsigned a, unsigned at, unsigned n) {
  unsigned r;
  asm("bfe.s32 %0, %1, %2, %3;" : "=r"(r) : "r"(a), "r"(at), "r"(n));
  return r;
}
static __global__ void bits(unsigned* y) {
  unsigned a = 0x89abcdefu, b = 0x01234567u, r;
  int k = 0;
  y[k++] = bfe_s(a, 4, 8);
  y[k++] = bfe_s(a, 28, 8);  // past the top: the sign bit is the topmost
  asm("bfe.u32 %0, %1, 12, 9;" : "=r"(r) : "r"(a));
  y[k++] = r;
  asm("bfi.b32 %0, %1, %2, 8, 12;" : "=r"(r) : "r"(b), "r"(a));
  y[k++] = r;
  asm("lop3.b32 %0, %1, %2, %3, 0x96;" : "=r"(r) : "r"(a), "r"(b), "r"(0x0f0f0f0fu));
  y[k++] = r;
  asm("lop3.b32 %0, %1, %2, %3, 0xca;" : "=r"(r) : "r"(a), "r"(b), "r"(0x0f0f0f0fu));
  y[k++] = r;
  asm("prmt.b32 %0, %1, %2, 0xb3a6;" : "=r"(r) : "r"(a), "r"(b));
  y[k++] = r;
  asm("shf.r.wrap.b32 %0, %1, %2, 36;" : "=r"(r) : "r"(a), "r"(b));
  y[k++] = r;
  asm("shf.l.clamp.b32 %0, %1, %2, 40;" : "=r"(r) : "r"(a), "r"(b));
  y[k++] = r;
  asm("bfind.u32 %0, %1;" : "=r"(r) : "r"(b));
  y[k++] = r;
  asm("bfind.shiftamt.s32 %0, %1;" : "=r"(r) : "r"(a));
  y[k++] = r;
  asm("cnot.b32 %0, %1;" : "=r"(r) : "r"(a));
  y[k++] = r;
  asm("shl.b32 %0, %1, 32;" : "=r"(r) : "r"(a));
  y[k++] = r;
  asm("shr.s32 %0, %1, 99;" : "=r"(r) : "r"(a));
  y[k++] = r;
  asm("sad.s32 %0, %1, %2, 7;" : "=r"(r) : "r"(5), "r"(-6));
  y[k++] = r;
  asm("mul24.lo.u32 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(3));
  y[k++] = r;
  asm("add.sat.s32 %0, %1, %2;" : "=r"(r) : "r"(0x7ffffff0), "r"(100));
  y[k++] = r;
  asm("slct.b32.s32 %0, %1, %2, %3;" : "=r"(r) : "r"(1), "r"(2), "r"(-1));
  y[k++] = r;
  asm("set.lt.u32.s32 %0, %1, %2;" : "=r"(r) : "r"(-1), "r"(2));
  y[k++] = r;
  asm("cvt.sat.u8.s32 %0, %1;" : "=r"(r) : "r"(300));
  y[k++] = r;
  asm("cvt.sat.s8.s32 %0, %1;" : "=r"(r) : "r"(-300));
  y[k++] = r;
}
GPU_CASE(bit_instructions) {
  const unsigned a = 0x89abcdefu, b = 0x01234567u, c = 0x0f0f0f0fu;
  const unsigned expected[] = {
      0xffffffdeu,
      0xfffffff8u,
      a >> 12 & 0x1ff,
      (a & ~(0xfffu << 8)) | (b & 0xfff) << 8,
      a ^ b ^ c,
      (a & b) | (~a & c),
      0xff89ff23u,  // the sign of byte 3, byte 3, the sign of byte 2, byte 2 of b
      b << 28 | a >> 4,
      a,  // clamped to 32: the lower word has moved up
      24,
      1,  // of a negative number the highest zero counts
      0,
      0,
      0xffffffffu,
      18,
      0xabcdefu * 3,
      0x7fffffffu,
      2,
      0xffffffffu,
      255,
      0xffffff80u,
  };
  Array<unsigned> y(21);
  bits<<<1, 1>>>(y);
  y.down();
  for (int i = 0; i < 21; ++i) {
    char name[40];
    std::snprintf(name, sizeof name, "bits %d is %08x", i, y.host[i]);
    check(y.host[i] == expected[i], name, y.host[i], expected[i]);
  }
}

static __global__ void carries(unsigned* y, unsigned a, unsigned b) {
  asm("add.cc.u32 %0, %2, %3;\n\taddc.u32 %1, 5, 6;" : "=r"(y[0]), "=r"(y[1]) : "r"(a), "r"(b));
  asm("sub.cc.u32 %0, %3, %2;\n\tsubc.u32 %1, 9, 2;" : "=r"(y[2]), "=r"(y[3]) : "r"(a), "r"(b));
  asm("mad.lo.cc.u32 %0, %2, %3, %2;\n\tmadc.hi.u32 %1, %2, %3, 1;"
      : "=r"(y[4]), "=r"(y[5])
      : "r"(a), "r"(b));
}
GPU_CASE(carry_chain) {
  unsigned a = 0xfffffff0u, b = 0x20u;
  Array<unsigned> y(6);
  carries<<<1, 1>>>(y, a, b);
  y.down();
  unsigned long long product = static_cast<unsigned long long>(a) * b;
  unsigned long long low = (product & 0xffffffffu) + a;
  const unsigned want[] = {0x10,
                           12,
                           b - a,
                           6,
                           static_cast<unsigned>(low),
                           static_cast<unsigned>((product >> 32) + (low >> 32) + 1)};
  for (int i = 0; i < 6; ++i) check(y.host[i] == want[i], "carry", y.host[i], want[i]);
}

static __global__ void roundings(float* y, float a, float b) {
  y[0] = __fadd_rz(a, b), y[1] = __fadd_ru(a, b), y[2] = __fadd_rd(-a, -b), y[3] = __fadd_rn(a, b);
  y[4] = __fmul_ru(a, a), y[5] = __fmul_rd(a, a), y[6] = __fdiv_ru(1, b + 3), y[7] = __fdiv_rd(1, b + 3);
  y[8] = __fsqrt_ru(2), y[9] = __fsqrt_rd(2), y[10] = __fmaf_rz(a, a, b), y[11] = __saturatef(a * 5);
  y[12] = __int2float_ru(16777217), y[13] = __int2float_rz(16777219), y[14] = __double2float_ru(0.1),
  y[15] = __double2float_rd(0.1);
  asm("add.ftz.f32 %0, %1, %2;" : "=f"(y[16]) : "f"(1e-39f), "f"(1e-39f));
  asm("add.f32 %0, %1, %2;" : "=f"(y[17]) : "f"(1e-39f), "f"(1e-39f));
  y[18] = fminf(NAN, 3), y[19] = fmaxf(-0.f, 0.f), y[20] = rintf(2.5f), y[21] = truncf(-2.7f),
  y[22] = ceilf(-2.2f);
  y[23] = __float2int_rn(3e9f), y[24] = __float2int_rz(NAN), y[25] = __float2uint_rz(-5.f);
}
GPU_CASE(rounding_modes_and_corners) {
  float a = 1.0000001f, b = 5.9604645e-8f;
  Array<float> y(26);
  roundings<<<1, 1>>>(y, a, b);
  y.down();
  auto up = [](float x) { return std::nextafter(x, INFINITY); };
  auto down = [](float x) { return std::nextafter(x, -INFINITY); };
  auto above = [&](double exact) {
    float f = static_cast<float>(exact);
    return f < exact ? up(f) : f;
  };
  auto below = [&](double exact) {
    float f = static_cast<float>(exact);
    return f > exact ? down(f) : f;
  };
  double sum = static_cast<double>(a) + b, square = static_cast<double>(a) * a;
  float three = b + 3;
  const float want[] = {below(sum),
                        above(sum),
                        -above(sum),
                        static_cast<float>(sum),
                        above(square),
                        below(square),
                        above(1.0 / three),
                        below(1.0 / three),
                        above(std::sqrt(2.0)),
                        below(std::sqrt(2.0)),
                        below(square + b),
                        1,
                        16777218,
                        16777218,
                        above(0.1),
                        below(0.1),
                        0,
                        2e-39f,
                        3,
                        0,
                        2,
                        -2,
                        -2,
                        2147483647.f,
                        0,
                        0};
  for (int i = 0; i < 26; ++i) {
    char name[40];
    std::snprintf(name, sizeof name, "number %d", i);
    check(y.host[i] == want[i], name, y.host[i], want[i]);
  }
}

static __global__ void generic_pointers(int* y, int which) {
  __shared__ int s[32];
  int local[4] = {which, 2, 3, 4};
  s[threadIdx.x] = threadIdx.x;
  int* p = which == 0 ? y + threadIdx.x : which == 1 ? s + threadIdx.x : local + threadIdx.x % 4;
  asm volatile("" : "+l"(p));  // so that the compiler does not see which
  *p += 10;
  y[32 + threadIdx.x] = *p;
}
GPU_CASE(generic_addressing) {
  for (int which = 0; which < 3; ++which) {
    Array<int> y(std::vector<int>(64, 7));
    generic_pointers<<<1, 32>>>(y, which);
    y.down();
    for (int i = 0; i < 32; ++i) {
      int want = which == 0 ? 17 : which == 1 ? i + 10 : (i % 4 ? i % 4 + 1 : which) + 10;
      check(y.host[32 + i] == want, "generic", y.host[32 + i], want);
    }
  }
}

static __global__ void counts(int* y, int limit) {
  int n = __syncthreads_count(static_cast<int>(threadIdx.x) < limit);
  int all = __syncthreads_and(static_cast<int>(threadIdx.x) < limit),
      any = __syncthreads_or(static_cast<int>(threadIdx.x) == limit);
  y[threadIdx.x] = n * 100 + (all ? 10 : 0) + (any ? 1 : 0);
}
GPU_CASE(barriers_that_count) {
  Array<int> y(48);
  counts<<<1, 48>>>(y, 20);
  for (int v : y.down()) check(v == 2001, "count", v, 2001);
  counts<<<1, 48>>>(y, 48);
  for (int v : y.down()) check(v == 4810, "count", v, 4810);
}

// A jump table, which this compiler never makes of a switch.
static __global__ void jump(int* y) {
  int r;
  asm volatile(
      "{\n\t.reg .u32 %way;\n\t"
      "rem.u32 %way, %1, 3;\n\t"
      "ways: .branchtargets way0, way1, way2;\n\t"
      "brx.idx %way, ways;\n\t"
      "way0: mul.lo.s32 %0, %1, 5;\n\tbra.uni done;\n\t"
      "way1: add.s32 %0, %1, 100;\n\tbra.uni done;\n\t"
      "way2: neg.s32 %0, %1;\n\t"
      "done:\n\t}"
      : "=r"(r)
      : "r"(threadIdx.x));
  y[threadIdx.x] = r;
}
GPU_CASE(jump_table) {
  Array<int> y(64);
  jump<<<1, 64>>>(y);
  y.down();
  for (int i = 0; i < 64; ++i) {
    int want = i % 3 == 0 ? i * 5 : i % 3 == 1 ? i + 100 : -i;
    check(y.host[i] == want, "way", y.host[i], want);
  }
}
