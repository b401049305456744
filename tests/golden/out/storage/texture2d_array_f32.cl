__kernel __attribute__((reqd_work_group_size(8, 8, 1)))
void kernel_main(
    __read_only image2d_array_t x,
    __write_only image2d_array_t y)
{
    const uint global_x = get_global_id(0);
    const uint global_y = get_global_id(1);
    const uint global_z = get_global_id(2);
    if ((global_x < 7u) && (global_y < 5u)) {
        const float4 t1 = read_imagef(x, (int4)(global_x, global_y, global_z, 0)) * (float4)(2.0f) + (float4)(1.0f);
        write_imagef(y, (int4)(global_x, global_y, global_z, 0), fmax(t1, (float4)(0.0f)));
    }
}
