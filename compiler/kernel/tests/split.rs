//! Matrices of 16x16 as blocks of 8x8: the same results, by no larger matrix.

mod common;

use common::*;
use drift_ir::Tensor;
use drift_kernel::*;

const SIDE: u32 = 16;

/// Where the first element lies, and how far apart rows are: further than they are long.
const FIRST: u32 = 7;
const STRIDE: u32 = SIDE + 3;

/// Where element `e` of a matrix lies.
fn at(e: E<'_>, row_major: bool) -> E<'_> {
    let (line, along) = if row_major { (e / SIDE, e % SIDE) } else { (e % SIDE, e / SIDE) };
    line * STRIDE + along + FIRST
}

/// y = 2 x w, as x w twice; each operand and the result lie as `row_major` says of each. The sums pass
/// through an array of variables.
fn product(row_major: [bool; 3]) -> Kernel {
    let b = Builder::new("product", [32, 1, 1], [1, 1, 1]);
    b.set_subgroup_size(32);
    let shape = [SIDE as usize; 2];
    let x = b.tensor(arg("x", &shape.into(), Access::Read));
    let w = b.tensor(arg("w", &shape.into(), Access::Read));
    let y = b.tensor(arg("y", &shape.into(), Access::Write));
    let (first, stride) = (FIRST, STRIDE);
    let array = |name, scalar| b.shared(name, scalar, 1, first + SIDE * stride);
    let sx = array("sx", Scalar::F16);
    let sw = array("sw", Scalar::F16);
    let sy = array("sy", Scalar::F32);
    let i = b.local_index();
    b.for_(i, SIDE * SIDE, 32, |e| {
        let of = |t| b.load(t, &[e / SIDE, e % SIDE]).cast(Scalar::F16);
        sx.store(at(e, row_major[0]), of(x));
        sw.store(at(e, row_major[1]), of(w));
    });
    b.barrier();
    let matrix = |role, component| Matrix { role, component, rows: SIDE, cols: SIDE };
    let sum = matrix(MatrixRole::C, Component::F32);
    let sums = b.array("sums", Type::Matrix(sum), 2);
    sums.set_at(0u32, b.matrix_zero(sum));
    // a stride that is no literal
    let far = b.var("far", b.u32(stride)).get();
    b.for_(0u32, 2u32, 1, |_| {
        let a = matrix(MatrixRole::A, Component::F16);
        let a = sx.load_matrix(a, first, stride, row_major[0]);
        let m = matrix(MatrixRole::B, Component::F16);
        let m = sw.load_matrix(m, first, far, row_major[1]);
        sums.set_at(1u32, b.matrix_mul_add(a, m, sums.at(0u32)));
        sums.set_at(0u32, sums.at(1u32));
    });
    sy.store_matrix(sums.at(1u32), first, stride, row_major[2]);
    b.barrier();
    b.for_(i, SIDE * SIDE, 32, |e| {
        b.store(y, &[e / SIDE, e % SIDE], sy.load(at(e, row_major[2])));
    });
    b.finish()
}

#[test]
fn blocks_give_the_same_product() {
    let values =
        |f: u32| -> Vec<f32> { (0..SIDE * SIDE).map(|i| (i * f % 23) as f32 - 11.0).collect() };
    let (x, w) = (values(5), values(7));
    let n = SIDE as usize;
    let dot = |e: usize| (0..n).map(|k| x[e / n * n + k] * w[k * n + e % n]).sum::<f32>();
    let want: Vec<f32> = (0..n * n).map(|e| 2.0 * dot(e)).collect();
    let given = || [&x, &w].map(|v| Some(Tensor::from_f32([n, n], v)));
    for case in 0..8 {
        let row_major = [case & 1 != 0, case & 2 != 0, case & 4 != 0];
        let whole = product(row_major);
        let split = split_matrices(whole.clone());
        assert_ne!(whole, split);
        validate(&split).unwrap_or_else(|e| panic!("{e}"));
        for (kernel, side) in [(whole, SIDE), (split, 8)] {
            let sides = |m: &Matrix| (m.rows, m.cols) == (side, side);
            let all = kernel.types.iter().chain(kernel.vars.iter().map(|v| &v.ty));
            assert!(all.clone().all(|ty| !matches!(ty, Type::Matrix(m) if !sides(m))));
            let [x, w] = given();
            let got = execute(kernel, &[x, w, None]).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(got[2].to_f32s(), want, "{row_major:?}, blocks of {side}");
        }
    }
}

#[test]
fn other_kernels_stay_as_they_are() {
    let b = Builder::new("copy", [32, 1, 1], [1, 1, 1]);
    let x = b.tensor(arg("x", &[32].into(), Access::Read));
    let y = b.tensor(arg("y", &[32].into(), Access::Write));
    let i = b.local_index();
    b.store(y, &[i], b.load(x, &[i]));
    let kernel = b.finish();
    assert_eq!(split_matrices(kernel.clone()), kernel);
}
