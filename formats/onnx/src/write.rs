//! [`Model`] to bytes.

use prost::Message;

use crate::model::{
    Attribute, Dim, Function, Graph, Model, Node, SparseTensor, ValueInfo, ValueKind,
};
use crate::pb::attribute_type as ty;
use crate::{ElemType, Tensor, pb};

/// The model as an ONNX file. Tensor data is stored inside; nothing is checked.
pub fn encode(model: &Model) -> Vec<u8> {
    model_proto(model).encode_to_vec()
}

/// A tensor as a bare `TensorProto` file.
pub fn encode_tensor(tensor: &Tensor) -> Vec<u8> {
    tensor_proto(tensor).encode_to_vec()
}

/// The model as a message, for tests that break it on purpose before encoding.
pub fn model_proto(model: &Model) -> pb::ModelProto {
    let entry = |(key, value): (&String, &String)| pb::StringStringEntryProto {
        key: key.clone(),
        value: value.clone(),
    };
    pb::ModelProto {
        ir_version: Some(model.ir_version),
        producer_name: model.producer.clone(),
        opset_import: opsets(&model.opsets),
        graph: Some(graph_proto(&model.graph)),
        functions: model.functions.iter().map(function_proto).collect(),
        metadata_props: model.metadata.iter().map(entry).collect(),
        ..Default::default()
    }
}

fn opsets(opsets: &[(String, i64)]) -> Vec<pb::OperatorSetIdProto> {
    opsets
        .iter()
        .map(|(domain, version)| pb::OperatorSetIdProto {
            domain: domain.clone(),
            version: *version,
        })
        .collect()
}

fn function_proto(function: &Function) -> pb::FunctionProto {
    pb::FunctionProto {
        name: function.name.clone(),
        domain: function.domain.clone(),
        overload: function.overload.clone(),
        input: function.inputs.clone(),
        output: function.outputs.clone(),
        attribute: function.attributes.clone(),
        attribute_proto: function
            .attribute_defaults
            .iter()
            .map(|(name, value)| attribute_proto(name, value))
            .collect(),
        node: function.nodes.iter().map(node_proto).collect(),
        opset_import: opsets(&function.opsets),
        value_info: function.value_info.iter().map(value_info_proto).collect(),
    }
}

pub(crate) fn graph_proto(graph: &Graph) -> pb::GraphProto {
    let named = |name: &String, tensor: &Tensor| pb::TensorProto {
        name: name.clone(),
        ..tensor_proto(tensor)
    };
    pb::GraphProto {
        node: graph.nodes.iter().map(node_proto).collect(),
        name: graph.name.clone(),
        initializer: graph.initializers.iter().map(|(name, t)| named(name, t)).collect(),
        input: graph.inputs.iter().map(value_info_proto).collect(),
        output: graph.outputs.iter().map(value_info_proto).collect(),
        value_info: graph.value_info.iter().map(value_info_proto).collect(),
        quantization_annotation: graph
            .quantization
            .iter()
            .map(|a| pb::TensorAnnotation {
                tensor_name: a.value.clone(),
                quant_parameter_tensor_names: a
                    .params
                    .iter()
                    .map(|(key, value)| pb::StringStringEntryProto {
                        key: key.clone(),
                        value: value.clone(),
                    })
                    .collect(),
            })
            .collect(),
        sparse_initializer: graph
            .sparse_initializers
            .iter()
            .map(|(name, t)| pb::SparseTensorProto {
                values: Some(named(name, &t.values)),
                ..sparse_proto(t)
            })
            .collect(),
    }
}

fn node_proto(node: &Node) -> pb::NodeProto {
    pb::NodeProto {
        input: node.inputs.clone(),
        output: node.outputs.clone(),
        name: node.name.clone(),
        op_type: node.op_type.clone(),
        attribute: node.attributes.iter().map(|(name, a)| attribute_proto(name, a)).collect(),
        domain: node.domain.clone(),
        overload: node.overload.clone(),
    }
}

fn attribute_proto(name: &str, attribute: &Attribute) -> pb::AttributeProto {
    let mut proto = pb::AttributeProto { name: name.to_string(), ..Default::default() };
    proto.r#type = match attribute {
        Attribute::Float(v) => {
            proto.f = Some(*v);
            ty::FLOAT
        }
        Attribute::Int(v) => {
            proto.i = Some(*v);
            ty::INT
        }
        Attribute::Str(v) => {
            proto.s = Some(v.clone().into());
            ty::STRING
        }
        Attribute::Tensor(v) => {
            proto.t = Some(Box::new(tensor_proto(v)));
            ty::TENSOR
        }
        Attribute::Graph(v) => {
            proto.g = Some(Box::new(graph_proto(v)));
            ty::GRAPH
        }
        Attribute::SparseTensor(v) => {
            proto.sparse_tensor = Some(Box::new(sparse_proto(v)));
            ty::SPARSE_TENSOR
        }
        Attribute::Type(v) => {
            proto.tp = Some(Box::new(type_proto(v).unwrap_or_default()));
            ty::TYPE_PROTO
        }
        Attribute::Floats(v) => {
            proto.floats = v.clone();
            ty::FLOATS
        }
        Attribute::Ints(v) => {
            proto.ints = v.clone();
            ty::INTS
        }
        Attribute::Strs(v) => {
            proto.strings = v.iter().map(|s| s.clone().into()).collect();
            ty::STRINGS
        }
        Attribute::Tensors(v) => {
            proto.tensors = v.iter().map(tensor_proto).collect();
            ty::TENSORS
        }
        Attribute::Graphs(v) => {
            proto.graphs = v.iter().map(graph_proto).collect();
            ty::GRAPHS
        }
        Attribute::SparseTensors(v) => {
            proto.sparse_tensors = v.iter().map(sparse_proto).collect();
            ty::SPARSE_TENSORS
        }
        Attribute::Types(v) => {
            proto.type_protos = v.iter().map(|t| type_proto(t).unwrap_or_default()).collect();
            ty::TYPE_PROTOS
        }
        Attribute::Ref(v) => {
            proto.ref_attr_name = v.name.clone();
            v.type_code
        }
    };
    proto
}

/// Raw data for numbers; 0-length data stays unset.
fn tensor_proto(tensor: &Tensor) -> pb::TensorProto {
    pb::TensorProto {
        dims: tensor.dims.iter().map(|d| *d as i64).collect(),
        data_type: tensor.dtype.code(),
        name: tensor.name.clone(),
        raw_data: (tensor.dtype != ElemType::String).then(|| tensor.data.clone()),
        string_data: tensor.strings.clone(),
        ..Default::default()
    }
}

fn sparse_proto(tensor: &SparseTensor) -> pb::SparseTensorProto {
    pb::SparseTensorProto {
        values: Some(tensor_proto(&tensor.values)),
        indices: Some(tensor_proto(&tensor.indices)),
        dims: tensor.dims.iter().map(|d| *d as i64).collect(),
    }
}

fn value_info_proto(info: &ValueInfo) -> pb::ValueInfoProto {
    pb::ValueInfoProto { name: info.name.clone(), r#type: type_proto(info) }
}

/// Sequences, maps and optionals are written without their element type, which the normalized
/// view does not keep.
fn type_proto(info: &ValueInfo) -> Option<pb::TypeProto> {
    let tensor = || pb::TypeTensor {
        elem_type: info.elem_type.map_or(0, ElemType::code),
        shape: info.dims.as_ref().map(|dims| pb::TensorShapeProto {
            dim: dims
                .iter()
                .map(|dim| pb::Dimension {
                    value: match dim {
                        Dim::Known(size) => Some(pb::DimensionValue::Value(*size as i64)),
                        Dim::Symbol(name) => Some(pb::DimensionValue::Param(name.clone())),
                        Dim::Unknown => None,
                    },
                })
                .collect(),
        }),
    };
    let value = match info.kind {
        ValueKind::Tensor => pb::TypeValue::Tensor(tensor()),
        ValueKind::SparseTensor => pb::TypeValue::SparseTensor(tensor()),
        ValueKind::Sequence => pb::TypeValue::Sequence(Box::default()),
        ValueKind::Map => pb::TypeValue::Map(Box::default()),
        ValueKind::Optional => pb::TypeValue::Optional(Box::default()),
        ValueKind::Opaque => pb::TypeValue::Opaque(pb::TypeOpaque::default()),
        ValueKind::Untyped => return None,
    };
    Some(pb::TypeProto { value: Some(value) })
}
