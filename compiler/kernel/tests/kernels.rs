//! Kernels through the whole path: builder, `virtualize`, interpreter, against plain host code.

mod common;

use common::*;
use drift_bundle::caps::ImageKind;
use drift_ir::{Shape, Tensor, View, ViewStep};
use drift_kernel::interp::{Bind, Memory, Options, run};
use drift_kernel::*;

fn groups(n: usize, size: u32) -> [u32; 3] {
    [(n as u32).div_ceil(size), 1, 1]
}

/// `i` as coordinates of `shape`.
fn split<'b>(i: E<'b>, shape: &Shape) -> Vec<E<'b>> {
    let strides = shape.strides();
    (0..shape.rank()).map(|a| i / strides[a] as u32 % shape[a] as u32).collect()
}

fn slices(order: &[u8], channel: u8) -> Layout {
    Layout::Slices4 { channel, order: order.to_vec() }
}

#[test]
fn transpose_reshape_slice_and_broadcast_are_views() {
    let stored = Shape::new([2, 6, 5]);
    let steps = [
        ViewStep::Transpose { perm: vec![2, 0, 1] },
        ViewStep::Reshape { shape: [5, 12].into() },
        ViewStep::Slice { starts: vec![4, 1], sizes: vec![3, 10], steps: vec![-2, 1] },
        ViewStep::Reshape { shape: [3, 1, 10].into() },
        ViewStep::Broadcast { shape: [2, 3, 4, 10].into() },
    ];
    for n in 0..=steps.len() {
        let view = View { steps: steps[..n].to_vec() };
        let shape = view.apply(&stored).unwrap();
        let b = Builder::new("copy", [32, 1, 1], groups(shape.elems(), 32));
        let x = b.tensor(TensorArg { view: view.clone(), ..arg("x", &stored, Access::Read) });
        let y = b.tensor(arg("y", &shape, Access::Write));
        let i = b.global_id(0);
        b.if_(i.lt(shape.elems() as u32), || {
            let c = split(i, &shape);
            b.store(y, &c, b.load(x, &c));
        });
        let values = ramp(&stored);
        let out = execute(b.finish(), &[Some(values.clone()), None]).unwrap();
        let values = values.to_f32s();
        let strides = stored.strides();
        let all = shape.strides();
        let want: Vec<f32> = (0..shape.elems())
            .map(|i| {
                let c: Vec<usize> = (0..shape.rank()).map(|a| i / all[a] % shape[a]).collect();
                let s = view.source_coord(&stored, &c).unwrap();
                values[s.iter().zip(&strides).map(|(c, s)| c * s).sum::<usize>()]
            })
            .collect();
        assert_eq!(out[1].to_f32s(), want, "{view}");
    }
}

#[test]
fn reduction_with_workgroup_memory() {
    let (rows, cols) = (3usize, 1000usize);
    let b = Builder::new("row_sum", [64, 1, 1], [rows as u32, 1, 1]);
    let x = b.tensor(arg("x", &[rows, cols].into(), Access::Read));
    let y = b.tensor(arg("y", &[rows].into(), Access::Write));
    let partial = b.shared("partial", Scalar::F32, 1, 64);
    let (row, lane) = (b.workgroup_id(0), b.local_id(0));
    let sum = b.var("sum", b.f32(0.0));
    b.for_(lane, cols as u32, 64, |i| sum.set(sum.get() + b.load(x, &[row, i])));
    partial.store(lane, sum.get());
    b.barrier();
    for step in [32u32, 16, 8, 4, 2, 1] {
        b.if_(lane.lt(step), || {
            partial.store(lane, partial.load(lane) + partial.load(lane + step));
        });
        b.barrier();
    }
    b.if_(lane.eq(0u32), || b.store(y, &[row], partial.load(0u32)));
    let values = noise(&[rows, cols].into(), 7);
    let out = execute(b.finish(), &[Some(values.clone()), None]).unwrap();
    for (got, row) in out[1].to_f32s().iter().zip(values.to_f32s().chunks(cols)) {
        let want: f64 = row.iter().map(|&v| f64::from(v)).sum();
        assert!((f64::from(*got) - want).abs() < 1e-4, "{got} {want}");
    }
}

/// 3x3 convolution with padding 1: sliced activations, packed weights.
fn conv(
    storage: Storage,
    elem: Elem,
    ci: usize,
    co: usize,
    h: usize,
    w: usize,
) -> (Kernel, [Tensor; 3]) {
    let (x_shape, y_shape) = (Shape::new([1, ci, h, w]), Shape::new([1, co, h, w]));
    let layout = slices(&[2, 1, 3, 0], 1);
    let act = |name: &str, shape: &Shape, access| TensorArg {
        layout: layout.clone(),
        storage,
        elem,
        ..arg(name, shape, access)
    };
    let (si, so) = (ci.div_ceil(4) as u32, co.div_ceil(4) as u32);
    let b =
        Builder::new("conv3x3", [8, 8, 1], [(w as u32).div_ceil(8), (h as u32).div_ceil(8), so]);
    let x = b.tensor(act("x", &x_shape, Access::Read));
    let wt = b.tensor(TensorArg {
        layout: Layout::Weights { group: 1, permutation: [0, 1, 3, 4, 5, 2] },
        elem,
        ..arg("w", &[co, ci, 3, 3].into(), Access::Read)
    });
    let bias = b.tensor(arg("bias", &[co].into(), Access::Read));
    let y = b.tensor(act("y", &y_shape, Access::Write));
    let (px, py, s) = (b.global_id(0), b.global_id(1), b.global_id(2));
    let zero = b.u32(0);
    b.if_(px.lt(w as u32).and(py.lt(h as u32)), || {
        let acc = b.var("acc", b.load4(bias, &[s * 4u32], 0));
        b.for_(0u32, 3u32, 1, |ky| {
            b.for_(0u32, 3u32, 1, |kx| {
                // px + kx - 1 and py + ky - 1, tested without going below zero
                let (ix, iy) = (px + kx, py + ky);
                let inside = ix.ge(1u32).and(ix.le(w as u32)).and(iy.ge(1u32)).and(iy.le(h as u32));
                b.if_(inside, || {
                    b.for_(0u32, si, 1, |si| {
                        let v = b.load4(x, &[zero, si * 4u32, iy - 1u32, ix - 1u32], 1);
                        for k in 0..4u8 {
                            let i = si * 4u32 + u32::from(k);
                            let i = i.min(ci as u32 - 1);
                            let w4 = b.load4(wt, &[s * 4u32, i, ky, kx], 0);
                            // padded input channels do not count
                            let v = b.select(
                                (si * 4u32 + u32::from(k)).lt(ci as u32),
                                v.lane(k),
                                b.f32(0.0),
                            );
                            acc.set(v.splat(4).fma(w4, acc.get()));
                        }
                    });
                });
            });
        });
        b.store4(y, &[zero, s * 4u32, py, px], 1, acc.get().max(0.0));
    });
    let inputs = [noise(&x_shape, 1), noise(&[co, ci, 3, 3].into(), 2), noise(&[co].into(), 3)];
    (b.finish(), inputs)
}

fn conv_reference(x: &Tensor, w: &Tensor, bias: &Tensor) -> Vec<f32> {
    let (ci, h, wd) = (x.shape[1], x.shape[2], x.shape[3]);
    let co = w.shape[0];
    let (x, w, bias) = (x.to_f32s(), w.to_f32s(), bias.to_f32s());
    let mut out = Vec::new();
    for o in 0..co {
        for y in 0..h {
            for xx in 0..wd {
                let mut acc = bias[o];
                for i in 0..ci {
                    for ky in 0..3 {
                        for kx in 0..3 {
                            let (iy, ix) = ((y + ky).wrapping_sub(1), (xx + kx).wrapping_sub(1));
                            if iy < h && ix < wd {
                                acc +=
                                    x[(i * h + iy) * wd + ix] * w[((o * ci + i) * 3 + ky) * 3 + kx];
                            }
                        }
                    }
                }
                out.push(acc.max(0.0));
            }
        }
    }
    out
}

#[test]
fn convolution_is_the_same_in_all_storages() {
    for storage in [
        Storage::Buffer,
        Storage::Image(ImageKind::Texture2d),
        Storage::Image(ImageKind::Texture2dArray),
        Storage::Image(ImageKind::Texture3d),
        Storage::Image(ImageKind::TexelBuffer),
    ] {
        for (elem, tolerance) in [(Elem::F32, 1e-5), (Elem::F16, 5e-3), (Elem::F16Packed, 5e-3)] {
            for (ci, co) in [(8, 4), (5, 7), (3, 9)] {
                let (kernel, [x, w, bias]) = conv(storage, elem, ci, co, 9, 11);
                let want = conv_reference(&x, &w, &bias);
                let out = execute(kernel, &[Some(x), Some(w), Some(bias), None]).unwrap();
                for (i, (got, want)) in out[3].to_f32s().iter().zip(&want).enumerate() {
                    assert!(
                        (got - want).abs() <= tolerance * want.abs().max(1.0),
                        "{storage:?} {elem:?} {ci}->{co} element {i}: {got} instead of {want}"
                    );
                }
            }
        }
    }
}

#[test]
fn four_lanes_of_sliced_tensors_are_one_access() {
    let (kernel, _) = conv(Storage::Buffer, Elem::F16, 8, 8, 9, 11);
    let kernel = virtualize(kernel).unwrap();
    for b in &kernel.bindings {
        let width = match b.ty {
            BindingType::Buffer { elem, .. } => elem.width,
            BindingType::Image { .. } => panic!("a buffer"),
        };
        assert_eq!(width, 4, "{}", b.name);
    }
    let loads = kernel.exprs.iter().filter(|e| matches!(e, Expr::Buffer { .. })).count();
    // bias, x, and four weights
    assert_eq!(loads, 6);
}

#[test]
fn large_tensors_live_in_several_objects() {
    let shape = Shape::new([300]);
    let b = Builder::new("shift", [64, 1, 1], groups(300, 64));
    let split = |name, access| TensorArg { max_object_bytes: 300, ..arg(name, &shape, access) };
    let x = b.tensor(split("x", Access::Read));
    let y = b.tensor(split("y", Access::Write));
    let i = b.global_id(0);
    b.if_(i.lt(300u32), || b.store(y, &[i], b.load(x, &[(i + 70u32) % 300u32]) + 1.0));
    let kernel = b.finish();
    let parts = virtualize(kernel.clone()).unwrap().bindings.len();
    assert_eq!(parts, 2 * 5);
    let values = ramp(&shape);
    let out = execute(kernel, &[Some(values.clone()), None]).unwrap();
    let values = values.to_f32s();
    let want: Vec<f32> = (0..300).map(|i| values[(i + 70) % 300] + 1.0).collect();
    assert_eq!(out[1].to_f32s(), want);
}

#[test]
fn values_live_inside_larger_ones() {
    // two halves of one arena, through base_elems
    let shape = Shape::new([8]);
    let b = Builder::new("concat", [8, 1, 1], [1, 1, 1]);
    let at = |name, base, access| TensorArg { base_elems: base, ..arg(name, &shape, access) };
    let x = b.tensor(at("x", 0, Access::Read));
    let y = b.tensor(at("y", 8, Access::Write));
    let i = b.global_id(0);
    b.store(y, &[i], -b.load(x, &[i]));
    let kernel = virtualize(b.finish()).unwrap();
    let mut memory = Memory::new();
    let arena = memory.add_f32s(&[[1.0f32; 8], [0.0; 8]].concat());
    run(&kernel, &memory, &[Bind::all(arena); 2], &Options::strict()).unwrap();
    assert_eq!(memory.f32s(arena), [[1.0f32; 8], [-1.0; 8]].concat());
}

#[test]
fn single_stores_leave_finite_padding() {
    let shape = Shape::new([1, 5, 2, 3]);
    let b = Builder::new("fill", [32, 1, 1], [1, 1, 1]);
    let y =
        b.tensor(TensorArg { layout: slices(&[1, 2, 3, 0], 1), ..arg("y", &shape, Access::Write) });
    let i = b.global_id(0);
    b.if_(i.lt(30u32), || b.store(y, &split(i, &shape), i.cast(Scalar::F32)));
    let kernel = virtualize(b.finish()).unwrap();
    let mut memory = Memory::new();
    let binds = place(&mut memory, &kernel.tensors[0], None);
    run(&kernel, &memory, &binds, &Options::strict()).unwrap();
    let all = memory.f32s(binds[0].object);
    assert_eq!(all.len(), 2 * 6 * 4);
    assert!(all.iter().all(|v| v.is_finite()), "{all:?}");
    let want: Vec<f32> = (0..30).map(|i| i as f32).collect();
    assert_eq!(read(&memory, &kernel.tensors[0], &binds).to_f32s(), want);
}

#[test]
fn packed_halves_refuse_single_stores() {
    let b = Builder::new("bad", [8, 1, 1], [1, 1, 1]);
    let y = b.tensor(TensorArg { elem: Elem::F16Packed, ..arg("y", &[8].into(), Access::Write) });
    let i = b.global_id(0);
    b.store(y, &[i], b.f32(1.0));
    let e = virtualize(b.finish()).unwrap_err().to_string();
    assert!(e.contains("kernel `bad`") && e.contains("tensor `y`"), "{e}");
}

#[test]
fn lanes_past_the_extent_are_zero_even_where_memory_goes_on() {
    let shape = Shape::new([3, 8]);
    let six = ViewStep::Slice { starts: vec![0, 0], sizes: vec![3, 6], steps: vec![1, 1] };
    for layout in [Layout::RowMajor, slices(&[0, 1], 1), slices(&[1, 0], 1)] {
        let b = Builder::new("sums", [2, 3, 1], [1, 1, 1]);
        let x = b.tensor(TensorArg {
            view: View { steps: vec![six.clone()] },
            layout,
            ..arg("x", &shape, Access::Read)
        });
        let y = b.tensor(arg("y", &[3, 2].into(), Access::Write));
        let (q, row) = (b.global_id(0), b.global_id(1));
        b.store(y, &[row, q], b.load4(x, &[row, q * 4u32], 1).hsum());
        let values = ramp(&shape);
        let out = execute(b.finish(), &[Some(values.clone()), None]).unwrap();
        let want: Vec<f32> = values
            .to_f32s()
            .chunks(8)
            .flat_map(|r| [r[..4].iter().sum::<f32>(), r[4] + r[5]])
            .collect();
        assert_eq!(out[1].to_f32s(), want);
    }
}
