//! Host arrays for the reference: element access, strided copies, views, reproducible data.

use drift_ir::{DType, Shape, Tensor, View, ViewStep};

/// Arithmetic of the reference: f64 for floats, i64 for integers.
pub trait Num:
    Copy
    + PartialOrd
    + std::ops::Add<Output = Self>
    + std::ops::Sub<Output = Self>
    + std::ops::Mul<Output = Self>
{
    const ZERO: Self;
    const ONE: Self;
    fn read(t: &Tensor) -> Vec<Self>;
    fn write(dtype: DType, shape: &Shape, v: &[Self]) -> Tensor;
    fn to_f64(self) -> f64;
}

impl Num for f64 {
    const ZERO: f64 = 0.0;
    const ONE: f64 = 1.0;
    fn read(t: &Tensor) -> Vec<f64> {
        t.to_f64s()
    }
    fn write(dtype: DType, shape: &Shape, v: &[f64]) -> Tensor {
        Tensor::from_f64s(dtype, shape.clone(), v)
    }
    fn to_f64(self) -> f64 {
        self
    }
}

/// Two's complement arithmetic on 64 bits: the low bits are those of every narrower type.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Eq, Ord)]
pub struct Int(pub i64);

impl std::ops::Add for Int {
    type Output = Int;
    fn add(self, o: Int) -> Int {
        Int(self.0.wrapping_add(o.0))
    }
}
impl std::ops::Sub for Int {
    type Output = Int;
    fn sub(self, o: Int) -> Int {
        Int(self.0.wrapping_sub(o.0))
    }
}
impl std::ops::Mul for Int {
    type Output = Int;
    fn mul(self, o: Int) -> Int {
        Int(self.0.wrapping_mul(o.0))
    }
}

impl Num for Int {
    const ZERO: Int = Int(0);
    const ONE: Int = Int(1);
    fn read(t: &Tensor) -> Vec<Int> {
        t.to_i64s().into_iter().map(Int).collect()
    }
    fn write(dtype: DType, shape: &Shape, v: &[Int]) -> Tensor {
        let v: Vec<i64> = v.iter().map(|x| x.0).collect();
        Tensor::from_i64s(dtype, shape.clone(), &v)
    }
    fn to_f64(self) -> f64 {
        self.0 as f64
    }
}

/// Runs `$f::<f64>($args)` or `$f::<Int>($args)` by the dtype.
#[macro_export]
#[doc(hidden)]
macro_rules! by_class {
    ($dtype:expr, $f:ident($($arg:expr),*)) => {
        if $dtype.is_float() { $f::<f64>($($arg),*) } else { $f::<$crate::data::Int>($($arg),*) }
    };
}

/// Steps a row-major coordinate; false after the last one.
pub fn next_coord(coord: &mut [usize], shape: &[usize]) -> bool {
    for i in (0..coord.len()).rev() {
        coord[i] += 1;
        if coord[i] < shape[i] {
            return true;
        }
        coord[i] = 0;
    }
    false
}

/// Calls `f(linear index, coordinate)` for every element of `shape` in row-major order.
pub fn for_each_coord(shape: &[usize], mut f: impl FnMut(usize, &[usize])) {
    let n: usize = shape.iter().product();
    let mut coord = vec![0; shape.len()];
    for i in 0..n {
        f(i, &coord);
        next_coord(&mut coord, shape);
    }
}

/// Elements before, along and after `axis`: a shape as `[outer, axis, inner]`.
pub fn around_axis(shape: &Shape, axis: usize) -> (usize, usize, usize) {
    (shape[..axis].iter().product(), shape[axis], shape[axis + 1..].iter().product())
}

/// Copies elements: `result[coord] = t[offset + Σ coord·strides]` (element units).
pub fn strided(t: &Tensor, shape: Shape, offset: isize, strides: &[isize]) -> Option<Tensor> {
    let size = t.dtype.bytes();
    let src = t.bytes();
    let n = shape.checked_elems()?;
    let mut out = Vec::with_capacity(n.checked_mul(size)?);
    let mut coord = vec![0usize; shape.rank()];
    let mut at = offset;
    for _ in 0..n {
        let b = usize::try_from(at).ok()?.checked_mul(size)?;
        out.extend_from_slice(src.get(b..b + size)?);
        for i in (0..coord.len()).rev() {
            coord[i] += 1;
            at += strides[i];
            if coord[i] < shape[i] {
                break;
            }
            at -= strides[i] * shape[i] as isize;
            coord[i] = 0;
        }
    }
    Tensor::from_bytes(t.dtype, shape, out.into())
}

fn apply_step(t: &Tensor, step: &ViewStep) -> Option<Tensor> {
    let shape = step.apply(&t.shape)?;
    let s: Vec<isize> = t.shape.strides().into_iter().map(|x| x as isize).collect();
    match step {
        ViewStep::Reshape { shape } => t.reshaped(shape.clone()),
        ViewStep::Transpose { perm } => {
            let strides: Vec<isize> = perm.iter().map(|&p| s[p]).collect();
            strided(t, shape, 0, &strides)
        }
        ViewStep::Slice { starts, steps, .. } => {
            if shape.elems() == 0 {
                return Tensor::from_bytes(t.dtype, shape, bytes::Bytes::new());
            }
            let offset = starts.iter().zip(&s).map(|(a, b)| *a as isize * b).sum();
            let strides: Vec<isize> = steps.iter().zip(&s).map(|(a, b)| *a as isize * b).collect();
            strided(t, shape, offset, &strides)
        }
        ViewStep::Broadcast { .. } => {
            let pad = shape.rank() - t.shape.rank();
            let strides: Vec<isize> = (0..shape.rank())
                .map(|i| if i < pad || t.shape[i - pad] == 1 { 0 } else { s[i - pad] })
                .collect();
            strided(t, shape, 0, &strides)
        }
    }
}

/// What a consumer sees of `t` through `view`; `None` when a step does not apply.
pub fn apply_view(t: &Tensor, view: &View) -> Option<Tensor> {
    view.steps.iter().try_fold(t.clone(), |t, step| apply_step(&t, step))
}

/// Permuted copy; `perm` must be a permutation of the axes.
pub fn transposed(t: &Tensor, perm: &[usize]) -> Option<Tensor> {
    apply_step(t, &ViewStep::Transpose { perm: perm.to_vec() })
}

/// `t` repeated to `shape` by the numpy rule.
pub fn broadcast_to(t: &Tensor, shape: &Shape) -> Option<Tensor> {
    if t.shape == *shape {
        return Some(t.clone());
    }
    apply_step(t, &ViewStep::Broadcast { shape: shape.clone() })
}

/// A tensor made of elements of `t`: `pick` gives the source element of each result element, or
/// `None` for zero.
pub fn picked(
    t: &Tensor,
    shape: &Shape,
    mut pick: impl FnMut(usize, &[usize]) -> Option<usize>,
) -> Tensor {
    let size = t.dtype.bytes();
    let mut out = vec![0u8; shape.elems() * size];
    let src = t.bytes();
    for_each_coord(shape, |i, coord| {
        if let Some(from) = pick(i, coord) {
            out[i * size..(i + 1) * size].copy_from_slice(&src[from * size..(from + 1) * size]);
        }
    });
    Tensor::from_bytes(t.dtype, shape.clone(), out.into()).expect("one element per coordinate")
}

/// Reproducible data in about -2..2 (floats) or -8..8 (integers, 0..8 unsigned, bool both).
pub fn sample(seed: u64, dtype: DType, shape: impl Into<Shape>) -> Tensor {
    let shape = shape.into();
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        // splitmix64
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) >> 32
    };
    let n = shape.elems();
    if dtype.is_float() {
        let v: Vec<f64> =
            (0..n).map(|_| (next() as f64 / f64::from(u32::MAX) - 0.5) * 4.0).collect();
        return Tensor::from_f64s(dtype, shape, &v);
    }
    let v: Vec<i64> = (0..n)
        .map(|_| match dtype {
            DType::Bool => (next() & 1) as i64,
            d if d.is_signed_int() => (next() % 17) as i64 - 8,
            _ => (next() % 9) as i64,
        })
        .collect();
    Tensor::from_i64s(dtype, shape, &v)
}

/// `sample` in f32.
pub fn sample_f32(seed: u64, shape: impl Into<Shape>) -> Tensor {
    sample(seed, DType::F32, shape)
}
