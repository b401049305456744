//! The verifier: what every pass may rely on and must keep.
//!
//! [`verify`] checks what the graph alone can tell; [`verify_with`] also asks a type function (the
//! operator table has one) what each node's main computation gives.

use crate::{
    Arg, Body, DType, Def, Graph, Node, NodeId, PointwiseOp as P, Shape, Step, View, ViewStep,
};
use std::collections::HashMap;

/// What is wrong, at which node (its path in the model) or at which place of the graph.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("graph {graph:?}, {place}: {message}")]
pub struct VerifyError {
    pub graph: String,
    pub place: String,
    pub message: String,
}

/// Types of a node's own results: what it computes before epilogue and store view.
pub type TypeFn<'a> = dyn Fn(&Graph, NodeId) -> Result<Vec<(DType, Shape)>, String> + 'a;

/// Shape of a node's own results before `store_view`, where the graph alone can tell: from the
/// result when the store view is empty or only transposes, else from an operand of the body.
pub fn own_shape(graph: &Graph, node: &Node) -> Option<Shape> {
    let mut shape = graph.value(*node.results.first()?).shape.clone();
    let undo = |step: &ViewStep, s: &Shape| match step {
        ViewStep::Transpose { perm } if perm.len() == s.rank() => {
            let mut out = s.clone();
            for (i, &p) in perm.iter().enumerate() {
                *out.get_mut(p)? = s[i];
            }
            Some(out)
        }
        _ => None,
    };
    let mut known = true;
    for step in node.store_view.steps.iter().rev() {
        match undo(step, &shape) {
            Some(s) => shape = s,
            None => {
                known = false;
                break;
            }
        }
    }
    if known {
        return Some(shape);
    }
    let first = if node.op == "pointwise" { 0 } else { node.epilogue_operands };
    let operand = node.operands.iter().skip(first).flatten().next()?;
    operand.view.apply(&graph.value(operand.value).shape)
}

/// Checks SSA form, types, views and bodies.
pub fn verify(graph: &Graph) -> Result<(), VerifyError> {
    check(graph, None)
}

/// [`verify`], and every node without epilogue has the result types that `types` gives.
pub fn verify_with(graph: &Graph, types: &TypeFn<'_>) -> Result<(), VerifyError> {
    check(graph, Some(types))
}

fn check(graph: &Graph, types: Option<&TypeFn<'_>>) -> Result<(), VerifyError> {
    let fail =
        |place: String, message: String| VerifyError { graph: graph.name.clone(), place, message };
    let values = graph.value_count();
    let mut defined = HashMap::new();
    for &id in &graph.inputs {
        if id.0 as usize >= values || !matches!(graph.value(id).def, Def::Input) {
            return Err(fail("inputs".into(), format!("{id} is not defined as an input")));
        }
        if defined.insert(id, None).is_some() {
            return Err(fail("inputs".into(), format!("{id} is listed twice")));
        }
    }
    for id in graph.node_ids() {
        let node = graph.node(id);
        for (i, r) in node.results.iter().enumerate() {
            let here = || place(graph, id);
            if r.0 as usize >= values {
                return Err(fail(here(), format!("result {i} is the unknown value {r}")));
            }
            if graph.value(*r).def != Def::Node(id, i) {
                return Err(fail(here(), format!("{r} does not name this node as its definition")));
            }
            if defined.insert(*r, Some(id)).is_some() {
                return Err(fail(here(), format!("{r} is defined twice")));
            }
        }
    }
    for id in graph.value_ids() {
        if let Def::Const(t) = &graph.value(id).def {
            let v = graph.value(id);
            if t.dtype != v.dtype || t.shape != v.shape {
                let message = format!(
                    "the tensor is {}{}, the value {}{}",
                    t.dtype, t.shape, v.dtype, v.shape
                );
                return Err(fail(format!("constant {:?}", v.name), message));
            }
        }
    }
    for id in graph.node_ids() {
        check_node(graph, id, &defined, types).map_err(|m| fail(place(graph, id), m))?;
    }
    for (name, id) in &graph.outputs {
        let known = (id.0 as usize) < values && (defined.contains_key(id) || graph.is_const(*id));
        if !known {
            return Err(fail(format!("output {name:?}"), format!("{id} has no definition")));
        }
    }
    for name in &graph.states {
        check_state(graph, name).map_err(|m| fail(format!("state {name:?}"), m))?;
    }
    if let Err(cycle) = graph.topo_order() {
        let names: Vec<String> = cycle.iter().take(4).map(|id| place(graph, *id)).collect();
        return Err(fail("nodes".into(), format!("they form a cycle: {}", names.join(", "))));
    }
    Ok(())
}

/// A state is read or written, and does not change its type.
fn check_state(graph: &Graph, name: &str) -> Result<(), String> {
    let before = graph.inputs.iter().find(|v| graph.value(**v).name == name);
    let mut after = graph.outputs.iter().filter(|(n, _)| n == name);
    let first = after.next();
    if after.next().is_some() {
        return Err("it is set twice".into());
    }
    match (before, first) {
        (None, None) => Err("no input and no output has its name".into()),
        (Some(b), Some((_, a))) => {
            let (b, a) = (graph.value(*b), graph.value(*a));
            if (b.dtype, &b.shape) == (a.dtype, &a.shape) {
                return Ok(());
            }
            Err(format!("{}{} before, {}{} after", b.dtype, b.shape, a.dtype, a.shape))
        }
        _ => Ok(()),
    }
}

fn place(graph: &Graph, id: NodeId) -> String {
    let node = graph.node(id);
    format!("node {:?} ({})", node.path, node.op)
}

fn check_node(
    graph: &Graph,
    id: NodeId,
    defined: &HashMap<crate::ValueId, Option<NodeId>>,
    types: Option<&TypeFn<'_>>,
) -> Result<(), String> {
    let node = graph.node(id);
    if node.results.is_empty() {
        return Err("it has no results".into());
    }
    let mut seen = Vec::with_capacity(node.operands.len());
    for (i, operand) in node.operands.iter().enumerate() {
        let Some(operand) = operand else {
            seen.push(None);
            continue;
        };
        let ok = (operand.value.0 as usize) < graph.value_count()
            && (defined.contains_key(&operand.value) || graph.is_const(operand.value));
        if !ok {
            return Err(format!("operand {i} reads {}, which nothing defines", operand.value));
        }
        let value = graph.value(operand.value);
        let Some(shape) = operand.view.apply(&value.shape) else {
            return Err(format!(
                "the view {} of operand {i} does not apply to {}{}",
                operand.view, value.dtype, value.shape
            ));
        };
        seen.push(Some((value.dtype, shape)));
    }
    let pointwise = node.op == "pointwise";
    if node.epilogue_operands > node.operands.len() {
        return Err(format!(
            "its epilogue starts at operand {} of {}",
            node.epilogue_operands,
            node.operands.len()
        ));
    }
    check_store(&node.store_view)?;
    let own = match types {
        Some(types) if !pointwise => {
            let own = types(graph, id)?;
            if own.len() != node.results.len() {
                return Err(format!("{} results, expected {}", node.results.len(), own.len()));
            }
            Some(own)
        }
        _ => None,
    };
    let first_own = own.as_ref().map(|o| o[0].1.clone()).or_else(|| own_shape(graph, node));
    for (i, r) in node.results.iter().enumerate() {
        let v = graph.value(*r);
        let shape = match &own {
            Some(own) => Some(own[i].1.clone()),
            None => first_own.clone().filter(|_| i == 0 || !node.epilogue.results.is_empty()),
        };
        if let Some(shape) = shape {
            match node.store_view.apply(&shape) {
                Some(s) if s == v.shape => {}
                Some(s) => return Err(format!("result {i} is {}, expected {s}", v.shape)),
                None => {
                    return Err(format!(
                        "the store view {} does not apply to {shape}",
                        node.store_view
                    ));
                }
            }
        }
        if let (Some(own), true) = (&own, node.epilogue.results.is_empty())
            && own[i].0 != v.dtype
        {
            return Err(format!("result {i} has dtype {}, expected {}", v.dtype, own[i].0));
        }
    }
    if node.epilogue == Body::default() {
        if pointwise {
            return Err("a pointwise node needs a body".into());
        }
        if node.epilogue_operands < node.operands.len() {
            return Err("it has epilogue operands but no epilogue".into());
        }
        return Ok(());
    }
    let acc = own.as_ref().map(|o| o[0].0);
    check_body(graph, node, &seen, first_own.as_ref(), acc, pointwise)
}

fn check_store(view: &View) -> Result<(), String> {
    let ok = |s: &ViewStep| matches!(s, ViewStep::Reshape { .. } | ViewStep::Transpose { .. });
    match view.steps.iter().find(|s| !ok(s)) {
        Some(step) => Err(format!("{step} cannot be a store view: reshape and transpose only")),
        None => Ok(()),
    }
}

fn check_body(
    graph: &Graph,
    node: &Node,
    operands: &[Option<(DType, Shape)>],
    own: Option<&Shape>,
    acc: Option<DType>,
    pointwise: bool,
) -> Result<(), String> {
    let first = if pointwise { 0 } else { node.epilogue_operands };
    for (i, operand) in operands.iter().enumerate().skip(first) {
        if let (Some((_, shape)), Some(own)) = (operand, own)
            && shape != own
        {
            return Err(format!("the body reads operand {i} as {shape}, but runs over {own}"));
        }
    }
    // None = any dtype (constants, and the accumulator when the type function is absent)
    let type_of = |arg: &Arg, before: usize, at: &str| -> Result<Option<DType>, String> {
        match *arg {
            Arg::Const(_) => Ok(None),
            Arg::Acc if pointwise => Err(format!("{at} reads acc in a pointwise node")),
            Arg::Acc => Ok(acc),
            Arg::Step(i) if i < before => Ok(Some(node.epilogue.steps[i].dtype)),
            Arg::Step(i) => Err(format!("{at} reads t{i} before it is computed")),
            Arg::Operand(i) => match operands.get(i) {
                Some(Some((dtype, _))) if i >= first => Ok(Some(*dtype)),
                Some(Some(_)) => Err(format!("{at} reads o{i}, an operand of the main operator")),
                _ => Err(format!("{at} reads o{i}, which is absent")),
            },
        }
    };
    for (i, step) in node.epilogue.steps.iter().enumerate() {
        let at = format!("step t{i} = {}", step.op);
        if step.args.len() != step.op.arity() {
            return Err(format!("{at} has {} arguments, not {}", step.args.len(), step.op.arity()));
        }
        let args =
            step.args.iter().map(|a| type_of(a, i, &at)).collect::<Result<Vec<_>, String>>()?;
        check_step(step, &args).map_err(|m| format!("{at}: {m}"))?;
    }
    let results = &node.epilogue.results;
    if results.len() != node.results.len() {
        return Err(format!(
            "the body returns {} values for {} results",
            results.len(),
            node.results.len()
        ));
    }
    for (arg, r) in results.iter().zip(&node.results) {
        let dtype = type_of(arg, node.epilogue.steps.len(), "return")?;
        let want = graph.value(*r).dtype;
        if dtype.is_some_and(|d| d != want) {
            return Err(format!(
                "the body returns {} for a result of {want}",
                dtype.unwrap_or(want)
            ));
        }
    }
    Ok(())
}

fn check_step(step: &Step, args: &[Option<DType>]) -> Result<(), String> {
    let all =
        |want: DType, args: &[Option<DType>]| match args.iter().flatten().find(|d| **d != want) {
            Some(d) => Err(format!("argument of {d}, expected {want}")),
            None => Ok(()),
        };
    let result = |ok: bool, want: &str| {
        if ok { Ok(()) } else { Err(format!("result of {}, expected {want}", step.dtype)) }
    };
    match step.op {
        P::Equal | P::Less | P::LessEqual | P::Greater | P::GreaterEqual => {
            result(step.dtype == DType::Bool, "bool")?;
            match args {
                [Some(a), Some(b)] if a != b => Err(format!("compares {a} with {b}")),
                _ => Ok(()),
            }
        }
        P::And | P::Or | P::Xor | P::Not => {
            result(step.dtype == DType::Bool, "bool")?;
            all(DType::Bool, args)
        }
        P::IsNan | P::IsInf => result(step.dtype == DType::Bool, "bool"),
        P::Where => {
            all(DType::Bool, &args[..1])?;
            all(step.dtype, &args[1..])
        }
        P::Cast => Ok(()),
        P::BitAnd | P::BitOr | P::BitXor | P::BitNot | P::ShiftLeft | P::ShiftRight => {
            result(step.dtype.is_int(), "an integer")?;
            all(step.dtype, args)
        }
        // the exponent has its own dtype in ONNX
        P::Pow => all(step.dtype, &args[..1]),
        P::Identity => all(step.dtype, args),
        _ => {
            result(step.dtype != DType::Bool, "a number")?;
            all(step.dtype, args)
        }
    }
}
