//! Max, average and Lp pooling over 1, 2 or 3 spatial axes; the global forms are reductions.

use crate::Result;
use crate::data::{for_each_coord, sample_f32};
use crate::def::{Accuracy, Case, InferCtx, OpDef, RefCtx, ai};
use crate::import::ImportCtx;
use crate::window::{Window, import_window};
use drift_ir::{Attrs, DType, Shape, Tensor, ValueId};

/// Operand `[N, C, spatial..]`. Attributes: `kind` (`max`, `average`, `lp`), `kernel`, `strides`,
/// `dilations`, `pads`, `ceil_mode` (0 or 1), for `average` `count_include_pad` (0 or 1), for
/// `lp` `p`.
pub static OP: OpDef = OpDef {
    name: "pool",
    onnx: &[
        ai("MaxPool"),
        ai("AveragePool"),
        ai("LpPool"),
        ai("GlobalMaxPool"),
        ai("GlobalAveragePool"),
        ai("GlobalLpPool"),
    ],
    import,
    infer,
    reference,
    accuracy: Accuracy::SUMMED,
    cases,
};

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let x = c.input(0)?;
    let shape = c.shape(x);
    if let Some(kind) = c.op_type.clone().strip_prefix("Global") {
        let axes: Vec<i64> = (2..shape.rank() as i64).collect();
        let p = c.attrs.int("p", 2);
        let kind = match kind {
            "MaxPool" => "max",
            "AveragePool" => "mean",
            _ if p == 1 => "l1",
            _ if p == 2 => "l2",
            _ => return Err(c.unsupported(format!("p = {p}; 1 and 2 are supported"))),
        };
        let attrs = Attrs::new().with("kind", kind).with("axes", axes).with("keepdims", 1i64);
        return Ok(vec![c.emit("reduce", attrs, &[x])?]);
    }
    if c.op_type == "MaxPool" && c.wants(1) {
        return Err(c
            .unsupported("the second output (Indices) is not supported")
            .help("MaxUnpool networks cannot be compiled; replace the pair by Resize"));
    }
    let kernel = c.attrs.usizes("kernel_shape").ok_or_else(|| c.invalid("no kernel_shape"))?;
    let window = import_window(c, &shape, kernel.clone())?;
    let mut attrs = window.attrs().with("kernel", kernel);
    attrs.set("ceil_mode", i64::from(c.attrs.int("ceil_mode", 0) != 0));
    match c.op_type.as_str() {
        "MaxPool" => attrs.set("kind", "max"),
        "AveragePool" => {
            attrs.set("kind", "average");
            attrs.set("count_include_pad", i64::from(c.attrs.int("count_include_pad", 0) != 0));
        }
        _ => {
            attrs.set("kind", "lp");
            attrs.set("p", c.attrs.int("p", 2));
        }
    }
    Ok(vec![c.emit("pool", attrs, &[x])?])
}

fn window(attrs: &Attrs) -> Option<Window> {
    Window::of(attrs, &attrs.usizes("kernel")?)
}

fn infer(c: &InferCtx) -> Result<Vec<(DType, Shape)>> {
    let x = c.shape_min_rank(0, 3)?;
    let w = window(c.attrs).filter(|w| w.rank() + 2 == x.rank());
    let w = w.ok_or_else(|| c.invalid(format!("the window does not fit {x}")))?;
    if !matches!(c.attrs.str("kind"), Some("max" | "average" | "lp")) {
        return Err(c.invalid("attribute kind is none of max, average, lp"));
    }
    if c.attrs.int("p", 2) < 1 {
        return Err(c.invalid("p is not positive"));
    }
    let ceil = c.attrs.int("ceil_mode", 0) != 0;
    let mut out = vec![x[0], x[1]];
    for i in 0..w.rank() {
        out.push(w.out(i, x[i + 2], ceil).ok_or_else(|| {
            c.invalid(format!("the window {:?} is larger than the padded input {x}", w.kernel))
        })?);
    }
    Ok(vec![(c.dtype(0)?, Shape(out))])
}

fn reference(c: &RefCtx) -> Result<Vec<Tensor>> {
    let x = c.tensor(0)?;
    let w = window(c.attrs).ok_or_else(|| c.invalid("bad window"))?;
    let kind = c.attrs.str("kind").unwrap_or("max").to_owned();
    let include_pad = c.attrs.int("count_include_pad", 0) != 0;
    let p = c.attrs.int("p", 2) as f64;
    let shape = c.result_shape();
    let spatial = &x.shape[2..];
    let plane: usize = spatial.iter().product();
    let v = x.to_f64s();
    let mut out = Vec::with_capacity(shape.elems());
    for_each_coord(shape, |_, coord| {
        let input = &v[(coord[0] * x.shape[1] + coord[1]) * plane..][..plane];
        let mut acc = if kind == "max" { f64::NEG_INFINITY } else { 0.0 };
        let mut count = 0usize;
        for_each_coord(&w.kernel, |_, tap| {
            let (mut at, mut inside, mut counted) = (0usize, true, true);
            for i in 0..spatial.len() {
                let padded = coord[i + 2] * w.strides[i] + tap[i] * w.dilations[i];
                let here = padded.checked_sub(w.begin[i]).filter(|h| *h < spatial[i]);
                inside &= here.is_some();
                counted &= padded < w.begin[i] + spatial[i] + w.end[i];
                at = at * spatial[i] + here.unwrap_or(0);
            }
            if inside {
                let x = input[at];
                acc = match kind.as_str() {
                    "max" if x.is_nan() || acc.is_nan() => f64::NAN,
                    "max" => acc.max(x),
                    "average" => acc + x,
                    _ => acc + x.abs().powf(p),
                };
            }
            count += usize::from(if include_pad { counted } else { inside });
        });
        out.push(match kind.as_str() {
            "max" => acc,
            "average" => acc / count.max(1) as f64,
            _ => acc.powf(1.0 / p),
        });
    });
    Ok(vec![c.float_result(&out)])
}

fn cases() -> Vec<Case> {
    let a = |kind: &str, k: &[i64], s: &[i64], p: &[i64], ceil: i64| {
        Attrs::new()
            .with("kind", kind)
            .with("kernel", k.to_vec())
            .with("strides", s.to_vec())
            .with("dilations", vec![1i64; k.len()])
            .with("pads", p.to_vec())
            .with("ceil_mode", ceil)
    };
    let x = || vec![sample_f32(1, [2, 5, 7, 8])];
    vec![
        Case::new("max 2x2", a("max", &[2, 2], &[2, 2], &[0; 4], 0), x()),
        Case::new("max 3x3 padded", a("max", &[3, 3], &[2, 2], &[1; 4], 0), x()),
        Case::new("max ceil", a("max", &[2, 2], &[2, 2], &[0; 4], 1), x()),
        Case::new("average", a("average", &[3, 3], &[1, 1], &[1; 4], 0), x()),
        Case::new(
            "average counting pads",
            a("average", &[3, 3], &[2, 2], &[1; 4], 1).with("count_include_pad", 1i64),
            x(),
        ),
        Case::new("lp 2", a("lp", &[3, 2], &[2, 2], &[0; 4], 0).with("p", 2i64), x()),
        Case::new("max 1d", a("max", &[3], &[2], &[1, 1], 0), vec![sample_f32(2, [1, 3, 9])]),
        Case::new(
            "average 3d",
            a("average", &[2, 2, 2], &[2, 2, 2], &[0; 6], 0),
            vec![sample_f32(3, [1, 2, 4, 4, 6])],
        ),
    ]
}
