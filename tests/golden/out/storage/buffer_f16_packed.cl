static inline uint pack_half2(float2 v)
{
    uint word;
    vstore_half2_rte(v, 0, (__private half *)&word);
    return word;
}

static inline float2 unpack_half2(uint word)
{
    return vload_half2(0, (__private const half *)&word);
}

__kernel __attribute__((reqd_work_group_size(8, 8, 1)))
void kernel_main(
    __global const uchar *x_bytes,
    const ulong x_offset,
    __global uchar *y_bytes,
    const ulong y_offset)
{
    __global const uint2 *x = (__global const uint2 *)(x_bytes + x_offset);
    __global uint2 *y = (__global uint2 *)(y_bytes + y_offset);
    const uint global_x = get_global_id(0);
    const uint global_y = get_global_id(1);
    const uint global_z = get_global_id(2);
    if ((global_x < 7u) && (global_y < 5u)) {
        const uint t1 = global_z * 35u + global_y * 7u + global_x;
        const uint2 t2 = x[t1];
        const float2 t3 = unpack_half2(t2.x);
        const float2 t4 = unpack_half2(t2.y);
        const float4 t5 = fmax((float4)(t3.x, t3.y, t4.x, t4.y) * (float4)(2.0f) + (float4)(1.0f), (float4)(0.0f));
        y[t1] = (uint2)(pack_half2((float2)(t5.x, t5.y)), pack_half2((float2)(t5.z, t5.w)));
    }
}
