// Scalars and vectors (sections 2.1 to 2.3), `as_type` (2.9), packed vectors (2.3.3).
#pragma once

typedef unsigned char uchar;
typedef unsigned short ushort;
typedef unsigned int uint;
typedef unsigned long ulong;
typedef _Float16 half;

#define MSL_INLINE inline __attribute__((always_inline))

inline constexpr half operator""h(long double v) { return (half)v; }

namespace metal {

// Lanes of a vector of booleans are integers, 0 or 1: the compiler's vectors have no booleans.
template <class T> struct lane_of { typedef T type; };
template <> struct lane_of<bool> { typedef int type; };
template <class T, int N>
using native = typename lane_of<T>::type __attribute__((ext_vector_type(N)));

template <class T> constexpr bool is_float = false;
template <> inline constexpr bool is_float<float> = true;
template <> inline constexpr bool is_float<half> = true;
template <class T> constexpr bool is_bool = false;
template <> inline constexpr bool is_bool<bool> = true;

template <class T, int N> struct vec;

template <class T> struct packed4 {
    T at[4];
    packed4() = default;
    template <class U> MSL_INLINE explicit packed4(const vec<U, 4> &v);
    MSL_INLINE T operator[](uint i) const { return at[i]; }
};

// `x`, `y`, ... beside the native vector.
template <class T, int N> struct lanes;
template <class T> struct lanes<T, 2> {
    union {
        native<T, 2> v;
        struct { typename lane_of<T>::type x, y; };
    };
};
template <class T> struct lanes<T, 3> {
    union {
        native<T, 3> v;
        struct { typename lane_of<T>::type x, y, z; };
    };
};
template <class T> struct lanes<T, 4> {
    union {
        native<T, 4> v;
        struct { typename lane_of<T>::type x, y, z, w; };
    };
};

// Conversions between vectors are explicit, as in Metal; nothing mixes a vector with a scalar.
template <class T, int N> struct vec : lanes<T, N> {
    typedef native<T, N> n;
    typedef typename lane_of<T>::type lane;
    using lanes<T, N>::v;

    vec() = default;
    MSL_INLINE explicit vec(T s) { v = (n)(lane)s; }
    MSL_INLINE vec(T a, T b) requires(N == 2) { v = (n){(lane)a, (lane)b}; }
    MSL_INLINE vec(T a, T b, T c) requires(N == 3) { v = (n){(lane)a, (lane)b, (lane)c}; }
    MSL_INLINE vec(T a, T b, T c, T d) requires(N == 4) {
        v = (n){(lane)a, (lane)b, (lane)c, (lane)d};
    }
    template <class U> MSL_INLINE explicit vec(const vec<U, N> &o) {
        if constexpr (is_bool<T> && !is_bool<U>) {
            v = __builtin_convertvector(o.v != (native<U, N>)(U)0, n) & 1;
        } else {
            v = __builtin_convertvector(o.v, n);
        }
    }
    template <class U> MSL_INLINE explicit vec(const packed4<U> &o) requires(N == 4) {
        v = (n){(lane)o[0], (lane)o[1], (lane)o[2], (lane)o[3]};
    }
    static MSL_INLINE vec of(n v) {
        vec r;
        r.v = v;
        return r;
    }
    // of a comparison, whose lanes are 0 or -1
    template <class M> static MSL_INLINE vec of_mask(M m) {
        return of(__builtin_convertvector(m, n) & 1);
    }
    // The index is promised to be inside of the vector (checked).
    MSL_INLINE lane operator[](uint i) const;

    friend MSL_INLINE vec operator+(vec a, vec b) { return of(a.v + b.v); }
    friend MSL_INLINE vec operator-(vec a, vec b) { return of(a.v - b.v); }
    friend MSL_INLINE vec operator*(vec a, vec b) { return of(a.v * b.v); }
    friend MSL_INLINE vec operator/(vec a, vec b) { return of(a.v / b.v); }
    friend MSL_INLINE vec operator%(vec a, vec b) { return of(a.v % b.v); }
    friend MSL_INLINE vec operator&(vec a, vec b) { return of(a.v & b.v); }
    friend MSL_INLINE vec operator|(vec a, vec b) { return of(a.v | b.v); }
    friend MSL_INLINE vec operator^(vec a, vec b) { return of(a.v ^ b.v); }
    // distances are taken modulo the number of bits (section 3.1)
    template <class U> friend MSL_INLINE vec operator<<(vec a, vec<U, N> b) {
        return of(a.v << (__builtin_convertvector(b.v, n) & 31));
    }
    template <class U> friend MSL_INLINE vec operator>>(vec a, vec<U, N> b) {
        return of(a.v >> (__builtin_convertvector(b.v, n) & 31));
    }
    friend MSL_INLINE vec operator-(vec a) { return of(-a.v); }
    friend MSL_INLINE vec operator+(vec a) { return a; }
    friend MSL_INLINE vec operator~(vec a) { return of(~a.v); }
    friend MSL_INLINE vec<bool, N> operator!(vec a) {
        return vec<bool, N>::of_mask(a.v == (n)(lane)0);
    }
    friend MSL_INLINE vec<bool, N> operator==(vec a, vec b) {
        return vec<bool, N>::of_mask(a.v == b.v);
    }
    friend MSL_INLINE vec<bool, N> operator!=(vec a, vec b) {
        return vec<bool, N>::of_mask(a.v != b.v);
    }
    friend MSL_INLINE vec<bool, N> operator<(vec a, vec b) {
        return vec<bool, N>::of_mask(a.v < b.v);
    }
    friend MSL_INLINE vec<bool, N> operator<=(vec a, vec b) {
        return vec<bool, N>::of_mask(a.v <= b.v);
    }
    friend MSL_INLINE vec<bool, N> operator>(vec a, vec b) {
        return vec<bool, N>::of_mask(a.v > b.v);
    }
    friend MSL_INLINE vec<bool, N> operator>=(vec a, vec b) {
        return vec<bool, N>::of_mask(a.v >= b.v);
    }
};

template <class T>
template <class U>
packed4<T>::packed4(const vec<U, 4> &v) : at{(T)v.x, (T)v.y, (T)v.z, (T)v.w} {}

} // namespace metal

#define MSL_VECTORS(T)                                                                             \
    typedef metal::vec<T, 2> T##2;                                                                 \
    typedef metal::vec<T, 3> T##3;                                                                 \
    typedef metal::vec<T, 4> T##4;                                                                 \
    namespace metal {                                                                              \
    using ::T##2;                                                                                  \
    using ::T##3;                                                                                  \
    using ::T##4;                                                                                  \
    }
MSL_VECTORS(float)
MSL_VECTORS(half)
MSL_VECTORS(int)
MSL_VECTORS(uint)
MSL_VECTORS(bool)
#undef MSL_VECTORS

typedef metal::packed4<signed char> packed_char4;
typedef metal::packed4<uchar> packed_uchar4;

namespace metal {
using ::half;
using ::packed_char4;
using ::packed_uchar4;
using ::uint;
using ::ulong;
using ::ushort;
} // namespace metal

template <class To, class From> MSL_INLINE To as_type(From from) {
    static_assert(sizeof(To) == sizeof(From), "as_type keeps the size");
    return __builtin_bit_cast(To, from);
}
namespace metal {
using ::as_type;
}
