__kernel __attribute__((reqd_work_group_size(8, 8, 1)))
void kernel_main(
    __global const uchar *x_bytes,
    const ulong x_offset,
    __global uchar *y_bytes,
    const ulong y_offset)
{
    __global const float4 *x = (__global const float4 *)(x_bytes + x_offset);
    __global float4 *y = (__global float4 *)(y_bytes + y_offset);
    const uint global_x = get_global_id(0);
    const uint global_y = get_global_id(1);
    const uint global_z = get_global_id(2);
    if ((global_x < 7u) && (global_y < 5u)) {
        const uint t1 = global_z * 35u + global_y * 7u + global_x;
        y[t1] = fmax(x[t1] * (float4)(2.0f) + (float4)(1.0f), (float4)(0.0f));
    }
}
