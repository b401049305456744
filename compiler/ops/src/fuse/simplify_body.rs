//! Steps that compute nothing, or have a cheaper spelling: `x + 0`, `x · 1`, casts to the same
//! dtype, `x ^ 2`, division by a constant, chains of constant factors and summands, and uniform
//! constant operands, which become numbers of the body.

use super::bodies::{BodyBuilder, first_body_operand, prune};
use super::rewrite::{Ctx, Patch};
use super::{Rule, Stage};
use drift_ir::{Arg, Body, DType, Node, NodeId, PointwiseOp as P, Step, Tensor};

pub const RULE: Rule = Rule {
    name: "simplify_body",
    description: "element-wise steps that compute nothing go, others get their cheapest spelling",
    stage: Stage::Canonicalize,
    apply,
};

fn apply(ctx: &Ctx, id: NodeId) -> Option<Patch> {
    let node = ctx.node(id);
    if node.epilogue.steps.is_empty() {
        return None;
    }
    let first = first_body_operand(node);
    let mut b = BodyBuilder::new(&node.operands[..first]);
    b.operands = node.operands.clone();
    let mut map: Vec<Arg> = Vec::new();
    let lookup = |map: &[Arg], a: &Arg| match *a {
        Arg::Step(i) => map[i],
        Arg::Operand(i) => uniform(ctx, node, i).map_or(*a, Arg::Const),
        other => other,
    };
    for step in &node.epilogue.steps {
        let args: Vec<Arg> = step.args.iter().map(|a| lookup(&map, a)).collect();
        // constants take the dtype of their neighbours: a step of constants only keeps its operands
        let all_const = args.iter().all(|a| matches!(a, Arg::Const(_)));
        let keeps_dtype = matches!(step.op, P::Cast | P::Where | P::Pow);
        let args = if all_const || (keeps_dtype && matches!(args[0], Arg::Const(_))) {
            let plain = |a: &Arg| match *a {
                Arg::Step(i) => map[i],
                other => other,
            };
            step.args.iter().map(plain).collect()
        } else {
            args
        };
        let made = simplified(ctx, node, &mut b, step, &args);
        map.push(made.unwrap_or_else(|| b.step(step.op, args, step.dtype)));
    }
    // results stay typed: a constant never is one
    let plain = |a: &Arg| match *a {
        Arg::Step(i) => map[i],
        other => other,
    };
    let results: Vec<Arg> = node.epilogue.results.iter().map(plain).collect();
    if results.iter().any(|a| matches!(a, Arg::Const(_))) {
        return None;
    }
    let body = Body { steps: b.steps, results };
    let (epilogue, operands) = prune(&body, b.operands, first);
    if epilogue == node.epilogue && operands == node.operands {
        return None;
    }
    Some(Patch::new(ctx).set_node(id, Node { epilogue, operands, ..node.clone() }))
}

/// The number that all elements of a constant operand share, when a body can say it exactly.
fn uniform(ctx: &Ctx, node: &Node, i: usize) -> Option<f64> {
    let t: &Tensor = ctx.constant(node.operands.get(i)?.as_ref()?.value)?;
    let v = t.splat_f64()?;
    let exact = t.dtype.is_float() || v.abs() < (1u64 << 53) as f64;
    (exact && v.is_finite() && t.dtype != DType::Bool).then_some(v)
}

fn dtype_of(ctx: &Ctx, node: &Node, b: &BodyBuilder, arg: Arg) -> Option<DType> {
    match arg {
        Arg::Step(i) => b.steps.get(i).map(|s| s.dtype),
        Arg::Operand(i) => Some(ctx.dtype(node.operands.get(i)?.as_ref()?.value)),
        Arg::Acc | Arg::Const(_) => None,
    }
}

fn simplified(
    ctx: &Ctx,
    node: &Node,
    b: &mut BodyBuilder,
    step: &Step,
    args: &[Arg],
) -> Option<Arg> {
    let number = |a: Arg| if let Arg::Const(v) = a { Some(v) } else { None };
    let c = |i: usize| args.get(i).copied().and_then(number);
    let float = step.dtype.is_float();
    // what a step with a constant second argument was made of
    let inner = |b: &BodyBuilder, a: Arg, op: P| match a {
        Arg::Step(i) if b.steps[i].op == op && b.steps[i].dtype == step.dtype => {
            let args = &b.steps[i].args;
            number(args[1]).filter(|_| number(args[0]).is_none()).map(|v| (args[0], v))
        }
        _ => None,
    };
    let x = args[0];
    match step.op {
        P::Identity if number(x).is_none() => Some(x),
        P::Cast if dtype_of(ctx, node, b, x) == Some(step.dtype) => Some(x),
        P::Neg => match x {
            Arg::Step(i) if b.steps[i].op == P::Neg => Some(b.steps[i].args[0]),
            _ => None,
        },
        // constants second, so that equal steps look equal
        P::Add | P::Mul if c(0).is_some() && c(1).is_none() => {
            let swapped = [args[1], args[0]];
            simplified(ctx, node, b, step, &swapped)
                .or_else(|| Some(b.step(step.op, swapped.to_vec(), step.dtype)))
        }
        P::Add if c(1) == Some(0.0) && c(0).is_none() => Some(x),
        P::Sub if c(1) == Some(0.0) && c(0).is_none() => Some(x),
        P::Mul | P::Div if c(1) == Some(1.0) && c(0).is_none() => Some(x),
        P::Add | P::Mul if float && c(1).is_some() => {
            let (base, v) = inner(b, x, step.op)?;
            let k = c(1)?;
            let k = if step.op == P::Add { v + k } else { v * k };
            k.is_finite().then(|| b.step(step.op, vec![base, Arg::Const(k)], step.dtype))
        }
        P::Sub if float && c(1).is_some() && c(0).is_none() => {
            let args = [x, Arg::Const(-c(1)?)];
            let add = Step { op: P::Add, args: args.to_vec(), dtype: step.dtype };
            simplified(ctx, node, b, &add, &args)
                .or_else(|| Some(b.step(P::Add, args.to_vec(), step.dtype)))
        }
        P::Div if float && c(0).is_none() => {
            let k = 1.0 / c(1).filter(|v| v.abs() > 1e-30)?;
            let args = [x, Arg::Const(k)];
            let mul = Step { op: P::Mul, args: args.to_vec(), dtype: step.dtype };
            simplified(ctx, node, b, &mul, &args)
                .or_else(|| Some(b.step(P::Mul, args.to_vec(), step.dtype)))
        }
        P::Pow if float && dtype_of(ctx, node, b, x).is_none_or(|d| d == step.dtype) => {
            let e = c(1).filter(|_| c(0).is_none())?;
            let mut mul = |a, c| b.step(P::Mul, vec![a, c], step.dtype);
            Some(match e {
                1.0 => x,
                2.0 => mul(x, x),
                3.0 => {
                    let square = mul(x, x);
                    mul(square, x)
                }
                0.5 => b.step(P::Sqrt, vec![x], step.dtype),
                -1.0 => b.step(P::Reciprocal, vec![x], step.dtype),
                -0.5 => b.step(P::Rsqrt, vec![x], step.dtype),
                _ => return None,
            })
        }
        _ => None,
    }
}
