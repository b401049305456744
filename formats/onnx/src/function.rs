//! Model-local functions: bodies for one call, and bounds that make inlining safe.

use std::collections::HashMap;

use crate::error::{OnnxError, clip};
use crate::model::{Attribute, Function, Graph, Node};

/// Functions call functions at most this deep, so that inlining may recurse.
const MAX_CALL_DEPTH: u32 = 64;
/// Nodes of a model after inlining. Ten functions that call each other ten times each make 10^10
/// nodes of a file of a few kilobytes.
const MAX_INLINED_NODES: u64 = 2_000_000;

impl Function {
    /// The body as one call means it: each reference to an attribute of the function is replaced by
    /// the call's value, or by the default. Where there is neither, the attribute is left out, and
    /// the operator's own default holds.
    ///
    /// Value names are the function's own; the caller renames them. The depth of calls is bounded
    /// and recursion is refused when the model is read.
    pub fn body_for(&self, call: &Node) -> Vec<Node> {
        let mut nodes = self.nodes.clone();
        for node in &mut nodes {
            self.bind(node, call);
        }
        nodes
    }

    fn bind(&self, node: &mut Node, call: &Node) {
        let old = std::mem::take(&mut node.attributes);
        for (name, mut value) in old {
            if let Attribute::Ref(reference) = &value {
                let source = &reference.name;
                let given = call.attributes.get(source);
                let Some(given) = given.or_else(|| self.attribute_defaults.get(source)) else {
                    continue;
                };
                value = given.clone();
            } else {
                let graphs: &mut [Graph] = match &mut value {
                    Attribute::Graph(graph) => std::slice::from_mut(&mut **graph),
                    Attribute::Graphs(graphs) => graphs,
                    _ => &mut [],
                };
                for inner in graphs.iter_mut().flat_map(|graph| &mut graph.nodes) {
                    self.bind(inner, call);
                }
            }
            node.attributes.insert(name, value);
        }
    }
}

/// Refuses recursion, deep chains of calls, and bodies that explode when inlined.
pub(crate) fn check_calls(functions: &[Function], graph: &Graph) -> Result<(), OnnxError> {
    if functions.is_empty() {
        return Ok(());
    }
    let ids: HashMap<_, usize> = functions.iter().enumerate().map(|(i, f)| (id(f), i)).collect();
    let bodies: Vec<Body> = functions.iter().map(|f| Body::of(&f.nodes, &ids)).collect();

    // From functions that call nothing towards their callers.
    let mut callers: Vec<Vec<usize>> = vec![Vec::new(); functions.len()];
    let mut waits: Vec<usize> = vec![0; functions.len()];
    for (i, body) in bodies.iter().enumerate() {
        waits[i] = body.calls.len();
        for callee in body.calls.keys() {
            callers[*callee].push(i);
        }
    }
    let mut ready: Vec<usize> = (0..functions.len()).filter(|i| waits[*i] == 0).collect();
    let mut sizes: Vec<Option<Size>> = vec![None; functions.len()];
    while let Some(i) = ready.pop() {
        let size = bodies[i].inlined(&sizes);
        size.check(&label(&functions[i].domain, &functions[i].name))?;
        sizes[i] = Some(size);
        for caller in &callers[i] {
            waits[*caller] -= 1;
            if waits[*caller] == 0 {
                ready.push(*caller);
            }
        }
    }
    if let Some(stuck) = sizes.iter().position(Option::is_none) {
        return Err(OnnxError::Invalid {
            place: label(&functions[stuck].domain, &functions[stuck].name),
            problem: "it calls itself, directly or through other functions".into(),
        });
    }
    Body::of(&graph.nodes, &ids).inlined(&sizes).check("the main graph")
}

fn id(function: &Function) -> (&str, &str, &str) {
    (&function.domain, &function.name, &function.overload)
}

/// How messages call a function.
pub(crate) fn label(domain: &str, name: &str) -> String {
    format!("function `{}::{}`", clip(domain, 100), clip(name, 100))
}

/// What a list of nodes holds, subgraphs included.
#[derive(Default)]
struct Body {
    nodes: u64,
    /// Function index to number of calls.
    calls: HashMap<usize, u64>,
}

impl Body {
    fn of(nodes: &[Node], ids: &HashMap<(&str, &str, &str), usize>) -> Body {
        let mut body = Body::default();
        body.add(nodes, ids);
        body
    }

    fn add(&mut self, nodes: &[Node], ids: &HashMap<(&str, &str, &str), usize>) {
        for node in nodes {
            self.nodes += 1;
            let callee = (node.domain.as_str(), node.op_type.as_str(), node.overload.as_str());
            if let Some(callee) = ids.get(&callee) {
                *self.calls.entry(*callee).or_default() += 1;
            }
            // Subgraphs nest no deeper than the wire format is allowed to.
            for graph in node.subgraphs() {
                self.add(&graph.nodes, ids);
            }
        }
    }

    fn inlined(&self, sizes: &[Option<Size>]) -> Size {
        let mut size = Size { nodes: self.nodes, depth: 0 };
        for (callee, count) in &self.calls {
            let callee = sizes[*callee].unwrap_or(Size { nodes: 0, depth: 0 });
            size.nodes = size.nodes.saturating_add(callee.nodes.saturating_mul(*count));
            size.depth = size.depth.max(callee.depth + 1);
        }
        size
    }
}

#[derive(Clone, Copy)]
struct Size {
    nodes: u64,
    depth: u32,
}

impl Size {
    fn check(self, place: &str) -> Result<(), OnnxError> {
        let what = if self.nodes > MAX_INLINED_NODES {
            format!("a model of more than {MAX_INLINED_NODES} nodes after inlining")
        } else if self.depth > MAX_CALL_DEPTH {
            format!("a chain of more than {MAX_CALL_DEPTH} function calls")
        } else {
            return Ok(());
        };
        Err(OnnxError::Unsupported { place: place.to_string(), what })
    }
}
