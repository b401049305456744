//! Products of one value with constant matrices, whose results all go to one attention, become one
//! product: queries, keys and values of a layer are read once and made by one kernel.
//!
//! Where results go elsewhere, each product has a kernel of its own that takes the element-wise steps
//! behind it, which is worth more.

use super::elements::{Term, single_step};
use super::rewrite::{Ctx, Patch};
use super::view_algebra::{is_view_node, step_of};
use super::{Rule, Stage};
use drift_ir::{
    Arg, Attrs, Body, DType, Node, NodeId, Operand, PointwiseOp as P, Shape, Step, Tensor, ValueId,
    View, ViewStep,
};

pub const RULE: Rule = Rule {
    name: "merge_products",
    description: "products of one value that feed one attention become one",
    stage: Stage::Canonicalize,
    apply,
};

/// Nodes between a product and its attention.
const MAX_DEPTH: usize = 12;

/// A product with a constant matrix, and the bias behind it.
struct Part<'g> {
    weight: &'g Tensor,
    bias: Option<&'g Tensor>,
    /// The result with the bias.
    value: ValueId,
}

fn apply(ctx: &Ctx, id: NodeId) -> Option<Patch> {
    let node = ctx.node(id);
    let (x, _) = product(ctx, node)?;
    let group: Vec<NodeId> = ctx
        .users(x)
        .iter()
        .copied()
        .filter(|u| product(ctx, ctx.node(*u)).is_some_and(|(y, _)| y == x))
        .collect();
    // the first of them stands for all
    if group.first() != Some(&id) || group.len() < 2 {
        return None;
    }
    let home = attention_behind(ctx, part(ctx, id)?.value)?;
    let parts: Vec<Part<'_>> = group
        .iter()
        .filter_map(|u| part(ctx, *u))
        .filter(|p| attention_behind(ctx, p.value) == Some(home))
        .collect();
    let dtype = parts.first()?.weight.dtype;
    if parts.len() < 2 || parts.iter().any(|p| p.weight.dtype != dtype) {
        return None;
    }
    let mut patch = Patch::new(ctx);
    let n = parts.iter().map(|p| p.weight.shape[1]).sum::<usize>();
    let mut shape = ctx.shape(x).clone();
    let last = shape.rank() - 1;
    shape[last] = n;
    let weight = patch.constant(format!("{}/merged", node.path), side_by_side(&parts, n)?);
    let result_type = ctx.dtype(node.results[0]);
    let result = (format!("{}/merged", node.path), result_type, shape.clone());
    let operands = vec![Some(x.into()), Some(weight.into())];
    let mut y = patch.node("matmul", Attrs::new(), operands, vec![result], &node.path)[0];
    if parts.iter().any(|p| p.bias.is_some()) {
        let bias = patch.constant(format!("{}/merged bias", node.path), biases(&parts, dtype));
        let view = View::identity().then(ViewStep::Broadcast { shape: shape.clone() });
        let args = vec![Arg::Operand(0), Arg::Operand(1)];
        let steps = vec![Step { op: P::Add, args, dtype: result_type }];
        let body = Body { steps, results: vec![Arg::Step(0)] };
        let operands = vec![Some(y.into()), Some(Operand { value: bias, view })];
        let result = (format!("{}/biased", node.path), result_type, shape.clone());
        y = patch.pointwise(body, operands, result, &node.path);
    }
    let mut start = 0;
    for p in &parts {
        let mut starts = vec![0; last + 1];
        starts[last] = start;
        let sizes = ctx.shape(p.value).clone();
        start += sizes[last];
        let attrs = Attrs::new()
            .with("starts", starts)
            .with("sizes", sizes.to_vec())
            .with("steps", vec![1i64; last + 1]);
        let name = ctx.graph.value(p.value).name.clone();
        let result = vec![(name, result_type, sizes)];
        let slice = patch.node("slice", attrs, vec![Some(y.into())], result, &node.path)[0];
        patch = patch.replace(p.value, slice);
    }
    Some(patch)
}

/// x `[.., K]` and the constant weights `[K, N]` of a plain product.
fn product<'g>(ctx: &Ctx<'g>, node: &Node) -> Option<(ValueId, &'g Tensor)> {
    let plain = node.op == "matmul"
        && node.epilogue.results.is_empty()
        && node.store_view.is_identity()
        && node.operands.len() == 2
        && node.operands.iter().flatten().all(|o| o.view.is_identity());
    let [Some(x), Some(w)] = node.operands.as_slice() else { return None };
    let weight = ctx.constant(w.value).filter(|t| plain && t.shape.rank() == 2)?;
    // four neighbours of the joined result come from one matrix; weights stay where others read them
    let apart = weight.shape[1].is_multiple_of(4) && ctx.users(w.value).len() == 1;
    (apart && weight.dtype.is_float() && !ctx.is_output(node.results[0]))
        .then_some((x.value, weight))
}

fn part<'g>(ctx: &Ctx<'g>, id: NodeId) -> Option<Part<'g>> {
    let node = ctx.node(id);
    let (_, weight) = product(ctx, node)?;
    let own = node.results[0];
    let plain = Part { weight, bias: None, value: own };
    let Some(user) = ctx.only_user(own) else { return Some(plain) };
    let add = ctx.node(user);
    let Some((P::Add, terms)) = single_step(ctx, add) else { return Some(plain) };
    let [Term::Value(a), Term::Value(b)] = terms[..] else { return Some(plain) };
    let bias = ctx.constant(if a == own { b } else { a });
    let n = weight.shape[1];
    let value = add.results[0];
    let per_column = |t: &&Tensor| {
        t.elems() == n && t.shape.last() == Some(&n) && ctx.shape(value) == ctx.shape(own)
    };
    match bias.filter(per_column) {
        Some(bias) => Some(Part { weight, bias: Some(bias), value }),
        None => Some(plain),
    }
}

/// Matrices `[K, N1]`, `[K, N2]`, .. as `[K, N1 + N2 + ..]`, their bytes as they are.
fn side_by_side(parts: &[Part<'_>], n: usize) -> Option<Tensor> {
    let (k, dtype) = (parts[0].weight.shape[0], parts[0].weight.dtype);
    let mut bytes = Vec::with_capacity(k * n * dtype.bytes());
    for row in 0..k {
        for p in parts {
            let line = p.weight.shape[1] * dtype.bytes();
            bytes.extend_from_slice(&p.weight.bytes()[row * line..][..line]);
        }
    }
    Tensor::from_bytes(dtype, [k, n], bytes.into())
}

fn biases(parts: &[Part<'_>], dtype: DType) -> Tensor {
    let zeros = |p: &Part<'_>| vec![0.0; p.weight.shape[1]];
    let all: Vec<f64> =
        parts.iter().flat_map(|p| p.bias.map_or_else(|| zeros(p), Tensor::to_f64s)).collect();
    Tensor::from_f64s(dtype, Shape::from([all.len()]), &all)
}

/// The one attention that everything made of `v` goes to, by way of views, rotary embeddings, norms of
/// heads, and a cache. What is made of it may be an output of the graph as well.
fn attention_behind(ctx: &Ctx, v: ValueId) -> Option<NodeId> {
    let mut found = None;
    goes_to(ctx, v, MAX_DEPTH, &mut found).then_some(found)?
}

fn goes_to(ctx: &Ctx, v: ValueId, depth: usize, found: &mut Option<NodeId>) -> bool {
    depth > 0
        && ctx.users(v).iter().all(|&user| {
            let node = ctx.node(user);
            let passes = is_view_node(node)
                || matches!(node.op, "concat" | "tensor_scatter" | "rms_norm")
                || (node.op == "pointwise" && turns(ctx, node));
            match node.op {
                "attention" => *found.get_or_insert(user) == user,
                _ => passes && goes_to(ctx, node.results[0], depth - 1, found),
            }
        })
}

/// Whether a node is a step of `x · cos + flip(x) · sin`: it reads pairs of elements, so it has a kernel
/// of its own behind a product anyway.
fn turns(ctx: &Ctx, node: &Node) -> bool {
    let [step] = node.epilogue.steps.as_slice() else { return false };
    let operands = || node.operands.iter().flatten();
    match step.op {
        P::Mul => operands().any(|o| flips(ctx, o) || flipped_elsewhere(ctx, o.value)),
        P::Add => operands().all(|o| {
            ctx.producer(o.value).is_some_and(|(_, n)| {
                matches!(n.epilogue.steps.as_slice(), [s] if s.op == P::Mul) && turns(ctx, n)
            })
        }),
        _ => false,
    }
}

fn backwards(step: &ViewStep) -> bool {
    matches!(step, ViewStep::Slice { steps, .. } if steps.iter().any(|s| *s < 0))
}

/// Whether the elements of pairs are exchanged on the way to an operand.
fn flips(ctx: &Ctx, operand: &Operand) -> bool {
    let by_node = || {
        let (_, node) = ctx.producer(operand.value)?;
        step_of(node).filter(|_| node.op == "slice")
    };
    operand.view.steps.iter().any(backwards) || by_node().is_some_and(|s| backwards(&s))
}

/// Whether somebody reads the value with its pairs exchanged.
fn flipped_elsewhere(ctx: &Ctx, v: ValueId) -> bool {
    ctx.users(v).iter().any(|u| {
        let node = ctx.node(*u);
        let by_node = node.op == "slice" && step_of(node).is_some_and(|s| backwards(&s));
        let reads = |o: &Operand| o.value == v && o.view.steps.iter().any(backwards);
        by_node || node.operands.iter().flatten().any(reads)
    })
}
