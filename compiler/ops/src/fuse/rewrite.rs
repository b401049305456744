//! Patches: what a rule returns, and the one place where a graph is changed.
//!
//! A rule looks at one node through a [`Ctx`] and returns a [`Patch`], a list of edits. The
//! [`Rewriter`] applies it, keeps the reader lists current and removes what nothing reads any more.
//! A patch keeps ids stable: a node is changed in place ([`Patch::set_node`]) where possible, so the
//! execution order stays close to the model's.

use drift_ir::{Attrs, Body, DType, Def, Graph, Node, NodeId, Operand, Shape, Tensor, ValueId};

/// A graph as rules see it, with the readers of every value.
#[derive(Clone, Copy, Debug)]
pub struct Ctx<'g> {
    pub graph: &'g Graph,
    users: &'g [Vec<NodeId>],
    outputs: &'g [bool],
}

impl<'g> Ctx<'g> {
    /// Nodes that read `v`, each once.
    pub fn users(&self, v: ValueId) -> &'g [NodeId] {
        self.users.get(v.0 as usize).map_or(&[], Vec::as_slice)
    }

    pub fn is_output(&self, v: ValueId) -> bool {
        self.outputs.get(v.0 as usize).is_some_and(|o| *o)
    }

    /// The one node that reads `v` (any number of times), when `v` is no graph output.
    pub fn only_user(&self, v: ValueId) -> Option<NodeId> {
        match self.users(v) {
            [user] if !self.is_output(v) => Some(*user),
            _ => None,
        }
    }

    pub fn node(&self, id: NodeId) -> &'g Node {
        self.graph.node(id)
    }

    pub fn producer(&self, v: ValueId) -> Option<(NodeId, &'g Node)> {
        let id = self.graph.producer(v)?;
        Some((id, self.graph.get_node(id)?))
    }

    pub fn shape(&self, v: ValueId) -> &'g Shape {
        &self.graph.value(v).shape
    }

    pub fn dtype(&self, v: ValueId) -> DType {
        self.graph.value(v).dtype
    }

    pub fn constant(&self, v: ValueId) -> Option<&'g Tensor> {
        self.graph.const_of(v)
    }

    /// Shape of an operand after its view.
    pub fn seen(&self, operand: &Operand) -> Option<Shape> {
        operand.view.apply(self.shape(operand.value))
    }
}

#[derive(Clone, Debug)]
enum Edit {
    Const(String, Tensor),
    /// A new node with its result types; the results in `node` are filled in when it is applied.
    Node(Box<Node>, Vec<(String, DType, Shape)>),
    /// New content of a node; its results stay.
    Set(NodeId, Box<Node>),
    Replace(ValueId, ValueId),
    Retype(ValueId, Shape),
    Remove(NodeId),
}

/// Edits that one application of a rule makes.
#[derive(Clone, Debug)]
pub struct Patch {
    edits: Vec<Edit>,
    next_value: u32,
}

impl Patch {
    /// An empty patch of the graph behind `ctx`.
    pub fn new(ctx: &Ctx) -> Patch {
        Patch { edits: Vec::new(), next_value: ctx.graph.value_count() as u32 }
    }

    fn fresh(&mut self) -> ValueId {
        self.next_value += 1;
        ValueId(self.next_value - 1)
    }

    pub fn constant(&mut self, name: impl Into<String>, tensor: Tensor) -> ValueId {
        self.edits.push(Edit::Const(name.into(), tensor));
        self.fresh()
    }

    /// A new node without epilogue; its result values.
    pub fn node(
        &mut self,
        op: &'static str,
        attrs: Attrs,
        operands: Vec<Option<Operand>>,
        results: Vec<(String, DType, Shape)>,
        path: &str,
    ) -> Vec<ValueId> {
        let node = Node {
            op,
            attrs,
            epilogue_operands: operands.len(),
            operands,
            epilogue: drift_ir::Body::default(),
            store_view: drift_ir::View::identity(),
            results: Vec::new(),
            path: path.to_owned(),
        };
        let ids = results.iter().map(|_| self.fresh()).collect();
        self.edits.push(Edit::Node(Box::new(node), results));
        ids
    }

    /// A new element-wise node; its result.
    pub fn pointwise(
        &mut self,
        body: Body,
        operands: Vec<Option<Operand>>,
        result: (String, DType, Shape),
        path: &str,
    ) -> ValueId {
        let id = self.node("pointwise", Attrs::new(), operands, vec![result], path)[0];
        if let Some(Edit::Node(node, _)) = self.edits.last_mut() {
            (node.epilogue, node.epilogue_operands) = (body, 0);
        }
        id
    }

    /// `id` becomes `node`, which keeps the results of `id`.
    #[must_use]
    pub fn set_node(mut self, id: NodeId, node: Node) -> Patch {
        self.edits.push(Edit::Set(id, Box::new(node)));
        self
    }

    /// Every read of `from` (also as a graph output) becomes a read of `to`.
    #[must_use]
    pub fn replace(mut self, from: ValueId, to: ValueId) -> Patch {
        self.edits.push(Edit::Replace(from, to));
        self
    }

    /// Another shape for a value whose node and readers this patch changes too.
    #[must_use]
    pub fn retype(mut self, v: ValueId, shape: Shape) -> Patch {
        self.edits.push(Edit::Retype(v, shape));
        self
    }

    /// Removes a node that nothing reads.
    #[must_use]
    pub fn remove(mut self, id: NodeId) -> Patch {
        self.edits.push(Edit::Remove(id));
        self
    }
}

/// Owns the graph while rules run.
#[derive(Debug)]
pub struct Rewriter {
    graph: Graph,
    users: Vec<Vec<NodeId>>,
    outputs: Vec<bool>,
}

impl Rewriter {
    pub fn new(graph: Graph) -> Rewriter {
        let users = graph.users();
        let mut outputs = vec![false; graph.value_count()];
        for (_, v) in &graph.outputs {
            outputs[v.0 as usize] = true;
        }
        Rewriter { graph, users, outputs }
    }

    pub fn ctx(&self) -> Ctx<'_> {
        Ctx { graph: &self.graph, users: &self.users, outputs: &self.outputs }
    }

    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    pub fn into_graph(self) -> Graph {
        self.graph
    }

    fn grow(&mut self) {
        let n = self.graph.value_count();
        self.users.resize(n, Vec::new());
        self.outputs.resize(n, false);
    }

    fn link(&mut self, id: NodeId) {
        let reads: Vec<ValueId> =
            self.graph.node(id).operands.iter().flatten().map(|o| o.value).collect();
        for v in reads {
            let list = &mut self.users[v.0 as usize];
            if let Err(at) = list.binary_search(&id) {
                list.insert(at, id);
            }
        }
    }

    /// Forgets `id` as a reader; the values it read.
    fn unlink(&mut self, id: NodeId) -> Vec<ValueId> {
        let reads: Vec<ValueId> =
            self.graph.node(id).operands.iter().flatten().map(|o| o.value).collect();
        for v in &reads {
            self.users[v.0 as usize].retain(|u| *u != id);
        }
        reads
    }

    fn is_dead(&self, id: NodeId) -> bool {
        self.graph.get_node(id).is_some_and(|n| {
            n.results
                .iter()
                .all(|r| self.users[r.0 as usize].is_empty() && !self.outputs[r.0 as usize])
        })
    }

    /// Removes `id` if nothing reads it, then its producers likewise. Returns how many went.
    pub fn sweep(&mut self, id: NodeId) -> usize {
        let (mut stack, mut count) = (vec![id], 0);
        while let Some(id) = stack.pop() {
            if self.is_dead(id) {
                let reads = self.unlink(id);
                self.graph.remove_node(id);
                count += 1;
                stack.extend(reads.into_iter().filter_map(|v| self.graph.producer(v)));
            }
        }
        count
    }

    /// Applies a patch that a rule made for the current graph.
    pub fn apply(&mut self, patch: Patch) {
        let mut suspects = Vec::new();
        for edit in patch.edits {
            match edit {
                Edit::Const(name, tensor) => {
                    self.graph.add_const(name, tensor);
                    self.grow();
                }
                Edit::Node(node, types) => {
                    let id =
                        self.graph.add_node(node.op, node.attrs, node.operands, types, node.path);
                    let added = self.graph.node_mut(id);
                    added.epilogue = node.epilogue;
                    added.epilogue_operands = node.epilogue_operands;
                    self.grow();
                    self.link(id);
                }
                Edit::Set(id, mut node) => {
                    let reads = self.unlink(id);
                    suspects.extend(reads.into_iter().filter_map(|v| self.graph.producer(v)));
                    let old = self.graph.node_mut(id);
                    node.results = std::mem::take(&mut old.results);
                    *old = *node;
                    self.link(id);
                }
                Edit::Remove(id) => suspects.push(id),
                Edit::Retype(v, shape) => self.graph.value_mut(v).shape = shape,
                Edit::Replace(from, to) => {
                    for user in std::mem::take(&mut self.users[from.0 as usize]) {
                        for o in self.graph.node_mut(user).operands.iter_mut().flatten() {
                            if o.value == from {
                                o.value = to;
                            }
                        }
                        self.link(user);
                    }
                    if std::mem::take(&mut self.outputs[from.0 as usize]) {
                        self.outputs[to.0 as usize] = true;
                        for (_, v) in &mut self.graph.outputs {
                            if *v == from {
                                *v = to;
                            }
                        }
                    }
                    if let Def::Node(id, _) = self.graph.value(from).def {
                        suspects.push(id);
                    }
                }
            }
        }
        debug_assert_eq!(self.graph.value_count() as u32, patch.next_value);
        for id in suspects {
            self.sweep(id);
        }
    }
}
