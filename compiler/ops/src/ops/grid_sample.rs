//! GridSample: a value read at coordinates that another value holds.

use crate::Result;
use crate::data::{for_each_coord, sample_f32};
use crate::def::{Accuracy, Case, InferCtx, OpDef, RefCtx, since};
use crate::import::ImportCtx;
use drift_ir::{Attrs, DType, Shape, Tensor, ValueId};

/// Operands: input `[N, C, spatial..]`, grid `[N, result spatial.., D]` with coordinates in
/// -1..1, the last spatial axis first. Attributes: `mode` (`nearest`, `linear`, `cubic`),
/// `padding` (`zeros`, `border`, `reflection`), `align_corners` (0 or 1).
pub static OP: OpDef = OpDef {
    name: "grid_sample",
    onnx: &[since("GridSample", 16)],
    import,
    infer,
    reference,
    accuracy: Accuracy::SUMMED,
    cases,
};

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let operands = [c.input(0)?, c.input(1)?];
    let mode = match c.attrs.str("mode").unwrap_or("linear") {
        "bilinear" | "linear" => "linear",
        "bicubic" | "cubic" => "cubic",
        "nearest" => "nearest",
        m => return Err(c.invalid(format!("mode {m:?} is not known"))),
    };
    let padding = c.attrs.str("padding_mode").unwrap_or("zeros").to_owned();
    let attrs = Attrs::new()
        .with("mode", mode)
        .with("padding", padding.as_str())
        .with("align_corners", i64::from(c.attrs.int("align_corners", 0) != 0));
    Ok(vec![c.emit("grid_sample", attrs, &operands)?])
}

fn infer(c: &InferCtx) -> Result<Vec<(DType, Shape)>> {
    let (x, grid) = (c.shape_min_rank(0, 3)?, c.shape_min_rank(1, 3)?);
    let d = x.rank() - 2;
    if grid.rank() != x.rank() || grid[grid.rank() - 1] != d || grid[0] != x[0] || d > 3 {
        return Err(c.invalid(format!("a grid of shape {grid} does not fit the input {x}")));
    }
    if !matches!(c.attrs.str("padding"), Some("zeros" | "border" | "reflection")) {
        return Err(c.invalid("padding is none of zeros, border, reflection"));
    }
    match c.attrs.str("mode") {
        Some("nearest" | "linear") => {}
        Some("cubic") if d == 2 => {}
        m => return Err(c.unsupported(format!("mode {m:?} over {d} spatial axes"))),
    }
    let mut out = vec![x[0], x[1]];
    out.extend(&grid[1..grid.rank() - 1]);
    Ok(vec![(c.dtype(0)?, Shape(out))])
}

/// Reflects `x` into `low..=high`.
fn reflect(x: f64, low: f64, high: f64) -> f64 {
    let span = high - low;
    if span <= 0.0 {
        return low;
    }
    let m = (x - low).rem_euclid(2.0 * span);
    low + if m > span { 2.0 * span - m } else { m }
}

/// Position on an axis of size `n` after padding; `None` reads zero.
fn padded(p: f64, n: usize, padding: &str, align: bool) -> Option<usize> {
    let last = n as f64 - 1.0;
    let p = match padding {
        "border" => p.clamp(0.0, last),
        "reflection" => {
            let (low, high) = if align { (0.0, last) } else { (-0.5, last + 0.5) };
            reflect(p, low, high).clamp(0.0, last)
        }
        _ => p,
    };
    (0.0..=last).contains(&p).then_some(p as usize)
}

/// Positions and weights of one axis.
fn taps(mode: &str, at: f64) -> Vec<(f64, f64)> {
    let (low, f) = (at.floor(), at - at.floor());
    match mode {
        "nearest" => vec![(at.round_ties_even(), 1.0)],
        "linear" => vec![(low, 1.0 - f), (low + 1.0, f)],
        _ => {
            let a = -0.75;
            let near = |t: f64| ((a + 2.0) * t - (a + 3.0)) * t * t + 1.0;
            let far = |t: f64| ((a * t - 5.0 * a) * t + 8.0 * a) * t - 4.0 * a;
            let w = [far(1.0 + f), near(f), near(1.0 - f), far(2.0 - f)];
            (0..4).map(|k| (low + k as f64 - 1.0, w[k])).collect()
        }
    }
}

fn reference(c: &RefCtx) -> Result<Vec<Tensor>> {
    let (x, grid) = (c.tensor(0)?, c.tensor(1)?);
    let mode = c.attrs.str("mode").unwrap_or("linear");
    let padding = c.attrs.str("padding").unwrap_or("zeros");
    let align = c.attrs.int("align_corners", 0) != 0;
    let (v, g) = (x.to_f64s(), grid.to_f64s());
    let spatial = &x.shape[2..];
    let d = spatial.len();
    let plane: usize = spatial.iter().product();
    let shape = c.result_shape();
    let mut out = Vec::with_capacity(shape.elems());
    for_each_coord(shape, |_, coord| {
        let point = coord[2..].iter().zip(&shape[2..]).fold(coord[0], |i, (p, n)| i * n + p);
        // (source offset, weight) over all axes so far; outside positions drop out
        let mut all = vec![(0usize, 1.0f64)];
        for (axis, &n) in spatial.iter().enumerate() {
            let size = n as f64;
            let u = g[point * d + (d - 1 - axis)];
            let mut at =
                if align { (u + 1.0) / 2.0 * (size - 1.0) } else { ((u + 1.0) * size - 1.0) / 2.0 };
            // linear and nearest pad the coordinate, cubic every tap
            if mode != "cubic" {
                at = match padding {
                    "border" => at.clamp(0.0, size - 1.0),
                    "reflection" => {
                        let (low, high) =
                            if align { (0.0, size - 1.0) } else { (-0.5, size - 0.5) };
                        reflect(at, low, high).clamp(0.0, size - 1.0)
                    }
                    _ => at,
                };
            }
            let mut next = Vec::new();
            for (p, w) in taps(mode, at) {
                if let Some(p) = padded(p, n, padding, align) {
                    next.extend(all.iter().map(|(o, f)| (o * n + p, f * w)));
                }
            }
            all = next;
        }
        let base = (coord[0] * x.shape[1] + coord[1]) * plane;
        out.push(all.iter().map(|(o, w)| v[base + o] * w).sum());
    });
    Ok(vec![c.float_result(&out)])
}

fn cases() -> Vec<Case> {
    let c = |mode: &str, padding: &str, align: i64| {
        let attrs =
            Attrs::new().with("mode", mode).with("padding", padding).with("align_corners", align);
        let v: Vec<f32> = sample_f32(2, [2, 3, 4, 2]).to_f32s().iter().map(|x| x * 0.6).collect();
        let grid = Tensor::from_f32([2, 3, 4, 2], &v);
        Case::new(format!("{mode} {padding}"), attrs, vec![sample_f32(1, [2, 3, 5, 6]), grid])
    };
    vec![
        c("linear", "zeros", 0),
        c("linear", "border", 1),
        c("nearest", "zeros", 0),
        c("linear", "reflection", 0),
        c("cubic", "zeros", 0),
    ]
}
