// Arithmetic on f32 and f64. The approximations (.approx, .full) are computed in double and rounded once: the
// simulator has no error to imitate.
#include "interp/float_mode.hpp"
#include "interp/pick.hpp"

namespace gpusim {
namespace {

// volatile, or the compiler moves the operation out from under the rounding mode.
template <class T>
struct Add {
  static T of(T a, T b) {
    volatile T x = a;
    volatile T r = x + b;
    return r;
  }
};
template <class T>
struct Sub {
  static T of(T a, T b) {
    volatile T x = a;
    volatile T r = x - b;
    return r;
  }
};
template <class T>
struct Mul {
  static T of(T a, T b) {
    volatile T x = a;
    volatile T r = x * b;
    return r;
  }
};
template <class T>
struct Div {
  static T of(T a, T b) {
    volatile T x = a;
    volatile T r = x / b;
    return r;
  }
};
template <class T>
struct Fma {
  static T of(T a, T b, T c) {
    volatile T x = a;
    volatile T r = std::fma(x, b, c);
    return r;
  }
};
template <class T>
struct Sqrt {
  static T of(T a) {
    volatile T x = a;
    volatile T r = std::sqrt(x);
    return r;
  }
};
template <class T>
struct Rcp {
  static T of(T a) {
    volatile T x = a;
    volatile T r = T{1} / x;
    return r;
  }
};

template <template <class> class Op, class T>
void unary(Thread& t, const Insn& i) {
  T a = operand<T>(t, i, i.a);
  finish<T>(t, i, rounded(i.rounding, [&] { return Op<T>::of(a); }));
}
template <template <class> class Op, class T>
void binary(Thread& t, const Insn& i) {
  T a = operand<T>(t, i, i.a), b = operand<T>(t, i, i.b);
  finish<T>(t, i, rounded(i.rounding, [&] { return Op<T>::of(a, b); }));
}
template <template <class> class Op, class T>
void ternary(Thread& t, const Insn& i) {
  T a = operand<T>(t, i, i.a), b = operand<T>(t, i, i.b), c = operand<T>(t, i, i.c);
  finish<T>(t, i, rounded(i.rounding, [&] { return Op<T>::of(a, b, c); }));
}
// Nearest rounding needs no ceremony, and is nearly everything that runs.
template <class T, T (*f)(T, T)>
void plain(Thread& t, const Insn& i) {
  finish<T>(t, i, f(operand<T>(t, i, i.a), operand<T>(t, i, i.b)));
}
template <class T>
T plain_add(T a, T b) {
  return a + b;
}
template <class T>
T plain_sub(T a, T b) {
  return a - b;
}
template <class T>
T plain_mul(T a, T b) {
  return a * b;
}
template <class T>
void plain_fma(Thread& t, const Insn& i) {
  finish<T>(t, i, std::fma(operand<T>(t, i, i.a), operand<T>(t, i, i.b), operand<T>(t, i, i.c)));
}

// NaN gives way to a number, and -0 is smaller than +0; i.flag (.NaN): NaN wins.
template <class T, bool largest>
void extreme(Thread& t, const Insn& i) {
  T a = operand<T>(t, i, i.a), b = operand<T>(t, i, i.b);
  if (a != a || b != b) return finish<T>(t, i, i.flag || (a != a && b != b) ? std::nan("") : a != a ? b : a);
  bool a_below = a < b || (a == b && std::signbit(a));
  finish<T>(t, i, a_below == largest ? b : a);
}

template <class T>
void negate(Thread& t, const Insn& i) {
  set<T>(t, i.dst, -operand<T>(t, i, i.a));
}
template <class T>
void absolute(Thread& t, const Insn& i) {
  set<T>(t, i.dst, std::fabs(operand<T>(t, i, i.a)));
}
template <class T>
void copy_sign(Thread& t, const Insn& i) {  // the sign of a, the rest of b
  set<T>(t, i.dst, std::copysign(get<T>(t, i.b), get<T>(t, i.a)));
}

template <double (*f)(double)>
void approximate(Thread& t, const Insn& i) {
  finish<float>(t, i, static_cast<float>(f(operand<float>(t, i, i.a))));
}
double rsqrt(double x) { return 1 / std::sqrt(x); }
double rcp(double x) { return 1 / x; }
double sqrt_(double x) { return std::sqrt(x); }
double exp2_(double x) { return std::exp2(x); }
double log2_(double x) { return std::log2(x); }
double sin_(double x) { return std::sin(x); }
double cos_(double x) { return std::cos(x); }
double tanh_(double x) { return std::tanh(x); }

// rcp.approx.ftz.f64 and its root look at the upper 32 bits only and leave zeros below.
template <double (*f)(double)>
void approximate_upper(Thread& t, const Insn& i) {
  double a = std::bit_cast<double>(std::bit_cast<uint64_t>(get<double>(t, i.a)) & ~0xffffffffull);
  if (std::fpclassify(a) == FP_SUBNORMAL) a = std::copysign(0.0, a);
  set<double>(t, i.dst, std::bit_cast<double>(std::bit_cast<uint64_t>(f(a)) & ~0xffffffffull));
}

template <class T>
void test_property(Thread& t, const Insn& i) {
  T a = get<T>(t, i.a);
  const std::string& what = i.source->opcode[1];
  bool r = what == "finite"       ? std::isfinite(a)
           : what == "infinite"   ? std::isinf(a)
           : what == "number"     ? !std::isnan(a)
           : what == "notanumber" ? std::isnan(a)
           : what == "normal"     ? std::isnormal(a)
                                  : std::fpclassify(a) == FP_SUBNORMAL;
  set<uint32_t>(t, i.dst, r);
}

template <class T>
Handler pick_exact(const std::string& op, bool nearest) {
  if (op == "add") return nearest ? plain<T, plain_add<T>> : binary<Add, T>;
  if (op == "sub") return nearest ? plain<T, plain_sub<T>> : binary<Sub, T>;
  if (op == "mul") return nearest ? plain<T, plain_mul<T>> : binary<Mul, T>;
  if (op == "fma" || op == "mad") return nearest ? plain_fma<T> : ternary<Fma, T>;
  if (op == "div") return binary<Div, T>;
  if (op == "sqrt") return unary<Sqrt, T>;
  if (op == "rcp") return unary<Rcp, T>;
  if (op == "min") return extreme<T, false>;
  if (op == "max") return extreme<T, true>;
  if (op == "neg") return negate<T>;
  if (op == "abs") return absolute<T>;
  if (op == "copysign") return copy_sign<T>;
  if (op == "testp") return test_property<T>;
  return nullptr;
}

Handler pick_approximate(const std::string& op) {
  if (op == "div") return binary<Div, float>;
  if (op == "rcp") return approximate<rcp>;
  if (op == "sqrt") return approximate<sqrt_>;
  if (op == "rsqrt") return approximate<rsqrt>;
  if (op == "ex2") return approximate<exp2_>;
  if (op == "lg2") return approximate<log2_>;
  if (op == "sin") return approximate<sin_>;
  if (op == "cos") return approximate<cos_>;
  if (op == "tanh") return approximate<tanh_>;
  return nullptr;
}

}  // namespace

Handler pick_float(const ptx::Statement& s, Insn& i) {
  const std::string& op = s.opcode[0];
  std::string type = last_type(s);
  if (type != "f32" && type != "f64") return nullptr;
  if (op == "min" || op == "max") {
    i.flag = s.has("NaN");
    if (s.has("xorsign")) return nullptr;
  }
  if (s.has("approx") || s.has("full")) {
    if (type == "f32") return pick_approximate(op);
    if (op == "rcp") return approximate_upper<rcp>;
    if (op == "rsqrt") return approximate_upper<rsqrt>;
    return nullptr;
  }
  bool nearest = i.rounding == Rounding::nearest;
  return type == "f32" ? pick_exact<float>(op, nearest) : pick_exact<double>(op, nearest);
}

}  // namespace gpusim
