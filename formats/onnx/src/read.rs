//! Messages to the normalized view.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use bytes::Bytes;
use prost::Message;

use crate::error::{OnnxError, clip};
use crate::external::ExternalData;
use crate::link::{FreeName, Scope, link};
use crate::model::{
    Attribute, AttributeRef, Dim, Function, Graph, Model, Node, QuantAnnotation, SparseTensor,
    ValueInfo, ValueKind, node_label,
};
use crate::pb::attribute_type as ty;
use crate::tensor_read::{read_dims, read_tensor};
use crate::wire::{Msg, scan};
use crate::{ElemType, NEWEST_IR_VERSION, OLDEST_IR_VERSION, function, mmap, pb, sniff};

/// Bytes of a node path; longer ones are cut, since every node of a subgraph repeats its parents.
const MAX_PATH_BYTES: usize = 256;

impl Model {
    /// Maps and reads a model file; tensor data stays in the file until it is used.
    ///
    /// The file, and external data files beside it, must not be changed or truncated while the
    /// model or any tensor of it is alive.
    ///
    /// # Errors
    /// See [`OnnxError`].
    pub fn open(path: impl AsRef<Path>) -> Result<Model, OnnxError> {
        let path = path.as_ref();
        let bytes = mmap::map_file(path)
            .map_err(|source| OnnxError::Io { path: path.to_path_buf(), source })?;
        read_model(bytes, ExternalData::beside(path))
    }

    /// Reads a model from memory. `base_dir` is the folder of external data files; without it a
    /// model that has any is refused.
    ///
    /// # Errors
    /// See [`OnnxError`].
    pub fn from_bytes(
        bytes: impl Into<Bytes>,
        base_dir: Option<&Path>,
    ) -> Result<Model, OnnxError> {
        let external = base_dir.map_or_else(ExternalData::none, ExternalData::in_folder);
        read_model(bytes.into(), external)
    }
}

fn read_model(bytes: Bytes, external: ExternalData) -> Result<Model, OnnxError> {
    sniff::sniff(&bytes)?;
    scan(&bytes, Msg::Model)?;
    let proto = pb::ModelProto::decode(bytes)
        .map_err(|err| OnnxError::Decode { detail: err.to_string() })?;

    let model_place = || "the model".to_string();
    let Some(ir_version) = proto.ir_version else {
        return Err(OnnxError::Invalid {
            place: model_place(),
            problem: "no IR version is given; this may not be an ONNX file".into(),
        });
    };
    let mut warnings = Vec::new();
    if ir_version < OLDEST_IR_VERSION {
        return Err(OnnxError::IrVersion { version: ir_version });
    }
    if ir_version > NEWEST_IR_VERSION {
        warnings.push(format!(
            "IR version {ir_version} is newer than {NEWEST_IR_VERSION}, the newest that is known: \
             parts of the model may be misread"
        ));
    }
    let opsets = read_opsets(&proto.opset_import)?;
    let graph = proto.graph.ok_or(OnnxError::NoGraph)?;
    let local_domains: HashSet<String> =
        proto.functions.iter().map(|f| standard_domain(&f.domain).to_string()).collect();

    let mut reader = Reader {
        external,
        warnings,
        scope_opsets: opsets.clone(),
        local_domains,
        in_function: false,
    };
    let mut functions = Vec::with_capacity(proto.functions.len());
    let mut function_ids = HashSet::new();
    for function in proto.functions {
        let function = reader.function(function)?;
        let id = (function.domain.clone(), function.name.clone(), function.overload.clone());
        if !function_ids.insert(id) {
            return Err(OnnxError::Invalid {
                place: function::label(&function.domain, &function.name),
                problem: "it is defined twice".into(),
            });
        }
        functions.push(function);
    }
    reader.scope_opsets = opsets.clone();
    let (graph, free) = reader.graph(graph, "")?;
    if let Some(FreeName { name, user }) = free.into_iter().next() {
        return Err(OnnxError::UndefinedName { name: clip(&name, 200), user });
    }
    function::check_calls(&functions, &graph)?;
    for input in graph.runtime_inputs() {
        if input.kind == ValueKind::Untyped
            || (input.kind == ValueKind::Tensor && input.elem_type.is_none())
        {
            return Err(OnnxError::Invalid {
                place: format!("graph input `{}`", clip(&input.name, 200)),
                problem: "it has no element type".into(),
            });
        }
    }
    let producer = format!("{} {}", proto.producer_name, proto.producer_version);
    Ok(Model {
        ir_version,
        producer: producer.trim().to_string(),
        opsets,
        graph,
        functions,
        metadata: proto.metadata_props.into_iter().map(|e| (e.key, e.value)).collect(),
        warnings: reader.warnings,
    })
}

fn standard_domain(domain: &str) -> &str {
    if domain == "ai.onnx" { "" } else { domain }
}

/// How messages call a domain: the standard one by its full name.
fn shown_domain(domain: &str) -> String {
    if domain.is_empty() { "ai.onnx".to_string() } else { clip(domain, 100) }
}

fn read_opsets(imports: &[pb::OperatorSetIdProto]) -> Result<Vec<(String, i64)>, OnnxError> {
    let mut opsets: BTreeMap<String, i64> = BTreeMap::new();
    for import in imports {
        let domain = standard_domain(&import.domain);
        let bad = |problem: String| OnnxError::BadOpset { domain: shown_domain(domain), problem };
        if import.version < 1 {
            return Err(bad(format!(
                "version {} is imported; versions start at 1",
                import.version
            )));
        }
        if let Some(first) = opsets.insert(domain.to_string(), import.version)
            && first != import.version
        {
            return Err(bad(format!("versions {first} and {} are imported", import.version)));
        }
    }
    Ok(opsets.into_iter().collect())
}

struct Reader {
    external: ExternalData,
    warnings: Vec<String>,
    /// Operator sets of the model, or of the function that is being read.
    scope_opsets: Vec<(String, i64)>,
    /// Domains of model-local functions: a call of one needs no import to be understood.
    local_domains: HashSet<String>,
    in_function: bool,
}

impl Reader {
    /// Reads a graph whose node paths start with `prefix`; also returns the names that it takes
    /// from outer graphs.
    fn graph(
        &mut self,
        proto: pb::GraphProto,
        prefix: &str,
    ) -> Result<(Graph, Vec<FreeName>), OnnxError> {
        let label = if prefix.is_empty() {
            "the main graph".to_string()
        } else {
            format!("graph `{}`", prefix.trim_end_matches('/'))
        };
        let invalid = |problem: String| OnnxError::Invalid { place: label.clone(), problem };

        let mut initializers = Vec::with_capacity(proto.initializer.len());
        for (i, tensor) in proto.initializer.into_iter().enumerate() {
            if tensor.name.is_empty() {
                return Err(invalid(format!("initializer {i} has no name")));
            }
            let tensor = read_tensor(tensor, "initializer", &mut self.external)?;
            initializers.push((tensor.name.clone(), tensor));
        }
        let mut sparse_initializers = Vec::with_capacity(proto.sparse_initializer.len());
        for (i, tensor) in proto.sparse_initializer.into_iter().enumerate() {
            let tensor = self.sparse(tensor, &format!("sparse initializer {i} of {label}"))?;
            if tensor.values.name.is_empty() {
                return Err(invalid(format!("sparse initializer {i} has no name")));
            }
            sparse_initializers.push((tensor.values.name.clone(), tensor));
        }
        let inputs = value_infos(proto.input, "input", &label)?;
        let outputs = value_infos(proto.output, "output", &label)?;
        let value_info = value_infos(proto.value_info, "value", &label)?;
        if prefix.is_empty() && outputs.is_empty() {
            return Err(invalid("it has no outputs".into()));
        }

        let (nodes, inner_free) = self.nodes(proto.node, prefix)?;
        let scope = Scope {
            label: &label,
            inputs: inputs.iter().map(|v| v.name.as_str()).collect(),
            initializers: initializers
                .iter()
                .map(|(name, _)| name.as_str())
                .chain(sparse_initializers.iter().map(|(name, _)| name.as_str()))
                .collect(),
            outputs: outputs.iter().map(|v| v.name.as_str()).collect(),
        };
        let linked = link(&scope, nodes, inner_free)?;
        if linked.reordered {
            self.warn_order(&label);
        }
        let quantization = proto
            .quantization_annotation
            .into_iter()
            .map(|a| QuantAnnotation {
                value: a.tensor_name,
                params: a
                    .quant_parameter_tensor_names
                    .into_iter()
                    .map(|entry| (entry.key, entry.value))
                    .collect(),
            })
            .collect();
        let graph = Graph {
            name: proto.name,
            nodes: linked.nodes,
            inputs,
            outputs,
            value_info,
            initializers,
            sparse_initializers,
            quantization,
        };
        Ok((graph, linked.free))
    }

    fn function(&mut self, proto: pb::FunctionProto) -> Result<Function, OnnxError> {
        let domain = standard_domain(&proto.domain).to_string();
        let label = function::label(&domain, &proto.name);
        if proto.name.is_empty() {
            return Err(OnnxError::Invalid { place: label, problem: "it has no name".into() });
        }
        let opsets = read_opsets(&proto.opset_import)?;
        self.scope_opsets = opsets.clone();
        self.in_function = true;
        let prefix = format!("{}/", clip(&proto.name, MAX_PATH_BYTES / 2));
        let (nodes, inner_free) = self.nodes(proto.node, &prefix)?;
        let attribute_defaults = self.attributes(proto.attribute_proto, &label, &prefix)?.0;
        self.in_function = false;

        let named = |names: &[String]| names.iter().all(|name| !name.is_empty());
        if !named(&proto.input) || !named(&proto.output) {
            return Err(OnnxError::Invalid {
                place: label,
                problem: "an input or output has no name".into(),
            });
        }
        let scope = Scope {
            label: &label,
            inputs: proto.input.iter().map(String::as_str).collect(),
            initializers: Vec::new(),
            outputs: proto.output.iter().map(String::as_str).collect(),
        };
        let linked = link(&scope, nodes, inner_free)?;
        if let Some(FreeName { name, user }) = linked.free.into_iter().next() {
            return Err(OnnxError::UndefinedName { name: clip(&name, 200), user });
        }
        if linked.reordered {
            self.warn_order(&label);
        }
        let value_info = value_infos(proto.value_info, "value", &label)?;
        Ok(Function {
            domain,
            name: proto.name,
            overload: proto.overload,
            inputs: proto.input,
            outputs: proto.output,
            attributes: proto.attribute,
            attribute_defaults,
            nodes: linked.nodes,
            opsets,
            value_info,
        })
    }

    fn warn_order(&mut self, label: &str) {
        // A hostile file can hold very many graphs.
        if self.warnings.len() < 100 {
            self.warnings.push(format!("{label}: nodes are not in dependency order; sorted"));
        }
    }

    #[allow(clippy::type_complexity)]
    fn nodes(
        &mut self,
        protos: Vec<pb::NodeProto>,
        prefix: &str,
    ) -> Result<(Vec<Node>, Vec<Vec<FreeName>>), OnnxError> {
        let mut nodes = Vec::with_capacity(protos.len());
        let mut inner_free = Vec::with_capacity(protos.len());
        for (i, proto) in protos.into_iter().enumerate() {
            let own = if proto.name.is_empty() {
                format!("#{i} {}", clip(&proto.op_type, 60))
            } else {
                clip(&proto.name, MAX_PATH_BYTES)
            };
            let path = clip(&format!("{prefix}{own}"), MAX_PATH_BYTES);
            let label = node_label(&path, &proto.op_type);
            if proto.op_type.is_empty() {
                return Err(OnnxError::Invalid {
                    place: format!("node `{path}`"),
                    problem: "it names no operator".into(),
                });
            }
            let domain = standard_domain(&proto.domain);
            let imported = self.scope_opsets.iter().any(|(d, _)| d == domain);
            if !imported && !self.local_domains.contains(domain) {
                let domain = shown_domain(domain);
                return Err(OnnxError::MissingOpset { domain, user: label });
            }
            let domain = domain.to_string();
            let (attributes, free) = self.attributes(proto.attribute, &label, &path)?;
            nodes.push(Node {
                name: proto.name,
                op_type: proto.op_type,
                domain,
                overload: proto.overload,
                inputs: proto.input,
                outputs: proto.output,
                attributes,
                captures: Vec::new(),
                path,
            });
            inner_free.push(free);
        }
        Ok((nodes, inner_free))
    }

    fn attributes(
        &mut self,
        protos: Vec<pb::AttributeProto>,
        label: &str,
        path: &str,
    ) -> Result<(BTreeMap<String, Attribute>, Vec<FreeName>), OnnxError> {
        let mut attributes = BTreeMap::new();
        let mut free = Vec::new();
        for proto in protos {
            let name = proto.name.clone();
            let fail = |problem: String| OnnxError::Attribute {
                node: label.to_string(),
                attribute: clip(&name, 100),
                problem,
            };
            if name.is_empty() {
                return Err(fail("it has no name".into()));
            }
            if attributes.contains_key(&name) {
                return Err(fail("it is given twice".into()));
            }
            if !proto.ref_attr_name.is_empty() {
                if !self.in_function {
                    return Err(fail(format!(
                        "it refers to the function attribute `{}` outside of any function",
                        clip(&proto.ref_attr_name, 100)
                    )));
                }
                let reference = AttributeRef { name: proto.ref_attr_name, type_code: proto.r#type };
                attributes.insert(name, Attribute::Ref(reference));
                continue;
            }
            let value = self.attribute(proto, &fail, label, path, &mut free)?;
            attributes.insert(name, value);
        }
        Ok((attributes, free))
    }

    fn attribute(
        &mut self,
        proto: pb::AttributeProto,
        fail: &dyn Fn(String) -> OnnxError,
        label: &str,
        path: &str,
        free: &mut Vec<FreeName>,
    ) -> Result<Attribute, OnnxError> {
        let place = format!("attribute `{}` of {label}", clip(&proto.name, 100));
        let absent = |what: &str| fail(format!("it is declared as {what} but holds none"));
        let prefix = clip(&format!("{path}/{}", clip(&proto.name, 60)), MAX_PATH_BYTES - 64) + "/";
        let kind = match proto.r#type {
            ty::UNDEFINED => guess_type(&proto),
            kind => kind,
        };
        // Writers that follow proto3 leave out numbers that are zero and text that is empty.
        Ok(match kind {
            ty::FLOAT => Attribute::Float(proto.f.unwrap_or(0.0)),
            ty::INT => Attribute::Int(proto.i.unwrap_or(0)),
            ty::STRING => Attribute::Str(proto.s.unwrap_or_default().to_vec()),
            ty::FLOATS => Attribute::Floats(proto.floats),
            ty::INTS => Attribute::Ints(proto.ints),
            ty::STRINGS => Attribute::Strs(proto.strings.iter().map(|s| s.to_vec()).collect()),
            ty::TENSOR => {
                let tensor = proto.t.ok_or_else(|| absent("a tensor"))?;
                Attribute::Tensor(read_tensor(*tensor, &place, &mut self.external)?)
            }
            ty::TENSORS => Attribute::Tensors(
                proto
                    .tensors
                    .into_iter()
                    .map(|t| read_tensor(t, &place, &mut self.external))
                    .collect::<Result<_, _>>()?,
            ),
            ty::GRAPH => {
                let graph = proto.g.ok_or_else(|| absent("a graph"))?;
                let (graph, names) = self.graph(*graph, &prefix)?;
                free.extend(names);
                Attribute::Graph(Box::new(graph))
            }
            ty::GRAPHS => {
                let mut graphs = Vec::with_capacity(proto.graphs.len());
                for graph in proto.graphs {
                    let (graph, names) = self.graph(graph, &prefix)?;
                    free.extend(names);
                    graphs.push(graph);
                }
                Attribute::Graphs(graphs)
            }
            ty::SPARSE_TENSOR => {
                let tensor = proto.sparse_tensor.ok_or_else(|| absent("a sparse tensor"))?;
                Attribute::SparseTensor(self.sparse(*tensor, &place)?)
            }
            ty::SPARSE_TENSORS => Attribute::SparseTensors(
                proto
                    .sparse_tensors
                    .into_iter()
                    .map(|t| self.sparse(t, &place))
                    .collect::<Result<_, _>>()?,
            ),
            ty::TYPE_PROTO => {
                let tp = proto.tp.ok_or_else(|| absent("a type"))?;
                Attribute::Type(value_info(String::new(), Some(*tp), &place)?)
            }
            ty::TYPE_PROTOS => Attribute::Types(
                proto
                    .type_protos
                    .into_iter()
                    .map(|tp| value_info(String::new(), Some(tp), &place))
                    .collect::<Result<_, _>>()?,
            ),
            other => return Err(fail(format!("attribute type {other} is not known"))),
        })
    }

    fn sparse(
        &mut self,
        proto: pb::SparseTensorProto,
        place: &str,
    ) -> Result<SparseTensor, OnnxError> {
        let problem = |problem: &str| OnnxError::Tensor {
            tensor: place.to_string(),
            problem: problem.to_string(),
        };
        let dims = read_dims(&proto.dims).map_err(problem)?;
        let values = proto.values.ok_or_else(|| problem("sparse tensor without values"))?;
        let values = read_tensor(values, place, &mut self.external)?;
        let indices = proto.indices.ok_or_else(|| problem("sparse tensor without indices"))?;
        let indices = read_tensor(indices, place, &mut self.external)?;
        let [n] = values.dims[..] else {
            return Err(problem("the values of a sparse tensor must have one axis"));
        };
        let coordinates = indices.dims == [n] || indices.dims == [n, dims.len() as u64];
        if indices.dtype != ElemType::I64 || !coordinates {
            return Err(problem(
                "indices of a sparse tensor must be i64 of shape [n] or [n, rank]",
            ));
        }
        Ok(SparseTensor { dims, values, indices })
    }
}

/// The attribute type by what is set, for writers that do not say (IR 1 style).
fn guess_type(proto: &pb::AttributeProto) -> i32 {
    let set = [
        (proto.f.is_some(), ty::FLOAT),
        (proto.i.is_some(), ty::INT),
        (proto.s.is_some(), ty::STRING),
        (proto.t.is_some(), ty::TENSOR),
        (proto.g.is_some(), ty::GRAPH),
        (!proto.floats.is_empty(), ty::FLOATS),
        (!proto.ints.is_empty(), ty::INTS),
        (!proto.strings.is_empty(), ty::STRINGS),
        (!proto.tensors.is_empty(), ty::TENSORS),
        (!proto.graphs.is_empty(), ty::GRAPHS),
        (proto.sparse_tensor.is_some(), ty::SPARSE_TENSOR),
        (!proto.sparse_tensors.is_empty(), ty::SPARSE_TENSORS),
        (proto.tp.is_some(), ty::TYPE_PROTO),
        (!proto.type_protos.is_empty(), ty::TYPE_PROTOS),
    ];
    set.iter().find(|(is_set, _)| *is_set).map_or(ty::UNDEFINED, |(_, kind)| *kind)
}

fn value_infos(
    protos: Vec<pb::ValueInfoProto>,
    role: &str,
    graph: &str,
) -> Result<Vec<ValueInfo>, OnnxError> {
    let mut infos = Vec::with_capacity(protos.len());
    for (i, proto) in protos.into_iter().enumerate() {
        if proto.name.is_empty() {
            return Err(OnnxError::Invalid {
                place: graph.to_string(),
                problem: format!("{role} {i} has no name"),
            });
        }
        let place = format!("{role} `{}` of {graph}", clip(&proto.name, 200));
        infos.push(value_info(proto.name, proto.r#type, &place)?);
    }
    Ok(infos)
}

fn value_info(
    name: String,
    proto: Option<pb::TypeProto>,
    place: &str,
) -> Result<ValueInfo, OnnxError> {
    use pb::TypeValue;
    let (kind, tensor) = match proto.and_then(|p| p.value) {
        None => (ValueKind::Untyped, None),
        Some(TypeValue::Tensor(t)) => (ValueKind::Tensor, Some(t)),
        Some(TypeValue::SparseTensor(t)) => (ValueKind::SparseTensor, Some(t)),
        Some(TypeValue::Sequence(_)) => (ValueKind::Sequence, None),
        Some(TypeValue::Map(_)) => (ValueKind::Map, None),
        Some(TypeValue::Optional(_)) => (ValueKind::Optional, None),
        Some(TypeValue::Opaque(_)) => (ValueKind::Opaque, None),
    };
    let Some(tensor) = tensor else {
        return Ok(ValueInfo { name, kind, elem_type: None, dims: None });
    };
    let elem_type = match tensor.elem_type {
        0 => None,
        code => Some(
            ElemType::from_code(code)
                .ok_or_else(|| OnnxError::ElemType { place: place.to_string(), code })?,
        ),
    };
    let dims = match tensor.shape {
        None => None,
        Some(shape) => {
            Some(shape.dim.into_iter().map(|d| dim(d, place)).collect::<Result<_, _>>()?)
        }
    };
    Ok(ValueInfo { name, kind, elem_type, dims })
}

fn dim(proto: pb::Dimension, place: &str) -> Result<Dim, OnnxError> {
    Ok(match proto.value {
        None => Dim::Unknown,
        Some(pb::DimensionValue::Param(name)) if name.is_empty() => Dim::Unknown,
        Some(pb::DimensionValue::Param(name)) => Dim::Symbol(name),
        // Some exporters write -1 for a dimension they do not know.
        Some(pb::DimensionValue::Value(-1)) => Dim::Unknown,
        Some(pb::DimensionValue::Value(value)) => {
            Dim::Known(u64::try_from(value).map_err(|_| OnnxError::Invalid {
                place: place.to_string(),
                problem: format!("its dimension {value} is negative"),
            })?)
        }
    })
}
