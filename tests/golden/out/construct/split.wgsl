@group(0) @binding(0) 
var<storage> x_part0_: array<f32, 128>;
@group(0) @binding(1) 
var<storage> x_part1_: array<f32, 128>;
@group(0) @binding(2) 
var<storage, read_write> y: array<f32, 256>;

@compute @workgroup_size(64, 1, 1) 
fn kernel_main(@builtin(global_invocation_id) global_id: vec3<u32>) {
    var x_value: f32;

    if ((global_id.x / 128u) < 1u) {
        let _e12 = x_part0_[(global_id.x % 128u)];
        x_value = _e12;
    } else {
        let _e15 = x_part1_[(global_id.x % 128u)];
        x_value = _e15;
    }
    let _e16 = x_value;
    y[global_id.x] = _e16;
}
