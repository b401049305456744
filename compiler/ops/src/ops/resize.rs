//! Resize (and Upsample): nearest, linear and cubic interpolation.

use crate::Result;
use crate::data::{for_each_coord, sample_f32};
use crate::def::{Accuracy, Case, InferCtx, OpDef, RefCtx, ai};
use crate::import::ImportCtx;
use drift_ir::{Attr, Attrs, DType, Shape, Tensor, ValueId};

/// Attributes: `mode` (`nearest`, `linear`, `cubic`), `coordinate` (`half_pixel`,
/// `half_pixel_symmetric`, `pytorch_half_pixel`, `align_corners`, `asymmetric`,
/// `tf_crop_and_resize`), `sizes` (all dims of the result), `scales` (per axis, as the model
/// states them: they may differ slightly from result size / source size), for `nearest`
/// `nearest` (`round_prefer_floor`, `round_prefer_ceil`, `floor`, `ceil`), for `cubic` `cubic_a`
/// and `exclude_outside`, for `tf_crop_and_resize` `roi` (all starts, then all ends) and `value`.
pub static OP: OpDef = OpDef {
    name: "resize",
    onnx: &[ai("Resize"), ai("Upsample")],
    import,
    infer,
    reference,
    accuracy: Accuracy::SUMMED,
    cases,
};

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let x = c.input(0)?;
    let shape = c.shape(x);
    let rank = shape.rank();
    let (scales_at, sizes_at) = match (c.op_type.as_str(), c.opset) {
        ("Upsample", _) | ("Resize", ..=10) => (1, usize::MAX),
        _ => (2, 3),
    };
    if c.attrs.int("antialias", 0) != 0 {
        return Err(c
            .unsupported("antialias = 1")
            .help("export with antialias off, or put a blurring convolution in front"));
    }
    let axes = match c.attrs.ints("axes") {
        Some(a) => c.axes(a, rank)?,
        None => (0..rank).collect(),
    };
    let given_scales = match c.attrs.get("scales") {
        Some(Attr::Floats(s)) => Some(s.clone()),
        _ => c.const_f64s(scales_at, "scales")?.filter(|s| !s.is_empty()),
    };
    let given_sizes = match sizes_at {
        usize::MAX => None,
        i => c.const_i64s(i, "sizes")?.filter(|s| !s.is_empty()),
    };
    let roi_in = match scales_at {
        2 => c.const_f64s(1, "roi")?.filter(|r| !r.is_empty()),
        _ => None,
    };
    let old = scales_at == 1;
    let coordinate = match c.attrs.str("coordinate_transformation_mode") {
        Some(m) => m.to_owned(),
        None if old => "asymmetric".to_owned(),
        None => "half_pixel".to_owned(),
    };
    let crop = coordinate == "tf_crop_and_resize";
    let (mut roi, n) = ([vec![0.0; rank], vec![1.0; rank]], axes.len());
    if let Some(r) = roi_in.filter(|_| crop) {
        if r.len() != 2 * n {
            return Err(c.invalid(format!("roi needs {} numbers, not {}", 2 * n, r.len())));
        }
        for (i, a) in axes.iter().enumerate() {
            roi[0][*a] = r[i];
            roi[1][*a] = r[n + i];
        }
    }
    let (mut sizes, mut scales) = (shape.0.clone(), vec![1.0; rank]);
    match (given_scales, given_sizes) {
        (Some(s), None) if s.len() == n => {
            for (i, a) in axes.iter().enumerate() {
                if !(s[i] > 0.0 && s[i].is_finite()) {
                    return Err(c.invalid(format!("scale {} is not positive", s[i])));
                }
                scales[*a] = s[i];
                let part = if crop { roi[1][*a] - roi[0][*a] } else { 1.0 };
                sizes[*a] = (shape[*a] as f64 * part * s[i]).floor().max(0.0) as usize;
            }
        }
        (None, Some(s)) if s.len() == n => {
            let wanted: Vec<f64> =
                axes.iter().zip(&s).map(|(a, w)| *w as f64 / shape[*a] as f64).collect();
            let policy = c.attrs.str("keep_aspect_ratio_policy").unwrap_or("stretch");
            let common = match policy {
                "stretch" => None,
                "not_larger" => Some(wanted.iter().copied().fold(f64::INFINITY, f64::min)),
                "not_smaller" => Some(wanted.iter().copied().fold(0.0, f64::max)),
                p => return Err(c.invalid(format!("keep_aspect_ratio_policy {p:?}"))),
            };
            for (i, a) in axes.iter().enumerate() {
                sizes[*a] = match common {
                    Some(f) => (shape[*a] as f64 * f + 0.5).floor() as usize,
                    None => usize::try_from(s[i])
                        .map_err(|_| c.invalid(format!("size {} is negative", s[i])))?,
                };
                scales[*a] = common.unwrap_or(wanted[i]);
            }
        }
        (s, z) => {
            return Err(c.invalid(format!(
                "needs scales or sizes for {n} axes; has {} scales and {} sizes",
                s.map_or(0, |v| v.len()),
                z.map_or(0, |v| v.len())
            )));
        }
    }
    let mode = match c.attrs.str("mode").unwrap_or("nearest") {
        "bilinear" | "trilinear" => "linear".to_owned(),
        m => m.to_owned(),
    };
    let mut attrs = Attrs::new()
        .with("mode", mode.as_str())
        .with("coordinate", coordinate.as_str())
        .with("sizes", sizes)
        .with("scales", scales.clone());
    if mode == "nearest" {
        // before opset 11 enlarging rounds down and shrinking rounds up
        let shrinks = scales.iter().any(|s| *s < 1.0);
        let default = match old {
            true if shrinks && scales.iter().any(|s| *s > 1.0) => {
                return Err(c.unsupported(format!("scales {scales:?}, both below and above 1")));
            }
            true if shrinks => "ceil",
            true => "floor",
            false => "round_prefer_floor",
        };
        attrs.set("nearest", c.attrs.str("nearest_mode").unwrap_or(default));
    }
    if mode == "cubic" {
        attrs.set("cubic_a", c.float("cubic_coeff_a", -0.75)?);
        attrs.set("exclude_outside", c.attrs.int("exclude_outside", 0));
    }
    if crop {
        attrs.set("roi", roi.concat());
        attrs.set("value", c.float("extrapolation_value", 0.0)?);
    }
    Ok(vec![c.emit("resize", attrs, &[x])?])
}

const COORDINATES: [&str; 6] = [
    "half_pixel",
    "half_pixel_symmetric",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
    "tf_crop_and_resize",
];

fn infer(c: &InferCtx) -> Result<Vec<(DType, Shape)>> {
    let x = c.shape(0)?;
    let sizes = c.usizes("sizes", x.rank())?;
    let scales = c.attrs.floats("scales").unwrap_or(&[]);
    let mode = c.attrs.str("mode").unwrap_or("");
    let coordinate = c.attrs.str("coordinate").unwrap_or("");
    let nearest = c.attrs.str("nearest").unwrap_or("floor");
    if !matches!(mode, "nearest" | "linear" | "cubic") {
        return Err(c.invalid(format!("mode {mode:?} is none of nearest, linear, cubic")));
    }
    if !COORDINATES.contains(&coordinate) {
        return Err(c.invalid(format!("coordinate_transformation_mode {coordinate:?}")));
    }
    if !matches!(nearest, "round_prefer_floor" | "round_prefer_ceil" | "floor" | "ceil") {
        return Err(c.invalid(format!("nearest_mode {nearest:?}")));
    }
    let roi = c.attrs.floats("roi").map_or(0, <[f64]>::len);
    if coordinate == "tf_crop_and_resize" && roi != 2 * x.rank() {
        return Err(c.invalid("tf_crop_and_resize needs a roi"));
    }
    if scales.len() != x.rank() || scales.iter().any(|s| s.is_nan() || *s <= 0.0) {
        return Err(c.invalid(format!("scales {scales:?} do not fit {x}")));
    }
    if x.elems() == 0 && sizes.iter().all(|s| *s > 0) {
        return Err(c.invalid(format!("cannot resize the empty {x} to {sizes:?}")));
    }
    Ok(vec![(c.dtype(0)?, Shape(sizes))])
}

/// Source coordinate of result position `i` on an axis of size `n`, resized to `out`.
///
/// `nearest` computes it in f32 as the runtimes do: at a scale of 0.6, position 3 is 5.0 in f32 and
/// 4.9999998 in f64, which would take another element.
fn source(c: &Attrs, axis: usize, i: usize, n: usize, out: usize) -> f64 {
    let f32s = c.str("mode") == Some("nearest");
    let r = |v: f64| if f32s { f64::from(v as f32) } else { v };
    let scale = r(c.floats("scales").map_or(1.0, |s| s[axis]));
    let (x, len, last) = (i as f64, out as f64, n as f64 - 1.0);
    let centers = || r(r((x + 0.5) / scale) - 0.5);
    match c.str("coordinate").unwrap_or("") {
        "half_pixel" => centers(),
        "half_pixel_symmetric" => {
            // the result's size was rounded down: shift so that both centres meet
            let adjust = r(len / r(scale * n as f64));
            r(r(n as f64 / 2.0 * r(1.0 - adjust)) + centers())
        }
        "pytorch_half_pixel" if out > 1 => centers(),
        "pytorch_half_pixel" => 0.0,
        "align_corners" if out > 1 => r(x * last / (len - 1.0)),
        "align_corners" => 0.0,
        "tf_crop_and_resize" => {
            let roi = c.floats("roi").unwrap_or(&[]);
            let (start, end) = (r(roi[axis]), r(roi[roi.len() / 2 + axis]));
            if out > 1 {
                r(r(start * last) + r(x * r(r(end - start) * last) / (len - 1.0)))
            } else {
                r(0.5 * r(start + end) * last)
            }
        }
        _ => r(x / scale),
    }
}

/// The source positions and weights of one result position on one axis; `None` when it lies
/// outside (`tf_crop_and_resize`). Depends on shapes and attributes only: a back end may bake it.
pub fn taps(c: &Attrs, axis: usize, i: usize, n: usize, out: usize) -> Option<Vec<(usize, f64)>> {
    let at = source(c, axis, i, n, out);
    let last = n as f64 - 1.0;
    if c.str("coordinate") == Some("tf_crop_and_resize") && !(0.0..=last).contains(&at) {
        return None;
    }
    let clamp = |p: f64| p.clamp(0.0, last) as usize;
    Some(match c.str("mode").unwrap_or("") {
        "nearest" => {
            let p = match c.str("nearest").unwrap_or("floor") {
                "round_prefer_floor" => (at - 0.5).ceil(),
                "round_prefer_ceil" => (at + 0.5).floor(),
                "ceil" => at.ceil(),
                _ => at.floor(),
            };
            vec![(clamp(p), 1.0)]
        }
        "linear" => {
            let (low, f) = (at.floor(), at - at.floor());
            vec![(clamp(low), 1.0 - f), (clamp(low + 1.0), f)]
        }
        _ => {
            let a = c.float("cubic_a", -0.75);
            let (low, f) = (at.floor(), at - at.floor());
            let near = |t: f64| ((a + 2.0) * t - (a + 3.0)) * t * t + 1.0;
            let far = |t: f64| ((a * t - 5.0 * a) * t + 8.0 * a) * t - 4.0 * a;
            let mut w = [far(1.0 + f), near(f), near(1.0 - f), far(2.0 - f)];
            if c.int("exclude_outside", 0) != 0 {
                for (k, w) in w.iter_mut().enumerate() {
                    if !(0.0..=last).contains(&(low + k as f64 - 1.0)) {
                        *w = 0.0;
                    }
                }
                let sum: f64 = w.iter().sum();
                w.iter_mut().for_each(|w| *w /= sum);
            }
            (0..4).map(|k| (clamp(low + k as f64 - 1.0), w[k])).collect()
        }
    })
}

fn reference(c: &RefCtx) -> Result<Vec<Tensor>> {
    let x = c.tensor(0)?;
    let mut v = x.to_f64s();
    let mut shape = x.shape.clone();
    let to = c.result_shape();
    let mut outside = vec![false; to.elems()];
    let crop = c.attrs.str("coordinate") == Some("tf_crop_and_resize");
    // the interpolations are separable: one axis after the other
    for axis in 0..shape.rank() {
        let scale = c.attrs.floats("scales").map_or(1.0, |s| s[axis]);
        if shape[axis] == to[axis] && scale == 1.0 && !crop {
            continue;
        }
        let (n, out) = (shape[axis], to[axis]);
        let all: Vec<_> = (0..out).map(|i| taps(c.attrs, axis, i, n, out)).collect();
        if all.iter().any(Option::is_none) {
            for_each_coord(to, |i, coord| outside[i] |= all[coord[axis]].is_none());
        }
        let mut next = shape.clone();
        next[axis] = out;
        let strides = shape.strides();
        let mut w = Vec::with_capacity(next.elems());
        for_each_coord(&next, |_, coord| {
            let base: usize =
                (0..coord.len()).map(|a| if a == axis { 0 } else { coord[a] * strides[a] }).sum();
            let taps = all[coord[axis]].as_deref().unwrap_or(&[]);
            w.push(taps.iter().map(|(p, f)| v[base + p * strides[axis]] * f).sum());
        });
        v = w;
        shape = next;
    }
    let value = c.attrs.float("value", 0.0);
    for (v, out) in v.iter_mut().zip(outside) {
        if out {
            *v = value;
        }
    }
    Ok(vec![c.float_result(&v)])
}

fn cases() -> Vec<Case> {
    let c = |mode: &str, coordinate: &str, scale: [f64; 2], sizes: [i64; 2]| {
        let attrs = Attrs::new()
            .with("mode", mode)
            .with("coordinate", coordinate)
            .with("sizes", vec![1, 5, sizes[0], sizes[1]])
            .with("scales", vec![1.0, 1.0, scale[0], scale[1]])
            .with("nearest", "round_prefer_floor");
        Case::new(format!("{mode} {coordinate}"), attrs, vec![sample_f32(1, [1, 5, 4, 6])])
    };
    let mut floor = c("nearest", "asymmetric", [2.0, 2.0], [8, 12]);
    floor.attrs.set("nearest", "floor");
    vec![
        floor,
        c("nearest", "half_pixel", [1.5, 0.5], [6, 3]),
        c("linear", "half_pixel", [2.0, 2.0], [8, 12]),
        c("linear", "align_corners", [1.75, 2.0], [7, 12]),
        c("linear", "pytorch_half_pixel", [0.5, 1.5], [2, 9]),
        c("linear", "asymmetric", [2.0, 2.0], [8, 12]),
        c("cubic", "half_pixel", [2.0, 1.5], [8, 9]),
    ]
}
