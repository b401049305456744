//! RNN: the recurrent part of one direction.

use crate::Result;
use crate::data::sample_f32;
use crate::def::{Accuracy, Case, InferCtx, OpDef, RefCtx, ai};
use crate::import::ImportCtx;
use crate::recurrent::{self, activation, clipped, dot, join, read_layer};
use drift_ir::{Attrs, DType, Shape, Tensor, ValueId};

/// Operands: 0 `[T, N, H]` (`X · Wᵀ` with biases), 1 recurrent weights `[H, H]`, 2 initial h
/// `[N, H]`?, 3 sequence lengths `[N]`?. Results: Y `[T, N, H]`, Y_h `[N, H]`.
/// Attributes: `reverse`, `activations` (one), `clip` (0: none).
pub static OP: OpDef = OpDef {
    name: "rnn",
    onnx: &[ai("RNN")],
    import,
    infer,
    reference,
    accuracy: Accuracy::APPROXIMATED,
    cases,
};

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let layer = read_layer(c, 1, &["Tanh"])?;
    let mut out = Vec::new();
    for d in &layer.directions {
        let gates = d.biased(c)?;
        let attrs = d.attrs(c)?;
        let operands = [Some(gates), Some(d.recurrent), d.initial, layer.lens];
        out.push(c.emit_multi("rnn", attrs, &operands)?);
    }
    join(c, &out)
}

fn infer(c: &InferCtx) -> Result<Vec<(DType, Shape)>> {
    recurrent::infer(c, 1, 1)
}

fn reference(c: &RefCtx) -> Result<Vec<Tensor>> {
    let r = c.tensor(1)?.to_f64s();
    let name = c.attrs.str("activations").unwrap_or("");
    recurrent::run(c, c.get(3), 1, |gates, h, _| {
        let old = h.to_vec();
        for i in 0..h.len() {
            let x = clipped(c.attrs, gates[i] + dot(&r, i, &old));
            h[i] = activation(name, x).unwrap_or(f64::NAN);
        }
    })
}

fn cases() -> Vec<Case> {
    let attrs = Attrs::new().with("reverse", 0i64).with("activations", "Tanh").with("clip", 0.0);
    vec![Case::new("forward", attrs, vec![sample_f32(1, [4, 2, 5]), sample_f32(2, [5, 5])])]
}
