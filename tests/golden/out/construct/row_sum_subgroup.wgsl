@group(0) @binding(0) 
var<storage> x: array<f32, 10000>;
@group(0) @binding(1) 
var<storage, read_write> y: array<f32, 10>;

@compute @workgroup_size(32, 1, 1) 
fn kernel_main(@builtin(workgroup_id) workgroup_id: vec3<u32>, @builtin(subgroup_invocation_id) subgroup_invocation: u32) {
    var sum: f32;
    var i: u32;

    sum = 0f;
    i = 0u;
    loop {
        let _e9 = i;
        if (_e9 >= 1000u) {
            break;
        }
        if ((_e9 + subgroup_invocation) < 1000u) {
            let _e13 = sum;
            let _e19 = x[(((workgroup_id.x * 1000u) + _e9) + subgroup_invocation)];
            sum = (_e13 + _e19);
        }
        i = (_e9 + 32u);
    }
    let _e23 = sum;
    let _e24 = subgroupAdd(_e23);
    if (subgroup_invocation == 0u) {
        y[workgroup_id.x] = _e24;
    }
}
