__kernel __attribute__((reqd_work_group_size(64, 1, 1)))
void kernel_main(
    __global const uchar *x_part0_bytes,
    const ulong x_part0_offset,
    __global const uchar *x_part1_bytes,
    const ulong x_part1_offset,
    __global uchar *y_bytes,
    const ulong y_offset)
{
    __global const float *x_part0 = (__global const float *)(x_part0_bytes + x_part0_offset);
    __global const float *x_part1 = (__global const float *)(x_part1_bytes + x_part1_offset);
    __global float *y = (__global float *)(y_bytes + y_offset);
    float x_value;
    const uint global_x = get_global_id(0);
    if (global_x / 128u < 1u) {
        const uint t1 = global_x % 128u;
        x_value = x_part0[t1];
    } else {
        const uint t2 = global_x % 128u;
        x_value = x_part1[t2];
    }
    y[global_x] = x_value;
}
