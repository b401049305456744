//! Pooling: a window reduced by maximum, average or p-norm.

use super::Lowering;
use super::map::{Input, Map, all, loops, lowest, value_type};
use crate::Result;
use crate::window::Window;
use drift_kernel::{E, Scalar, Type};

/// Lowers a `pool` node.
pub fn lower(l: &mut Lowering<'_>) -> Result<()> {
    let attrs = &l.node.attrs;
    let window = attrs.usizes("kernel").and_then(|k| Window::of(attrs, &k));
    let w = window.ok_or_else(|| l.unsupported("its window attributes are malformed"))?;
    let kind = attrs.str("kind").unwrap_or("max").to_owned();
    let p = attrs.int("p", 2) as f32;
    let (x, own) = (l.shape(0)?, l.own_shape(0));
    if own.elems() == 0 {
        return Ok(());
    }
    let n = w.rank();
    let spatial = x[2..].to_vec();
    let last = |i: usize| (own[i + 2] - 1) * w.strides[i] + (w.kernel[i] - 1) * w.dilations[i];
    let leaves: Vec<bool> =
        (0..n).map(|i| w.begin[i] > 0 || last(i) >= w.begin[i] + spatial[i]).collect();
    let include_pad = attrs.int("count_include_pad", 0) != 0;
    // with pads counted, only what ceil_mode adds beyond them is left out
    let counted = |i: usize| match include_pad {
        true => last(i) >= w.begin[i] + spatial[i] + w.end[i],
        false => leaves[i],
    };
    let counts: Vec<bool> = (0..n).map(counted).collect();
    let taps: usize = w.kernel.iter().product();
    let flops = (own.elems() * taps) as u64;
    let touched: Vec<usize> = (2..2 + n).collect();
    Map::new("pool", flops, touched).lower(
        l,
        |l, k| Input::of(l, k, 0),
        |b, x, at, axis| {
            let ty = value_type(x.dtype, axis);
            let count_ty = Type::scalar(Scalar::F32);
            let start = if kind == "max" { lowest(b, ty) } else { b.lit_like(0.0, ty) };
            let acc = b.var("acc", start);
            let counting = kind == "average" && counts.contains(&true);
            let count = counting.then(|| b.var("count", b.lit_like(0.0, count_ty)));
            loops(b, &w.kernel, &mut |tap| {
                let mut from: Vec<E<'_>> = at.to_vec();
                let mut inside = Vec::new();
                let mut counted = Vec::new();
                for i in 0..n {
                    let o = at[i + 2] * w.strides[i] as u32 + tap[i] * w.dilations[i] as u32;
                    let (begin, dim) = (w.begin[i] as u32, spatial[i] as u32);
                    from[i + 2] = o;
                    if leaves[i] {
                        let low = (begin > 0).then(|| o.ge(begin));
                        let here = all([low, Some(o.lt(begin + dim))]);
                        inside.push(here);
                        let safe = o.max(begin).min(begin + dim - 1) - begin;
                        from[i + 2] = b.assume_max(safe, u64::from(dim - 1));
                        if counts[i] && !include_pad {
                            counted.push(here);
                        }
                    }
                    if counts[i] && include_pad {
                        counted.push(Some(o.lt(begin + dim + w.end[i] as u32)));
                    }
                }
                let v = x.lanes(b, &from, axis);
                let old = acc.get();
                let new = match kind.as_str() {
                    "max" => old.max(v),
                    "average" => old + v,
                    _ if p == 2.0 => v.fma(v, old),
                    _ if p == 1.0 => old + v.abs(),
                    _ => old + v.abs().pow(p),
                };
                acc.set(match all(inside) {
                    Some(inside) => b.select(inside, new, old),
                    None => new,
                });
                if let Some(count) = count {
                    let more = match all(counted) {
                        Some(c) => b.select(c, b.f32(1.0), b.f32(0.0)),
                        None => b.f32(1.0),
                    };
                    count.set(count.get() + more);
                }
            });
            let acc = acc.get();
            let width = ty.vector().width;
            match (kind.as_str(), count) {
                ("average", Some(c)) => acc / c.get().max(1.0f32).splat(width),
                ("average", None) => acc * (1.0 / taps as f32),
                ("lp", _) if p == 2.0 => acc.sqrt(),
                ("lp", _) if p != 1.0 => acc.pow(1.0 / p),
                _ => acc,
            }
        },
    )
}
