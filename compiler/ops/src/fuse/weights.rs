//! Folding per-channel factors and summands into constant weights. Arithmetic is f64, rounded once
//! to the dtype of the weights.

use super::rewrite::{Ctx, Patch};
use drift_ir::{Arg, Node, NodeId, Operand, PointwiseOp as P, Shape, Tensor, ValueId, ViewStep};

/// `scale[c] · x + shift[c]` for every channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Affine {
    pub scale: Vec<f64>,
    pub shift: Vec<f64>,
}

impl Affine {
    fn constant(shift: Vec<f64>) -> Affine {
        Affine { scale: vec![0.0; shift.len()], shift }
    }

    pub fn has_scale(&self) -> bool {
        self.scale.iter().any(|s| *s != 1.0)
    }

    pub fn has_shift(&self) -> bool {
        self.shift.iter().any(|s| *s != 0.0)
    }

    /// The constants, when this does not depend on the value.
    fn as_constant(&self) -> Option<&[f64]> {
        self.scale.iter().all(|s| *s == 0.0).then_some(&self.shift[..])
    }

    fn scaled(&self, by: impl Fn(usize) -> f64) -> Affine {
        let f = |v: &[f64]| v.iter().enumerate().map(|(i, x)| x * by(i)).collect();
        Affine { scale: f(&self.scale), shift: f(&self.shift) }
    }

    fn plus(&self, other: &Affine, sign: f64) -> Affine {
        let f = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a + sign * b).collect();
        Affine { scale: f(&self.scale, &other.scale), shift: f(&self.shift, &other.shift) }
    }
}

/// A constant operand as one number per index of `axis` of `shape` (its seen shape); `None` when it
/// varies along another axis.
pub fn per_channel(ctx: &Ctx, operand: &Operand, shape: &Shape, axis: usize) -> Option<Vec<f64>> {
    let t = ctx.constant(operand.value)?;
    let n = *shape.get(axis)?;
    if let Some(v) = t.splat_f64() {
        return Some(vec![v; n]);
    }
    let plain = matches!(operand.view.steps.as_slice(), [] | [ViewStep::Broadcast { .. }]);
    let pad = shape.rank().checked_sub(t.shape.rank())?;
    let own = axis.checked_sub(pad)?;
    let fits = t.shape.iter().enumerate().all(|(i, d)| *d == 1 || (i == own && *d == n));
    (plain && fits).then(|| t.to_f64s())
}

/// The body of an element-wise node as a per-channel affine function of `value`, channels along
/// `axis` of the result. The node reads `value` as it is and constants only.
pub fn channel_affine(ctx: &Ctx, node: &Node, value: ValueId, axis: usize) -> Option<Affine> {
    let result = *node.results.first()?;
    let shape = ctx.shape(result);
    let ok = node.op == "pointwise"
        && node.results.len() == 1
        && node.store_view.is_identity()
        && ctx.dtype(result).is_float()
        && node.epilogue.steps.iter().all(|s| s.dtype == ctx.dtype(result))
        && (1..=8).contains(&node.epilogue.steps.len())
        && shape == ctx.shape(value);
    let n = *shape.get(axis).filter(|_| ok)?;
    let mut steps: Vec<Affine> = Vec::new();
    let get = |arg: &Arg, steps: &[Affine]| -> Option<Affine> {
        match *arg {
            Arg::Step(i) => steps.get(i).cloned(),
            Arg::Const(c) => Some(Affine::constant(vec![c; n])),
            Arg::Acc => None,
            Arg::Operand(i) => {
                let o = node.operands[i].as_ref()?;
                if o.value == value {
                    return o
                        .view
                        .is_identity()
                        .then(|| Affine { scale: vec![1.0; n], shift: vec![0.0; n] });
                }
                if ctx.dtype(o.value) != ctx.dtype(result) {
                    return None;
                }
                Some(Affine::constant(per_channel(ctx, o, shape, axis)?))
            }
        }
    };
    for step in &node.epilogue.steps {
        let a = get(&step.args[0], &steps)?;
        let b = step.args.get(1).map(|b| get(b, &steps));
        let out = match step.op {
            P::Identity => a,
            P::Neg => a.scaled(|_| -1.0),
            P::Add => a.plus(&b??, 1.0),
            P::Sub => a.plus(&b??, -1.0),
            P::Mul => {
                let b = b??;
                match (a.as_constant(), b.as_constant()) {
                    (_, Some(c)) => a.scaled(|i| c[i]),
                    (Some(c), _) => b.scaled(|i| c[i]),
                    _ => return None,
                }
            }
            P::Div => {
                let b = b??;
                let c = b.as_constant().filter(|c| c.iter().all(|v| *v != 0.0))?;
                a.scaled(|i| 1.0 / c[i])
            }
            _ => return None,
        };
        steps.push(out);
    }
    let out = get(node.epilogue.results.first()?, &steps)?;
    let finite = out.scale.iter().chain(&out.shift).all(|v| v.is_finite());
    // a channel that no longer depends on the value would hide its NaNs; leave such bodies alone
    (finite && out.scale.iter().any(|s| *s != 0.0)).then_some(out)
}

/// A node with constant weights and nothing fused into it yet.
#[derive(Clone, Copy, Debug)]
pub struct Linear<'g> {
    pub node: &'g Node,
    pub weight: &'g Tensor,
    /// Axis of the result that the output channels run along.
    pub axis: usize,
}

/// Weights up to this size may be copied when nodes share them.
const MAX_COPY_BYTES: usize = 1 << 20;

/// `conv`, `conv_transpose` or `matmul` with constant float weights, bias constant or absent.
pub fn linear<'g>(ctx: &Ctx<'g>, id: NodeId) -> Option<Linear<'g>> {
    let node = ctx.graph.get_node(id)?;
    let axis = match node.op {
        "conv" | "conv_transpose" => 1,
        "matmul" => ctx.shape(node.results[0]).rank() - 1,
        _ => return None,
    };
    let plain = node.epilogue.results.is_empty() && node.store_view.is_identity();
    let operand = node.operands.get(1)?.as_ref().filter(|o| plain && o.view.is_identity())?;
    let weight = ctx.constant(operand.value).filter(|t| t.dtype.is_float())?;
    // changed weights are a copy: not worth it where the originals stay and are large
    if ctx.users(operand.value).len() > 1 && weight.bytes().len() > MAX_COPY_BYTES {
        return None;
    }
    let bias_known = match node.operands.get(2) {
        Some(Some(o)) => o.view.is_identity() && ctx.constant(o.value).is_some(),
        _ => true,
    };
    bias_known.then_some(Linear { node, weight, axis })
}

impl Linear<'_> {
    fn group(&self) -> usize {
        usize::try_from(self.node.attrs.int("group", 1)).unwrap_or(1).max(1)
    }

    pub fn is_matmul(&self) -> bool {
        self.node.op == "matmul"
    }

    /// Output channel of the weight element `i`.
    fn out_channel(&self, i: usize) -> usize {
        let s = &self.weight.shape;
        match self.node.op {
            "conv" => i / s[1..].iter().product::<usize>(),
            "conv_transpose" => {
                let taps: usize = s[2..].iter().product();
                let (input, o) = (i / taps / s[1], i / taps % s[1]);
                input / (s[0] / self.group()).max(1) * s[1] + o
            }
            _ => i % s[s.rank() - 1],
        }
    }

    /// Input channel of the weight element `i`.
    fn in_channel(&self, i: usize) -> usize {
        let s = &self.weight.shape;
        match self.node.op {
            "conv" => {
                let taps: usize = s[2..].iter().product();
                let per_group = s[0] / self.group();
                i / taps / s[1] / per_group.max(1) * s[1] + i / taps % s[1]
            }
            "conv_transpose" => i / s[1..].iter().product::<usize>(),
            _ => i / s[s.rank() - 1] % s[s.rank() - 2],
        }
    }

    fn scaled(&self, by: impl Fn(usize) -> f64) -> Tensor {
        let v: Vec<f64> =
            self.weight.to_f64s().iter().enumerate().map(|(i, w)| w * by(i)).collect();
        Tensor::from_f64s(self.weight.dtype, self.weight.shape.clone(), &v)
    }

    fn bias(&self, ctx: &Ctx, channels: usize) -> Vec<f64> {
        let bias = self.node.operands.get(2).and_then(Option::as_ref);
        bias.and_then(|o| ctx.constant(o.value))
            .map_or_else(|| vec![0.0; channels], Tensor::to_f64s)
    }

    fn name(&self, ctx: &Ctx, operand: usize) -> String {
        let o = self.node.operands.get(operand).and_then(Option::as_ref);
        o.map_or_else(
            || format!("{}/bias", self.node.path),
            |o| ctx.graph.value(o.value).name.clone(),
        )
    }

    /// The node with other weights, and a bias where `bias` is given.
    fn with(
        &self,
        ctx: &Ctx,
        patch: &mut Patch,
        w: Option<Tensor>,
        bias: Option<Vec<f64>>,
    ) -> Node {
        let mut node = self.node.clone();
        if let Some(w) = w {
            node.operands[1] = Some(patch.constant(self.name(ctx, 1), w).into());
        }
        if let Some(bias) = bias {
            let b = Tensor::from_f64s(self.weight.dtype, [bias.len()], &bias);
            let b = patch.constant(self.name(ctx, 2), b);
            node.operands.resize(3, None);
            node.operands[2] = Some(b.into());
            node.epilogue_operands = 3;
        }
        node
    }

    /// The node computing `affine` of its result. `None` for a matmul with a shift.
    pub fn scaled_output(&self, ctx: &Ctx, patch: &mut Patch, affine: &Affine) -> Option<Node> {
        let channels = affine.scale.len();
        let bias = self.bias(ctx, channels);
        if self.is_matmul() && affine.has_shift() {
            return None;
        }
        if (0..self.weight.elems()).next_back().is_some_and(|i| self.out_channel(i) >= channels) {
            return None;
        }
        let w = affine.has_scale().then(|| self.scaled(|i| affine.scale[self.out_channel(i)]));
        let had_bias = matches!(self.node.operands.get(2), Some(Some(_)));
        let bias = (had_bias || affine.has_shift())
            .then(|| (0..channels).map(|c| bias[c] * affine.scale[c] + affine.shift[c]).collect());
        Some(self.with(ctx, patch, w, bias))
    }

    /// The node reading `x` where it read `affine` of `x`. `None` when that needs a shift that
    /// cannot go to a bias: a matmul has none, and padding would be shifted too.
    pub fn scaled_input(
        &self,
        ctx: &Ctx,
        patch: &mut Patch,
        x: ValueId,
        affine: &Affine,
    ) -> Option<Node> {
        let channels = *ctx.shape(self.node.results[0]).get(self.axis)?;
        let padded = self.node.attrs.ints("pads").is_some_and(|p| p.iter().any(|v| *v != 0));
        if affine.has_shift() && (self.node.op != "conv" || padded) {
            return None;
        }
        let last = self.weight.elems().checked_sub(1)?;
        if self.in_channel(last) >= affine.scale.len() {
            return None;
        }
        let bias = affine.has_shift().then(|| {
            let mut bias = self.bias(ctx, channels);
            for (i, w) in self.weight.to_f64s().iter().enumerate() {
                bias[self.out_channel(i)] += w * affine.shift[self.in_channel(i)];
            }
            bias
        });
        let w = affine.has_scale().then(|| self.scaled(|i| affine.scale[self.in_channel(i)]));
        let mut node = self.with(ctx, patch, w, bias);
        node.operands[0] = Some(x.into());
        Some(node)
    }
}

/// The linear node that `id` alone reads as it is, and what `id` makes of its channels.
pub fn affine_after<'g>(ctx: &Ctx<'g>, id: NodeId) -> Option<(NodeId, Linear<'g>, Affine)> {
    let node = ctx.node(id);
    if node.op != "pointwise" {
        return None;
    }
    node.operands.iter().flatten().find_map(|o| {
        if ctx.only_user(o.value) != Some(id) || !o.view.is_identity() {
            return None;
        }
        let producer = ctx.graph.producer(o.value)?;
        let linear = linear(ctx, producer)?;
        let affine = channel_affine(ctx, node, o.value, linear.axis)?;
        Some((producer, linear, affine))
    })
}

/// Scale and shift of a batch normalization with constant statistics.
pub fn batch_norm_affine(ctx: &Ctx, node: &Node) -> Option<Affine> {
    if node.op != "batch_norm" || !node.epilogue.results.is_empty() {
        return None;
    }
    let get = |i: usize| {
        let o = node.operands.get(i)?.as_ref()?;
        o.view.is_identity().then(|| ctx.constant(o.value)).flatten().map(Tensor::to_f64s)
    };
    let (gamma, beta, mean, var) = (get(1)?, get(2)?, get(3)?, get(4)?);
    let eps = node.attrs.float("epsilon", 1e-5);
    let scale: Vec<f64> = gamma.iter().zip(&var).map(|(g, v)| g / (v + eps).sqrt()).collect();
    let shift = (0..scale.len()).map(|i| beta[i] - mean[i] * scale[i]).collect();
    let out = Affine { scale, shift };
    out.scale.iter().chain(&out.shift).all(|v| v.is_finite()).then_some(out)
}
