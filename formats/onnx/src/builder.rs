//! Builds models in a few lines, for tests, generators and examples.
//!
//! ```
//! use drift_onnx::{ElemType, Tensor, builder::ModelBuilder};
//!
//! let model = ModelBuilder::new(17)
//!     .input("x", ElemType::F32, &[1, 3, 8, 8])
//!     .initializer("w", Tensor::from_f32(&[4, 3, 3, 3], &[0.1; 108])?)
//!     .node("Conv", &["x", "w"], &["y"], &[("pads", vec![1, 1, 1, 1].into())])
//!     .output("y", ElemType::F32, &[1, 4, 8, 8])
//!     .build()?;
//! assert_eq!(model.graph.nodes[0].attr_ints("pads")?, Some(&[1i64, 1, 1, 1][..]));
//! # Ok::<(), drift_onnx::OnnxError>(())
//! ```

use std::collections::BTreeMap;

use crate::model::{Attribute, Dim, Function, Graph, Model, Node, ValueInfo, ValueKind};
use crate::{ElemType, OnnxError, Tensor, pb, write};

/// Builds one graph: a subgraph by itself, or the main graph inside a [`ModelBuilder`].
#[derive(Clone, Debug, Default)]
pub struct GraphBuilder {
    graph: Graph,
}

/// Builds a model. Nothing is checked before [`ModelBuilder::build`].
#[derive(Clone, Debug)]
pub struct ModelBuilder {
    model: Model,
    graph: GraphBuilder,
}

/// Axes from numbers: a negative one is unknown.
fn dims(dims: &[i64]) -> Vec<Dim> {
    dims.iter().map(|d| u64::try_from(*d).map_or(Dim::Unknown, Dim::Known)).collect()
}

fn value(name: &str, dtype: ElemType, dims: Vec<Dim>) -> ValueInfo {
    ValueInfo {
        name: name.to_string(),
        kind: ValueKind::Tensor,
        elem_type: Some(dtype),
        dims: Some(dims),
    }
}

/// A node, for [`GraphBuilder::push`] and function bodies.
pub fn node(
    op_type: &str,
    inputs: &[&str],
    outputs: &[&str],
    attributes: &[(&str, Attribute)],
) -> Node {
    Node {
        op_type: op_type.to_string(),
        inputs: inputs.iter().map(|s| s.to_string()).collect(),
        outputs: outputs.iter().map(|s| s.to_string()).collect(),
        attributes: attributes.iter().map(|(k, v)| (k.to_string(), v.clone())).collect(),
        ..Node::default()
    }
}

impl GraphBuilder {
    pub fn new(name: &str) -> GraphBuilder {
        GraphBuilder { graph: Graph { name: name.to_string(), ..Graph::default() } }
    }

    pub fn finish(self) -> Graph {
        self.graph
    }
}

macro_rules! graph_methods {
    ($builder:ty, $($graph:ident).+) => {
        impl $builder {
            /// A tensor input; a negative dim is unknown.
            pub fn input(self, name: &str, dtype: ElemType, shape: &[i64]) -> Self {
                self.input_dims(name, dtype, &dims(shape))
            }

            /// A tensor input with symbolic dims.
            pub fn input_dims(mut self, name: &str, dtype: ElemType, dims: &[Dim]) -> Self {
                self.$($graph).+.inputs.push(value(name, dtype, dims.to_vec()));
                self
            }

            /// A tensor output; a negative dim is unknown.
            pub fn output(self, name: &str, dtype: ElemType, shape: &[i64]) -> Self {
                self.output_dims(name, dtype, &dims(shape))
            }

            /// A tensor output with symbolic dims.
            pub fn output_dims(mut self, name: &str, dtype: ElemType, dims: &[Dim]) -> Self {
                self.$($graph).+.outputs.push(value(name, dtype, dims.to_vec()));
                self
            }

            /// A declared type of an intermediate value.
            pub fn value_info(mut self, name: &str, dtype: ElemType, shape: &[i64]) -> Self {
                self.$($graph).+.value_info.push(value(name, dtype, dims(shape)));
                self
            }

            /// A constant.
            pub fn initializer(mut self, name: &str, tensor: Tensor) -> Self {
                self.$($graph).+.initializers.push((name.to_string(), tensor.named(name)));
                self
            }

            /// An unnamed node of the standard operator set.
            pub fn node(
                self,
                op_type: &str,
                inputs: &[&str],
                outputs: &[&str],
                attributes: &[(&str, Attribute)],
            ) -> Self {
                self.push(node(op_type, inputs, outputs, attributes))
            }

            /// A named node of the standard operator set.
            pub fn named_node(
                self,
                name: &str,
                op_type: &str,
                inputs: &[&str],
                outputs: &[&str],
                attributes: &[(&str, Attribute)],
            ) -> Self {
                let node = node(op_type, inputs, outputs, attributes);
                self.push(Node { name: name.to_string(), ..node })
            }

            /// Any node.
            pub fn push(mut self, node: Node) -> Self {
                self.$($graph).+.nodes.push(node);
                self
            }
        }
    };
}

graph_methods!(GraphBuilder, graph);
graph_methods!(ModelBuilder, graph.graph);

impl ModelBuilder {
    /// An empty model of IR version 8 that imports version `opset` of the standard operators.
    pub fn new(opset: i64) -> ModelBuilder {
        ModelBuilder {
            model: Model {
                ir_version: 8,
                producer: "drift".to_string(),
                opsets: vec![(String::new(), opset)],
                graph: Graph::default(),
                functions: Vec::new(),
                metadata: BTreeMap::new(),
                warnings: Vec::new(),
            },
            graph: GraphBuilder::new("main"),
        }
    }

    pub fn ir_version(mut self, version: i64) -> ModelBuilder {
        self.model.ir_version = version;
        self
    }

    /// Imports another operator set.
    pub fn opset(mut self, domain: &str, version: i64) -> ModelBuilder {
        self.model.opsets.push((domain.to_string(), version));
        self
    }

    pub fn function(mut self, function: Function) -> ModelBuilder {
        self.model.functions.push(function);
        self
    }

    pub fn metadata(mut self, key: &str, value: &str) -> ModelBuilder {
        self.model.metadata.insert(key.to_string(), value.to_string());
        self
    }

    /// The protobuf message, for tests that break it on purpose.
    pub fn to_proto(&self) -> pb::ModelProto {
        let graph = write::graph_proto(&self.graph.graph);
        pb::ModelProto { graph: Some(graph), ..write::model_proto(&self.model) }
    }

    /// The file.
    pub fn to_bytes(&self) -> Vec<u8> {
        prost::Message::encode_to_vec(&self.to_proto())
    }

    /// The file, read back: checked like any other model.
    ///
    /// # Errors
    /// See [`OnnxError`].
    pub fn build(&self) -> Result<Model, OnnxError> {
        Model::from_bytes(self.to_bytes(), None)
    }
}

macro_rules! attribute_from {
    ($($from:ty => |$v:ident| $to:expr;)*) => {
        $(impl From<$from> for Attribute {
            fn from($v: $from) -> Attribute { $to }
        })*
    };
}

attribute_from! {
    i64 => |v| Attribute::Int(v);
    i32 => |v| Attribute::Int(v.into());
    f32 => |v| Attribute::Float(v);
    &str => |v| Attribute::Str(v.as_bytes().to_vec());
    Vec<i64> => |v| Attribute::Ints(v);
    &[i64] => |v| Attribute::Ints(v.to_vec());
    Vec<f32> => |v| Attribute::Floats(v);
    &[f32] => |v| Attribute::Floats(v.to_vec());
    Tensor => |v| Attribute::Tensor(v);
    Graph => |v| Attribute::Graph(Box::new(v));
    GraphBuilder => |v| Attribute::Graph(Box::new(v.finish()));
}
