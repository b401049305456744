static inline float2 from_half2(uint h)
{
    float x, y;
    __asm__("{.reg .b16 lo, hi; mov.b32 {lo, hi}, %2; cvt.f32.f16 %0, lo; cvt.f32.f16 %1, hi;}"
        : "=f"(x), "=f"(y) : "r"(h));
    return (float2)(x, y);
}

static inline uint to_half2(float2 v)
{
    uint h;
    __asm__("cvt.rn.f16x2.f32 %0, %1, %2;"
        : "=r"(h) : "f"(v.y), "f"(v.x));
    return h;
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
        const float2 t3 = from_half2(t2.x);
        const float2 t4 = from_half2(t2.y);
        const float4 t5 = fmax((float4)(t3.x, t3.y, t4.x, t4.y) * (float4)(2.0f) + (float4)(1.0f), (float4)(0.0f));
        y[t1] = (uint2)(to_half2((float2)(t5.x, t5.y)), to_half2((float2)(t5.z, t5.w)));
    }
}
