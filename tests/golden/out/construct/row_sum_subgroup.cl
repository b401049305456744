#pragma OPENCL EXTENSION cl_khr_subgroups : enable

__kernel __attribute__((reqd_work_group_size(32, 1, 1)))
#ifdef cl_intel_required_subgroup_size
__attribute__((intel_reqd_sub_group_size(32)))
#endif
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
    const uint subgroup_lane = get_sub_group_local_id();
    sum = 0.0f;
    const uint t1 = group_x * 1000u;
    #pragma unroll 1
    for (uint i = 0u; i < 1000u; i += 32u) {
        if (i + subgroup_lane < 1000u) {
            sum = sum + x[t1 + i + subgroup_lane];
        }
    }
    const float t2 = sub_group_reduce_add(sum);
    if (subgroup_lane == 0u) {
        y[group_x] = t2;
    }
}
