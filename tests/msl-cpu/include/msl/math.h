// Functions of numbers (sections 6.2 to 6.6), as exact as those of the C library. Metal's own may
// round otherwise: what runs here says nothing of their accuracy.
#pragma once

namespace metal {

template <class T, class F> MSL_INLINE vec<T, 2> each(F f, const vec<T, 2> &a) {
    return vec<T, 2>(f(a.x), f(a.y));
}
template <class T, class F> MSL_INLINE vec<T, 3> each(F f, const vec<T, 3> &a) {
    return vec<T, 3>(f(a.x), f(a.y), f(a.z));
}
template <class T, class F> MSL_INLINE vec<T, 4> each(F f, const vec<T, 4> &a) {
    return vec<T, 4>(f(a.x), f(a.y), f(a.z), f(a.w));
}

// A function of one float, computed by `expr`; halves go through floats.
#define MSL_UNARY(name, expr)                                                                      \
    inline float name(float x) { return expr; }                                                    \
    inline half name(half h) {                                                                     \
        float x = h;                                                                               \
        return (half)(expr);                                                                       \
    }                                                                                              \
    template <class T, int N> inline vec<T, N> name(const vec<T, N> &a) {                          \
        return each([](T x) __attribute__((always_inline)) { return name(x); }, a);                \
    }
MSL_UNARY(floor, __builtin_floorf(x))
MSL_UNARY(ceil, __builtin_ceilf(x))
MSL_UNARY(rint, __builtin_rintf(x))
MSL_UNARY(trunc, __builtin_truncf(x))
MSL_UNARY(sqrt, __builtin_sqrtf(x))
MSL_UNARY(rsqrt, 1.0f / __builtin_sqrtf(x))
MSL_UNARY(exp, __builtin_expf(x))
MSL_UNARY(exp2, __builtin_exp2f(x))
MSL_UNARY(log, __builtin_logf(x))
MSL_UNARY(log2, __builtin_log2f(x))
MSL_UNARY(sin, __builtin_sinf(x))
MSL_UNARY(cos, __builtin_cosf(x))
MSL_UNARY(tan, __builtin_tanf(x))
MSL_UNARY(asin, __builtin_asinf(x))
MSL_UNARY(acos, __builtin_acosf(x))
MSL_UNARY(atan, __builtin_atanf(x))
MSL_UNARY(sinh, __builtin_sinhf(x))
MSL_UNARY(cosh, __builtin_coshf(x))
MSL_UNARY(tanh, __builtin_tanhf(x))
MSL_UNARY(asinh, __builtin_asinhf(x))
MSL_UNARY(acosh, __builtin_acoshf(x))
MSL_UNARY(atanh, __builtin_atanhf(x))
// 0 for a NaN
MSL_UNARY(sign, x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : x == 0.0f ? x : 0.0f)
#undef MSL_UNARY

MSL_INLINE float abs(float x) { return __builtin_fabsf(x); }
MSL_INLINE half abs(half x) { return (half)__builtin_fabsf(x); }
MSL_INLINE int abs(int x) { return x < 0 ? (int)(0u - (uint)x) : x; }
MSL_INLINE uint abs(uint x) { return x; }
template <class T, int N> MSL_INLINE vec<T, N> abs(const vec<T, N> &a) {
    return each([](T x) __attribute__((always_inline)) { return abs(x); }, a);
}

// Of a number and a NaN, min and max give the number (section 6.5, fmin and fmax).
#define MSL_MIN_MAX(T)                                                                             \
    MSL_INLINE T min(T a, T b) { return b < a || a != a ? b : a; }                                 \
    MSL_INLINE T max(T a, T b) { return a < b || a != a ? b : a; }
MSL_MIN_MAX(float)
MSL_MIN_MAX(half)
MSL_MIN_MAX(int)
MSL_MIN_MAX(uint)
#undef MSL_MIN_MAX
template <class T, int N> MSL_INLINE vec<T, N> min(vec<T, N> a, vec<T, N> b) {
    if constexpr (is_float<T>) return vec<T, N>::of(b.v < a.v || a.v != a.v ? b.v : a.v);
    return vec<T, N>::of(b.v < a.v ? b.v : a.v);
}
template <class T, int N> MSL_INLINE vec<T, N> max(vec<T, N> a, vec<T, N> b) {
    if constexpr (is_float<T>) return vec<T, N>::of(a.v < b.v || a.v != a.v ? b.v : a.v);
    return vec<T, N>::of(a.v < b.v ? b.v : a.v);
}
template <class T> MSL_INLINE T clamp(T x, decltype(x) low, decltype(x) high) {
    return min(max(x, low), high);
}
template <class T, int N> MSL_INLINE vec<T, N> clamp(vec<T, N> x, T low, T high) {
    return min(max(x, vec<T, N>(low)), vec<T, N>(high));
}

inline float pow(float a, float b) { return __builtin_powf(a, b); }
inline half pow(half a, half b) { return (half)__builtin_powf(a, b); }
inline float fmod(float a, float b) { return __builtin_fmodf(a, b); }
inline half fmod(half a, half b) { return (half)__builtin_fmodf(a, b); }
#define MSL_BINARY(name)                                                                           \
    template <class T> inline vec<T, 2> name(const vec<T, 2> &a, const vec<T, 2> &b) {             \
        return vec<T, 2>(name(a.x, b.x), name(a.y, b.y));                                          \
    }                                                                                              \
    template <class T> inline vec<T, 3> name(const vec<T, 3> &a, const vec<T, 3> &b) {             \
        return vec<T, 3>(name(a.x, b.x), name(a.y, b.y), name(a.z, b.z));                          \
    }                                                                                              \
    template <class T> inline vec<T, 4> name(const vec<T, 4> &a, const vec<T, 4> &b) {             \
        return vec<T, 4>(name(a.x, b.x), name(a.y, b.y), name(a.z, b.z), name(a.w, b.w));          \
    }
MSL_BINARY(pow)
MSL_BINARY(fmod)
#undef MSL_BINARY

MSL_INLINE float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
// A half's product is exact in a float, but a float's sum of it need not be: that of a double is.
MSL_INLINE half fma(half a, half b, half c) { return (half)((double)a * (double)b + (double)c); }
template <class T> MSL_INLINE vec<T, 2> fma(vec<T, 2> a, vec<T, 2> b, vec<T, 2> c) {
    return vec<T, 2>(fma(a.x, b.x, c.x), fma(a.y, b.y, c.y));
}
template <class T> MSL_INLINE vec<T, 3> fma(vec<T, 3> a, vec<T, 3> b, vec<T, 3> c) {
    return vec<T, 3>(fma(a.x, b.x, c.x), fma(a.y, b.y, c.y), fma(a.z, b.z, c.z));
}
template <class T> MSL_INLINE vec<T, 4> fma(vec<T, 4> a, vec<T, 4> b, vec<T, 4> c) {
#ifdef __FMA__
    if constexpr (__is_same(T, float)) return vec<T, 4>::of(__builtin_ia32_vfmaddps(a.v, b.v, c.v));
#endif
    return vec<T, 4>(fma(a.x, b.x, c.x), fma(a.y, b.y, c.y), fma(a.z, b.z, c.z),
                     fma(a.w, b.w, c.w));
}

template <class T> MSL_INLINE T dot(vec<T, 2> a, vec<T, 2> b) { return a.x * b.x + a.y * b.y; }
template <class T> MSL_INLINE T dot(vec<T, 3> a, vec<T, 3> b) {
    return a.x * b.x + a.y * b.y + a.z * b.z;
}
template <class T> MSL_INLINE T dot(vec<T, 4> a, vec<T, 4> b) {
    return a.x * b.x + a.y * b.y + a.z * b.z + a.w * b.w;
}

template <class T> MSL_INLINE T select(T no, T yes, bool mask) { return mask ? yes : no; }
template <class T, int N>
MSL_INLINE vec<T, N> select(vec<T, N> no, vec<T, N> yes, vec<bool, N> mask) {
    typedef decltype(no.v < no.v) lanes; // integers as wide as those chosen from
    return vec<T, N>::of(__builtin_convertvector(mask.v, lanes) != (lanes)0 ? yes.v : no.v);
}
template <int N> MSL_INLINE bool all(vec<bool, N> a) {
    int r = 1;
    for (int i = 0; i < N; i++) r &= a.v[i];
    return r;
}
template <int N> MSL_INLINE bool any(vec<bool, N> a) {
    int r = 0;
    for (int i = 0; i < N; i++) r |= a.v[i];
    return r;
}
inline bool isnan(float x) { return x != x; }
inline bool isinf(float x) { return __builtin_fabsf(x) == __builtin_inff(); }

} // namespace metal
