// Functions of simdgroups (section 6.9.2) and matrices of 8x8 held by a simdgroup (2.4 and 6.7).
#pragma once

namespace metal {

template <class T> MSL_INLINE T posted(const char *all, uint lane) {
    T value;
    __builtin_memcpy(&value, all + lane * drift::POST_BYTES, sizeof(T));
    return value;
}

#define MSL_SIMD_REDUCE(name, next)                                                                \
    template <class T> T name(T value, int line = __builtin_LINE()) {                              \
        static_assert(sizeof(T) <= drift::POST_BYTES);                                             \
        const char *all = drift::drift_exchange(&value, sizeof(T), line);                          \
        uint active = drift::drift_active();                                                       \
        uint first = __builtin_ctz(active);                                                        \
        T r = posted<T>(all, first);                                                               \
        for (uint i = first + 1; i < drift::SIMD_LANES; i++) {                                     \
            if (active >> i & 1) {                                                                 \
                T other = posted<T>(all, i);                                                       \
                r = next;                                                                          \
            }                                                                                      \
        }                                                                                          \
        return r;                                                                                  \
    }
MSL_SIMD_REDUCE(simd_sum, r + other)
MSL_SIMD_REDUCE(simd_min, min(r, other))
MSL_SIMD_REDUCE(simd_max, max(r, other))
#undef MSL_SIMD_REDUCE

template <class T> T simd_shuffle(T value, ushort lane, int line = __builtin_LINE()) {
    static_assert(sizeof(T) <= drift::POST_BYTES);
    const char *all = drift::drift_exchange(&value, sizeof(T), line);
    uint active = drift::drift_active();
    // what an absent lane holds is undefined: an answer that nobody can mistake for right
    if (lane >= drift::SIMD_LANES || !(active >> lane & 1)) {
        drift::drift_fail("line %d: lane %u of the simdgroup does not take part", line, lane);
    }
    return posted<T>(all, lane);
}
template <class T> T simd_broadcast(T value, ushort lane, int line = __builtin_LINE()) {
    return simd_shuffle(value, lane, line);
}
template <class T> T simd_shuffle_xor(T value, ushort mask, int line = __builtin_LINE()) {
    return simd_shuffle(value, drift::drift_lane()->simd_lane ^ mask, line);
}

// Where lane `l` holds its two elements is not said by Metal; here: row l / 4, columns 2 (l % 4) and
// the next. As no kernel may know, any place will do.
template <class T, int Cols, int Rows> struct simdgroup_matrix {
    static_assert(Cols == 8 && Rows == 8, "Metal has matrices of 8x8 only");
    T at[2];
    // elements of a matrix that nobody has filled are undefined: NaN
    simdgroup_matrix() : at{(T)__builtin_nanf(""), (T)__builtin_nanf("")} {}
};
typedef simdgroup_matrix<float, 8, 8> simdgroup_float8x8;
typedef simdgroup_matrix<half, 8, 8> simdgroup_half8x8;

template <class T, int Cols, int Rows>
simdgroup_matrix<T, Cols, Rows> make_filled_simdgroup_matrix(T value) {
    simdgroup_matrix<T, Cols, Rows> m;
    m.at[0] = m.at[1] = value;
    return m;
}

template <class T>
void simdgroup_load(simdgroup_matrix<T, 8, 8> &m, const T *from, ulong stride = 8,
                    ulong origin = 0, bool transpose = false) {
    (void)origin; // kernels give none
    drift::drift_check_range(from, (7 * stride + 8) * sizeof(T));
    uint lane = drift::drift_lane()->simd_lane;
    for (uint e = 0; e < 2; e++) {
        ulong row = lane / 4, col = lane % 4 * 2 + e;
        m.at[e] = from[transpose ? col * stride + row : row * stride + col];
    }
}
template <class T>
void simdgroup_store(simdgroup_matrix<T, 8, 8> m, T *to, ulong stride = 8, ulong origin = 0,
                     bool transpose = false) {
    (void)origin;
    drift::drift_check_range(to, (7 * stride + 8) * sizeof(T));
    uint lane = drift::drift_lane()->simd_lane;
    for (uint e = 0; e < 2; e++) {
        ulong row = lane / 4, col = lane % 4 * 2 + e;
        to[transpose ? col * stride + row : row * stride + col] = m.at[e];
    }
}

// d = a b + c. All lanes of the simdgroup take part.
template <class D, class A, class B, class C>
void simdgroup_multiply_accumulate(simdgroup_matrix<D, 8, 8> &d, simdgroup_matrix<A, 8, 8> a,
                                   simdgroup_matrix<B, 8, 8> b, simdgroup_matrix<C, 8, 8> c,
                                   int line = __builtin_LINE()) {
    struct {
        A a[2];
        B b[2];
    } mine = {{a.at[0], a.at[1]}, {b.at[0], b.at[1]}};
    const char *all = drift::drift_exchange(&mine, sizeof(mine), line);
    if (drift::drift_active() != 0xffffffff) {
        drift::drift_fail("line %d: a product of matrices by a part of a simdgroup", line);
    }
    typedef decltype(mine) Posted;
    uint lane = drift::drift_lane()->simd_lane;
    float sum[2] = {(float)c.at[0], (float)c.at[1]};
    for (uint k = 0; k < 8; k++) {
        float left = ((const Posted *)(all + (lane / 4 * 4 + k / 2) * drift::POST_BYTES))->a[k % 2];
        const B *right = ((const Posted *)(all + (k * 4 + lane % 4) * drift::POST_BYTES))->b;
        sum[0] += left * (float)right[0];
        sum[1] += left * (float)right[1];
    }
    d.at[0] = (D)sum[0];
    d.at[1] = (D)sum[1];
}

} // namespace metal
