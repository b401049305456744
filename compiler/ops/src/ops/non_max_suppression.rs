//! NonMaxSuppression: greedy selection of boxes. The number of selected boxes depends on the
//! data, so only constant operands are compiled (they occur in tests and folded sub-graphs).

use crate::Result;
use crate::def::{OpDef, composite, since};
use crate::import::ImportCtx;
use drift_ir::{Tensor, ValueId};

pub static OP: OpDef = composite("non_max_suppression", &[since("NonMaxSuppression", 10)], import);

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    for i in 0..2 {
        if c.constant(c.input(i)?).is_none() {
            return Err(c.unsupported("the number of selected boxes depends on the data").help(
                "cut the model in front of NonMaxSuppression (onnx.utils.extract_model) and \
                     select boxes in the application",
            ));
        }
    }
    let boxes = c.const_input(0, "the boxes")?.clone();
    let scores = c.const_input(1, "the scores")?.clone();
    let limit = c.const_int(2, "max_output_boxes_per_class")?.unwrap_or(0);
    let iou = c.const_float(3, "iou_threshold")?.unwrap_or(0.0);
    let floor = c.const_float(4, "score_threshold")?.unwrap_or(f64::NEG_INFINITY);
    let (&[batches, n, 4], &[sb, classes, sn]) = (boxes.shape.as_slice(), scores.shape.as_slice())
    else {
        return Err(c.invalid(format!("boxes {} and scores {}", boxes.shape, scores.shape)));
    };
    if sb != batches || sn != n {
        return Err(c.invalid(format!("boxes {} and scores {}", boxes.shape, scores.shape)));
    }
    let center = c.attrs.int("center_point_box", 0) != 0;
    let (b, s) = (boxes.to_f64s(), scores.to_f64s());
    let corners: Vec<[f64; 4]> = b.chunks_exact(4).map(|v| corners(v, center)).collect();
    let mut out = Vec::new();
    for batch in 0..batches {
        for class in 0..classes {
            let score = |i: usize| s[(batch * classes + class) * n + i];
            let mut order: Vec<usize> = (0..n).filter(|i| score(*i) > floor).collect();
            order.sort_by(|a, b| score(*b).total_cmp(&score(*a)));
            let mut kept: Vec<usize> = Vec::new();
            for i in order {
                if kept.len() as i64 >= limit {
                    break;
                }
                let own = &corners[batch * n + i];
                if kept.iter().all(|k| overlap(own, &corners[batch * n + k]) <= iou) {
                    kept.push(i);
                    out.extend([batch as i64, class as i64, i as i64]);
                }
            }
        }
    }
    Ok(vec![c.add_const(Tensor::from_i64([out.len() / 3, 3], &out))])
}

/// Smaller and larger corner.
fn corners(v: &[f64], center: bool) -> [f64; 4] {
    if center {
        let (w, h) = (v[2] / 2.0, v[3] / 2.0);
        return [v[0] - w, v[1] - h, v[0] + w, v[1] + h];
    }
    [v[0].min(v[2]), v[1].min(v[3]), v[0].max(v[2]), v[1].max(v[3])]
}

/// Intersection over union.
fn overlap(a: &[f64; 4], b: &[f64; 4]) -> f64 {
    let area = |r: &[f64; 4]| (r[2] - r[0]) * (r[3] - r[1]);
    let w = (a[2].min(b[2]) - a[0].max(b[0])).max(0.0);
    let h = (a[3].min(b[3]) - a[1].max(b[1])).max(0.0);
    let union = area(a) + area(b) - w * h;
    if union > 0.0 { w * h / union } else { 0.0 }
}
