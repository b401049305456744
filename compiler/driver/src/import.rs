//! ONNX model -> graph with static shapes.
//!
//! Operators are imported by their table entries (`drift_ops::import_node`), which also fold
//! constants; here is what is not an operator: inputs, initializers, `Constant`, control flow with
//! a known condition, and model-local functions.

use crate::dims::DimBindings;
use crate::error::{ErrorKind, Result, StageError};
use drift_ir::{Attr, Attrs, DType, Def, Graph, Shape, Tensor, ValueId};
use drift_onnx::{Attribute, ElemType, Model, Node};
use drift_ops::ImportCtx;
use std::collections::{BTreeMap, HashMap};

const STAGE: &str = "import";
/// Functions and branches inside each other.
const MAX_DEPTH: usize = 32;
/// Iterations of a `Loop` that are written out.
const MAX_TRIPS: i64 = 256;

/// A graph and what a person should know about how it came to be.
#[derive(Debug)]
pub struct Imported {
    pub graph: Graph,
    /// Nodes of the model, those inside branches and functions included.
    pub model_nodes: usize,
    pub notes: Vec<String>,
}

/// Newest operator set of ai.onnx that is accepted. Operators seldom change between versions, but
/// when they do, the old reading is a wrong answer.
const NEWEST_OPSET: i64 = 26;

fn check_opset(model: &Model) -> Result<()> {
    match model.opset("") {
        Some(version) if version > NEWEST_OPSET => Err(StageError::new(
            STAGE,
            ErrorKind::Unsupported,
            format!("operator set {version} of ai.onnx is not known; the newest known is {NEWEST_OPSET}"),
        )
        .help("export with an older opset, or convert: onnx.version_converter.convert_version(model, 22)")),
        _ => Ok(()),
    }
}

/// Imports a model; `bindings` size its symbolic dims.
pub fn import(model: &Model, bindings: &DimBindings) -> Result<Imported> {
    check_opset(model)?;
    let inputs: Vec<_> = model.graph.runtime_inputs().collect();
    let bound = bindings.bind(&inputs)?;
    let mut notes = model.warnings.clone();
    notes.extend(bound.notes);
    let mut importer =
        Importer { model, graph: Graph::new(model.graph.name.clone()), depth: 0, opsets: None };
    let mut scope = Scope::new();
    for (input, shape) in inputs.iter().zip(bound.shapes) {
        let dtype = match input.elem_type {
            Some(e) => dtype_of(e, &format!("input `{}`", input.name))?,
            None => {
                return Err(StageError::invalid(
                    STAGE,
                    format!("input `{}` declares no element type", input.name),
                ));
            }
        };
        let shape = Shape::from(shape);
        if shape.checked_elems().and_then(|n| n.checked_mul(8)).is_none_or(|n| n > 1 << 40) {
            return Err(StageError::invalid(
                STAGE,
                format!("input `{}` has the impossible shape {shape}", input.name),
            ));
        }
        let id = importer.graph.add_input(input.name.clone(), dtype, shape);
        scope.insert(input.name.clone(), id);
    }
    importer.body(&model.graph, &mut scope)?;
    for output in &model.graph.outputs {
        let id = scope.get(&output.name).copied().ok_or_else(|| {
            StageError::invalid(STAGE, format!("nothing defines the output `{}`", output.name))
        })?;
        importer.graph.outputs.push((output.name.clone(), id));
    }
    if importer.graph.outputs.is_empty() {
        return Err(StageError::invalid(STAGE, "the model has no outputs"));
    }
    importer.graph.remove_dead_nodes();
    Ok(Imported { graph: importer.graph, model_nodes: model.graph.total_nodes(), notes })
}

type Scope = HashMap<String, ValueId>;

/// Element type in the graph; an error for types no kernel knows.
pub fn dtype_of(elem: ElemType, what: &str) -> Result<DType> {
    DType::from_name(elem.name()).ok_or_else(|| {
        StageError::new(
            STAGE,
            ErrorKind::Unsupported,
            format!("{what}: element type {elem} is not supported"),
        )
        .help("supported: f32, f16, bf16, f64, 8- to 64-bit integers, bool")
    })
}

/// A constant of the model as a host tensor; shares its bytes.
pub fn tensor_of(t: &drift_onnx::Tensor, what: &str) -> Result<Tensor> {
    let dtype = dtype_of(t.dtype, what)?;
    let dims = t.dims.iter().map(|&d| usize::try_from(d)).collect::<Result<Vec<_>, _>>();
    dims.ok()
        .and_then(|d| Tensor::from_bytes(dtype, d, t.data.clone()))
        .ok_or_else(|| StageError::invalid(STAGE, format!("{what}: shape and data disagree")))
}

struct Importer<'m> {
    model: &'m Model,
    graph: Graph,
    depth: usize,
    /// Operator sets of the function being inlined.
    opsets: Option<&'m [(String, i64)]>,
}

impl<'m> Importer<'m> {
    fn opset(&self, domain: &str) -> i64 {
        let found = self.opsets.and_then(|o| o.iter().find(|(d, _)| d == domain).map(|x| x.1));
        found.or_else(|| self.model.opset(domain)).unwrap_or(1)
    }

    /// Imports initializers and nodes of a (sub)graph into `scope`.
    fn body(&mut self, graph: &drift_onnx::Graph, scope: &mut Scope) -> Result<()> {
        for (name, tensor) in &graph.initializers {
            if tensor.dtype == ElemType::String {
                continue; // only a use of it is an error
            }
            let tensor = tensor_of(tensor, &format!("initializer `{name}`"))?;
            let id = self.graph.add_const(name.clone(), tensor);
            scope.insert(name.clone(), id);
        }
        if let Some((name, _)) = graph.sparse_initializers.first() {
            return Err(StageError::new(
                STAGE,
                ErrorKind::Unsupported,
                format!("sparse initializer `{name}`: only dense constants are supported"),
            ));
        }
        self.nodes(&graph.nodes, scope)
    }

    fn nodes(&mut self, nodes: &[Node], scope: &mut Scope) -> Result<()> {
        nodes.iter().try_for_each(|node| self.node(node, scope))
    }

    fn lookup(&self, scope: &Scope, name: &str, node: &Node) -> Result<ValueId> {
        scope.get(name).copied().ok_or_else(|| {
            StageError::invalid(
                STAGE,
                format!("{} uses `{name}`, which has no value", node.label()),
            )
        })
    }

    fn node(&mut self, node: &Node, scope: &mut Scope) -> Result<()> {
        let model = self.model;
        let results = if let Some(function) = model.function(node) {
            self.call(node, function, scope)?
        } else {
            match (node.domain.as_str(), node.op_type.as_str()) {
                ("", "If") => self.if_node(node, scope)?,
                ("", "Loop") => self.loop_node(node, scope)?,
                _ => self.operator(node, scope)?,
            }
        };
        for (name, value) in node.outputs.iter().zip(results) {
            if !name.is_empty() {
                scope.insert(name.clone(), value);
            }
        }
        Ok(())
    }

    fn operator(&mut self, node: &Node, scope: &Scope) -> Result<Vec<ValueId>> {
        let mut inputs = Vec::new();
        for name in &node.inputs {
            let empty = name.is_empty();
            inputs.push(if empty { None } else { Some(self.lookup(scope, name, node)?) });
        }
        let opset = self.opset(&node.domain);
        let mut ctx = ImportCtx {
            graph: &mut self.graph,
            op_type: node.op_type.clone(),
            domain: node.domain.clone(),
            opset,
            attrs: attrs_of(node)?,
            inputs,
            output_names: node.outputs.clone(),
            path: node.path.clone(),
        };
        drift_ops::import_node(&mut ctx).map_err(|e| StageError::op(STAGE, e))
    }

    fn deeper<T>(&mut self, node: &Node, f: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth >= MAX_DEPTH {
            return Err(StageError::invalid(
                STAGE,
                format!(
                    "{}: functions and branches are nested over {MAX_DEPTH} deep",
                    node.label()
                ),
            ));
        }
        self.depth += 1;
        let result = f(self);
        self.depth -= 1;
        result
    }

    /// Inlines a model-local function.
    fn call(
        &mut self,
        node: &Node,
        function: &'m drift_onnx::Function,
        scope: &Scope,
    ) -> Result<Vec<ValueId>> {
        let mut inner = Scope::new();
        for (formal, actual) in function.inputs.iter().zip(&node.inputs) {
            if !actual.is_empty() {
                inner.insert(formal.clone(), self.lookup(scope, actual, node)?);
            }
        }
        self.deeper(node, |this| {
            let outer = this.opsets.replace(&function.opsets);
            let done = this.nodes(&function.body_for(node), &mut inner);
            this.opsets = outer;
            done
        })?;
        function.outputs.iter().map(|name| self.lookup(&inner, name, node)).collect()
    }

    /// `If` with a condition known at compile time: the branch is inlined.
    fn if_node(&mut self, node: &Node, scope: &Scope) -> Result<Vec<ValueId>> {
        let cond = node.inputs.first().map_or("", String::as_str);
        let cond = self.lookup(scope, cond, node)?;
        let Some(value) = self.graph.const_of(cond).and_then(Tensor::scalar_f64) else {
            return Err(StageError::new(
                STAGE,
                ErrorKind::Unsupported,
                format!("{}: its condition is known only at run time", node.label()),
            )
            .help("a bundle has a static plan: export the model with the branch decided"));
        };
        let branch = if value != 0.0 { "then_branch" } else { "else_branch" };
        let graph = node.attr_graph(branch).map_err(|e| StageError::onnx(STAGE, &e))?;
        let Some(graph) = graph else {
            return Err(StageError::invalid(STAGE, format!("{} has no {branch}", node.label())));
        };
        let mut inner = scope.clone();
        self.deeper(node, |this| this.body(graph, &mut inner))?;
        graph.outputs.iter().map(|o| self.lookup(&inner, &o.name, node)).collect()
    }

    /// `Loop` with a trip count known at compile time and a condition that stays true: written out.
    fn loop_node(&mut self, node: &Node, scope: &Scope) -> Result<Vec<ValueId>> {
        let unsupported = |why: &str| {
            StageError::new(STAGE, ErrorKind::Unsupported, format!("{}: {why}", node.label()))
                .help("a bundle has a static plan: export the model with the loop written out")
        };
        let body = node.attr_graph("body").map_err(|e| StageError::onnx(STAGE, &e))?;
        let Some(body) = body else {
            return Err(StageError::invalid(STAGE, format!("{} has no body", node.label())));
        };
        let constant = |this: &Self, i: usize| -> Result<Option<i64>> {
            match node.inputs.get(i).filter(|n| !n.is_empty()) {
                None => Ok(None),
                Some(name) => {
                    let id = this.lookup(scope, name, node)?;
                    let t = this.graph.const_of(id);
                    t.and_then(|t| t.to_i64s().first().copied())
                        .map(Some)
                        .ok_or_else(|| unsupported("its trip count is known only at run time"))
                }
            }
        };
        let trips = constant(self, 0)?.ok_or_else(|| unsupported("it has no trip count"))?;
        let mut go = constant(self, 1)?.is_none_or(|c| c != 0);
        if trips > MAX_TRIPS {
            return Err(unsupported(&format!(
                "{trips} iterations; at most {MAX_TRIPS} are written out"
            )));
        }
        let carried = node.inputs.len().saturating_sub(2);
        let mut state = Vec::new();
        for name in node.inputs.iter().skip(2) {
            state.push(self.lookup(scope, name, node)?);
        }
        let scans = body.outputs.len().saturating_sub(1 + carried);
        if scans > 0 {
            return Err(unsupported("scan outputs of a loop"));
        }
        for trip in 0..trips {
            if !go {
                break;
            }
            let mut inner = scope.clone();
            let t = self.graph.add_const("", Tensor::from_i64(Shape::scalar(), &[trip]));
            let c = Tensor::from_i64s(DType::Bool, Shape::scalar(), &[1]);
            let c = self.graph.add_const("", c);
            let values = [t, c].into_iter().chain(state.iter().copied());
            for (input, value) in body.inputs.iter().zip(values) {
                inner.insert(input.name.clone(), value);
            }
            self.deeper(node, |this| this.body(body, &mut inner))?;
            let mut outs = Vec::new();
            for o in &body.outputs {
                outs.push(self.lookup(&inner, &o.name, node)?);
            }
            let again = outs.first().and_then(|c| self.graph.const_of(*c));
            go = again
                .and_then(Tensor::scalar_f64)
                .ok_or_else(|| unsupported("whether it goes on is known only at run time"))?
                != 0.0;
            state = outs.into_iter().skip(1).collect();
        }
        Ok(state)
    }
}

/// No operator has a use for NaN or an infinity as a parameter: it is damage, and would only show
/// as a wrong answer.
fn finite(v: f32, what: &dyn Fn() -> String) -> Result<f64> {
    match v.is_finite() {
        true => Ok(f64::from(v)),
        false => Err(StageError::invalid(STAGE, format!("{} is {v}", what()))),
    }
}

/// Attributes as the operator table takes them.
fn attrs_of(node: &Node) -> Result<Attrs> {
    let mut attrs = BTreeMap::new();
    for (name, value) in &node.attributes {
        let what = || format!("{}: attribute `{name}`", node.label());
        let text = |b: &[u8]| {
            String::from_utf8(b.to_vec())
                .map_err(|_| StageError::invalid(STAGE, format!("{} is not UTF-8", what())))
        };
        let attr = match value {
            Attribute::Int(v) => Attr::Int(*v),
            Attribute::Float(v) => Attr::Float(finite(*v, &what)?),
            Attribute::Str(v) => Attr::Str(text(v)?),
            Attribute::Ints(v) => Attr::Ints(v.clone()),
            Attribute::Floats(v) => {
                Attr::Floats(v.iter().map(|x| finite(*x, &what)).collect::<Result<_>>()?)
            }
            Attribute::Strs(v) => {
                let parts = v.iter().map(|s| text(s)).collect::<Result<Vec<_>>>()?;
                Attr::Str(parts.join(","))
            }
            Attribute::Tensor(t) => Attr::Tensor(tensor_of(t, &what())?),
            other => {
                return Err(StageError::new(
                    STAGE,
                    ErrorKind::Unsupported,
                    format!("{} is {}, which no supported operator takes", what(), other.kind()),
                ));
            }
        };
        attrs.insert(name.clone(), attr);
    }
    Ok(Attrs(attrs))
}

/// Outputs that are inputs, constants, or another output's value get a node of their own: every
/// output object is written by exactly one dispatch.
pub fn materialize_outputs(graph: &mut Graph) {
    let outputs = graph.outputs.clone();
    let mut seen: Vec<ValueId> = Vec::new();
    for (i, (name, value)) in outputs.into_iter().enumerate() {
        let fresh = !seen.contains(&value);
        seen.push(value);
        if fresh && matches!(graph.value(value).def, Def::Node(..)) {
            continue;
        }
        let (dtype, shape) = (graph.value(value).dtype, graph.value(value).shape.clone());
        let node = graph.add_node(
            "pointwise",
            Attrs::new(),
            vec![Some(value.into())],
            vec![(name.clone(), dtype, shape)],
            format!("output {name}"),
        );
        let n = graph.node_mut(node);
        n.epilogue_operands = 0;
        n.epilogue = drift_ir::Body {
            steps: vec![drift_ir::Step {
                op: drift_ir::PointwiseOp::Identity,
                args: vec![drift_ir::Arg::Operand(0)],
                dtype,
            }],
            results: vec![drift_ir::Arg::Step(0)],
        };
        graph.outputs[i].1 = graph.node(node).results[0];
    }
}
