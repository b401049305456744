__kernel __attribute__((reqd_work_group_size(8, 8, 1)))
void kernel_main(
    __read_only image1d_buffer_t x,
    __write_only image1d_buffer_t y)
{
    const uint global_x = get_global_id(0);
    const uint global_y = get_global_id(1);
    const uint global_z = get_global_id(2);
    if ((global_x < 7u) && (global_y < 5u)) {
        const uint t1 = global_z * 35u + global_y * 7u + global_x;
        write_imagef(y, (int)(t1), fmax(read_imagef(x, (int)(t1)) * (float4)(2.0f) + (float4)(1.0f), (float4)(0.0f)));
    }
}
