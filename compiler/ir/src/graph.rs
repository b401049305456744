//! Graph, nodes and values.

use crate::{Attrs, Body, DType, LazyTensor, Shape, Tensor, View};
use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueId(pub u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

impl fmt::Display for ValueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "%{}", self.0)
    }
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Def {
    Input,
    Const(Tensor),
    /// A constant whose bytes are made when the bundle is written.
    Lazy(LazyTensor),
    /// Result number `.1` of node `.0`.
    Node(NodeId, usize),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// Name in the model where it has one, else derived from its node's path.
    pub name: String,
    pub dtype: DType,
    pub shape: Shape,
    pub def: Def,
}

/// A value as a node sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Operand {
    pub value: ValueId,
    pub view: View,
}

impl From<ValueId> for Operand {
    fn from(value: ValueId) -> Operand {
        Operand { value, view: View::identity() }
    }
}

/// An operator applied to operands.
///
/// The first operands are the operator's own; further operands, from `epilogue_operands` on, are
/// read only by the epilogue body, at the coordinates of the stored element.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Name in the operator table of `drift-ops` ("conv", "matmul", "pointwise", ...).
    pub op: &'static str,
    pub attrs: Attrs,
    /// `None` = an omitted optional operand.
    pub operands: Vec<Option<Operand>>,
    /// Index of the first operand that belongs to the epilogue only (0 in a `pointwise` node, whose
    /// body is all it computes).
    pub epilogue_operands: usize,
    pub epilogue: Body,
    /// Coordinate change on the store: the node's own result, seen through this view, is the result
    /// value (so a following reshape or transpose costs nothing). Reshape and Transpose steps only.
    /// The epilogue runs before it, in the node's own coordinates.
    pub store_view: View,
    pub results: Vec<ValueId>,
    /// Path in the model, for people: "model/layer1/Conv_3".
    pub path: String,
}

/// A typed SSA DAG. Nodes and values are only ever added or removed through methods here; removed
/// nodes leave a hole, so ids never change meaning.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    pub name: String,
    values: Vec<Value>,
    nodes: Vec<Option<Node>>,
    pub inputs: Vec<ValueId>,
    /// Output values with their names in the model (one value may be several outputs).
    pub outputs: Vec<(String, ValueId)>,
    /// Names that persist between runs (KV cache, recurrent state). The input of such a name is the
    /// state before the run, the output of the name the state after it, in the same memory; one of
    /// the two may be missing (only read, only written).
    pub states: Vec<String>,
}

impl Graph {
    pub fn new(name: impl Into<String>) -> Graph {
        Graph { name: name.into(), ..Graph::default() }
    }

    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.0 as usize]
    }

    pub fn value_mut(&mut self, id: ValueId) -> &mut Value {
        &mut self.values[id.0 as usize]
    }

    /// Panics when the node was removed.
    pub fn node(&self, id: NodeId) -> &Node {
        self.nodes[id.0 as usize].as_ref().expect("node was removed")
    }

    /// Panics when the node was removed.
    pub fn node_mut(&mut self, id: NodeId) -> &mut Node {
        self.nodes[id.0 as usize].as_mut().expect("node was removed")
    }

    pub fn get_node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id.0 as usize)?.as_ref()
    }

    pub fn value_ids(&self) -> impl Iterator<Item = ValueId> + use<> {
        (0..self.values.len() as u32).map(ValueId)
    }

    pub fn value_count(&self) -> usize {
        self.values.len()
    }

    /// The id that the next `add_node` gives.
    pub fn next_node_id(&self) -> NodeId {
        NodeId(self.nodes.len() as u32)
    }

    /// Live nodes in insertion order (see `topo_order` for an execution order).
    pub fn node_ids(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.nodes.iter().enumerate().filter(|(_, n)| n.is_some()).map(|(i, _)| NodeId(i as u32))
    }

    pub fn node_count(&self) -> usize {
        self.nodes.iter().flatten().count()
    }

    pub fn add_value(
        &mut self,
        name: impl Into<String>,
        dtype: DType,
        shape: Shape,
        def: Def,
    ) -> ValueId {
        let id = ValueId(self.values.len() as u32);
        self.values.push(Value { name: name.into(), dtype, shape, def });
        id
    }

    pub fn add_input(
        &mut self,
        name: impl Into<String>,
        dtype: DType,
        shape: impl Into<Shape>,
    ) -> ValueId {
        let id = self.add_value(name, dtype, shape.into(), Def::Input);
        self.inputs.push(id);
        id
    }

    /// A state as it is before the run.
    pub fn add_state(
        &mut self,
        name: impl Into<String>,
        dtype: DType,
        shape: impl Into<Shape>,
    ) -> ValueId {
        let name = name.into();
        self.name_state(&name);
        self.add_input(name, dtype, shape)
    }

    /// Makes `value` what the state is after the run.
    pub fn set_state(&mut self, name: impl Into<String>, value: ValueId) {
        let name = name.into();
        self.name_state(&name);
        self.outputs.push((name, value));
    }

    fn name_state(&mut self, name: &str) {
        if !self.is_state(name) {
            self.states.push(name.to_owned());
        }
    }

    pub fn is_state(&self, name: &str) -> bool {
        self.states.iter().any(|s| s == name)
    }

    pub fn add_lazy(
        &mut self,
        name: impl Into<String>,
        dtype: DType,
        shape: impl Into<Shape>,
        lazy: LazyTensor,
    ) -> ValueId {
        self.add_value(name, dtype, shape.into(), Def::Lazy(lazy))
    }

    pub fn add_const(&mut self, name: impl Into<String>, tensor: Tensor) -> ValueId {
        let (dtype, shape) = (tensor.dtype, tensor.shape.clone());
        self.add_value(name, dtype, shape, Def::Const(tensor))
    }

    /// Adds a node without epilogue; result values are created with the given names and types.
    pub fn add_node(
        &mut self,
        op: &'static str,
        attrs: Attrs,
        operands: Vec<Option<Operand>>,
        results: Vec<(String, DType, Shape)>,
        path: impl Into<String>,
    ) -> NodeId {
        let id = NodeId(self.nodes.len() as u32);
        let results = results
            .into_iter()
            .enumerate()
            .map(|(i, (name, dtype, shape))| self.add_value(name, dtype, shape, Def::Node(id, i)))
            .collect();
        let epilogue_operands = operands.len();
        self.nodes.push(Some(Node {
            op,
            attrs,
            operands,
            epilogue_operands,
            epilogue: Body::default(),
            store_view: View::identity(),
            results,
            path: path.into(),
        }));
        id
    }

    /// Removes a node. Its result values stay as dangling ids; nothing may read them any more
    /// unless `redefine` gives them to another node.
    pub fn remove_node(&mut self, id: NodeId) -> Option<Node> {
        self.nodes[id.0 as usize].take()
    }

    /// Makes `value` result `index` of `node` (which must list it in `results`).
    pub fn redefine(&mut self, value: ValueId, node: NodeId, index: usize) {
        self.value_mut(value).def = Def::Node(node, index);
    }

    /// Whether a value is the same in every run.
    pub fn is_const(&self, id: ValueId) -> bool {
        matches!(self.value(id).def, Def::Const(_) | Def::Lazy(_))
    }

    /// The constant behind a value, if it is in memory.
    pub fn const_of(&self, id: ValueId) -> Option<&Tensor> {
        match &self.value(id).def {
            Def::Const(t) => Some(t),
            _ => None,
        }
    }

    /// The node that computes a value.
    pub fn producer(&self, id: ValueId) -> Option<NodeId> {
        match self.value(id).def {
            Def::Node(n, _) => Some(n),
            _ => None,
        }
    }

    pub fn is_output(&self, id: ValueId) -> bool {
        self.outputs.iter().any(|(_, v)| *v == id)
    }

    /// For every value: the nodes that read it, each once, in insertion order.
    pub fn users(&self) -> Vec<Vec<NodeId>> {
        let mut users = vec![Vec::new(); self.values.len()];
        for id in self.node_ids() {
            for operand in self.node(id).operands.iter().flatten() {
                let list: &mut Vec<NodeId> = &mut users[operand.value.0 as usize];
                if list.last() != Some(&id) {
                    list.push(id);
                }
            }
        }
        users
    }

    /// Every read of `from`, also as a graph output, becomes a read of `to`.
    pub fn replace_uses(&mut self, from: ValueId, to: ValueId) {
        for node in self.nodes.iter_mut().flatten() {
            for operand in node.operands.iter_mut().flatten() {
                if operand.value == from {
                    operand.value = to;
                }
            }
        }
        for (_, v) in &mut self.outputs {
            if *v == from {
                *v = to;
            }
        }
    }

    /// Live nodes, producers before consumers; among ready nodes the one inserted first comes
    /// first, so the order is stable. `Err` names the nodes on a cycle.
    pub fn topo_order(&self) -> Result<Vec<NodeId>, Vec<NodeId>> {
        use std::cmp::Reverse;
        use std::collections::BinaryHeap;
        let mut waiting = vec![0usize; self.nodes.len()];
        let mut next: Vec<Vec<u32>> = vec![Vec::new(); self.nodes.len()];
        for id in self.node_ids() {
            for operand in self.node(id).operands.iter().flatten() {
                if let Some(p) = self.producer(operand.value) {
                    next[p.0 as usize].push(id.0);
                    waiting[id.0 as usize] += 1;
                }
            }
        }
        let mut ready: BinaryHeap<Reverse<u32>> =
            self.node_ids().filter(|n| waiting[n.0 as usize] == 0).map(|n| Reverse(n.0)).collect();
        let mut order = Vec::with_capacity(self.node_count());
        while let Some(Reverse(n)) = ready.pop() {
            order.push(NodeId(n));
            for &m in &next[n as usize] {
                waiting[m as usize] -= 1;
                if waiting[m as usize] == 0 {
                    ready.push(Reverse(m));
                }
            }
        }
        if order.len() == self.node_count() {
            Ok(order)
        } else {
            Err(self.node_ids().filter(|n| waiting[n.0 as usize] > 0).collect())
        }
    }

    /// Removes nodes none of whose results is read or is an output. Returns how many.
    pub fn remove_dead_nodes(&mut self) -> usize {
        let mut live = vec![false; self.nodes.len()];
        let mut stack: Vec<NodeId> =
            self.outputs.iter().filter_map(|(_, v)| self.producer(*v)).collect();
        while let Some(id) = stack.pop() {
            if std::mem::replace(&mut live[id.0 as usize], true) {
                continue;
            }
            for operand in self.node(id).operands.iter().flatten() {
                stack.extend(self.producer(operand.value));
            }
        }
        let before = self.node_count();
        for (i, slot) in self.nodes.iter_mut().enumerate() {
            if !live[i] {
                *slot = None;
            }
        }
        before - self.node_count()
    }
}
