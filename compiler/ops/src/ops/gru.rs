//! GRU: the recurrent part of one direction.

use crate::Result;
use crate::data::sample_f32;
use crate::def::{Accuracy, Case, InferCtx, OpDef, RefCtx, ai};
use crate::import::ImportCtx;
use crate::recurrent::{self, activation, clipped, dot, join, read_layer};
use drift_ir::{Attrs, DType, PointwiseOp as P, Shape, Tensor, ValueId};

/// Operands: 0 gates `[T, N, 3·H]` (`X · Wᵀ` with biases; gate order z, r, h), 1 recurrent weights
/// `[3·H, H]`, 2 initial h `[N, H]`?, 3 recurrent bias of gate h `[H]`? (only with
/// `linear_before_reset`, otherwise it is in the gates), 4 sequence lengths `[N]`?.
/// Results: Y `[T, N, H]`, Y_h `[N, H]`. Attributes: `reverse`, `activations` (`f,g`), `clip`
/// (0: none), `linear_before_reset`.
pub static OP: OpDef = OpDef {
    name: "gru",
    onnx: &[ai("GRU")],
    import,
    infer,
    reference,
    accuracy: Accuracy::APPROXIMATED,
    cases,
};

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let layer = read_layer(c, 3, &["Sigmoid", "Tanh"])?;
    let linear = c.attrs.int("linear_before_reset", 0) != 0;
    let h = layer.hidden;
    let mut out = Vec::new();
    for d in &layer.directions {
        let (mut gates, mut late) = (d.input, None);
        match d.biases {
            Some((wb, rb)) if linear => {
                // the recurrent bias of gate h is scaled by the reset gate
                let zr = c.slice_axis(rb, 0, 0, 2 * h)?;
                let zero = c.add_const(Tensor::from_f32([h], &vec![0.0; h]));
                let dtype = c.dtype(rb);
                let zero = c.cast(zero, dtype)?;
                let rb_zr = c.emit("concat", Attrs::new().with("axis", 0i64), &[zr, zero])?;
                let b = c.binary(P::Add, wb, rb_zr)?;
                gates = c.binary(P::Add, gates, b)?;
                late = Some(c.slice_axis(rb, 0, 2 * h, h)?);
            }
            _ => gates = d.biased(c)?,
        }
        let attrs = d.attrs(c)?.with("linear_before_reset", i64::from(linear));
        let operands = [Some(gates), Some(d.recurrent), d.initial, late, layer.lens];
        out.push(c.emit_multi("gru", attrs, &operands)?);
    }
    join(c, &out)
}

fn infer(c: &InferCtx) -> Result<Vec<(DType, Shape)>> {
    let types = recurrent::infer(c, 3, 1)?;
    let hidden = types[0].1[2];
    if let Some((_, b)) = c.get(3)
        && b.as_slice() != [hidden]
    {
        return Err(c.invalid(format!("the recurrent bias is {b}, not [{hidden}]")));
    }
    if c.attrs.str("activations").map_or(0, |a| a.split(',').count()) != 2 {
        return Err(c.invalid("needs two activations"));
    }
    Ok(types)
}

fn reference(c: &RefCtx) -> Result<Vec<Tensor>> {
    let r = c.tensor(1)?.to_f64s();
    let late = c.get(3).map(Tensor::to_f64s);
    let names: Vec<&str> = c.attrs.str("activations").unwrap_or("").split(',').collect();
    let act = |k: usize, x: f64| activation(names[k], clipped(c.attrs, x)).unwrap_or(f64::NAN);
    let linear = c.attrs.int("linear_before_reset", 0) != 0;
    recurrent::run(c, c.get(4), 1, |gates, h, _| {
        let n = h.len();
        let gate = |k: usize, i: usize, h: &[f64]| act(0, gates[k * n + i] + dot(&r, k * n + i, h));
        let z: Vec<f64> = (0..n).map(|i| gate(0, i, h)).collect();
        let reset: Vec<f64> = (0..n).map(|i| gate(1, i, h)).collect();
        let scaled: Vec<f64> = (0..n).map(|i| reset[i] * h[i]).collect();
        let old = h.to_vec();
        for i in 0..n {
            let row = 2 * n + i;
            let inner = if linear {
                reset[i] * (dot(&r, row, &old) + late.as_ref().map_or(0.0, |b| b[i]))
            } else {
                dot(&r, row, &scaled) + late.as_ref().map_or(0.0, |b| b[i])
            };
            h[i] = (1.0 - z[i]) * act(1, gates[row] + inner) + z[i] * old[i];
        }
    })
}

fn cases() -> Vec<Case> {
    let attrs = |reverse: i64, linear: i64| {
        Attrs::new()
            .with("reverse", reverse)
            .with("activations", "Sigmoid,Tanh")
            .with("clip", 0.0)
            .with("linear_before_reset", linear)
    };
    let gates = sample_f32(1, [4, 2, 15]);
    let r = sample_f32(2, [15, 5]);
    let h = sample_f32(3, [2, 5]);
    vec![
        Case::new("forward", attrs(0, 0), vec![gates.clone(), r.clone()]),
        Case::new("linear before reset", attrs(1, 1), vec![gates, r, h, sample_f32(4, [5])]),
    ]
}
