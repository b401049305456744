static inline float shuffle_bfly_float(float x, uint lane)
{
    float v;
    __asm__ volatile("shfl.sync.bfly.b32 %0, %1, %2, 31, -1;"
        : "=f"(v) : "f"(x), "r"(lane));
    return v;
}

static inline float subgroup_add_float(float x)
{
    #pragma unroll
    for (uint mask = 16u; mask != 0u; mask /= 2u)
        x = x + shuffle_bfly_float(x, mask);
    return x;
}

__kernel __attribute__((reqd_work_group_size(32, 1, 1)))
void kernel_main(
    __global const uchar *x_bytes,
    const ulong x_offset,
    __global uchar *y_bytes,
    const ulong y_offset)
{
    __global const float *x = (__global const float *)(x_bytes + x_offset);
    __global float *y = (__global float *)(y_bytes + y_offset);
    float sum;
    const uint group_x = get_group_id(0);
    const uint subgroup_lane = (uint)(get_local_id(0)) % 32u;
    sum = 0.0f;
    const uint t1 = group_x * 1000u;
    #pragma unroll 1
    for (uint i = 0u; i < 1000u; i += 32u) {
        if (i + subgroup_lane < 1000u) {
            const float t2 = x[t1 + i + subgroup_lane];
            sum = sum + t2;
        }
    }
    const float t3 = subgroup_add_float(sum);
    if (subgroup_lane == 0u) {
        y[group_x] = t3;
    }
}
