//! Layouts, storages and views as functions: injective, inside their extent, the same on integers
//! and on expressions, and pack then unpack gives the value back.

use drift_bundle::caps::ImageKind;
use drift_ir::{Shape, Tensor, View, ViewStep};
use drift_kernel::builder::State;
use drift_kernel::tensor::address::place;
use drift_kernel::tensor::{pack, unpack, view};
use drift_kernel::*;
use proptest::prelude::*;
use std::collections::HashSet;

/// Value of a u32 expression over loop counters.
fn eval(k: &Kernel, e: ExprId, env: &[usize]) -> u64 {
    let v = |x: ExprId| eval(k, x, env);
    match *k.expr(e) {
        Expr::Lit(Lit::U32(v)) => u64::from(v),
        Expr::LoopIndex(LoopId(i)) => env[i as usize] as u64,
        Expr::Binary(op, a, b) => match op {
            BinaryOp::Add => v(a) + v(b),
            BinaryOp::Sub => v(a) - v(b),
            BinaryOp::Mul => v(a) * v(b),
            BinaryOp::Div => v(a) / v(b),
            BinaryOp::Rem => v(a) % v(b),
            BinaryOp::Min => v(a).min(v(b)),
            op => panic!("{op:?} in an address"),
        },
        ref other => panic!("{other:?} in an address"),
    }
}

/// One counter per axis; `known`: with the bound of its dim.
fn leaves(s: &mut State, shape: &Shape, known: bool) -> Vec<ExprId> {
    (0..shape.rank())
        .map(|a| {
            let max = known.then(|| shape[a] as u64 - 1);
            s.intern(Expr::LoopIndex(LoopId(a as u32)), U32, max)
        })
        .collect()
}

fn coords(shape: &Shape) -> Vec<Vec<usize>> {
    (0..shape.elems())
        .map(|mut i| {
            let mut c = vec![0; shape.rank()];
            for a in (0..shape.rank()).rev() {
                c[a] = i % shape[a];
                i /= shape[a];
            }
            c
        })
        .collect()
}

fn shape_of(rank: std::ops::Range<usize>) -> impl Strategy<Value = Shape> {
    prop::collection::vec(1usize..8, rank).prop_map(Shape)
}

fn permutation(n: usize) -> impl Strategy<Value = Vec<usize>> {
    Just((0..n).collect::<Vec<_>>()).prop_shuffle()
}

/// A shape with a layout that fits it.
fn laid_out() -> impl Strategy<Value = (Shape, Layout)> {
    let row = shape_of(0..5).prop_map(|s| (s, Layout::RowMajor));
    let slices = shape_of(1..6).prop_flat_map(|s| {
        let rank = s.rank();
        (Just(s), 0..rank, permutation(rank)).prop_map(|(s, channel, order)| {
            let order = order.into_iter().map(|a| a as u8).collect();
            (s, Layout::Slices4 { channel: channel as u8, order })
        })
    });
    let weights = (1usize..20, 1usize..12, prop::collection::vec(1usize..4, 0..3));
    let weights = (weights, 1u32..4, permutation(6), any::<bool>()).prop_map(
        |((o, i, spatial), group, order, o4)| {
            let lane = if o4 { 2 } else { 5 };
            let mut p: Vec<u8> =
                order.into_iter().map(|x| x as u8).filter(|&x| x != lane).collect();
            p.push(lane);
            let shape = Shape([vec![o, i], spatial].concat());
            (shape, Layout::Weights { group, permutation: p.try_into().unwrap() })
        },
    );
    prop_oneof![row, slices, weights]
}

fn elem() -> impl Strategy<Value = Elem> {
    prop::sample::select(vec![Elem::F32, Elem::F16, Elem::F16Packed, Elem::I32, Elem::U32])
}

/// Steps that apply one after the other to `shape`.
fn view_of(shape: Shape) -> impl Strategy<Value = (Shape, View)> {
    prop::collection::vec((0u8..4, any::<u64>()), 0..4).prop_map(move |picks| {
        let mut view = View::identity();
        for (kind, seed) in picks {
            let now = view.apply(&shape).unwrap();
            let rank = now.rank();
            let pick = |k: usize, n: usize| ((seed >> (5 * k)) as usize) % n.max(1);
            let step = match kind {
                0 => {
                    // split the first axis or join the first two
                    let mut dims = now.0.clone();
                    if rank >= 2 && seed % 2 == 0 {
                        let at = pick(1, rank - 1);
                        dims[at] *= dims.remove(at + 1);
                    } else if let Some(at) = dims.iter().position(|d| d % 2 == 0) {
                        dims[at] /= 2;
                        dims.insert(at + 1, 2);
                    }
                    ViewStep::Reshape { shape: Shape(dims) }
                }
                1 => {
                    let mut perm: Vec<usize> = (0..rank).collect();
                    if rank > 0 {
                        perm.rotate_left(pick(1, rank));
                        perm.swap(0, pick(2, rank));
                    }
                    ViewStep::Transpose { perm }
                }
                2 => {
                    let (mut starts, mut sizes, mut steps) = (vec![], vec![], vec![]);
                    for a in 0..rank {
                        let size = 1 + pick(a + 1, now[a]);
                        let spare = now[a] - size;
                        let start = pick(a, spare + 1);
                        let back = (seed >> (a + 40)) & 1 == 1;
                        starts.push(if back { start + size - 1 } else { start });
                        sizes.push(size);
                        steps.push(if back { -1 } else { 1 });
                    }
                    ViewStep::Slice { starts, sizes, steps }
                }
                _ => {
                    let mut dims = now.0.clone();
                    dims.iter_mut().filter(|d| **d == 1).for_each(|d| *d = 3);
                    dims.insert(0, 2);
                    if dims.iter().product::<usize>() > 5000 {
                        continue;
                    }
                    ViewStep::Broadcast { shape: Shape(dims) }
                }
            };
            view = view.then(step);
        }
        (shape.clone(), view)
    })
}

fn arg(shape: &Shape, view: View, layout: Layout, storage: Storage) -> TensorArg {
    TensorArg {
        name: "t".into(),
        elem: Elem::F32,
        stored: shape.clone(),
        view,
        layout,
        storage,
        access: Access::Read,
        base_elems: 0,
        max_object_bytes: 1 << 27,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn layouts_are_injective_and_inside_their_extent((shape, layout) in laid_out()) {
        layout.check(&shape).unwrap();
        let extent = layout.extent_elems(&shape);
        let mut seen = HashSet::new();
        for c in coords(&shape) {
            let e = layout.element(&shape, &c);
            prop_assert!(e < extent, "{c:?} -> {e} of {extent}");
            prop_assert!(seen.insert(e), "{c:?} -> {e} twice");
        }
        let mut rows = 0;
        layout.for_each(&shape, |row, e| {
            rows += 1;
            assert_eq!(e, layout.element(&shape, &coords(&shape)[row]));
        });
        prop_assert_eq!(rows, shape.elems());
    }

    #[test]
    fn four_along_the_lane_axis_are_one_slot((shape, layout) in laid_out()) {
        let Some(axis) = layout.lanes(&shape) else { return Ok(()) };
        for c in coords(&shape) {
            let e = layout.element(&shape, &c);
            prop_assert_eq!(e % 4, (c[axis] % 4) as u64);
            let mut first = c.clone();
            first[axis] -= c[axis] % 4;
            prop_assert_eq!(e / 4, layout.element(&shape, &first) / 4);
        }
    }

    #[test]
    fn pack_then_unpack_gives_the_value((shape, layout) in laid_out(), elem in elem()) {
        // exact in f16 too
        let v: Vec<f32> = (0..shape.elems()).map(|i| (i % 2000) as f32).collect();
        let src = Tensor::from_f32(shape.clone(), &v);
        let bytes = pack(&layout, elem, &src).unwrap();
        prop_assert_eq!(bytes.len() as u64, elem.extent_bytes(layout.extent_elems(&shape)));
        let back = unpack(&layout, elem, &shape, &bytes).unwrap();
        prop_assert_eq!(back.to_f32s(), v);
        // what is not the value is zero
        let sum: f64 = unpack(&Layout::RowMajor, elem,
            &Shape(vec![layout.extent_elems(&shape) as usize]), &bytes).unwrap()
            .to_f64s().iter().sum();
        prop_assert_eq!(sum, src.to_f64s().iter().sum::<f64>());
    }

    #[test]
    fn expressions_equal_integers((shape, layout) in laid_out(), known in any::<bool>()) {
        let mut s = State::default();
        let c = leaves(&mut s, &shape, known);
        let e = layout.element_expr(&mut s, &shape, &c);
        for c in coords(&shape) {
            prop_assert_eq!(eval(&s.kernel, e, &c), layout.element(&shape, &c));
        }
    }

    #[test]
    fn images_are_injective_and_inside((shape, layout) in laid_out(), kind in 0..4) {
        let kind = [ImageKind::TexelBuffer, ImageKind::Texture2d, ImageKind::Texture2dArray,
            ImageKind::Texture3d][kind as usize];
        let arg = arg(&shape, View::identity(), layout, Storage::Image(kind));
        let Ok(extent) = arg.image_extent() else {
            prop_assert!(arg.layout == Layout::RowMajor, "lanes fit into an image");
            return Ok(());
        };
        let texels: u64 = extent.iter().map(|&x| u64::from(x)).product();
        prop_assert_eq!(texels * 4, arg.extent_elems());
        let mut s = State::default();
        let c = leaves(&mut s, &shape, true);
        let (texel, lane) = arg.texel_expr(&mut s, kind, &c).unwrap();
        let mut seen = HashSet::new();
        for c in coords(&shape) {
            let mut at: Vec<u64> = texel.iter().map(|&e| eval(&s.kernel, e, &c)).collect();
            for (x, n) in at.iter().zip(extent) {
                prop_assert!(*x < u64::from(n), "{c:?} -> {at:?} of {extent:?}");
            }
            at.push(eval(&s.kernel, lane, &c));
            prop_assert!(at[texel.len()] < 4);
            prop_assert!(seen.insert(at));
        }
    }

    #[test]
    fn views_on_expressions_equal_integers(
        (shape, view) in shape_of(1..5).prop_flat_map(view_of),
        known in any::<bool>(),
    ) {
        let kernel_shape = view.apply(&shape).unwrap();
        let mut s = State::default();
        let c = leaves(&mut s, &kernel_shape, known);
        let source = view::source(&mut s, &view, &shape, &c).unwrap();
        for c in coords(&kernel_shape) {
            let want = view.source_coord(&shape, &c).unwrap();
            let got: Vec<u64> = source.iter().map(|&e| eval(&s.kernel, e, &c)).collect();
            prop_assert_eq!(got, want.iter().map(|&x| x as u64).collect::<Vec<_>>());
        }
    }

    #[test]
    fn addresses_equal_integers_whatever_is_known(
        ((shape, view), layout) in laid_out().prop_flat_map(|(s, l)| (view_of(s), Just(l))),
        known in any::<bool>(),
        lanes in prop::sample::select(vec![1u8, 4]),
        axis in 0usize..8,
    ) {
        let arg = arg(&shape, view, layout, Storage::Buffer);
        let seen = arg.shape();
        if seen.rank() == 0 {
            return Ok(());
        }
        let axis = axis % seen.rank();
        let mut s = State::default();
        let c = leaves(&mut s, &seen, known);
        let p = place(&mut s, &arg, &c, lanes, axis).unwrap();
        for c in coords(&seen) {
            for (k, a) in p.addresses.iter().enumerate() {
                let mut at = c.clone();
                at[axis] += k;
                if at[axis] >= seen[axis] {
                    if p.whole {
                        continue;
                    }
                    // clamped: any valid element
                    at[axis] = seen[axis] - 1;
                }
                let source = arg.view.source_coord(&shape, &at).unwrap();
                prop_assert_eq!(eval(&s.kernel, a.element, &c), arg.layout.element(&shape, &source));
            }
        }
    }
}

#[test]
fn known_places() {
    // the paper's example: (B, H, W, C) = (1, 2, 3, 5)
    let shape = Shape::new([1, 2, 3, 5]);
    let hswbdc4 = Layout::Slices4 { channel: 3, order: vec![1, 3, 2, 0] };
    let dshwbc4 = Layout::Slices4 { channel: 3, order: vec![3, 1, 2, 0] };
    let image = |layout: &Layout, kind| {
        arg(&shape, View::identity(), layout.clone(), Storage::Image(kind)).image_extent().unwrap()
    };
    assert_eq!(image(&hswbdc4, ImageKind::Texture2d), [3, 4, 1]);
    assert_eq!(image(&dshwbc4, ImageKind::Texture3d), [3, 2, 2]);
    assert_eq!(image(&dshwbc4, ImageKind::TexelBuffer), [12, 1, 1]);
    // ((s*H + y)*W + x)*B + b
    assert_eq!(dshwbc4.element(&shape, &[0, 1, 2, 4]), ((2 + 1) * 3 + 2) * 4);
    // OHWI weights (5, 2, 1, 7): 2 output slices, 2 positions, 2 input slices
    let weights = Layout::Weights { group: 1, permutation: [0, 1, 2, 3, 4, 5] };
    assert_eq!(weights.extent_elems(&Shape::new([5, 7, 2, 1])), 2 * 4 * 2 * 2 * 4);
}

#[test]
fn bad_layouts_are_refused() {
    let shape = Shape::new([4, 4]);
    let slices = |channel, order: &[u8]| Layout::Slices4 { channel, order: order.to_vec() };
    for layout in [
        slices(2, &[0, 1]),
        slices(0, &[0]),
        slices(0, &[0, 0]),
        Layout::Weights { group: 0, permutation: [0, 1, 2, 3, 4, 5] },
        Layout::Weights { group: 1, permutation: [0, 1, 2, 5, 4, 3] },
        Layout::Weights { group: 1, permutation: [0, 0, 2, 3, 4, 5] },
    ] {
        assert!(layout.check(&shape).is_err(), "{layout}");
    }
    assert!(Layout::RowMajor.check(&Shape::new([1 << 20, 1 << 20])).is_err());
}

#[test]
fn large_tensors_are_cut() {
    let mut a = arg(&Shape::new([1000]), View::identity(), Layout::RowMajor, Storage::Buffer);
    a.max_object_bytes = 1500;
    assert_eq!(a.object_elems(), [256, 256, 256, 232]);
    a.max_object_bytes = 4000;
    assert_eq!(a.object_elems(), [1000]);
}
