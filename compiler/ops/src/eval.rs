//! The reference evaluator: any node, any graph, on the host.

use crate::data::{apply_view, broadcast_to};
use crate::def::{InferCtx, MAX_ELEMS, RefCtx};
use crate::pointwise_eval::eval_body;
use crate::table::find_op;
use crate::{OpError, Result};
use drift_ir::{Body, DType, Def, Graph, Node, Shape, Tensor};

/// Types of the node's own results: before epilogue and store view. `operands` are the types of
/// the operator's own operands after their views.
pub fn infer_op(
    op: &str,
    path: &str,
    attrs: &drift_ir::Attrs,
    operands: &[Option<(DType, Shape)>],
    body: &Body,
) -> Result<Vec<(DType, Shape)>> {
    let def =
        find_op(op).ok_or_else(|| OpError::invalid(op, path, "is not an operator of the table"))?;
    let types = (def.infer)(&InferCtx { op, path, attrs, operands, body })?;
    for (dtype, shape) in &types {
        if shape.checked_elems().is_none_or(|n| n > MAX_ELEMS) {
            return Err(OpError::invalid(
                op,
                path,
                format!("the result {dtype}{shape} has more than 2^34 elements"),
            )
            .help("check the shapes and sizes that lead to this node"));
        }
    }
    Ok(types)
}

/// Types of the operands of `node` after their views, all of them (epilogue operands too).
pub fn operand_types(graph: &Graph, node: &Node) -> Result<Vec<Option<(DType, Shape)>>> {
    node.operands
        .iter()
        .enumerate()
        .map(|(i, o)| {
            let Some(o) = o else { return Ok(None) };
            let v = graph.value(o.value);
            let shape = o.view.apply(&v.shape).ok_or_else(|| {
                let m = format!("view {} of operand {i} does not apply to {}", o.view, v.shape);
                OpError::invalid(node.op, &node.path, m)
            })?;
            Ok(Some((v.dtype, shape)))
        })
        .collect()
}

/// Types of the node's own results, before epilogue and store view.
pub fn infer_node(graph: &Graph, node: &Node) -> Result<Vec<(DType, Shape)>> {
    let types = operand_types(graph, node)?;
    let own = own_operands(node, &types);
    infer_op(node.op, &node.path, &node.attrs, own, &node.epilogue)
}

/// A `pointwise` node has no main computation: its body reads all operands.
fn own_operands<'a, T>(node: &Node, all: &'a [T]) -> &'a [T] {
    if node.op == "pointwise" { all } else { &all[..node.epilogue_operands.min(all.len())] }
}

/// Computes one operator on operands that have been through their views.
pub fn eval_op(
    op: &str,
    path: &str,
    attrs: &drift_ir::Attrs,
    operands: &[Option<Tensor>],
    body: &Body,
) -> Result<Vec<Tensor>> {
    let types: Vec<_> =
        operands.iter().map(|t| t.as_ref().map(|t| (t.dtype, t.shape.clone()))).collect();
    let results = infer_op(op, path, attrs, &types, body)?;
    let def = find_op(op).expect("infer_op found it");
    (def.reference)(&RefCtx { op, path, attrs, operands, results: &results, body })
}

/// Evaluates one node: operand views, the operator, the epilogue per element, the store view.
///
/// `operands` are the stored values, one per operand of the node. Returns one tensor per result.
pub fn eval_node(graph: &Graph, node: &Node, operands: &[Option<Tensor>]) -> Result<Vec<Tensor>> {
    let invalid = |m: String| OpError::invalid(node.op, &node.path, m);
    if operands.len() != node.operands.len() {
        return Err(invalid(format!(
            "{} operands given, the node has {}",
            operands.len(),
            node.operands.len()
        )));
    }
    let mut seen = Vec::with_capacity(operands.len());
    for (i, (o, t)) in node.operands.iter().zip(operands).enumerate() {
        seen.push(match (o, t) {
            (None, _) => None,
            (Some(_), None) => return Err(invalid(format!("operand {i} has no value"))),
            (Some(o), Some(t)) => Some(apply_view(t, &o.view).ok_or_else(|| {
                invalid(format!("view {} of operand {i} does not apply to {}", o.view, t.shape))
            })?),
        });
    }
    let own = own_operands(node, &seen);
    let mut results = eval_op(node.op, &node.path, &node.attrs, own, &node.epilogue)?;
    if node.op != "pointwise" && !node.epilogue.results.is_empty() {
        let acc = results
            .first()
            .ok_or_else(|| invalid("an epilogue needs a result to start from".to_owned()))?;
        let shape = acc.shape.clone();
        let wide = seen
            .iter()
            .enumerate()
            .map(|(i, t)| match t {
                Some(t) if i >= node.epilogue_operands => {
                    Ok(Some(broadcast_to(t, &shape).ok_or_else(|| {
                        invalid(format!(
                            "epilogue operand {i} has shape {}, the node stores {shape}",
                            t.shape
                        ))
                    })?))
                }
                _ => Ok(None),
            })
            .collect::<Result<Vec<_>>>()?;
        let dtypes: Vec<DType> = node.results.iter().map(|r| graph.value(*r).dtype).collect();
        results =
            eval_body(&node.epilogue, Some(acc), &wide, &shape, Some(&dtypes)).map_err(invalid)?;
    }
    if !node.store_view.is_identity() {
        for t in &mut results {
            *t = apply_view(t, &node.store_view).ok_or_else(|| {
                invalid(format!("store view {} does not apply to {}", node.store_view, t.shape))
            })?;
        }
    }
    if results.len() < node.results.len() {
        return Err(invalid(format!(
            "computes {} results, the node lists {}",
            results.len(),
            node.results.len()
        )));
    }
    for (t, r) in results.iter().zip(&node.results) {
        let v = graph.value(*r);
        if t.dtype != v.dtype || t.shape != v.shape {
            return Err(invalid(format!(
                "computes {}{}, but its result {} is declared {}{}",
                t.dtype, t.shape, v.name, v.dtype, v.shape
            )));
        }
    }
    results.truncate(node.results.len());
    Ok(results)
}

/// Evaluates a graph on `inputs` (in the order of `graph.inputs`); the outputs in order.
/// A value is dropped after its last reader.
pub fn eval_graph(graph: &Graph, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
    let invalid = |m: String| OpError::invalid("graph", &graph.name, m);
    if inputs.len() != graph.inputs.len() {
        return Err(invalid(format!(
            "{} inputs given, the model has {}",
            inputs.len(),
            graph.inputs.len()
        )));
    }
    let count = graph.value_ids().count();
    let mut values: Vec<Option<Tensor>> = vec![None; count];
    let mut reads = vec![0usize; count];
    for (id, t) in graph.inputs.iter().zip(inputs) {
        let v = graph.value(*id);
        if t.dtype != v.dtype || t.shape != v.shape {
            return Err(invalid(format!(
                "input {} is {}{}, given {}{}",
                v.name, v.dtype, v.shape, t.dtype, t.shape
            )));
        }
        values[id.0 as usize] = Some(t.clone());
    }
    let order = graph.topo_order().map_err(|n| invalid(format!("a cycle of {} nodes", n.len())))?;
    for id in &order {
        for o in graph.node(*id).operands.iter().flatten() {
            reads[o.value.0 as usize] += 1;
        }
    }
    for (_, v) in &graph.outputs {
        reads[v.0 as usize] += 1;
    }
    let get = |values: &[Option<Tensor>], id: drift_ir::ValueId| {
        let value = graph.value(id);
        match &value.def {
            Def::Const(t) => Some(t.clone()),
            Def::Lazy(lazy) => lazy.tensor(value.dtype, &value.shape).ok(),
            _ => values[id.0 as usize].clone(),
        }
    };
    for id in order {
        let node = graph.node(id);
        let operands: Vec<Option<Tensor>> =
            node.operands.iter().map(|o| get(&values, o.as_ref()?.value)).collect();
        let results = eval_node(graph, node, &operands)?;
        for o in node.operands.iter().flatten() {
            let i = o.value.0 as usize;
            reads[i] -= 1;
            if reads[i] == 0 {
                values[i] = None;
            }
        }
        for (r, t) in node.results.iter().zip(results) {
            if reads[r.0 as usize] > 0 {
                values[r.0 as usize] = Some(t);
            }
        }
    }
    graph
        .outputs
        .iter()
        .map(|(name, id)| {
            get(&values, *id).ok_or_else(|| invalid(format!("output {name} was not computed")))
        })
        .collect()
}
