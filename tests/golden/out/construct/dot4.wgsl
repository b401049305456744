@group(0) @binding(0) 
var<storage> x: array<u32, 16>;
@group(0) @binding(1) 
var<storage> w: array<u32, 1024>;
@group(0) @binding(2) 
var<storage, read_write> y: array<f32, 64>;

@compute @workgroup_size(64, 1, 1) 
fn kernel_main(@builtin(global_invocation_id) global_id: vec3<u32>) {
    var acc: i32;
    var i: u32;

    acc = 0i;
    i = 0u;
    loop {
        let _e9 = i;
        if (_e9 >= 16u) {
            break;
        }
        let _e12 = x[_e9];
        let _e17 = w[((global_id.x * 16u) + _e9)];
        let _e18 = acc;
        acc = (_e18 + dot4I8Packed(_e12, _e17));
        i = (_e9 + 1u);
    }
    let _e23 = acc;
    y[global_id.x] = f32(_e23);
}
