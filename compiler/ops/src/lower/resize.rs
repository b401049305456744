//! Resizing by nearest, linear or cubic interpolation.
//!
//! Source positions are affine in the result position. Where the model's scale is a small
//! fraction they are computed in integers, so that halves round exactly as the definition says;
//! otherwise in f32.

use super::Lowering;
use super::map::{Input, Map, value_type};
use crate::Result;
use drift_ir::Attrs;
use drift_kernel::{Builder, E, Scalar};

/// Source position of result position `x`.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Position {
    /// `(a x + b) / d - shift`, all integers, the sum not negative.
    Exact { a: u32, b: u32, d: u32, shift: u32 },
    /// `a x + b`
    Float { a: f32, b: f32 },
}

/// `v` as a fraction of two numbers below 2^12, if it is one up to the rounding of f32.
fn fraction(v: f64) -> Option<(i64, i64)> {
    (1..4096i64).find_map(|q| {
        let p = (v * q as f64).round();
        let close = (p / q as f64 - v).abs() <= v.abs() * 1.2e-7;
        ((1.0..4096.0).contains(&p) && close).then_some((p as i64, q))
    })
}

/// One axis that changes.
#[derive(Clone, Debug)]
struct Axis {
    axis: usize,
    /// Source size.
    n: usize,
    position: Position,
    /// Outside of the source nothing is interpolated (`tf_crop_and_resize`).
    crop: bool,
}

impl Axis {
    fn of(attrs: &Attrs, axis: usize, n: usize, out: usize) -> Axis {
        let scale = attrs.floats("scales").map_or(1.0, |s| s[axis]);
        let coordinate = attrs.str("coordinate").unwrap_or("");
        let (ni, oi) = (n as i64, out as i64);
        let (nf, of) = (n as f64, out as f64);
        let crop = coordinate == "tf_crop_and_resize";
        // exact (a, b, d) of (a x + b) / d, and the same in floats
        let (exact, float) = match coordinate {
            "align_corners" if out > 1 => {
                (Some((ni - 1, 0, oi - 1)), ((nf - 1.0) / (of - 1.0), 0.0))
            }
            "align_corners" => (Some((0, 0, 1)), (0.0, 0.0)),
            "pytorch_half_pixel" if out <= 1 => (Some((0, 0, 1)), (0.0, 0.0)),
            "half_pixel" | "pytorch_half_pixel" => (
                fraction(scale).map(|(p, q)| (2 * q, q - p, 2 * p)),
                (1.0 / scale, 0.5 / scale - 0.5),
            ),
            "half_pixel_symmetric" => {
                let center = nf / 2.0 * (1.0 - of / (scale * nf));
                (
                    fraction(scale).map(|(p, q)| (2 * q, q - p + ni * p - oi * q, 2 * p)),
                    (1.0 / scale, 0.5 / scale - 0.5 + center),
                )
            }
            "tf_crop_and_resize" => {
                let roi = attrs.floats("roi").unwrap_or(&[]);
                let (start, end) = (roi[axis], roi[roi.len() / 2 + axis]);
                let float = match out {
                    1 => (0.0, 0.5 * (start + end) * (nf - 1.0)),
                    _ => ((end - start) * (nf - 1.0) / (of - 1.0), start * (nf - 1.0)),
                };
                (None, float)
            }
            _ => (fraction(scale).map(|(p, q)| (q, 0, p)), (1.0 / scale, 0.0)),
        };
        let position = exact
            .and_then(|(a, b, d)| {
                // moved by whole elements until nothing is negative (nearest needs up to half more)
                let shift = if b < 0 { (-b + d - 1) / d } else { 0 };
                let b = b + shift * d;
                let most = a * oi + b + 2 * d;
                (most < 1 << 29).then_some(Position::Exact {
                    a: a as u32,
                    b: b as u32,
                    d: d as u32,
                    shift: shift as u32,
                })
            })
            .unwrap_or(Position::Float { a: float.0 as f32, b: float.1 as f32 });
        Axis { axis, n, position, crop }
    }

    fn float<'b>(&self, b: &'b Builder, x: E<'b>) -> E<'b> {
        match self.position {
            Position::Float { a, b: c } => x.cast(Scalar::F32) * a + b.f32(c),
            Position::Exact { a, b: c, d, shift } => {
                (x * a + c).cast(Scalar::F32) * (1.0 / d as f32) - shift as f32
            }
        }
    }

    /// A source coordinate from `whole - shift`, pulled inside.
    fn clamp<'b>(&self, b: &'b Builder, whole: E<'b>, shift: u32) -> E<'b> {
        let last = self.n as u32 - 1;
        let c = whole.max(shift).min(shift + last) - shift;
        b.assume_max(c, u64::from(last))
    }

    fn clamp_float<'b>(&self, b: &'b Builder, whole: E<'b>) -> E<'b> {
        let last = self.n as u32 - 1;
        b.assume_max(whole.clamp(0.0f32, last as f32).cast(Scalar::U32), u64::from(last))
    }

    fn nearest<'b>(&self, b: &'b Builder, x: E<'b>, mode: &str) -> E<'b> {
        match self.position {
            Position::Exact { a, b: c, d, shift } => {
                let (num, d) = match mode {
                    // ceil(at - 1/2) and floor(at + 1/2), over 2 d
                    "round_prefer_floor" => (x * (2 * a) + (2 * c + d - 1), 2 * d),
                    "round_prefer_ceil" => (x * (2 * a) + (2 * c + d), 2 * d),
                    "ceil" => (x * a + (c + d - 1), d),
                    _ => (x * a + c, d),
                };
                self.clamp(b, num / d, shift)
            }
            Position::Float { .. } => {
                let at = self.float(b, x);
                let whole = match mode {
                    "round_prefer_floor" => (at - 0.5f32).ceil(),
                    "round_prefer_ceil" => (at + 0.5f32).floor(),
                    "ceil" => at.ceil(),
                    _ => at.floor(),
                };
                self.clamp_float(b, whole)
            }
        }
    }

    /// Coordinates `low + offset` for each offset, pulled inside; whether they lie inside; and the
    /// fraction after `low`.
    fn around<'b>(&self, b: &'b Builder, x: E<'b>, offsets: &[i32]) -> Around<'b> {
        let last = self.n as u32 - 1;
        match self.position {
            Position::Exact { a, b: c, d, shift } => {
                let num = x * a + c;
                let (whole, rest) = (num / d, num % d);
                // room for an offset of -1
                let (whole, shift) = (whole + 1u32, shift + 1);
                let taps = offsets
                    .iter()
                    .map(|&o| {
                        let w = if o < 0 { whole - o.unsigned_abs() } else { whole + o as u32 };
                        let inside = w.ge(shift).and(w.le(shift + last));
                        (self.clamp(b, w, shift), inside)
                    })
                    .collect();
                (taps, rest.cast(Scalar::F32) * (1.0 / d as f32))
            }
            Position::Float { .. } => {
                let at = self.float(b, x);
                let low = at.floor();
                let taps = offsets
                    .iter()
                    .map(|&o| {
                        let w = low + o as f32;
                        let inside = w.ge(0.0f32).and(w.le(last as f32));
                        (self.clamp_float(b, w), inside)
                    })
                    .collect();
                (taps, at - low)
            }
        }
    }

    /// Source coordinates and weights (`None` = 1) for one result position.
    fn taps<'b>(&self, b: &'b Builder, x: E<'b>, how: &How) -> Vec<(E<'b>, Option<E<'b>>)> {
        match how {
            How::Nearest(mode) => vec![(self.nearest(b, x, mode), None)],
            How::Linear => {
                let (at, f) = self.around(b, x, &[0, 1]);
                vec![(at[0].0, Some(b.f32(1.0) - f)), (at[1].0, Some(f))]
            }
            How::Cubic { a, exclude } => {
                let (a, exclude) = (*a, *exclude);
                let (at, f) = self.around(b, x, &[-1, 0, 1, 2]);
                let mut w = cubic_weights(b, f, a);
                if exclude {
                    for (w, (_, inside)) in w.iter_mut().zip(&at) {
                        *w = b.select(*inside, *w, b.f32(0.0));
                    }
                    let sum = w[0] + w[1] + w[2] + w[3];
                    w.iter_mut().for_each(|w| *w = *w / sum);
                }
                at.iter().zip(w).map(|((c, _), w)| (*c, Some(w))).collect()
            }
        }
    }
}

/// Weights of the elements at -1, 0, 1 and 2 around a position with fraction `f`.
pub fn cubic_weights<'b>(b: &'b Builder, f: E<'b>, a: f32) -> [E<'b>; 4] {
    let near = |t: E<'b>| (t * (a + 2.0) - (a + 3.0)) * t * t + 1.0f32;
    let far = |t: E<'b>| ((t * a - 5.0 * a) * t + 8.0 * a) * t - 4.0 * a;
    let back = b.f32(1.0) - f;
    [far(f + 1.0f32), near(f), near(back), far(back + 1.0f32)]
}

type Around<'b> = (Vec<(E<'b>, E<'b>)>, E<'b>);

enum How {
    Nearest(String),
    Linear,
    Cubic { a: f32, exclude: bool },
}

/// Lowers a `resize` node.
pub fn lower(l: &mut Lowering<'_>) -> Result<()> {
    let (x, own) = (l.shape(0)?, l.own_shape(0));
    if own.elems() == 0 {
        return Ok(());
    }
    let attrs = &l.node.attrs;
    let crop = attrs.str("coordinate") == Some("tf_crop_and_resize");
    let scale = |a: usize| attrs.floats("scales").map_or(1.0, |s| s[a]);
    let axes: Vec<Axis> = (0..x.rank())
        .filter(|&a| x[a] != own[a] || scale(a) != 1.0 || crop)
        .map(|a| Axis::of(attrs, a, x[a], own[a]))
        .collect();
    let how = match attrs.str("mode").unwrap_or("nearest") {
        "nearest" => How::Nearest(attrs.str("nearest").unwrap_or("floor").to_owned()),
        "linear" => How::Linear,
        _ => How::Cubic {
            a: attrs.float("cubic_a", -0.75) as f32,
            exclude: attrs.int("exclude_outside", 0) != 0,
        },
    };
    let value = attrs.float("value", 0.0);
    let per: u64 = match how {
        How::Nearest(_) => 0,
        How::Linear => 1 << axes.len().min(8),
        How::Cubic { .. } => 1 << (2 * axes.len()).min(16),
    };
    if per > 256 {
        return Err(l.unsupported(format!("interpolation along {} axes at once", axes.len())));
    }
    let touched: Vec<usize> = axes.iter().map(|a| a.axis).collect();
    Map::new("resize", 2 * per * own.elems() as u64, touched).lower(
        l,
        |l, k| Input::of(l, k, 0),
        |b, x, at, lanes| {
            let taps: Vec<_> = axes.iter().map(|a| a.taps(b, at[a.axis], &how)).collect();
            let ty = value_type(x.dtype, lanes);
            let mut sum: Option<E<'_>> = None;
            each_choice(&taps, &mut |choice| {
                let mut from = at.to_vec();
                let mut weight: Option<E<'_>> = None;
                for (a, (c, w)) in axes.iter().zip(choice) {
                    from[a.axis] = *c;
                    weight = match (weight, *w) {
                        (Some(u), Some(w)) => Some(u * w),
                        (u, w) => u.or(w),
                    };
                }
                let v = x.lanes(b, &from, lanes);
                sum = Some(match (weight, sum) {
                    (None, _) => v,
                    (Some(w), old) => {
                        let (v, w) = (v.cast(Scalar::F32), w.splat(ty.vector().width));
                        match old {
                            Some(old) => v.fma(w, old),
                            None => v * w,
                        }
                    }
                });
            });
            let mut y = sum.unwrap_or_else(|| x.lanes(b, at, lanes));
            if y.ty() != ty {
                y = y.cast(ty.vector().scalar);
            }
            let outside = axes.iter().filter(|a| a.crop).map(|a| {
                let p = a.float(b, at[a.axis]);
                p.lt(0.0f32).or(p.gt((a.n - 1) as f32))
            });
            match outside.reduce(|a, c| a.or(c)) {
                Some(out) => b.select(out, b.lit_like(value, ty), y),
                None => y,
            }
        },
    )
}

/// Calls `f` with every combination of one tap per axis.
pub fn each_choice<T: Clone>(taps: &[Vec<T>], f: &mut dyn FnMut(&[T])) {
    fn nest<T: Clone>(taps: &[Vec<T>], chosen: &mut Vec<T>, f: &mut dyn FnMut(&[T])) {
        let Some((first, rest)) = taps.split_first() else { return f(chosen) };
        for t in first {
            chosen.push(t.clone());
            nest(rest, chosen, f);
            chosen.pop();
        }
    }
    nest(taps, &mut Vec::new(), f);
}
