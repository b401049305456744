enable f16;
enable wgpu_cooperative_matrix;

@group(0) @binding(0) 
var<storage> x: array<f32, 1024>;
@group(0) @binding(1) 
var<storage> w: array<f32, 1024>;
@group(0) @binding(2) 
var<storage, read_write> y: array<f32, 256>;
var<workgroup> xs: array<f16, 256>;
var<workgroup> ws: array<f16, 256>;
var<workgroup> sums: array<f32, 256>;

@compute @workgroup_size(32, 1, 1) 
fn kernel_main(@builtin(local_invocation_index) local_index: u32) {
    var acc: coop_mat16x16<f32,C>;
    var i: u32;
    var i_1: u32;
    var i_2: u32;

    acc = coop_mat16x16<f32,C>();
    i = 0u;
    loop {
        let _e12 = i;
        if (_e12 >= 64u) {
            break;
        }
        i_1 = local_index;
        loop {
            let _e16 = i_1;
            if (_e16 >= 256u) {
                break;
            }
            let _e25 = x[((((_e16 / 16u) * 64u) + (_e16 % 16u)) + _e12)];
            xs[_e16] = f16(_e25);
            let _e31 = w[((_e12 * 16u) + _e16)];
            ws[_e16] = f16(_e31);
            i_1 = (_e16 + 32u);
        }
        workgroupBarrier();
        let t = coopLoadT<coop_mat16x16<f16,A>>((&xs[0u]), 16u);
        let t_1 = coopLoadT<coop_mat16x16<f16,B>>((&ws[0u]), 16u);
        let _e44 = acc;
        let t_2 = coopMultiplyAdd(t, t_1, _e44);
        acc = t_2;
        workgroupBarrier();
        i = (_e12 + 16u);
    }
    let _e48 = acc;
    coopStoreT(_e48, (&sums[0u]), 16u);
    workgroupBarrier();
    i_2 = local_index;
    loop {
        let _e53 = i_2;
        if (_e53 >= 256u) {
            break;
        }
        let _e56 = sums[_e53];
        y[_e53] = _e56;
        i_2 = (_e53 + 32u);
    }
}
