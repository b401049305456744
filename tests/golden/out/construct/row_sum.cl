__kernel __attribute__((reqd_work_group_size(64, 1, 1)))
void kernel_main(
    __global const uchar *x_bytes,
    const ulong x_offset,
    __global uchar *y_bytes,
    const ulong y_offset)
{
    __global const float *x = (__global const float *)(x_bytes + x_offset);
    __global float *y = (__global float *)(y_bytes + y_offset);
    __local float partial[64];
    float sum;
    const uint group_x = get_group_id(0);
    const uint local_index = get_local_id(0);
    sum = 0.0f;
    const uint t1 = group_x * 1000u;
    for (uint i = local_index; i < 1000u; i += 64u) {
        sum = sum + x[t1 + i];
    }
    partial[local_index] = sum;
    barrier(CLK_LOCAL_MEM_FENCE);
    if (local_index < 32u) {
        partial[local_index] = partial[local_index] + partial[local_index + 32u];
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    if (local_index < 16u) {
        partial[local_index] = partial[local_index] + partial[local_index + 16u];
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    if (local_index < 8u) {
        partial[local_index] = partial[local_index] + partial[local_index + 8u];
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    if (local_index < 4u) {
        partial[local_index] = partial[local_index] + partial[local_index + 4u];
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    if (local_index < 2u) {
        partial[local_index] = partial[local_index] + partial[local_index + 2u];
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    if (local_index < 1u) {
        partial[local_index] = partial[local_index] + partial[local_index + 1u];
    }
    if (local_index == 0u) {
        y[group_x] = partial[0u];
    }
}
