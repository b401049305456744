//! The normalized view of a model, independent of protobuf.

use std::collections::{BTreeMap, HashSet};

use crate::error::{OnnxError, clip};
use crate::{ElemType, Tensor};

/// A checked model: names are defined once and before use, tensors have the size they claim.
#[derive(Clone, Debug)]
pub struct Model {
    pub ir_version: i64,
    /// Exporter and its version, such as `pytorch 2.4.0`; may be empty.
    pub producer: String,
    /// Imported operator sets: domain (`""` is ai.onnx) and version, sorted by domain.
    pub opsets: Vec<(String, i64)>,
    pub graph: Graph,
    /// Model-local functions, as stored: the importer inlines them.
    pub functions: Vec<Function>,
    pub metadata: BTreeMap<String, String>,
    /// Oddities that do not prevent reading, for the user to see.
    pub warnings: Vec<String>,
}

impl Model {
    /// Version of an operator set; `""` and `"ai.onnx"` both mean the standard one.
    pub fn opset(&self, domain: &str) -> Option<i64> {
        let domain = if domain == "ai.onnx" { "" } else { domain };
        self.opsets.iter().find(|(d, _)| d == domain).map(|(_, version)| *version)
    }

    /// The model-local function that a node calls, if it is one.
    pub fn function(&self, node: &Node) -> Option<&Function> {
        self.functions.iter().find(|f| {
            f.name == node.op_type && f.domain == node.domain && f.overload == node.overload
        })
    }
}

/// A graph: the model's, or one inside an attribute (a branch of `If`, the body of `Loop` or `Scan`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    pub name: String,
    /// In an order in which every operand comes before its use.
    pub nodes: Vec<Node>,
    /// As declared. Old models (IR 3) list initializers here too: see [`Graph::runtime_inputs`].
    pub inputs: Vec<ValueInfo>,
    pub outputs: Vec<ValueInfo>,
    /// Types of intermediate values. Hints: exporters get symbolic dims wrong.
    pub value_info: Vec<ValueInfo>,
    pub initializers: Vec<(String, Tensor)>,
    pub sparse_initializers: Vec<(String, SparseTensor)>,
    pub quantization: Vec<QuantAnnotation>,
}

impl Graph {
    /// The inputs that a caller must feed: those that no initializer gives a value. An initializer
    /// that is also an input is a constant here (IR 3 demands the double listing, and later
    /// versions make it a default value).
    pub fn runtime_inputs(&self) -> impl Iterator<Item = &ValueInfo> {
        let constant: HashSet<&str> = self
            .initializers
            .iter()
            .map(|(name, _)| name.as_str())
            .chain(self.sparse_initializers.iter().map(|(name, _)| name.as_str()))
            .collect();
        self.inputs.iter().filter(move |input| !constant.contains(input.name.as_str()))
    }

    /// Number of nodes, subgraphs included.
    pub fn total_nodes(&self) -> usize {
        let inner: usize =
            self.nodes.iter().flat_map(Node::subgraphs).map(Graph::total_nodes).sum();
        self.nodes.len() + inner
    }
}

/// One operator application.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Node {
    /// As stored; often empty, and not always unique.
    pub name: String,
    pub op_type: String,
    /// `""` is ai.onnx.
    pub domain: String,
    /// Selects between functions of one name; nearly always empty.
    pub overload: String,
    /// Operand names; `""` is an omitted operand.
    pub inputs: Vec<String>,
    /// Result names; `""` is a result that nobody wants.
    pub outputs: Vec<String>,
    pub attributes: BTreeMap<String, Attribute>,
    /// Names of outer values that this node's subgraphs read.
    pub captures: Vec<String>,
    /// Where the node is, for people: its name, or `#17 Conv` (position in the file) when it has
    /// none, after the names of the nodes around it: `/if_3/then_branch/#0 Add`.
    pub path: String,
}

impl Node {
    /// How messages call this node: ``node `/layer1/conv` (Conv)``.
    pub fn label(&self) -> String {
        node_label(&self.path, &self.op_type)
    }

    /// Graphs in attributes.
    pub fn subgraphs(&self) -> impl Iterator<Item = &Graph> {
        self.attributes.values().flat_map(|attribute| match attribute {
            Attribute::Graph(graph) => core::slice::from_ref(&**graph),
            Attribute::Graphs(graphs) => graphs.as_slice(),
            _ => &[],
        })
    }

    /// The integer attribute `name`, if present.
    ///
    /// # Errors
    /// When it is of another type; so for all `attr_` functions.
    pub fn attr_int(&self, name: &str) -> Result<Option<i64>, OnnxError> {
        self.attr(name, "an integer", |a| if let Attribute::Int(v) = a { Some(*v) } else { None })
    }

    /// The float attribute `name`, if present. NaN and infinity are errors too: no operator has a
    /// use for them, and they come from broken training runs.
    pub fn attr_float(&self, name: &str) -> Result<Option<f32>, OnnxError> {
        let value = self
            .attr(name, "a float", |a| if let Attribute::Float(v) = a { Some(*v) } else { None })?;
        match value {
            Some(v) if !v.is_finite() => Err(self.attr_error(name, format!("its value is {v}"))),
            _ => Ok(value),
        }
    }

    /// The text attribute `name`, if present.
    pub fn attr_str(&self, name: &str) -> Result<Option<&str>, OnnxError> {
        self.attr(name, "text", |a| match a {
            Attribute::Str(v) => core::str::from_utf8(v).ok(),
            _ => None,
        })
    }

    /// The integer-list attribute `name`, if present.
    pub fn attr_ints(&self, name: &str) -> Result<Option<&[i64]>, OnnxError> {
        self.attr(name, "a list of integers", |a| match a {
            Attribute::Ints(v) => Some(v.as_slice()),
            _ => None,
        })
    }

    /// The float-list attribute `name`, if present. NaN and infinity are errors.
    pub fn attr_floats(&self, name: &str) -> Result<Option<&[f32]>, OnnxError> {
        let values = self.attr(name, "a list of floats", |a| match a {
            Attribute::Floats(v) => Some(v.as_slice()),
            _ => None,
        })?;
        match values.and_then(|v| v.iter().position(|x| !x.is_finite()).map(|i| (i, v[i]))) {
            Some((i, v)) => Err(self.attr_error(name, format!("element {i} is {v}"))),
            None => Ok(values),
        }
    }

    /// The tensor attribute `name`, if present.
    pub fn attr_tensor(&self, name: &str) -> Result<Option<&Tensor>, OnnxError> {
        self.attr(name, "a tensor", |a| if let Attribute::Tensor(t) = a { Some(t) } else { None })
    }

    /// The graph attribute `name`, if present.
    pub fn attr_graph(&self, name: &str) -> Result<Option<&Graph>, OnnxError> {
        self.attr(name, "a graph", |a| if let Attribute::Graph(g) = a { Some(&**g) } else { None })
    }

    fn attr<'a, T>(
        &'a self,
        name: &str,
        wanted: &str,
        get: impl Fn(&'a Attribute) -> Option<T>,
    ) -> Result<Option<T>, OnnxError> {
        let Some(attribute) = self.attributes.get(name) else { return Ok(None) };
        match get(attribute) {
            Some(value) => Ok(Some(value)),
            None => Err(self.attr_error(
                name,
                format!("{wanted} is expected, the model has {}", attribute.kind()),
            )),
        }
    }

    fn attr_error(&self, attribute: &str, problem: String) -> OnnxError {
        OnnxError::Attribute { node: self.label(), attribute: clip(attribute, 100), problem }
    }
}

pub(crate) fn node_label(path: &str, op_type: &str) -> String {
    if path.rsplit('/').next().is_some_and(|last| last.starts_with('#')) {
        return format!("node `{path}`");
    }
    format!("node `{path}` ({})", clip(op_type, 100))
}

/// Value of a node attribute.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Attribute {
    Int(i64),
    Float(f32),
    /// UTF-8 by convention, not by guarantee.
    Str(Vec<u8>),
    Tensor(Tensor),
    Graph(Box<Graph>),
    SparseTensor(SparseTensor),
    /// A type; the value's name is empty.
    Type(ValueInfo),
    Ints(Vec<i64>),
    Floats(Vec<f32>),
    Strs(Vec<Vec<u8>>),
    Tensors(Vec<Tensor>),
    Graphs(Vec<Graph>),
    SparseTensors(Vec<SparseTensor>),
    Types(Vec<ValueInfo>),
    /// Inside a function: the value that the call gives to an attribute of the function.
    Ref(AttributeRef),
}

impl Attribute {
    /// The kind in words, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Attribute::Int(_) => "an integer",
            Attribute::Float(_) => "a float",
            Attribute::Str(_) => "text",
            Attribute::Tensor(_) => "a tensor",
            Attribute::Graph(_) => "a graph",
            Attribute::SparseTensor(_) => "a sparse tensor",
            Attribute::Type(_) => "a type",
            Attribute::Ints(_) => "a list of integers",
            Attribute::Floats(_) => "a list of floats",
            Attribute::Strs(_) => "a list of texts",
            Attribute::Tensors(_) => "a list of tensors",
            Attribute::Graphs(_) => "a list of graphs",
            Attribute::SparseTensors(_) => "a list of sparse tensors",
            Attribute::Types(_) => "a list of types",
            Attribute::Ref(_) => "a reference to a function's attribute",
        }
    }
}

/// Stands for an attribute of the function around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributeRef {
    /// The function's attribute.
    pub name: String,
    /// Declared `AttributeProto.AttributeType`, such as 1 for a float; 0 when not declared.
    pub type_code: i32,
}

/// Constant in coordinate form.
#[derive(Clone, Debug, PartialEq)]
pub struct SparseTensor {
    /// Shape of the dense tensor.
    pub dims: Vec<u64>,
    /// The n elements that are not zero, shape `[n]`.
    pub values: Tensor,
    /// Where they are: `[n]` linear or `[n, rank]` coordinates, `i64`. Not range-checked here.
    pub indices: Tensor,
}

/// Scale and zero point that a quantizer recorded for a value.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantAnnotation {
    pub value: String,
    /// `SCALE_TENSOR`, `ZERO_POINT_TENSOR` to initializer names.
    pub params: BTreeMap<String, String>,
}

/// Name and type of a value.
#[derive(Clone, Debug, PartialEq)]
pub struct ValueInfo {
    pub name: String,
    pub kind: ValueKind,
    /// Element type of a tensor (or sparse tensor), if declared.
    pub elem_type: Option<ElemType>,
    /// Axes of a tensor, `None` when not even the rank is declared.
    pub dims: Option<Vec<Dim>>,
}

/// What sort of value it is. Graph inputs and outputs of deployable models are tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ValueKind {
    Tensor,
    SparseTensor,
    Sequence,
    Map,
    Optional,
    Opaque,
    /// No type is declared.
    Untyped,
}

/// One declared axis of a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Dim {
    Known(u64),
    /// Known at run time. Equal names need not mean equal sizes.
    Symbol(String),
    Unknown,
}

/// A model-local function: a named piece of graph with attributes as parameters.
#[derive(Clone, Debug)]
pub struct Function {
    pub domain: String,
    pub name: String,
    pub overload: String,
    pub inputs: Vec<String>,
    pub outputs: Vec<String>,
    /// Attributes that a call must give.
    pub attributes: Vec<String>,
    /// Attributes with a default value.
    pub attribute_defaults: BTreeMap<String, Attribute>,
    /// In an order in which every operand comes before its use.
    pub nodes: Vec<Node>,
    pub opsets: Vec<(String, i64)>,
    pub value_info: Vec<ValueInfo>,
}
