static inline int dot4_signed(uint a, uint b, int acc)
{
    int d;
    __asm__("dp4a.s32.s32 %0, %1, %2, %3;"
        : "=r"(d) : "r"(a), "r"(b), "r"(acc));
    return d;
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
    const uint t2 = global_x * 16u;
    for (uint i = 0u; i < 16u; ++i) {
        const uint t1 = x[i];
        const uint t3 = w[t2 + i];
        acc = dot4_signed(t1, t3, acc);
    }
    y[global_x] = convert_float(acc);
}
