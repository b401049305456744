enable f16;
enable wgpu_cooperative_matrix;

@group(0) @binding(0) 
var<storage> x: array<f32, 512>;
@group(0) @binding(1) 
var<storage> w: array<f32, 512>;
@group(0) @binding(2) 
var<storage, read_write> y: array<f32, 64>;
var<workgroup> xs: array<f16, 64>;
var<workgroup> ws: array<f16, 64>;
var<workgroup> sums: array<f32, 64>;

@compute @workgroup_size(32, 1, 1) 
fn kernel_main(@builtin(local_invocation_index) local_index: u32) {
    var acc: coop_mat8x8<f32,C>;
    var i: u32;
    var i_1: u32;
    var i_2: u32;

    acc = coop_mat8x8<f32,C>();
    i = 0u;
    loop {
        let _e12 = i;
        if (_e12 >= 64u) {
            break;
        }
        i_1 = local_index;
        loop {
            let _e15 = i_1;
            if (_e15 >= 64u) {
                break;
            }
            let _e24 = x[((((_e15 / 8u) * 64u) + (_e15 % 8u)) + _e12)];
            xs[_e15] = f16(_e24);
            let _e30 = w[((_e12 * 8u) + _e15)];
            ws[_e15] = f16(_e30);
            i_1 = (_e15 + 32u);
        }
        workgroupBarrier();
        let t = coopLoadT<coop_mat8x8<f16,A>>((&xs[0u]), 8u);
        let t_1 = coopLoadT<coop_mat8x8<f16,B>>((&ws[0u]), 8u);
        let _e43 = acc;
        let t_2 = coopMultiplyAdd(t, t_1, _e43);
        acc = t_2;
        workgroupBarrier();
        i = (_e12 + 8u);
    }
    let _e47 = acc;
    coopStoreT(_e47, (&sums[0u]), 8u);
    workgroupBarrier();
    i_2 = local_index;
    loop {
        let _e52 = i_2;
        if (_e52 >= 64u) {
            break;
        }
        let _e55 = sums[_e52];
        y[_e52] = _e55;
        i_2 = (_e52 + 32u);
    }
}
