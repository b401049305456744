//! Cooperative matrices beyond what naga has: integers, and halves packed in words.

mod common;

use common::*;
use drift_emit::{Dialect, DialectOptions, emit};
use drift_kernel::*;

/// int8 operands packed in words, 16 x 32 times 32 x 16, with int32 sums.
fn integer_product() -> Kernel {
    let bindings = vec![
        buffer("a", Scalar::U32, 4, 64, Access::Read),
        buffer("c", Scalar::I32, 4, 64, Access::Write),
    ];
    let mut k = kernel("integers", bindings, |b| {
        let m = |role, component, rows, cols| Matrix { role, component, rows, cols };
        let tile = b.shared("tile", Scalar::U32, 4, 64);
        let out = b.shared("out", Scalar::I32, 4, 64);
        let i = b.local_index();
        let sum_ty = m(MatrixRole::C, Component::I32, 16, 16);
        let sum = b.var("sum", b.matrix_zero(sum_ty));
        tile.store(i, load(b, 0, i, Type::vec(Scalar::U32, 4)));
        b.barrier();
        b.for_(0u32, 2u32, 1, |_| {
            let x = tile.load_matrix(m(MatrixRole::A, Component::I8, 16, 32), 0u32, 8u32, true);
            let w = tile.load_matrix(m(MatrixRole::B, Component::I8, 32, 16), 128u32, 8u32, false);
            sum.set(b.matrix_mul_add(x, w, sum.get()));
        });
        out.store_matrix(sum.get(), 0u32, 16u32, true);
        b.barrier();
        store(b, 1, i, out.load(i));
    });
    k.subgroup_size = 32;
    k
}

#[test]
fn integer_matrices_are_said_in_spirv() {
    let k = integer_product();
    drift_kernel::validate(&k).unwrap();
    let words = spirv(&k);
    let value =
        |id: u32| instructions(&words, 43).into_iter().find(|c| c[1] == id).expect("a constant")[2];
    // component types: int8 with the sides of A and B, int32
    let ints: Vec<Vec<u32>> = instructions(&words, 21);
    let mut seen: Vec<(u32, u32, u32)> = instructions(&words, 4456)
        .iter()
        .map(|t| {
            let of = ints.iter().find(|i| i[0] == t[1]).expect("an integer");
            assert_eq!(of[2], 1, "signed");
            (of[1], value(t[3]), value(t[4]))
        })
        .collect();
    seen.sort_unstable();
    assert_eq!(seen, [(8, 16, 32), (8, 32, 16), (32, 16, 16)]);
    // all operands are signed
    assert!(instructions(&words, 4459).iter().all(|m| m.last() == Some(&15) && m.len() == 6));
    let needs = drift_emit::Needs::of(&k, Dialect::SpirV, &DialectOptions::default());
    assert!(needs.features.contains(drift_bundle::caps::Features::INT8));
    for dialect in TEXT {
        let error = emit(&k, dialect, &DialectOptions::default()).unwrap_err().to_string();
        assert!(error.contains("16x16x32 S8 to S32"), "{error}");
    }
}

#[test]
fn halves_in_words_are_matrices_too() {
    let bindings = vec![
        buffer("a", Scalar::U32, 4, 64, Access::Read),
        buffer("c", Scalar::F32, 4, 64, Access::Write),
    ];
    let k = kernel("packed", bindings, |b| {
        let m = |role, component| Matrix { role, component, rows: 16, cols: 16 };
        let tile = b.shared("tile", Scalar::U32, 4, 64);
        let out = b.shared("out", Scalar::F32, 4, 64);
        let i = b.local_index();
        let quad = load(b, 0, i, Type::vec(Scalar::U32, 4));
        // halves are computed with two at a time, and stay bits on the way
        let twice = |w: E<'_>| {
            let halves = w.unpack(Packing::Half2).cast(Scalar::F16);
            (halves + halves).cast(Scalar::F32).pack(Packing::Half2).id
        };
        let parts: Vec<ExprId> = (0..4).map(|lane| twice(quad.lane(lane))).collect();
        let quad = b.ordered(Expr::Compose(parts), Type::vec(Scalar::U32, 4));
        tile.store(i, quad);
        b.barrier();
        let x = tile.load_matrix(m(MatrixRole::A, Component::F16), 0u32, 8u32, true);
        let w = tile.load_matrix(m(MatrixRole::B, Component::F16), 128u32, 8u32, false);
        let c = b.matrix_mul_add(x, w, b.matrix_zero(m(MatrixRole::C, Component::F32)));
        out.store_matrix(c, 0u32, 16u32, true);
        b.barrier();
        store(b, 1, i, out.load(i));
    });
    let words = spirv(&k);
    let half = instructions(&words, 22).into_iter().find(|f| f[1] == 16).expect("half")[0];
    let of: Vec<u32> = instructions(&words, 4456).iter().map(|t| t[1]).collect();
    assert_eq!(of.iter().filter(|t| **t == half).count(), 2);
    // no half is converted on the way through
    assert_eq!(instructions(&words, 124).len(), 8);
    assert!(emit(&k, Dialect::Wgsl, &DialectOptions::default()).is_err());
}

#[test]
fn products_of_integers_are_scaled_element_by_element() {
    let bindings = vec![
        buffer("a", Scalar::U32, 4, 64, Access::Read),
        buffer("c", Scalar::F32, 4, 64, Access::Write),
    ];
    let mut k = kernel("scaled", bindings, |b| {
        let m = |role, component, rows, cols| Matrix { role, component, rows, cols };
        let tile = b.shared("tile", Scalar::U32, 4, 64);
        let scales = b.shared("scales", Scalar::F32, 1, 64);
        let i = b.local_index();
        let sum_ty = m(MatrixRole::C, Component::F32, 16, 16);
        let sum = b.var("sum", b.matrix_zero(sum_ty));
        tile.store(i, load(b, 0, i, Type::vec(Scalar::U32, 4)));
        scales.store(i, i.cast(Scalar::F32));
        b.barrier();
        b.for_(0u32, 2u32, 1, |turn| {
            let mut product = b.matrix_zero(m(MatrixRole::C, Component::I32, 16, 16));
            for at in [0u32, 8] {
                let x = tile.load_matrix(m(MatrixRole::A, Component::I8, 16, 32), at, 16u32, true);
                let w = tile.load_matrix(m(MatrixRole::B, Component::I8, 32, 16), at, 16u32, false);
                product = b.matrix_mul_add(x, w, product);
            }
            // one row of scales, for all rows
            let scale = scales.load_matrix(sum_ty, turn * 16u32, 0u32, true);
            sum.set(b.matrix_scale_add(product, scale, sum.get()));
        });
        b.barrier();
        tile.store_matrix(sum.get(), 0u32, 16u32, true);
        b.barrier();
        store(b, 1, i, tile.load(i).bitcast(Scalar::F32));
    });
    k.subgroup_size = 32;
    drift_kernel::validate(&k).unwrap();
    let words = spirv(&k);
    // products of int32 from a zero of their own, converted and scaled
    let products = instructions(&words, 4459);
    assert_eq!(products.len(), 2);
    assert!(products.iter().all(|p| p.len() == 6 && p[0] == products[0][0]));
    let converted = instructions(&words, 111);
    assert_eq!((converted.len(), converted[0][2]), (1, products[1][1]));
    assert_eq!(instructions(&words, 133).len(), 1);
    assert!(instructions(&words, 131).is_empty());
}
