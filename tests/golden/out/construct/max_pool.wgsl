@group(0) @binding(0) 
var<storage> x: array<f32, 588>;
@group(0) @binding(1) 
var<storage, read_write> y: array<f32, 147>;

@compute @workgroup_size(8, 8, 1) 
fn kernel_main(@builtin(global_invocation_id) global_id: vec3<u32>) {
    var best: f32;
    var float_bits: u32 = 4286578688u;
    var i: u32;
    var i_1: u32;

    if ((global_id.x < 7u) && (global_id.y < 7u)) {
        let _e12 = float_bits;
        best = bitcast<f32>(_e12);
        i = 0u;
        let _e27 = (global_id.x * 2u);
        loop {
            let _e17 = i;
            if (_e17 >= 3u) {
                break;
            }
            i_1 = 0u;
            loop {
                let _e20 = i_1;
                if (_e20 >= 3u) {
                    break;
                }
                if ((((global_id.y * 2u) + _e17) < 14u) && ((_e27 + _e20) < 14u)) {
                    let _e31 = best;
                    let _e43 = x[(((((global_id.z * 196u) + (global_id.y * 28u)) + (_e17 * 14u)) + _e27) + _e20)];
                    best = max(_e31, _e43);
                }
                i_1 = (_e20 + 1u);
            }
            i = (_e17 + 1u);
        }
        let _e49 = best;
        y[(((global_id.z * 49u) + (global_id.y * 7u)) + global_id.x)] = _e49;
    }
}
