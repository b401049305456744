__kernel __attribute__((reqd_work_group_size(8, 8, 1)))
void kernel_main(
    __global const uchar *x_bytes,
    const ulong x_offset,
    __global uchar *y_bytes,
    const ulong y_offset)
{
    __global const float *x = (__global const float *)(x_bytes + x_offset);
    __global float *y = (__global float *)(y_bytes + y_offset);
    float best;
    const uint global_x = get_global_id(0);
    const uint global_y = get_global_id(1);
    const uint global_z = get_global_id(2);
    if ((global_x < 7u) && (global_y < 7u)) {
        best = -INFINITY;
        const uint t1 = global_y * 2u;
        const uint t2 = global_x * 2u;
        const uint t4 = global_z * 196u + global_y * 28u;
        #pragma unroll
        for (uint i = 0u; i < 3u; ++i) {
            const bool t3 = t1 + i < 14u;
            const uint t5 = t4 + i * 14u + t2;
            #pragma unroll
            for (uint i_2 = 0u; i_2 < 3u; ++i_2) {
                if (t3 && (t2 + i_2 < 14u)) {
                    best = fmax(best, x[t5 + i_2]);
                }
            }
        }
        y[global_z * 49u + global_y * 7u + global_x] = best;
    }
}
