static inline uint4 load_left(__local const void *array, uint index, uint stride, uint lane)
{
    const uint at = (uint)(size_t)array + index + lane % 16u * stride + lane / 16u * 16u;
    uint a, b, c, d;
    __asm__ volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
        : "=r"(a), "=r"(b), "=r"(c), "=r"(d) : "r"(at) : "memory");
    return (uint4)(a, b, c, d);
}

static inline uint4 load_right_across(__local const void *array, uint index, uint stride, uint lane)
{
    const uint at = (uint)(size_t)array + index + lane % 16u * stride + lane / 16u * 16u;
    uint a, b, c, d;
    __asm__ volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
        : "=r"(a), "=r"(b), "=r"(c), "=r"(d) : "r"(at) : "memory");
    return (uint4)(a, b, c, d);
}

static inline float8 multiply_halves(uint4 a, uint4 b, float8 c)
{
    __asm__ volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c.s0), "+f"(c.s1), "+f"(c.s2), "+f"(c.s3) : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b.x), "r"(b.y));
    __asm__ volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c.s4), "+f"(c.s5), "+f"(c.s6), "+f"(c.s7) : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b.z), "r"(b.w));
    return c;
}

static inline void store_sums_float(float8 sums, __local float *first, uint stride, uint lane)
{
    __local float2 *at = (__local float2 *)(first + lane / 4u * stride) + lane % 4u;
    const uint below = 4u * stride;
    at[0] = sums.s01;
    at[below] = sums.s23;
    at[4] = sums.s45;
    at[below + 4u] = sums.s67;
}

static inline ushort to_half(float v)
{
    ushort h;
    __asm__("cvt.rn.f16.f32 %0, %1;"
        : "=h"(h) : "f"(v));
    return h;
}

__kernel __attribute__((reqd_work_group_size(32, 1, 1)))
void kernel_main(
    __global const uchar *x_bytes,
    const ulong x_offset,
    __global const uchar *w_bytes,
    const ulong w_offset,
    __global uchar *y_bytes,
    const ulong y_offset)
{
    __global const float *x = (__global const float *)(x_bytes + x_offset);
    __global const float *w = (__global const float *)(w_bytes + w_offset);
    __global float *y = (__global float *)(y_bytes + y_offset);
    __local ushort xs[256] __attribute__((aligned(16)));
    __local ushort ws[256] __attribute__((aligned(16)));
    __local float sums[256] __attribute__((aligned(16)));
    float8 acc;
    const uint local_index = get_local_id(0);
    const uint subgroup_lane = (uint)(get_local_id(0)) % 32u;
    const float8 t1 = (float8)(0);
    acc = t1;
    for (uint i = 0u; i < 64u; i += 16u) {
        const uint t3 = i * 16u;
        for (uint i_2 = local_index; i_2 < 256u; i_2 += 32u) {
            const float t2 = x[(i_2 / 16u) * 64u + i_2 % 16u + i];
            xs[i_2] = to_half(t2);
            const float t4 = w[t3 + i_2];
            ws[i_2] = to_half(t4);
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        const uint4 t5 = load_left(xs, 0u * 2u, 16u * 2u, subgroup_lane);
        const uint4 t6 = load_right_across(ws, 0u * 2u, 16u * 2u, subgroup_lane);
        const float8 t7 = multiply_halves(t5, t6, acc);
        acc = t7;
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    store_sums_float(acc, (__local float *)sums + 0u, 16u, subgroup_lane);
    barrier(CLK_LOCAL_MEM_FENCE);
    for (uint i_3 = local_index; i_3 < 256u; i_3 += 32u) {
        const float t8 = sums[i_3];
        y[i_3] = t8;
    }
}
