//! Transposed convolution over 1, 2 or 3 spatial axes.

use crate::Result;
use crate::data::{for_each_coord, sample_f32};
use crate::def::{Accuracy, Case, InferCtx, OpDef, RefCtx, ai};
use crate::import::ImportCtx;
use crate::window::{Window, explicit_pads};
use drift_ir::{Attrs, DType, Shape, Tensor, ValueId};

/// Operands: input `[N, C, spatial..]`, weights `[C, O / group, kernel..]`, optional bias `[O]`.
/// Attributes: `strides`, `dilations`, `pads` (cut from the result: all begins, then all ends),
/// `output_padding` (added at the end), `group`. Result size per axis:
/// `stride·(in - 1) + dilation·(kernel - 1) + 1 + output_padding - begin - end`.
pub static OP: OpDef = OpDef {
    name: "conv_transpose",
    onnx: &[ai("ConvTranspose")],
    import,
    infer,
    reference,
    accuracy: Accuracy::SUMMED,
    cases,
};

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let (x, w, bias) = (c.input(0)?, c.input(1)?, c.opt(2));
    let (sx, sw) = (c.shape(x), c.shape(w));
    if sw.rank() != sx.rank() || !(3..=5).contains(&sx.rank()) {
        return Err(c.invalid(format!(
            "input {sx} and weights {sw} must both have rank 3, 4 or 5 (N, C, spatial axes)"
        )));
    }
    let n = sx.rank() - 2;
    let list = |name: &str, default: usize| -> Result<Vec<usize>> {
        if c.attrs.get(name).is_none() {
            return Ok(vec![default; n]);
        }
        c.attrs
            .usizes(name)
            .filter(|v| v.len() == n)
            .ok_or_else(|| c.invalid(format!("{name} needs {n} sizes")))
    };
    let (strides, dilations) = (list("strides", 1)?, list("dilations", 1)?);
    let mut extra = list("output_padding", 0)?;
    let (mut begin, mut end) = explicit_pads(c, n)?;
    let auto = c.attrs.str("auto_pad").unwrap_or("NOTSET");
    let want = c.attrs.usizes("output_shape");
    // size before cutting
    let full = |i: usize, extra: usize| -> Result<usize> {
        let k = sw[i + 2].checked_sub(1).and_then(|k| k.checked_mul(dilations[i]));
        sx[i + 2]
            .checked_sub(1)
            .and_then(|d| d.checked_mul(strides[i]))
            .and_then(|d| d.checked_add(k?)?.checked_add(extra)?.checked_add(1))
            .ok_or_else(|| c.invalid(format!("input {sx} and weights {sw} give no size")))
    };
    if want.is_some() || auto.starts_with("SAME") {
        let want = match want {
            // some exporters list N and C too
            Some(w) if w.len() == n + 2 => w[2..].to_vec(),
            Some(w) if w.len() == n => w,
            Some(w) => return Err(c.invalid(format!("output_shape {w:?} needs {n} sizes"))),
            None => (0..n).map(|i| sx[i + 2].saturating_mul(strides[i])).collect(),
        };
        for i in 0..n {
            let have = full(i, extra[i])?;
            let total = have.saturating_sub(want[i]);
            // a larger result than the windows cover is padded at the end
            extra[i] += want[i].saturating_sub(have);
            let (small, large) = (total / 2, total - total / 2);
            let upper = auto == "SAME_UPPER";
            (begin[i], end[i]) = if upper { (small, large) } else { (large, small) };
        }
    } else if auto == "VALID" {
        (begin, end) = (vec![0; n], vec![0; n]);
    }
    let pads: Vec<usize> = begin.into_iter().chain(end).collect();
    let attrs = Attrs::new()
        .with("strides", strides)
        .with("dilations", dilations)
        .with("pads", pads)
        .with("output_padding", extra)
        .with("group", c.attrs.int("group", 1));
    Ok(vec![c.emit_multi("conv_transpose", attrs, &[Some(x), Some(w), bias])?[0]])
}

fn infer(c: &InferCtx) -> Result<Vec<(DType, Shape)>> {
    let (x, w) = (c.shape_min_rank(0, 3)?, c.shape(1)?);
    let group = c.attrs.int("group", 1);
    let g = usize::try_from(group).unwrap_or(0);
    if x.rank() != w.rank() || x.rank() > 5 || g == 0 || w[0] != x[1] || x[1] % g != 0 {
        return Err(c.invalid(format!("input {x}, weights {w} and {group} groups do not fit")));
    }
    let outs = w[1].checked_mul(g).ok_or_else(|| c.invalid("too many channels"))?;
    if let Some((_, b)) = c.get(2)
        && b.as_slice() != [outs]
    {
        return Err(c.invalid(format!("bias {b} does not fit {outs} output channels")));
    }
    if c.dtype(0)? != c.dtype(1)? {
        return Err(c.invalid(format!("input is {}, weights {}", c.dtype(0)?, c.dtype(1)?)));
    }
    let window = Window::of(c.attrs, &w[2..])
        .ok_or_else(|| c.invalid("strides, dilations and pads do not fit the weights"))?;
    let extra = c.usizes("output_padding", window.rank())?;
    let mut out = vec![x[0], outs];
    for i in 0..window.rank() {
        let size = x[i + 2]
            .checked_sub(1)
            .and_then(|d| d.checked_mul(window.strides[i]))
            .and_then(|d| d.checked_add(window.span(i)?)?.checked_add(extra[i]))
            .and_then(|d| d.checked_sub(window.begin[i])?.checked_sub(window.end[i]));
        out.push(size.ok_or_else(|| c.invalid(format!("{x} and weights {w} give no size")))?);
    }
    Ok(vec![(c.dtype(0)?, Shape(out))])
}

fn reference(c: &RefCtx) -> Result<Vec<Tensor>> {
    let (x, w) = (c.tensor(0)?, c.tensor(1)?);
    let shape = c.result_shape();
    let window = Window::of(c.attrs, &w.shape[2..]).ok_or_else(|| c.invalid("bad window"))?;
    let group = c.attrs.int("group", 1) as usize;
    let (channels, outs) = (x.shape[1], shape[1]);
    let (per, outs_per) = (channels / group, outs / group);
    let plane: usize = shape[2..].iter().product();
    let in_plane: usize = x.shape[2..].iter().product();
    let taps: usize = window.kernel.iter().product();
    let (vx, vw) = (x.to_f64s(), w.to_f64s());
    let mut out = vec![0.0; shape.elems()];
    if let Some(b) = c.get(2) {
        let b = b.to_f64s();
        out.iter_mut().enumerate().for_each(|(i, o)| *o = b[i / plane % outs]);
    }
    // for every input position and tap: where it lands
    for_each_coord(&x.shape[2..], |i, at| {
        for_each_coord(&window.kernel, |t, tap| {
            let mut to = 0usize;
            for a in 0..window.rank() {
                let p = at[a] * window.strides[a] + tap[a] * window.dilations[a];
                match p.checked_sub(window.begin[a]) {
                    Some(p) if p < shape[a + 2] => to = to * shape[a + 2] + p,
                    _ => return,
                }
            }
            for n in 0..shape[0] {
                for ch in 0..channels {
                    let v = vx[(n * channels + ch) * in_plane + i];
                    for o in 0..outs_per {
                        let weight = vw[(ch * outs_per + o) * taps + t];
                        let oc = ch / per * outs_per + o;
                        out[(n * outs + oc) * plane + to] += v * weight;
                    }
                }
            }
        });
    });
    Ok(vec![c.float_result(&out)])
}

fn cases() -> Vec<Case> {
    let c = |name: &str, s: &[i64], p: &[i64], e: &[i64], g: i64, x: &[usize], w: &[usize]| {
        let attrs = Attrs::new()
            .with("strides", s.to_vec())
            .with("dilations", vec![1i64; s.len()])
            .with("pads", p.to_vec())
            .with("output_padding", e.to_vec())
            .with("group", g);
        let bias = sample_f32(3, [w[1] * g as usize]);
        Case::new(name, attrs, vec![sample_f32(1, x), sample_f32(2, w), bias])
    };
    vec![
        c("2x2 up", &[2, 2], &[0; 4], &[0, 0], 1, &[1, 4, 3, 5], &[4, 6, 2, 2]),
        c("3x3 padded", &[2, 2], &[1; 4], &[1, 1], 1, &[2, 3, 4, 4], &[3, 5, 3, 3]),
        c("groups", &[2, 1], &[1, 0, 1, 0], &[0, 0], 2, &[1, 4, 3, 3], &[4, 2, 4, 3]),
        c("1d", &[4], &[2, 2], &[0], 1, &[1, 3, 7], &[3, 2, 8]),
    ]
}
