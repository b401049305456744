static inline int dot4_signed(uint a, uint b, int acc)
{
#ifdef __opencl_c_integer_dot_product_input_4x8bit_packed
    return as_int(as_uint(acc) + as_uint(dot_4x8packed_ss_int(a, b)));
#else
    const char4 x = as_char4(a);
    const char4 y = as_char4(b);
    return as_int(as_uint(acc) + as_uint(x.x * y.x + x.y * y.y + x.z * y.z + x.w * y.w));
#endif
}

__kernel __attribute__((reqd_work_group_size(64, 1, 1)))
void kernel_main(
    __global const uchar *x_bytes,
    const ulong x_offset,
    __global const uchar *w_bytes,
    const ulong w_offset,
    __global uchar *y_bytes,
    const ulong y_offset)
{
    __global const uint *x = (__global const uint *)(x_bytes + x_offset);
    __global const uint *w = (__global const uint *)(w_bytes + w_offset);
    __global float *y = (__global float *)(y_bytes + y_offset);
    int acc;
    const uint global_x = get_global_id(0);
    acc = 0;
    const uint t1 = global_x * 16u;
    for (uint i = 0u; i < 16u; ++i) {
        acc = dot4_signed(x[i], w[t1 + i], acc);
    }
    y[global_x] = convert_float(acc);
}
