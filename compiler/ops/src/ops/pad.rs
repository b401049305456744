//! Padding; negative pads are cut off with a slice first.

use crate::Result;
use crate::data::{picked, sample_f32};
use crate::def::{Accuracy, Case, InferCtx, OpDef, RefCtx, ai};
use crate::import::ImportCtx;
use drift_ir::{Attr, Attrs, DType, Shape, Tensor, ValueId};

/// Attributes: `mode` (`constant`, `edge`, `reflect`, `wrap`), `pads` (all begins, then all
/// ends, per axis, not negative), `value` for mode `constant`.
pub static OP: OpDef = OpDef {
    name: "pad",
    onnx: &[ai("Pad"), ai("CenterCropPad")],
    import,
    infer,
    reference,
    accuracy: Accuracy::EXACT,
    cases,
};

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let x = c.input(0)?;
    let shape = c.shape(x);
    let rank = shape.rank();
    let mut all = vec![0i64; 2 * rank];
    if c.op_type == "CenterCropPad" {
        let want = c.const_i64s(1, "the shape")?.ok_or_else(|| c.invalid("no shape"))?;
        let axes = match c.attrs.ints("axes") {
            Some(a) => c.axes(a, rank)?,
            None => (0..rank).collect(),
        };
        if want.len() != axes.len() {
            return Err(c.invalid(format!("shape {want:?} does not fit {} axes", axes.len())));
        }
        for (a, w) in axes.iter().zip(want) {
            let more = i64::checked_sub(w, shape[*a] as i64).filter(|_| w >= 0);
            let more = more.ok_or_else(|| c.invalid(format!("{w} is not a size")))?;
            // the odd element is cut or added at the end
            let first = if more >= 0 { more / 2 } else { more.div_euclid(2) + (more & 1) };
            all[*a] = first;
            all[rank + a] = more - first;
        }
        return Ok(vec![emit(c, x, "constant", &all, 0.0)?]);
    }
    let pads = c
        .ints_attr_or_input("pads", 1)?
        .or_else(|| c.attrs.ints("paddings").map(<[i64]>::to_vec))
        .ok_or_else(|| c.invalid("pads are missing"))?;
    let axes = match c.const_i64s(3, "axes")? {
        Some(a) => c.axes(&a, rank)?,
        None => (0..rank).collect(),
    };
    if pads.len() != 2 * axes.len() {
        return Err(c.invalid(format!("pads {pads:?} do not fit {} axes", axes.len())));
    }
    for (i, a) in axes.iter().enumerate() {
        all[*a] = pads[i];
        all[rank + a] = pads[axes.len() + i];
    }
    let value = match c.attrs.get("value") {
        Some(Attr::Float(v)) => *v,
        _ if c.opset >= 11 => c.const_float(2, "the pad value")?.unwrap_or(0.0),
        _ => 0.0,
    };
    let mode = c.attrs.str("mode").unwrap_or("constant").to_owned();
    Ok(vec![emit(c, x, &mode, &all, value)?])
}

fn emit(c: &mut ImportCtx, x: ValueId, mode: &str, pads: &[i64], value: f64) -> Result<ValueId> {
    let shape = c.shape(x);
    let rank = shape.rank();
    let mut cut = x;
    if pads.iter().any(|p| *p < 0) {
        let (mut starts, mut sizes) = (vec![0; rank], shape.0.clone());
        for i in 0..rank {
            let off = |p: i64| if p < 0 { p.unsigned_abs() as usize } else { 0 };
            let (b, e) = (off(pads[i]), off(pads[rank + i]));
            sizes[i] = shape[i]
                .checked_sub(b)
                .and_then(|s| s.checked_sub(e))
                .ok_or_else(|| c.invalid(format!("pads {pads:?} cut more than {shape} has")))?;
            starts[i] = if sizes[i] == 0 { 0 } else { b };
        }
        cut = c.slice(x, starts, sizes, vec![1; rank])?;
    }
    let pads: Vec<i64> = pads.iter().map(|p| (*p).max(0)).collect();
    if pads.iter().all(|p| *p == 0) {
        return Ok(cut);
    }
    let mut attrs = Attrs::new().with("mode", mode).with("pads", pads);
    if mode == "constant" {
        attrs.set("value", value);
    }
    c.emit("pad", attrs, &[cut])
}

fn infer(c: &InferCtx) -> Result<Vec<(DType, Shape)>> {
    let x = c.shape(0)?;
    let rank = x.rank();
    let pads = c.usizes("pads", 2 * rank)?;
    let mode = c.attrs.str("mode").unwrap_or("");
    if !matches!(mode, "constant" | "edge" | "reflect" | "wrap") {
        return Err(c.invalid(format!("mode {mode:?} is none of constant, edge, reflect, wrap")));
    }
    let mut out = x.clone();
    for i in 0..rank {
        let sum = x[i].checked_add(pads[i]).and_then(|s| s.checked_add(pads[rank + i]));
        out[i] = sum.ok_or_else(|| c.invalid(format!("pads {pads:?} are too large")))?;
        if mode != "constant" && x[i] == 0 && out[i] > 0 {
            return Err(c.invalid(format!("axis {i} of {x} is empty, mode {mode} needs elements")));
        }
    }
    Ok(vec![(c.dtype(0)?, out)])
}

/// Source position of padded position `i` (`None`: the constant).
fn source(mode: &str, i: usize, begin: usize, n: usize) -> Option<usize> {
    let at = i as i64 - begin as i64;
    let n = n as i64;
    let s = match mode {
        "edge" => at.clamp(0, n - 1),
        "wrap" => at.rem_euclid(n),
        "reflect" if n == 1 => 0,
        "reflect" => {
            let m = at.rem_euclid(2 * (n - 1));
            if m < n { m } else { 2 * (n - 1) - m }
        }
        _ => at,
    };
    (0..n).contains(&s).then_some(s as usize)
}

fn reference(c: &RefCtx) -> Result<Vec<Tensor>> {
    let x = c.tensor(0)?;
    let pads = c.usizes("pads");
    let mode = c.attrs.str("mode").unwrap_or("constant");
    let value = c.attrs.float("value", 0.0);
    // the constant is one more element behind the data
    let fill = Tensor::from_f64s(x.dtype, Shape::scalar(), &[value]);
    let n = x.elems();
    let bytes: Vec<u8> = x.bytes().iter().chain(fill.bytes().iter()).copied().collect();
    let with_fill = Tensor::from_bytes(x.dtype, [n + 1], bytes.into())
        .ok_or_else(|| c.invalid("the operand is malformed"))?;
    let out = picked(&with_fill, c.result_shape(), |_, coord| {
        let mut at = 0;
        for (i, &p) in coord.iter().enumerate() {
            match source(mode, p, pads[i], x.shape[i]) {
                Some(s) => at = at * x.shape[i] + s,
                None => return Some(n),
            }
        }
        Some(at)
    });
    Ok(vec![out])
}

fn cases() -> Vec<Case> {
    let c = |mode: &str, pads: &[i64]| {
        let attrs = Attrs::new().with("mode", mode).with("pads", pads.to_vec()).with("value", 1.5);
        Case::new(mode, attrs, vec![sample_f32(1, [1, 3, 4, 5])])
    };
    vec![
        c("constant", &[0, 0, 1, 2, 0, 1, 3, 0]),
        c("edge", &[0, 0, 2, 1, 0, 0, 1, 2]),
        c("reflect", &[0, 0, 2, 3, 0, 0, 1, 2]),
        c("wrap", &[0, 0, 2, 3, 0, 0, 1, 2]),
    ]
}
