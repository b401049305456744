//! The index simplifier is right (random expressions, evaluated before and after) and strong enough
//! for the views that models have.

mod common;

use common::arg;
use drift_ir::{Shape, View, ViewStep};
use drift_kernel::*;
use proptest::prelude::*;

/// Value of a u32 or bool expression; additions wrap like the device's.
fn eval(k: &Kernel, e: ExprId, env: [u32; 3]) -> u32 {
    let v = |x: ExprId| eval(k, x, env);
    match *k.expr(e) {
        Expr::Lit(Lit::U32(v)) => v,
        Expr::Lit(Lit::Bool(v)) => u32::from(v),
        Expr::Builtin(Builtin::GlobalId(a)) => env[a as usize],
        Expr::Select { cond, yes, no } => {
            if v(cond) != 0 {
                v(yes)
            } else {
                v(no)
            }
        }
        Expr::Binary(op, a, b) => {
            let (a, b) = (v(a), v(b));
            match op {
                BinaryOp::Add => a.wrapping_add(b),
                BinaryOp::Sub => a.wrapping_sub(b),
                BinaryOp::Mul => a.wrapping_mul(b),
                BinaryOp::Div => a / b,
                BinaryOp::Rem => a % b,
                BinaryOp::Min => a.min(b),
                BinaryOp::Max => a.max(b),
                BinaryOp::And => a & b,
                BinaryOp::Or => a | b,
                BinaryOp::Xor => a ^ b,
                BinaryOp::Shl => a << b,
                BinaryOp::Shr => a >> b,
                BinaryOp::Lt => u32::from(a < b),
                BinaryOp::Le => u32::from(a <= b),
                BinaryOp::Gt => u32::from(a > b),
                BinaryOp::Ge => u32::from(a >= b),
                BinaryOp::Eq => u32::from(a == b),
                BinaryOp::Ne => u32::from(a != b),
                op => panic!("{op:?}"),
            }
        }
        ref other => panic!("{other:?}"),
    }
}

type Check = Box<dyn Fn(u64) -> bool>;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn simplified_expressions_keep_their_value(
        steps in prop::collection::vec((0u8..16, any::<u16>(), any::<u16>(), 1u32..20), 1..14),
        points in prop::collection::vec((0u32..40, 0u32..28, 0u32..22), 1..12),
    ) {
        let b = Builder::new("k", [8, 4, 2], [5, 7, 11]);
        let mut exprs: Vec<E> = (0..3).map(|a| b.global_id(a)).collect();
        let leaves: Vec<[u64; 3]> =
            points.iter().map(|p| [u64::from(p.0), u64::from(p.1), u64::from(p.2)]).collect();
        let mut values: Vec<Vec<u64>> =
            (0..3).map(|a| leaves.iter().map(|l| l[a]).collect()).collect();
        let limit = u64::from(u32::MAX);
        for (op, i, j, lit) in steps {
            let (i, j) = (usize::from(i) % exprs.len(), usize::from(j) % exprs.len());
            let (x, y) = (exprs[i], exprs[j]);
            let (vx, vy) = (&values[i], &values[j]);
            let l = u64::from(lit);
            let zip = |f: fn(u64, u64) -> u64| -> Vec<u64> {
                vx.iter().zip(vy).map(|(&a, &b)| f(a, b)).collect()
            };
            let with = |f: &dyn Fn(u64) -> u64| -> Vec<u64> { vx.iter().map(|&a| f(a)).collect() };
            let (e, v) = match op {
                0 | 1 => (x + y, zip(|a, b| a + b)),
                2 => (x + lit, with(&|a| a + l)),
                3 | 4 => (x * lit, with(&|a| a * l)),
                5 | 6 => (x / lit, with(&|a| a / l)),
                7 | 8 => (x % lit, with(&|a| a % l)),
                9 => (x.min(y), zip(u64::min)),
                10 => (x.max(lit), with(&|a| a.max(l))),
                11 => (x * 4u32 + lit % 4, with(&|a| a * 4 + l % 4)),
                12 => ((x + y) - y, with(&|a| a)),
                13 => (b.select(x.lt(lit), x, b.u32(lit)), with(&|a| a.min(l))),
                14 => (x.and(b.u32(7)), with(&|a| a & 7)),
                _ => (x.shr(b.u32(lit % 4)), with(&|a| a >> (l % 4))),
            };
            // addresses stay below 2^32
            if v.iter().all(|&v| v <= limit) && b.max_of(e).is_none_or(|m| m <= limit) {
                exprs.push(e);
                values.push(v);
            }
        }
        // comparisons, those that wrap below zero too
        let last = exprs.len() - 1;
        let checks: Vec<(E, Check)> = vec![
            (exprs[last].lt(30u32), Box::new(|v| v < 30)),
            (exprs[last].ge(17u32), Box::new(|v| v >= 17)),
            (b.u32(9).ge(exprs[last]), Box::new(|v| 9 >= v)),
            (exprs[last].eq(1000u32), Box::new(|v| v == 1000)),
            ((exprs[last] - 1u32).lt(40u32), Box::new(|v| v.wrapping_sub(1) < 40)),
        ];
        let bounds: Vec<Option<u64>> = exprs.iter().map(|&e| b.max_of(e)).collect();
        let exprs: Vec<ExprId> = exprs.iter().map(|e| e.id).collect();
        let checks: Vec<(ExprId, Check)> =
            checks.into_iter().map(|(e, f)| (e.id, f)).collect();
        let kernel = b.finish();
        for (p, env) in leaves.iter().enumerate() {
            let env = env.map(|x| x as u32);
            for ((&e, v), max) in exprs.iter().zip(&values).zip(&bounds) {
                let got = u64::from(eval(&kernel, e, env));
                prop_assert_eq!(got, v[p]);
                prop_assert!(max.is_none_or(|m| got <= m), "{got} above its bound {max:?}");
            }
            for (e, f) in &checks {
                prop_assert_eq!(eval(&kernel, *e, env) != 0, f(values[last][p]));
            }
        }
    }
}

/// Physical loads, and divisions or remainders by other than powers of two, of a kernel that reads
/// four channels of `view` of a sliced tensor at each place.
fn price(
    stored: &[usize],
    order: &[u8],
    channel: u8,
    view: Vec<ViewStep>,
    axis: usize,
) -> (usize, usize) {
    let stored = Shape::from(stored);
    let view = View { steps: view };
    let shape = view.apply(&stored).unwrap();
    assert_eq!(shape.rank(), 4);
    let quads = (shape[axis] as u32).div_ceil(4);
    let rest: Vec<u32> = (0..4).filter(|&a| a != axis).map(|a| shape[a] as u32).collect();
    let b = Builder::new(
        "price",
        [8, 8, 1],
        [rest[2].div_ceil(8), (rest[0] * rest[1]).div_ceil(8), quads],
    );
    let x = b.tensor(TensorArg {
        view,
        layout: Layout::Slices4 { channel, order: order.to_vec() },
        ..arg("x", &stored, Access::Read)
    });
    let y = b.tensor(arg("y", &[1 << 20].into(), Access::Write));
    let (i, j, q) = (b.global_id(0), b.global_id(1), b.global_id(2));
    let mut others = vec![j / rest[1], j % rest[1], i];
    if rest[0] == 1 {
        others = vec![b.u32(0), j, i];
    }
    others.insert(axis, q * 4u32);
    b.if_(i.lt(rest[2]).and(j.lt(rest[0] * rest[1])), || {
        let v = b.load4(x, &others, axis);
        b.store4(y, &[(i + j + q) * 4u32], 0, v);
    });
    let kernel = virtualize(b.finish()).unwrap();
    validate(&kernel).unwrap();
    let loads = kernel.exprs.iter().filter(|e| matches!(e, Expr::Buffer { .. })).count();
    let divisions = kernel.exprs.iter().filter(|e| match e {
        Expr::Binary(BinaryOp::Div | BinaryOp::Rem, _, n) => {
            !matches!(kernel.expr(*n), Expr::Lit(Lit::U32(n)) if n.is_power_of_two())
        }
        _ => false,
    });
    (loads, divisions.count())
}

fn reshape(shape: &[usize]) -> ViewStep {
    ViewStep::Reshape { shape: shape.into() }
}
fn transpose(perm: &[usize]) -> ViewStep {
    ViewStep::Transpose { perm: perm.to_vec() }
}

#[test]
fn identity_and_batch_reshapes_are_one_load() {
    assert_eq!(price(&[1, 64, 56, 50], &[1, 2, 3, 0], 1, vec![], 1), (1, 0));
    // padded channels too
    assert_eq!(price(&[1, 30, 56, 50], &[2, 1, 3, 0], 1, vec![], 1), (1, 0));
    let there_and_back = vec![reshape(&[1, 2, 32, 56, 50]), reshape(&[1, 64, 56, 50])];
    assert_eq!(price(&[1, 64, 56, 50], &[1, 2, 3, 0], 1, there_and_back, 1), (1, 0));
}

#[test]
fn channel_shuffle_divides_nothing() {
    // ShuffleNet: [g, c/g] swapped; the four are no slot, so they are four scalars
    let shuffle =
        vec![reshape(&[1, 2, 32, 56, 50]), transpose(&[0, 2, 1, 3, 4]), reshape(&[1, 64, 56, 50])];
    assert_eq!(price(&[1, 64, 56, 50], &[1, 2, 3, 0], 1, shuffle, 1), (4, 0));
}

#[test]
fn slices_of_channels_and_mirrors() {
    let half = ViewStep::Slice {
        starts: vec![0, 32, 0, 0],
        sizes: vec![1, 32, 56, 50],
        steps: vec![1; 4],
    };
    assert_eq!(price(&[1, 64, 56, 50], &[1, 2, 3, 0], 1, vec![half], 1), (1, 0));
    let focus = ViewStep::Slice {
        starts: vec![0, 0, 1, 48],
        sizes: vec![1, 64, 28, 25],
        steps: vec![1, 1, 2, -2],
    };
    assert_eq!(price(&[1, 64, 56, 50], &[1, 2, 3, 0], 1, vec![focus], 1), (1, 0));
}

#[test]
fn depth_to_space_is_one_load() {
    // DCR: [b, b, c] of the channels, c fastest
    let steps = vec![
        reshape(&[1, 2, 2, 16, 28, 25]),
        transpose(&[0, 3, 4, 1, 5, 2]),
        reshape(&[1, 16, 56, 50]),
    ];
    assert_eq!(price(&[1, 64, 28, 25], &[1, 2, 3, 0], 1, steps, 1), (1, 0));
    // space to depth
    let steps = vec![
        reshape(&[1, 16, 28, 2, 25, 2]),
        transpose(&[0, 3, 5, 1, 2, 4]),
        reshape(&[1, 64, 28, 25]),
    ];
    assert_eq!(price(&[1, 16, 56, 50], &[1, 2, 3, 0], 1, steps, 1), (1, 0));
}

#[test]
fn nchw_to_nhwc_and_sequences() {
    // attention reads [1, heads, tokens, d] of a [1, tokens, heads * d] value
    let heads = vec![reshape(&[1, 50, 8, 64]), transpose(&[0, 2, 1, 3])];
    assert_eq!(price(&[1, 50, 512], &[0, 2, 1], 2, heads, 3), (1, 0));
    // [1, c, h, w] -> [1, 1, h*w, c]
    let tokens = vec![transpose(&[0, 2, 3, 1]), reshape(&[1, 1, 56 * 50, 64])];
    let (loads, _) = price(&[1, 64, 56, 50], &[1, 2, 3, 0], 1, tokens, 3);
    assert_eq!(loads, 1);
}

#[test]
fn epilogues_fold() {
    let b = Builder::new("k", [64, 1, 1], [1, 1, 1]);
    let x = b.global_id(0).cast(Scalar::F32);
    let v = x.splat(4);
    for (got, want) in [
        (x * 1.0, x),
        (x + 0.0, x),
        (x - 0.0, x),
        (x / 1.0, x),
        (-(-x), x),
        (x.fma(1.0, 0.0), x),
        (v.fma(1.0, v * 0.5), v + v * 0.5),
        (v * 1.0 + 0.0, v),
        (b.f32(2.0) * 3.0 + 1.0, b.f32(7.0)),
        (b.compose(&[v.lane(0), v.lane(1), v.lane(2), v.lane(3)]), v),
        (x.max(x), x),
    ] {
        assert_eq!(got.id, want.id);
    }
    // not so: NaN and overflow stay what they are
    assert_ne!((x * 0.0).id, b.f32(0.0).id);
    assert_ne!((x - x).id, b.f32(0.0).id);
}
