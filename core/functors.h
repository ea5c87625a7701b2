// The arithmetic of element-wise operations, once, for every device: each forward with its derivative directly below.
// To add one: write the functor, add a row to its list at the end of its section. Enum, names and `visit` follow from
// the list.
#pragma once

#include <cmath>
#include <cstdint>
#include <type_traits>

#include <mnemo/core/elementary.h>
#include <mnemo/core/host_device.h>

namespace mnemo {

/// Numbers that a functor takes besides its operands (a slope, an exponent, a bound).
struct Scalars {
  double a = 0;
  double b = 0;
};

/// What the derivative of a unary functor is computed from: that is what stays in memory for backward.
enum class Saves : std::uint8_t { nothing, input, output };

namespace functors {

// T is float or double; half types are computed in float. Forward and gradient stand like rows of a table.
// clang-format off

struct Neg {
  static constexpr Saves saves = Saves::nothing;
  template <class T> MNEMO_HOST_DEVICE static T forward(T x, const Scalars&) { return -x; }
  template <class T> MNEMO_HOST_DEVICE static T gradient(T g, T, const Scalars&) { return -g; }
};

/// a * x + b
struct Affine {
  static constexpr Saves saves = Saves::nothing;
  template <class T> MNEMO_HOST_DEVICE static T forward(T x, const Scalars& s) {
    return static_cast<T>(s.a) * x + static_cast<T>(s.b);
  }
  template <class T> MNEMO_HOST_DEVICE static T gradient(T g, T, const Scalars& s) { return g * static_cast<T>(s.a); }
};

/// a / x
struct Reciprocal {
  static constexpr Saves saves = Saves::input;
  template <class T> MNEMO_HOST_DEVICE static T forward(T x, const Scalars& s) { return static_cast<T>(s.a) / x; }
  template <class T> MNEMO_HOST_DEVICE static T gradient(T g, T x, const Scalars& s) {
    return -g * static_cast<T>(s.a) / (x * x);
  }
};

/// x to the power a; the derivative at 0 for a = 0 is 0.
struct Power {
  static constexpr Saves saves = Saves::input;
  template <class T> MNEMO_HOST_DEVICE static T forward(T x, const Scalars& s) {
    return s.a == 2 ? x * x : std::pow(x, static_cast<T>(s.a));
  }
  template <class T> MNEMO_HOST_DEVICE static T gradient(T g, T x, const Scalars& s) {
    if (s.a == 0) return T{0};
    return s.a == 2 ? T{2} * g * x : g * static_cast<T>(s.a) * std::pow(x, static_cast<T>(s.a - 1));
  }
};

struct Abs {
  static constexpr Saves saves = Saves::input;
  template <class T> MNEMO_HOST_DEVICE static T forward(T x, const Scalars&) { return x < T{0} ? -x : x; }
  template <class T> MNEMO_HOST_DEVICE static T gradient(T g, T x, const Scalars&) {
    return x > T{0} ? g : x < T{0} ? -g : T{0};
  }
};

struct Exp {
  static constexpr Saves saves = Saves::output;
  template <class T> MNEMO_HOST_DEVICE static T forward(T x, const Scalars&) { return elementary::exp(x); }
  template <class T> MNEMO_HOST_DEVICE static T gradient(T g, T y, const Scalars&) { return g * y; }
};

struct Log {
  static constexpr Saves saves = Saves::input;
  template <class T> MNEMO_HOST_DEVICE static T forward(T x, const Scalars&) { return std::log(x); }
  template <class T> MNEMO_HOST_DEVICE static T gradient(T g, T x, const Scalars&) { return g / x; }
};

struct Sqrt {
  static constexpr Saves saves = Saves::output;
  template <class T> MNEMO_HOST_DEVICE static T forward(T x, const Scalars&) { return std::sqrt(x); }
  template <class T> MNEMO_HOST_DEVICE static T gradient(T g, T y, const Scalars&) { return g / (T{2} * y); }
};

struct Sin {
  static constexpr Saves saves = Saves::input;
  template <class T> MNEMO_HOST_DEVICE static T forward(T x, const Scalars&) { return std::sin(x); }
  template <class T> MNEMO_HOST_DEVICE static T gradient(T g, T x, const Scalars&) { return g * std::cos(x); }
};

struct Cos {
  static constexpr Saves saves = Saves::input;
  template <class T> MNEMO_HOST_DEVICE static T forward(T x, const Scalars&) { return std::cos(x); }
  template <class T> MNEMO_HOST_DEVICE static T gradient(T g, T x, const Scalars&) { return -g * std::sin(x); }
};

/// max(x, 0); NaN stays NaN.
struct Relu {
  static constexpr Saves saves = Saves::output;
  template <class T> MNEMO_HOST_DEVICE static T forward(T x, const Scalars&) { return x < T{0} ? T{0} : x; }
  template <class T> MNEMO_HOST_DEVICE static T gradient(T g, T y, const Scalars&) { return y > T{0} ? g : T{0}; }
};

/// x, or a * x below 0 (a is the slope)
struct LeakyRelu {
  static constexpr Saves saves = Saves::input;
  template <class T> MNEMO_HOST_DEVICE static T forward(T x, const Scalars& s) {
    return x > T{0} ? x : static_cast<T>(s.a) * x;
  }
  template <class T> MNEMO_HOST_DEVICE static T gradient(T g, T x, const Scalars& s) {
    return x > T{0} ? g : static_cast<T>(s.a) * g;
  }
};

/// 1 / (1 + exp(-x))
struct Sigmoid {
  static constexpr Saves saves = Saves::output;
  template <class T> MNEMO_HOST_DEVICE static T forward(T x, const Scalars&) {
    return T{1} / (T{1} + elementary::exp(-x));
  }
  template <class T> MNEMO_HOST_DEVICE static T gradient(T g, T y, const Scalars&) { return g * y * (T{1} - y); }
};

struct Tanh {
  static constexpr Saves saves = Saves::output;
  template <class T> MNEMO_HOST_DEVICE static T forward(T x, const Scalars&) { return elementary::tanh(x); }
  template <class T> MNEMO_HOST_DEVICE static T gradient(T g, T y, const Scalars&) { return g * (T{1} - y * y); }
};

/// x * Phi(x), with the normal distribution function Phi(x) = (1 + erf(x / sqrt 2)) / 2
struct Gelu {
  static constexpr Saves saves = Saves::input;
  static constexpr double kSqrtHalf = 0.70710678118654752440;
  static constexpr double kDensityAtZero = 0.39894228040143267794;  // 1 / sqrt(2 pi)
  template <class T> MNEMO_HOST_DEVICE static T cumulative(T x) {
    return T{0.5} * (T{1} + elementary::erf(x * static_cast<T>(kSqrtHalf)));
  }
  template <class T> MNEMO_HOST_DEVICE static T forward(T x, const Scalars&) { return x * cumulative(x); }
  template <class T> MNEMO_HOST_DEVICE static T gradient(T g, T x, const Scalars&) {
    const T density = static_cast<T>(kDensityAtZero) * elementary::exp(T{-0.5} * x * x);
    return g * (cumulative(x) + x * density);
  }
};

/// x * sigmoid(x)
struct Silu {
  static constexpr Saves saves = Saves::input;
  template <class T> MNEMO_HOST_DEVICE static T forward(T x, const Scalars&) {
    return x / (T{1} + elementary::exp(-x));
  }
  template <class T> MNEMO_HOST_DEVICE static T gradient(T g, T x, const Scalars&) {
    const T sigmoid = T{1} / (T{1} + elementary::exp(-x));
    return g * sigmoid * (T{1} + x * (T{1} - sigmoid));
  }
};

/// x limited to a..b; the derivative is 1 on the bounds.
struct Clamp {
  static constexpr Saves saves = Saves::input;
  template <class T> MNEMO_HOST_DEVICE static T forward(T x, const Scalars& s) {
    return x < static_cast<T>(s.a) ? static_cast<T>(s.a) : x > static_cast<T>(s.b) ? static_cast<T>(s.b) : x;
  }
  template <class T> MNEMO_HOST_DEVICE static T gradient(T g, T x, const Scalars& s) {
    return x >= static_cast<T>(s.a) && x <= static_cast<T>(s.b) ? g : T{0};
  }
};

/// -1, 0 or 1; NaN stays NaN.
struct Sign {
  static constexpr Saves saves = Saves::nothing;
  template <class T> MNEMO_HOST_DEVICE static T forward(T x, const Scalars&) {
    return x > T{0} ? T{1} : x < T{0} ? T{-1} : x;
  }
  template <class T> MNEMO_HOST_DEVICE static T gradient(T, T, const Scalars&) { return T{0}; }
};

/// log(1 + exp(a x)) / a
struct Softplus {
  static constexpr Saves saves = Saves::input;
  template <class T> MNEMO_HOST_DEVICE static T forward(T x, const Scalars& s) {
    const T ax = static_cast<T>(s.a) * x;
    return ((ax > T{0} ? ax : T{0}) + std::log1p(elementary::exp(-std::fabs(ax)))) / static_cast<T>(s.a);
  }
  template <class T> MNEMO_HOST_DEVICE static T gradient(T g, T x, const Scalars& s) {
    return g / (T{1} + elementary::exp(-static_cast<T>(s.a) * x));
  }
};

/// x, or a (exp(x) - 1) below 0; a is not negative, so that the output tells on which side it was.
struct Elu {
  static constexpr Saves saves = Saves::output;
  template <class T> MNEMO_HOST_DEVICE static T forward(T x, const Scalars& s) {
    return x > T{0} ? x : static_cast<T>(s.a) * std::expm1(x);
  }
  template <class T> MNEMO_HOST_DEVICE static T gradient(T g, T y, const Scalars& s) {
    return y > T{0} ? g : g * (y + static_cast<T>(s.a));
  }
};

/// x (1 + tanh(u)) / 2 with u = sqrt(2 / pi) (x + 0.044715 x^3) (Hendrycks and Gimpel, Gaussian Error Linear Units,
/// 2016), where (1 + tanh(u)) / 2 = 1 / (1 + exp(-2 u)).
struct GeluTanh {
  static constexpr Saves saves = Saves::input;
  static constexpr double kTwice = 1.59576912160573071176;  // 2 sqrt(2 / pi)
  static constexpr double kCubic = 0.044715;
  template <class T> MNEMO_HOST_DEVICE static T share(T x) {
    return T{1} / (T{1} + elementary::exp(-static_cast<T>(kTwice) * (x + static_cast<T>(kCubic) * x * x * x)));
  }
  template <class T> MNEMO_HOST_DEVICE static T forward(T x, const Scalars&) { return x * share(x); }
  template <class T> MNEMO_HOST_DEVICE static T gradient(T g, T x, const Scalars&) {
    const T s = share(x), slope = static_cast<T>(kTwice) * (T{1} + static_cast<T>(3 * kCubic) * x * x);
    const T turn = s * (T{1} - s);  // 0 where slope may be infinite
    return g * (turn == T{0} ? s : s + x * turn * slope);
  }
};

/// x min(max(x + 3, 0), 6) / 6 (Howard et al., Searching for MobileNetV3, 2019)
struct HardSwish {
  static constexpr Saves saves = Saves::input;
  template <class T> MNEMO_HOST_DEVICE static T forward(T x, const Scalars&) {
    const T raised = x + T{3};
    return x * ((raised < T{0} ? T{0} : raised > T{6} ? T{6} : raised) / T{6});
  }
  template <class T> MNEMO_HOST_DEVICE static T gradient(T g, T x, const Scalars&) {
    return x <= T{-3} ? T{0} : x >= T{3} ? g : g * (x / T{3} + T{0.5});
  }
};

/// x tanh(log(1 + exp(x))) (Misra, Mish: A Self Regularized Non-Monotonic Activation Function, 2019). The tanh is
/// n / (n + m) with n = e (e + 2), m = 2 and e = exp(x), above 0 each divided by e^2.
struct Mish {
  static constexpr Saves saves = Saves::input;
  template <class T> MNEMO_HOST_DEVICE static T n(T x, T e) { return x < T{0} ? e * (e + T{2}) : T{1} + T{2} * e; }
  template <class T> MNEMO_HOST_DEVICE static T m(T x, T e) { return x < T{0} ? T{2} : T{2} * e * e; }
  template <class T> MNEMO_HOST_DEVICE static T forward(T x, const Scalars&) {
    const T e = elementary::exp(-std::fabs(x)), above = n(x, e);
    return x * (above / (above + m(x, e)));
  }
  template <class T> MNEMO_HOST_DEVICE static T gradient(T g, T x, const Scalars&) {
    const T e = elementary::exp(-std::fabs(x)), above = n(x, e), rest = m(x, e), all = above + rest;
    const T turn = rest * (T{2} * above + rest) / (all * all);  // 1 - tanh^2
    return g * (above / all + x * turn * ((x < T{0} ? e : T{1}) / (T{1} + e)));
  }
};

#define MNEMO_UNARY_OPS(ROW) \
  ROW(neg, Neg)              \
  ROW(affine, Affine)        \
  ROW(reciprocal, Reciprocal) \
  ROW(power, Power)          \
  ROW(abs, Abs)              \
  ROW(exp, Exp)              \
  ROW(log, Log)              \
  ROW(sqrt, Sqrt)            \
  ROW(sin, Sin)              \
  ROW(cos, Cos)              \
  ROW(relu, Relu)            \
  ROW(leaky_relu, LeakyRelu) \
  ROW(sigmoid, Sigmoid)      \
  ROW(tanh, Tanh)            \
  ROW(gelu, Gelu)            \
  ROW(silu, Silu)            \
  ROW(clamp, Clamp)          \
  ROW(sign, Sign)            \
  ROW(softplus, Softplus)    \
  ROW(elu, Elu)              \
  ROW(gelu_tanh, GeluTanh)   \
  ROW(hardswish, HardSwish)  \
  ROW(mish, Mish)

// Binary functors take any arithmetic type. Their derivatives are compositions (autograd/ops_binary.cpp).

/// T as an operand of +, - and *: integers wrap around, which in C++ only unsigned ones do.
template <class T, bool = std::is_integral_v<T> && sizeof(T) >= sizeof(int)>
struct Wrapping {
  using type = T;
};
template <class T>
struct Wrapping<T, true> {
  using type = std::make_unsigned_t<T>;
};
template <class T>
using wrapping = typename Wrapping<T>::type;

struct Add {
  template <class T> MNEMO_HOST_DEVICE static T forward(T a, T b) {
    return static_cast<T>(static_cast<wrapping<T>>(a) + static_cast<wrapping<T>>(b));
  }
};
struct Subtract {
  template <class T> MNEMO_HOST_DEVICE static T forward(T a, T b) {
    return static_cast<T>(static_cast<wrapping<T>>(a) - static_cast<wrapping<T>>(b));
  }
};
struct Multiply {
  template <class T> MNEMO_HOST_DEVICE static T forward(T a, T b) {
    return static_cast<T>(static_cast<wrapping<T>>(a) * static_cast<wrapping<T>>(b));
  }
};
/// Integers truncate towards zero; a zero divisor gives 0 there.
struct Divide {
  template <class T> MNEMO_HOST_DEVICE static T forward(T a, T b) {
    if constexpr (std::is_integral_v<T>) {
      if (b == T{0}) return T{0};
      if constexpr (std::is_signed_v<T>) {
        if (b == T{-1}) return Subtract::forward(T{0}, a);  // the one quotient that can overflow
      }
    }
    return static_cast<T>(a / b);
  }
};
/// NaN wins.
struct Maximum {
  template <class T> MNEMO_HOST_DEVICE static T forward(T a, T b) { return a != a || a > b ? a : b; }
};
struct Minimum {
  template <class T> MNEMO_HOST_DEVICE static T forward(T a, T b) { return a != a || a < b ? a : b; }
};

#define MNEMO_BINARY_OPS(ROW) \
  ROW(add, Add)               \
  ROW(subtract, Subtract)     \
  ROW(multiply, Multiply)     \
  ROW(divide, Divide)         \
  ROW(maximum, Maximum)       \
  ROW(minimum, Minimum)

struct Equal {
  template <class T> MNEMO_HOST_DEVICE static bool forward(T a, T b) { return a == b; }
};
struct Less {
  template <class T> MNEMO_HOST_DEVICE static bool forward(T a, T b) { return a < b; }
};
struct LessEqual {
  template <class T> MNEMO_HOST_DEVICE static bool forward(T a, T b) { return a <= b; }
};

#define MNEMO_COMPARE_OPS(ROW) \
  ROW(equal, Equal)            \
  ROW(less, Less)              \
  ROW(less_equal, LessEqual)

// clang-format on

}  // namespace functors

// One enum, one name and one switch per list.
#define MNEMO_ENUMERATOR(name, functor) name,
#define MNEMO_NAME_CASE(name, functor) \
  case Op::name:                       \
    return #name;
#define MNEMO_VISIT_CASE(name, functor) \
  case Op::name:                        \
    return f(functors::functor{});
#define MNEMO_OP_LIST(Enum, LIST)                            \
  enum class Enum : std::uint8_t { LIST(MNEMO_ENUMERATOR) }; \
  inline const char* name(Enum op) {                         \
    using Op = Enum;                                         \
    switch (op) { LIST(MNEMO_NAME_CASE) }                    \
    return "";                                               \
  }                                                          \
  template <class F>                                         \
  void visit(Enum op, F&& f) {                               \
    using Op = Enum;                                         \
    switch (op) { LIST(MNEMO_VISIT_CASE) }                   \
  }

MNEMO_OP_LIST(UnaryOp, MNEMO_UNARY_OPS)
MNEMO_OP_LIST(BinaryOp, MNEMO_BINARY_OPS)
MNEMO_OP_LIST(CompareOp, MNEMO_COMPARE_OPS)

#undef MNEMO_ENUMERATOR
#undef MNEMO_NAME_CASE
#undef MNEMO_VISIT_CASE
#undef MNEMO_OP_LIST

/// What the derivative of `op` needs.
inline Saves saves(UnaryOp op) {
  Saves result = Saves::nothing;
  visit(op, [&](auto functor) { result = decltype(functor)::saves; });
  return result;
}

}  // namespace mnemo
