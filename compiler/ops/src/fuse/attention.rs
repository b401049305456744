//! `softmax(scale · q kᵀ + mask) v`, written as two products with a softmax between them, becomes one
//! node: the scores are never stored, and heads of keys that were repeated for grouped queries are
//! read where they are.
//!
//! On the way from the first product to the softmax may lie, in this order, factors, a soft cap
//! (`c · tanh(s / c)`), masks (added, or chosen by `where`), reshapes of the batch dims, and casts;
//! factors may as well lie on queries or keys. Whoever else reads the scores or the weights keeps them:
//! then nothing is fused.
//!
//! A row that a mask of `-inf` hides from every key was 0/0 before and is zero after.

use super::attention_mask::{Mask, Term as MaskTerm, mask_of};
use super::elements::{Term, any_step};
use super::repeated_heads::unrepeated;
use super::rewrite::{Ctx, Patch};
use super::view_algebra::{is_view_node, simplify, step_of};
use super::{Rule, Stage};
use drift_ir::{
    Attrs, DType, Node, NodeId, Operand, PointwiseOp as P, Shape, ValueId, View, ViewStep,
};

pub const RULE: Rule = Rule {
    name: "attention",
    description: "two products with a softmax between them become one attention",
    stage: Stage::Canonicalize,
    apply,
};

/// The largest heads: products of wider ones are efficient as they are.
const MAX_HEAD: usize = 256;

/// Nodes between two products.
const MAX_DEPTH: usize = 16;

/// What lies between the product of queries and keys and the softmax.
#[derive(Clone, Debug)]
struct Scores {
    product: NodeId,
    scale: f64,
    /// 0 = none.
    softcap: f64,
    masks: Vec<MaskTerm>,
    /// Shape of the scores where masks meet them.
    masked: Option<Shape>,
}

fn apply(ctx: &Ctx, id: NodeId) -> Option<Patch> {
    let node = ctx.node(id);
    let [p, v] = product(ctx, node)?;
    let softmax = softmax_before(ctx, p, id)?;
    let (softmax_id, softmax_node) = ctx.producer(softmax)?;
    let scores = softmax_node.operands.first()?.as_ref()?.value;
    let scores = read_scores(ctx, scores, softmax_id, 0)?;
    let first = ctx.node(scores.product);
    let [q, kt] = product(ctx, first)?;
    let whole = ctx.shape(first.results[0]);
    let [batch @ .., rows, keys] = whole.as_slice() else { return None };
    let (rows, keys) = (*rows, *keys);
    // [B, H, S, T]: as the masks see it, else with all batches as heads
    let dims = match &scores.masked {
        Some(s) if s.rank() <= 4 => {
            let mut dims = vec![1; 4 - s.rank()];
            dims.extend(s.iter());
            dims
        }
        Some(_) => return None,
        None if batch.len() == 2 => whole.to_vec(),
        None => vec![1, batch.iter().product(), rows, keys],
    };
    let (heads, d) = ([dims[0], dims[1]], *ctx.shape(q).last()?);
    let dv = *ctx.shape(v).last()?;
    let fits = dims[2] == rows
        && dims[3] == keys
        && heads.iter().product::<usize>() == batch.iter().product::<usize>()
        && (1..=MAX_HEAD).contains(&d)
        && (1..=MAX_HEAD).contains(&dv)
        && rows > 0
        && keys > 0;
    if !fits {
        return None;
    }
    let result = node.results[0];
    let mut factor = scores.scale;
    let q = operand(ctx, q, [heads[0], heads[1], rows, d], false, &mut factor)?;
    let kt = operand(ctx, kt, [heads[0], heads[1], keys, d], true, &mut factor)?;
    let v = operand(ctx, v, [heads[0], heads[1], keys, dv], false, &mut 1.0)?;
    let dtype = ctx.dtype(result);
    let one_type = |o: &Operand| ctx.dtype(o.value) == dtype;
    if !(one_type(&q) && one_type(&kt) && one_type(&v) && factor.is_finite()) {
        return None;
    }
    let (k, v) = match (unrepeated(ctx, &kt), unrepeated(ctx, &v)) {
        (Some(k), Some(v)) if ctx.seen(&k)?[1] == ctx.seen(&v)?[1] => (k, v),
        _ => (kt, v),
    };
    let mut patch = Patch::new(ctx);
    let Mask { value, causal, window } =
        mask_of(ctx, &mut patch, &scores.masks, &Shape(dims.clone()), dtype, &node.path)?;
    let attrs = Attrs::new()
        .with("scale", factor)
        .with("causal", i64::from(causal))
        .with("window", window as i64)
        .with("softcap", scores.softcap);
    let operands = vec![Some(q), Some(k), Some(v), value.map(Operand::from)];
    let own = Shape::from([heads[0], heads[1], rows, dv]);
    if own == *ctx.shape(result) {
        let attention = Node {
            op: "attention",
            attrs,
            epilogue_operands: operands.len(),
            operands,
            ..node.clone()
        };
        return Some(patch.set_node(id, attention));
    }
    let name = format!("{}/heads", node.path);
    let y = patch.node("attention", attrs, operands, vec![(name, dtype, own)], &node.path);
    let reshape = Node {
        op: "reshape",
        attrs: Attrs::new().with("shape", ctx.shape(result).to_vec()),
        operands: vec![Some(y[0].into())],
        epilogue_operands: 1,
        ..node.clone()
    };
    Some(patch.set_node(id, reshape))
}

/// Both operands of a plain product.
fn product(ctx: &Ctx, node: &Node) -> Option<[ValueId; 2]> {
    let plain = node.op == "matmul"
        && node.epilogue.results.is_empty()
        && node.store_view.is_identity()
        && node.operands.len() == 2
        && node.operands.iter().flatten().all(|o| o.view.is_identity());
    let [Some(a), Some(b)] = node.operands.as_slice() else { return None };
    (plain && ctx.dtype(a.value).is_float()).then_some([a.value, b.value])
}

/// The result of the softmax over the last axis that `p` is, up to casts, reshapes of the batch dims,
/// and a guard against 0/0. `reader` alone reads `p`, and so on upwards.
fn softmax_before(ctx: &Ctx, p: ValueId, reader: NodeId) -> Option<ValueId> {
    let (mut v, mut reader) = (p, reader);
    for _ in 0..MAX_DEPTH {
        let (id, node) = ctx.producer(v)?;
        if let Some(x) = guarded(ctx, v) {
            // the guard and the test in front of it read the weights
            let alone = ctx.only_user(v) == Some(reader) && !ctx.is_output(x);
            if !alone || ctx.users(x).len() != 2 {
                return None;
            }
            let (_, softmax) = ctx.producer(x)?;
            return is_softmax(ctx, softmax).then_some(x);
        }
        if ctx.only_user(v) != Some(reader) {
            return None;
        }
        if is_softmax(ctx, node) {
            return Some(v);
        }
        v = batch_reshape(ctx, node).or_else(|| float_cast(ctx, node))?;
        reader = id;
    }
    None
}

fn is_softmax(ctx: &Ctx, node: &Node) -> bool {
    let Some(Some(x)) = node.operands.first() else { return false };
    node.op == "softmax"
        && node.epilogue.results.is_empty()
        && node.store_view.is_identity()
        && x.view.is_identity()
        && node.attrs.int("axis", -1) == ctx.shape(x.value).rank() as i64 - 1
}

/// `x` where `v = where(is_nan(x), 0, x)`.
fn guarded(ctx: &Ctx, v: ValueId) -> Option<ValueId> {
    let (_, node) = ctx.producer(v)?;
    match any_step(ctx, node)? {
        (P::Where, t) => match t[..] {
            [Term::Value(cond), Term::Const(0.0), Term::Value(x)] => {
                let (_, test) = ctx.producer(cond)?;
                let same = any_step(ctx, test)? == (P::IsNan, vec![Term::Value(x)]);
                (same && ctx.only_user(cond).is_some()).then_some(x)
            }
            _ => None,
        },
        _ => None,
    }
}

/// The source of a reshape that leaves the last two dims alone.
fn batch_reshape(ctx: &Ctx, node: &Node) -> Option<ValueId> {
    let x = node.operands.first()?.as_ref().filter(|o| o.view.is_identity())?;
    let (from, to) = (ctx.shape(x.value), ctx.shape(node.results[0]));
    let last = |s: &Shape| s.rank().checked_sub(2).map(|n| s[n..].to_vec());
    let plain = node.op == "reshape" && node.epilogue.results.is_empty();
    (plain && last(from)? == last(to)?).then_some(x.value)
}

/// The source of a cast from one float type to another.
fn float_cast(ctx: &Ctx, node: &Node) -> Option<ValueId> {
    match any_step(ctx, node)? {
        (P::Cast, t) => match t[..] {
            [Term::Value(x)]
                if ctx.dtype(x).is_float() && ctx.dtype(node.results[0]).is_float() =>
            {
                Some(x)
            }
            _ => None,
        },
        _ => None,
    }
}

/// Reads upwards from a value that only `reader` reads to the product.
fn read_scores(ctx: &Ctx, v: ValueId, reader: NodeId, depth: usize) -> Option<Scores> {
    if depth > MAX_DEPTH || ctx.only_user(v) != Some(reader) {
        return None;
    }
    let (id, node) = ctx.producer(v)?;
    if product(ctx, node).is_some() {
        return Some(Scores { product: id, scale: 1.0, softcap: 0.0, masks: vec![], masked: None });
    }
    if let Some(x) = batch_reshape(ctx, node).or_else(|| float_cast(ctx, node)) {
        return read_scores(ctx, x, id, depth + 1);
    }
    let above = |x: ValueId| {
        let same = ctx.shape(x) == ctx.shape(v);
        same.then(|| read_scores(ctx, x, id, depth + 1)).flatten()
    };
    let (op, terms) = any_step(ctx, node)?;
    match (op, &terms[..]) {
        (P::Mul, [Term::Value(x), Term::Const(c)] | [Term::Const(c), Term::Value(x)]) => {
            scaled(ctx, *x, *c, id, depth).or_else(|| above(*x)?.times(*c))
        }
        (P::Div, [Term::Value(x), Term::Const(c)]) if *c != 0.0 => above(*x)?.times(1.0 / c),
        (P::Add, [Term::Value(a), Term::Value(b)]) => match above(*a) {
            Some(s) => s.masked(ctx, v, MaskTerm::Added(*b)),
            None => above(*b)?.masked(ctx, v, MaskTerm::Added(*a)),
        },
        (P::Where, [Term::Value(keep), Term::Value(x), Term::Const(c)]) => {
            above(*x)?.masked(ctx, v, MaskTerm::Where { bits: *keep, keep: true, other: *c })
        }
        (P::Where, [Term::Value(hide), Term::Const(c), Term::Value(x)]) => {
            above(*x)?.masked(ctx, v, MaskTerm::Where { bits: *hide, keep: false, other: *c })
        }
        _ => None,
    }
}

/// `c · tanh(x / c)` with the value of the tanh in `t`, which `reader` multiplies with `c`.
fn scaled(ctx: &Ctx, t: ValueId, c: f64, reader: NodeId, depth: usize) -> Option<Scores> {
    let (id, node) = ctx.producer(t).filter(|_| ctx.only_user(t) == Some(reader))?;
    let x = match any_step(ctx, node)? {
        (P::Tanh, t) => match t[..] {
            [Term::Value(x)] => x,
            _ => return None,
        },
        _ => return None,
    };
    let s = read_scores(ctx, x, id, depth + 1)?;
    let capped = s.softcap == 0.0 && s.masks.is_empty() && c > 0.0;
    capped.then_some(Scores { scale: s.scale * c, softcap: c, ..s })
}

impl Scores {
    /// A factor behind masks or the soft cap would change them, too.
    fn times(self, c: f64) -> Option<Scores> {
        let bare = self.masks.is_empty() && self.softcap == 0.0;
        bare.then_some(Scores { scale: self.scale * c, ..self })
    }

    fn masked(mut self, ctx: &Ctx, at: ValueId, term: MaskTerm) -> Option<Scores> {
        let shape = ctx.shape(at);
        if self.masked.get_or_insert_with(|| shape.clone()) != shape {
            return None;
        }
        self.masks.push(term);
        Some(self)
    }
}

/// `v` as an operand of shape `dims`, read where it comes from: views become the operand's, constant
/// factors go to `factor`. `swapped`: the last two of `dims` are the other way round in `v`.
fn operand(
    ctx: &Ctx,
    v: ValueId,
    dims: [usize; 4],
    swapped: bool,
    factor: &mut f64,
) -> Option<Operand> {
    let own = ctx.shape(v);
    let mut stored = dims;
    if swapped {
        stored.swap(2, 3);
    }
    let mut view = View::identity();
    // one head for all of a batch, by broadcasting
    let one_head =
        own.rank() == 4 && [own[0], own[1], own[2], own[3]] == [stored[0], 1, stored[2], stored[3]];
    if !one_head {
        if own.elems() != stored.iter().product::<usize>() {
            return None;
        }
        view = view.then(ViewStep::Reshape { shape: Shape::from(stored) });
    }
    if swapped {
        view = view.then(ViewStep::Transpose { perm: vec![0, 1, 3, 2] });
    }
    let mut value = v;
    for _ in 0..MAX_DEPTH {
        let Some((_, node)) = ctx.producer(value) else { break };
        if is_view_node(node) && node.store_view.is_identity() {
            let source = node.operands[0].as_ref()?;
            view = view.after(&source.view.clone().then(step_of(node)?));
            value = source.value;
            continue;
        }
        let Some((x, c)) = times_const(ctx, node) else { break };
        *factor *= c;
        value = x;
    }
    let view = simplify(&view, ctx.shape(value));
    Some(Operand { value, view })
}

/// `(x, c)` where the node is `x · c` of one float type.
fn times_const(ctx: &Ctx, node: &Node) -> Option<(ValueId, f64)> {
    let (op, terms) = any_step(ctx, node)?;
    let (x, c) = match (op, &terms[..]) {
        (P::Mul, [Term::Value(x), Term::Const(c)] | [Term::Const(c), Term::Value(x)]) => (*x, *c),
        (P::Div, [Term::Value(x), Term::Const(c)]) if *c != 0.0 => (*x, 1.0 / c),
        _ => return None,
    };
    let same = ctx.shape(x) == ctx.shape(node.results[0])
        && ctx.dtype(x) == ctx.dtype(node.results[0])
        && ctx.dtype(x) != DType::F64
        && c != 0.0;
    same.then_some((x, c))
}
