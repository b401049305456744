//! LSTM: the recurrent part of one direction.

use crate::Result;
use crate::data::sample_f32;
use crate::def::{Accuracy, Case, InferCtx, OpDef, RefCtx, ai};
use crate::import::ImportCtx;
use crate::recurrent::{self, activation, clipped, dot, join, read_layer};
use drift_ir::{Attrs, DType, Shape, Tensor, ValueId};

/// Operands: 0 gates `[T, N, 4·H]` (`X · Wᵀ` with biases; gate order i, o, f, c), 1 recurrent
/// weights `[4·H, H]`, 2 initial h `[N, H]`?, 3 initial c `[N, H]`?, 4 peepholes `[3·H]`? (i, o,
/// f), 5 sequence lengths `[N]`?. Results: Y `[T, N, H]`, Y_h `[N, H]`, Y_c `[N, H]`.
/// Attributes: `reverse`, `activations` (`f,g,h`), `clip` (0: none), `input_forget`.
pub static OP: OpDef = OpDef {
    name: "lstm",
    onnx: &[ai("LSTM")],
    import,
    infer,
    reference,
    accuracy: Accuracy::APPROXIMATED,
    cases,
};

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let layer = read_layer(c, 4, &["Sigmoid", "Tanh", "Tanh"])?;
    let mut out = Vec::new();
    for d in &layer.directions {
        let gates = d.biased(c)?;
        let attrs = d.attrs(c)?.with("input_forget", c.attrs.int("input_forget", 0));
        let operands = [Some(gates), Some(d.recurrent), d.initial, d.cell, d.peepholes, layer.lens];
        out.push(c.emit_multi("lstm", attrs, &operands)?);
    }
    join(c, &out)
}

fn infer(c: &InferCtx) -> Result<Vec<(DType, Shape)>> {
    let types = recurrent::infer(c, 4, 2)?;
    let hidden = types[0].1[2];
    if let Some((_, p)) = c.get(4)
        && p.as_slice() != [3 * hidden]
    {
        return Err(c.invalid(format!("peepholes are {p}, not [{}]", 3 * hidden)));
    }
    if c.attrs.str("activations").map_or(0, |a| a.split(',').count()) != 3 {
        return Err(c.invalid("needs three activations"));
    }
    Ok(types)
}

fn reference(c: &RefCtx) -> Result<Vec<Tensor>> {
    let r = c.tensor(1)?.to_f64s();
    let p = c.get(4).map(Tensor::to_f64s);
    let names: Vec<&str> = c.attrs.str("activations").unwrap_or("").split(',').collect();
    let act = |k: usize, x: f64| activation(names[k], x).unwrap_or(f64::NAN);
    let coupled = c.attrs.int("input_forget", 0) != 0;
    recurrent::run(c, c.get(5), 2, |gates, h, cell| {
        let n = h.len();
        let peep = |k: usize, i: usize| p.as_ref().map_or(0.0, |p| p[k * n + i]);
        let old = h.to_vec();
        for i in 0..n {
            let gate = |k: usize| gates[k * n + i] + dot(&r, k * n + i, &old);
            let clip = |x: f64| clipped(c.attrs, x);
            let input = act(0, clip(gate(0) + peep(0, i) * cell[i]));
            let forget =
                if coupled { 1.0 - input } else { act(0, clip(gate(2) + peep(2, i) * cell[i])) };
            let next = forget * cell[i] + input * act(1, clip(gate(3)));
            let output = act(0, clip(gate(1) + peep(1, i) * next));
            cell[i] = next;
            h[i] = output * act(2, next);
        }
    })
}

fn cases() -> Vec<Case> {
    let attrs = |reverse: i64| {
        Attrs::new()
            .with("reverse", reverse)
            .with("activations", "Sigmoid,Tanh,Tanh")
            .with("clip", 0.0)
            .with("input_forget", 0i64)
    };
    let gates = sample_f32(1, [5, 2, 24]);
    let r = sample_f32(2, [24, 6]);
    vec![
        Case::new("forward", attrs(0), vec![gates.clone(), r.clone()]),
        Case::new(
            "reverse with states",
            attrs(1),
            vec![gates, r, sample_f32(3, [2, 6]), sample_f32(4, [2, 6])],
        ),
    ]
}
