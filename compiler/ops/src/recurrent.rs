//! What LSTM, GRU and RNN share: import by direction, and the reference's inner step.
//!
//! Import splits an ONNX recurrent node into one node per direction and takes the product with
//! the input weights out of the recurrence: `gates = X · Wᵀ + bias` is one matmul over all time
//! steps, so that the node itself only holds what really is sequential.

use crate::def::{InferCtx, RefCtx};
use crate::import::ImportCtx;
use crate::ops::matmul::{product, swap_last};
use crate::{OpError, Result};
use drift_ir::{Attrs, DType, PointwiseOp as P, Shape, Tensor, ValueId};

/// The parts of one direction.
#[derive(Clone, Debug)]
pub struct Direction {
    pub reverse: bool,
    /// `[T, N, G·H]` before any bias.
    pub input: ValueId,
    /// `[G·H, H]`.
    pub recurrent: ValueId,
    /// `Wb` and `Rb`, each `[G·H]`.
    pub biases: Option<(ValueId, ValueId)>,
    /// `[N, H]`.
    pub initial: Option<ValueId>,
    /// `[N, H]`, LSTM only.
    pub cell: Option<ValueId>,
    /// `[3·H]`, LSTM only.
    pub peepholes: Option<ValueId>,
    /// `f,g,h` of this direction.
    pub activations: String,
}

/// An ONNX recurrent node taken apart.
#[derive(Clone, Debug)]
pub struct Layer {
    pub directions: Vec<Direction>,
    /// Per batch element, when not all sequences are of full length.
    pub lens: Option<ValueId>,
    pub hidden: usize,
}

/// Reads the inputs `X, W, R, B, sequence_lens, initial_h(, initial_c, P)` for `gates` gates.
pub fn read_layer(c: &mut ImportCtx, gates: usize, default: &[&str]) -> Result<Layer> {
    let (mut x, w, r) = (c.input(0)?, c.input(1)?, c.input(2)?);
    let batch_first = c.attrs.int("layout", 0) != 0;
    let (sw, sr) = (c.shape(w), c.shape(r));
    let count = match c.attrs.str("direction").unwrap_or("forward") {
        "forward" | "reverse" => 1,
        "bidirectional" => 2,
        d => return Err(c.invalid(format!("direction {d:?} is not known"))),
    };
    let hidden = sr.last().copied().unwrap_or(0);
    let fits = c.rank(x) == 3
        && sw.rank() == 3
        && sr.rank() == 3
        && sw[0] == count
        && sr[0] == count
        && hidden > 0
        && hidden.checked_mul(gates) == Some(sw[1])
        && sr[1] == sw[1]
        && c.shape(x)[2] == sw[2];
    if !fits {
        return Err(c.invalid(format!(
            "input {}, weights {sw} and recurrent weights {sr} do not fit ({count} directions, \
             {gates} gates)",
            c.shape(x)
        )));
    }
    if let Some(drift_ir::Attr::Int(h)) = c.attrs.get("hidden_size")
        && *h != hidden as i64
    {
        return Err(c.invalid(format!("hidden_size is {h}, the weights have {hidden}")));
    }
    if batch_first {
        x = c.transpose(x, &[1, 0, 2])?;
    }
    let (steps, rows) = (c.shape(x)[0], c.shape(x)[1]);
    let lens = match c.opt(4) {
        Some(v) => match c.constant(v).and_then(Tensor::splat_f64) {
            Some(l) if l == steps as f64 => None,
            _ => Some(v),
        },
        None => None,
    };
    let names: Vec<String> = match c.attrs.str("activations") {
        Some(a) => a.split(',').map(str::to_owned).collect(),
        None => default.iter().cycle().take(default.len() * count).map(|s| (*s).into()).collect(),
    };
    if names.len() != default.len() * count {
        return Err(c.invalid(format!("activations {names:?} for {count} directions")));
    }
    if let Some(name) = names.iter().find(|n| activation(n, 0.0).is_none()) {
        return Err(c.unsupported(format!("the activation {name}")).help(
            "supported: Sigmoid, Tanh, Relu, HardSigmoid, Softsign, Softplus (with defaults)",
        ));
    }
    for list in ["activation_alpha", "activation_beta"] {
        if c.attrs.floats(list).is_some_and(|l| !l.is_empty()) {
            return Err(c.unsupported(format!("the attribute {list}")));
        }
    }
    let mut directions = Vec::new();
    for d in 0..count {
        // part `d` of an input with a direction axis
        let part = |c: &mut ImportCtx, v: ValueId, axis: usize, rest: &[usize]| {
            let v = c.slice_axis(v, axis, d, 1)?;
            c.reshape(v, rest)
        };
        let wd = part(c, w, 0, &[gates * hidden, sw[2]])?;
        let wt = swap_last(c, wd)?;
        let flat = c.reshape(x, vec![steps * rows, sw[2]])?;
        let input = product(c, flat, wt)?;
        let input = c.reshape(input, vec![steps, rows, gates * hidden])?;
        let recurrent = part(c, r, 0, &[gates * hidden, hidden])?;
        let biases = match c.opt(3) {
            Some(b) => {
                if c.shape(b).as_slice() != [count, 2 * gates * hidden] {
                    return Err(c.invalid(format!("bias of shape {}", c.shape(b))));
                }
                let b = part(c, b, 0, &[2 * gates * hidden])?;
                let wb = c.slice_axis(b, 0, 0, gates * hidden)?;
                Some((wb, c.slice_axis(b, 0, gates * hidden, gates * hidden)?))
            }
            None => None,
        };
        let state = |c: &mut ImportCtx, i: usize| -> Result<Option<ValueId>> {
            let Some(v) = c.opt(i) else { return Ok(None) };
            let want = if batch_first { [rows, count, hidden] } else { [count, rows, hidden] };
            if c.shape(v).as_slice() != want {
                return Err(c.invalid(format!("input {i} is {}, not {want:?}", c.shape(v))));
            }
            part(c, v, usize::from(batch_first), &[rows, hidden]).map(Some)
        };
        let initial = state(c, 5)?;
        let lstm = gates == 4;
        let cell = if lstm { state(c, 6)? } else { None };
        let peepholes = match c.opt(7).filter(|_| lstm) {
            Some(p) if c.shape(p).as_slice() == [count, 3 * hidden] => {
                Some(part(c, p, 0, &[3 * hidden])?)
            }
            Some(p) => return Err(c.invalid(format!("peepholes of shape {}", c.shape(p)))),
            None => None,
        };
        let reverse = d == 1 || c.attrs.str("direction") == Some("reverse");
        let activations = names[d * default.len()..(d + 1) * default.len()].join(",");
        directions.push(Direction {
            reverse,
            input,
            recurrent,
            biases,
            initial,
            cell,
            peepholes,
            activations,
        });
    }
    Ok(Layer { directions, lens, hidden })
}

impl Direction {
    /// Attributes common to all three operators.
    pub fn attrs(&self, c: &ImportCtx) -> Result<Attrs> {
        let clip = c.float("clip", 0.0)?;
        Ok(Attrs::new()
            .with("reverse", i64::from(self.reverse))
            .with("activations", self.activations.as_str())
            .with("clip", clip))
    }

    /// `gates` with both biases added.
    pub fn biased(&self, c: &mut ImportCtx) -> Result<ValueId> {
        let Some((wb, rb)) = self.biases else { return Ok(self.input) };
        let b = c.binary(P::Add, wb, rb)?;
        c.binary(P::Add, self.input, b)
    }
}

/// Joins per-direction results `[Y, Y_h(, Y_c)]` to ONNX's outputs.
pub fn join(c: &mut ImportCtx, per_direction: &[Vec<ValueId>]) -> Result<Vec<ValueId>> {
    let batch_first = c.attrs.int("layout", 0) != 0;
    let outputs = per_direction.first().map_or(0, Vec::len);
    let mut out = Vec::new();
    for i in 0..outputs {
        // the direction axis: [T, D, N, H] for Y, [D, N, H] for the states
        let axis = usize::from(i == 0);
        let mut parts = Vec::new();
        for d in per_direction {
            let mut shape = c.shape(d[i]).0;
            shape.insert(axis, 1);
            parts.push(c.reshape(d[i], shape)?);
        }
        let mut y = match parts[..] {
            [one] => one,
            _ => c.emit("concat", Attrs::new().with("axis", axis as i64), &parts)?,
        };
        if batch_first {
            y = c.transpose(y, if i == 0 { &[2, 0, 1, 3] } else { &[1, 0, 2] })?;
        }
        out.push(y);
    }
    Ok(out)
}

/// Types of a direction's results; `states` is 1 (h) or 2 (h and c).
pub fn infer(c: &InferCtx, gates: usize, states: usize) -> Result<Vec<(DType, Shape)>> {
    let (x, r) = (c.shape_min_rank(0, 3)?, c.shape_min_rank(1, 2)?);
    let hidden = r[1];
    if x.rank() != 3 || r.rank() != 2 || x[2] != r[0] || hidden.checked_mul(gates) != Some(r[0]) {
        return Err(c.invalid(format!("gates {x} and recurrent weights {r} do not fit")));
    }
    for i in 2..2 + states {
        if let Some((_, s)) = c.get(i)
            && s.as_slice() != [x[1], hidden]
        {
            return Err(c.invalid(format!("operand {i} is {s}, not [{},{hidden}]", x[1])));
        }
    }
    let names = c.attrs.str("activations").unwrap_or("");
    if names.split(',').any(|n| activation(n, 0.0).is_none()) {
        return Err(c.invalid(format!("activations {names:?}")));
    }
    let dtype = c.dtype(0)?;
    let state = Shape(vec![x[1], hidden]);
    let mut out = vec![(dtype, Shape(vec![x[0], x[1], hidden]))];
    out.extend((0..states).map(|_| (dtype, state.clone())));
    Ok(out)
}

/// An activation by its ONNX name; `None` when it is not supported.
pub fn activation(name: &str, x: f64) -> Option<f64> {
    let op = match name {
        "Sigmoid" => P::Sigmoid,
        "Tanh" => P::Tanh,
        "Relu" => P::Relu,
        "HardSigmoid" => P::HardSigmoid,
        "Softsign" => P::Softsign,
        "Softplus" => P::Softplus,
        _ => return None,
    };
    crate::pointwise_eval::float_op(op, x, 0.2, 0.5)
}

/// Runs the recurrence of one direction. `step(row, gates, h, c) -> ()` updates the states of one
/// batch row in place; `gates` are the `G·H` input contributions of the current step.
pub fn run(
    ctx: &RefCtx,
    lens: Option<&Tensor>,
    states: usize,
    step: impl Fn(&[f64], &mut [f64], &mut [f64]),
) -> Result<Vec<Tensor>> {
    let x = ctx.tensor(0)?;
    let (steps, rows, wide) = (x.shape[0], x.shape[1], x.shape[2]);
    let hidden = ctx.results[0].1[2];
    let v = x.to_f64s();
    let start = |i: usize| ctx.get(i).map_or(vec![0.0; rows * hidden], Tensor::to_f64s);
    let mut h = start(2);
    let mut cell = if states == 2 { start(3) } else { vec![0.0; rows * hidden] };
    let mut y = vec![0.0; steps * rows * hidden];
    let reverse = ctx.attrs.int("reverse", 0) != 0;
    let lens = match lens {
        None => vec![steps; rows],
        Some(l) => l
            .to_i64s()
            .into_iter()
            .map(|l| usize::try_from(l).ok().filter(|l| *l <= steps))
            .collect::<Option<Vec<_>>>()
            .filter(|l| l.len() == rows)
            .ok_or_else(|| -> OpError { ctx.invalid("sequence_lens do not fit the input") })?,
    };
    for (n, len) in lens.into_iter().enumerate() {
        for k in 0..len {
            let t = if reverse { len - 1 - k } else { k };
            let state = n * hidden..(n + 1) * hidden;
            let gates = &v[(t * rows + n) * wide..][..wide];
            step(gates, &mut h[state.clone()], &mut cell[state.clone()]);
            y[(t * rows + n) * hidden..][..hidden].copy_from_slice(&h[state]);
        }
    }
    let mut out = vec![y, h];
    if states == 2 {
        out.push(cell);
    }
    Ok(out.iter().zip(ctx.results).map(|(v, (d, s))| Tensor::from_f64s(*d, s.clone(), v)).collect())
}

/// `r[row] · h` for a row of the recurrent weights.
pub fn dot(r: &[f64], row: usize, h: &[f64]) -> f64 {
    r[row * h.len()..][..h.len()].iter().zip(h).map(|(a, b)| a * b).sum()
}

/// The clip attribute: 0 means none.
pub fn clipped(attrs: &Attrs, x: f64) -> f64 {
    match attrs.float("clip", 0.0) {
        c if c > 0.0 => x.clamp(-c, c),
        _ => x,
    }
}
