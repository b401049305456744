//! Random tensors (layout, storage, element type, view) copied by a kernel: what arrives is what
//! the view says, lane by lane, whichever addresses `virtualize` chose.

mod common;

use common::*;
use drift_bundle::caps::ImageKind;
use drift_ir::{Shape, View, ViewStep};
use drift_kernel::*;
use proptest::prelude::*;

fn layout_of(shape: &Shape, pick: u64) -> Layout {
    let rank = shape.rank();
    match pick % 4 {
        0 => Layout::RowMajor,
        1 if rank >= 2 => Layout::Weights {
            group: 1 + (pick >> 8) as u32 % 2,
            permutation: [[0, 1, 3, 4, 5, 2], [4, 0, 3, 1, 2, 5]][(pick >> 4) as usize % 2],
        },
        _ => {
            let mut order: Vec<u8> = (0..rank as u8).collect();
            order.rotate_left((pick >> 4) as usize % rank);
            Layout::Slices4 { channel: ((pick >> 8) as usize % rank) as u8, order }
        }
    }
}

fn storage_of(pick: u8) -> Storage {
    match pick % 8 {
        0 => Storage::Image(ImageKind::Texture2d),
        1 => Storage::Image(ImageKind::Texture3d),
        2 => Storage::Image(ImageKind::Texture2dArray),
        3 => Storage::Image(ImageKind::TexelBuffer),
        _ => Storage::Buffer,
    }
}

/// A view of `shape` that keeps all elements (`writable`), or any.
fn view_of(shape: &Shape, pick: u64, writable: bool) -> View {
    let mut view = View::identity();
    for k in 0..pick % 3 {
        let pick = pick >> (8 * k + 2);
        let now = view.apply(shape).unwrap();
        let rank = now.rank();
        let step = match pick % if writable { 2 } else { 4 } {
            0 => {
                let mut perm: Vec<usize> = (0..rank).collect();
                perm.rotate_left((pick >> 3) as usize % rank);
                ViewStep::Transpose { perm }
            }
            1 => {
                let mut dims = now.0.clone();
                match dims.iter().position(|d| d % 2 == 0) {
                    Some(at) if pick & 8 == 0 => {
                        dims[at] /= 2;
                        dims.insert(at + 1, 2);
                    }
                    _ if rank > 1 => dims[0] *= dims.remove(1),
                    _ => dims.push(1),
                }
                ViewStep::Reshape { shape: Shape(dims) }
            }
            2 => ViewStep::Slice {
                starts: now.iter().map(|d| if pick & 8 == 0 { d / 2 } else { d - 1 }).collect(),
                sizes: now.iter().map(|d| d - d / 2).collect(),
                steps: vec![if pick & 8 == 0 { 1 } else { -1 }; rank],
            },
            _ => {
                let mut dims = now.0.clone();
                dims.iter_mut().filter(|d| **d == 1).for_each(|d| *d = 3);
                ViewStep::Broadcast { shape: Shape(dims) }
            }
        };
        view = view.then(step);
    }
    view
}

/// `i` as coordinates of `shape`, the axis `quad` counted in steps of four.
fn split<'b>(b: &'b Builder, i: E<'b>, shape: &Shape, quad: Option<usize>) -> Vec<E<'b>> {
    let mut dims = shape.clone();
    if let Some(a) = quad {
        dims[a] = dims[a].div_ceil(4);
    }
    let strides = dims.strides();
    (0..dims.rank())
        .map(|a| {
            let c = i / strides[a] as u32 % dims[a] as u32;
            if quad == Some(a) { b.assume_max(c * 4u32, 4 * (dims[a] as u64 - 1)) } else { c }
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn copies_arrive(
        dims in prop::collection::vec(1usize..10, 1..5),
        picks in any::<[u64; 4]>(),
        storages in any::<[u8; 2]>(),
        elems in any::<[u8; 2]>(),
        four in any::<bool>(),
        axis in any::<usize>(),
        cut in prop::bool::weighted(0.2),
    ) {
        let stored = Shape(dims);
        let read_view = view_of(&stored, picks[0], false);
        let shape = read_view.apply(&stored).unwrap();
        // the output is stored in another shape, which its view turns into `shape`
        let turned = view_of(&shape, picks[1], true);
        let out_stored = turned.apply(&shape).unwrap();
        let back = inverse(&turned, &shape);
        let axis = axis % shape.rank();
        let make = |name: &str, s: &Shape, view: View, k: usize, access| {
            let elem = [Elem::F32, Elem::F16, Elem::F16Packed][elems[k] as usize % 3];
            let max_object_bytes = if cut { 64 } else { 1 << 27 };
            let mut a = TensorArg {
                view,
                layout: layout_of(s, picks[2 + k]),
                storage: storage_of(storages[k]),
                elem,
                max_object_bytes,
                ..arg(name, s, access)
            };
            if a.storage != Storage::Buffer && a.image_extent().is_err() {
                a.storage = Storage::Buffer;
            }
            a
        };
        let x = make("x", &stored, read_view.clone(), 0, Access::Read);
        let mut y = make("y", &out_stored, back, 1, Access::Write);
        prop_assert_eq!(&y.shape(), &shape);

        let build = |y: &TensorArg| {
            let quad = four.then_some(axis);
            let mut n = shape.clone();
            if four {
                n[axis] = n[axis].div_ceil(4);
            }
            let n = n.elems() as u32;
            let b = Builder::new("copy", [32, 1, 1], [n.div_ceil(32), 1, 1]);
            let (x, y) = (b.tensor(x.clone()), b.tensor(y.clone()));
            let i = b.global_id(0);
            b.if_(i.lt(n), || {
                let c = split(&b, i, &shape, quad);
                if four {
                    b.store4(y, &c, axis, b.load4(x, &c, axis));
                } else {
                    b.store(y, &c, b.load(x, &c));
                }
            });
            b.finish()
        };
        if virtualize(build(&y)).is_err() {
            // only whole slots may go there
            prop_assert!(y.elem == Elem::F16Packed || y.storage != Storage::Buffer);
            y.elem = Elem::F32;
            y.storage = Storage::Buffer;
        }
        let values = ramp(&stored);
        let out = execute(build(&y), &[Some(values.clone()), None]).map_err(TestCaseError::fail)?;

        let values = values.to_f32s();
        let got = out[1].to_f32s();
        let (all, strides, out_strides) = (shape.strides(), stored.strides(), out_stored.strides());
        for i in 0..shape.elems() {
            let c: Vec<usize> = (0..shape.rank()).map(|a| i / all[a] % shape[a]).collect();
            let from = read_view.source_coord(&stored, &c).unwrap();
            let to = y.view.source_coord(&out_stored, &c).unwrap();
            let at = |c: &[usize], s: &[usize]| c.iter().zip(s).map(|(c, s)| c * s).sum::<usize>();
            prop_assert_eq!(got[at(&to, &out_strides)], values[at(&from, &strides)], "{:?}", c);
        }
    }
}

/// The view from `turned.apply(shape)` back to `shape`; transposes and reshapes only.
fn inverse(turned: &View, shape: &Shape) -> View {
    let shapes = turned.shapes(shape).unwrap();
    let steps = turned.steps.iter().zip(&shapes).rev().map(|(step, from)| match step {
        ViewStep::Transpose { perm } => {
            let mut back = vec![0; perm.len()];
            perm.iter().enumerate().for_each(|(i, &p)| back[p] = i);
            ViewStep::Transpose { perm: back }
        }
        _ => ViewStep::Reshape { shape: from.clone() },
    });
    View { steps: steps.collect() }
}
