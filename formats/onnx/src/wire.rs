//! A pass over the protobuf wire format before anything is decoded.
//!
//! It gives errors with a byte offset and a field path, and it bounds memory: an empty message takes
//! 2 bytes in the file and a few hundred in memory, so a hostile file could ask for a hundred times
//! its own size. The pass adds up the size of all decoded messages and refuses a file whose total is
//! out of proportion. Real models stay below 8 bytes of messages per byte of file.

use core::mem::size_of;

use crate::error::OnnxError;
use crate::pb;

/// Allowed bytes of decoded messages per byte of file …
const MESSAGE_BYTES_PER_FILE_BYTE: u64 = 32;
/// … on top of this many.
const MESSAGE_BYTES_FREE: u64 = 64 << 10;
/// Messages nest at most this deep. One graph inside an attribute adds three levels; the deepest
/// models known (loops in ifs in loops) have five such graphs. The decoder's own limit is 100.
const MAX_DEPTH: u32 = 80;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Msg {
    Model,
    Opset,
    Entry,
    Graph,
    Annotation,
    Node,
    Attribute,
    Tensor,
    Segment,
    Sparse,
    ValueInfo,
    Type,
    TypeTensor,
    TypeElem,
    TypeMap,
    Shape,
    Dimension,
    Function,
    /// Bytes, text, packed numbers, or a message that is not read.
    Opaque,
}

impl Msg {
    /// The message held by a field and the field's name.
    fn child(self, field: u64) -> (Msg, &'static str) {
        use Msg::*;
        match (self, field) {
            (Model, 7) => (Graph, "graph"),
            (Model, 8) => (Opset, "opset_import"),
            (Model, 14) => (Entry, "metadata_props"),
            (Model, 25) => (Function, "functions"),
            (Graph, 1) => (Node, "node"),
            (Graph, 5) => (Tensor, "initializer"),
            (Graph, 11) => (ValueInfo, "input"),
            (Graph, 12) => (ValueInfo, "output"),
            (Graph, 13) => (ValueInfo, "value_info"),
            (Graph, 14) => (Annotation, "quantization_annotation"),
            (Graph, 15) => (Sparse, "sparse_initializer"),
            (Annotation, 2) => (Entry, "quant_parameter_tensor_names"),
            (Node, 5) => (Attribute, "attribute"),
            (Attribute, 5) => (Tensor, "t"),
            (Attribute, 6) => (Graph, "g"),
            (Attribute, 10) => (Tensor, "tensors"),
            (Attribute, 11) => (Graph, "graphs"),
            (Attribute, 14) => (Type, "tp"),
            (Attribute, 15) => (Type, "type_protos"),
            (Attribute, 22) => (Sparse, "sparse_tensor"),
            (Attribute, 23) => (Sparse, "sparse_tensors"),
            (Tensor, 3) => (Segment, "segment"),
            (Tensor, 9) => (Opaque, "raw_data"),
            (Tensor, 13) => (Entry, "external_data"),
            (Sparse, 1) => (Tensor, "values"),
            (Sparse, 2) => (Tensor, "indices"),
            (ValueInfo, 2) => (Type, "type"),
            (Type, 1) => (TypeTensor, "tensor_type"),
            (Type, 8) => (TypeTensor, "sparse_tensor_type"),
            (Type, 4) => (TypeElem, "sequence_type"),
            (Type, 9) => (TypeElem, "optional_type"),
            (Type, 5) => (TypeMap, "map_type"),
            (TypeElem, 1) => (Type, "elem_type"),
            (TypeMap, 2) => (Type, "value_type"),
            (TypeTensor, 2) => (Shape, "shape"),
            (Shape, 1) => (Dimension, "dim"),
            (Function, 7) => (Node, "node"),
            (Function, 9) => (Opset, "opset_import"),
            (Function, 11) => (Attribute, "attribute_proto"),
            (Function, 12) => (ValueInfo, "value_info"),
            _ => (Opaque, ""),
        }
    }

    /// Bytes of the decoded message itself, without what it points to.
    fn decoded_bytes(self) -> u64 {
        let bytes = match self {
            Msg::Model => size_of::<pb::ModelProto>(),
            Msg::Opset => size_of::<pb::OperatorSetIdProto>(),
            Msg::Entry => size_of::<pb::StringStringEntryProto>(),
            Msg::Graph => size_of::<pb::GraphProto>(),
            Msg::Annotation => size_of::<pb::TensorAnnotation>(),
            Msg::Node => size_of::<pb::NodeProto>(),
            Msg::Attribute => size_of::<pb::AttributeProto>(),
            Msg::Tensor => size_of::<pb::TensorProto>(),
            Msg::Segment => size_of::<pb::Segment>(),
            Msg::Sparse => size_of::<pb::SparseTensorProto>(),
            Msg::ValueInfo => size_of::<pb::ValueInfoProto>(),
            Msg::Type => size_of::<pb::TypeProto>(),
            Msg::TypeTensor => size_of::<pb::TypeTensor>(),
            Msg::TypeElem => size_of::<pb::TypeElem>(),
            Msg::TypeMap => size_of::<pb::TypeMap>(),
            Msg::Shape => size_of::<pb::TensorShapeProto>(),
            Msg::Dimension => size_of::<pb::Dimension>(),
            Msg::Function => size_of::<pb::FunctionProto>(),
            Msg::Opaque => 0,
        };
        bytes as u64
    }
}

/// Checks that `bytes` is a well-formed protobuf message of kind `root`, within the limits above.
pub(crate) fn scan(bytes: &[u8], root: Msg) -> Result<(), OnnxError> {
    let budget = (bytes.len() as u64)
        .saturating_mul(MESSAGE_BYTES_PER_FILE_BYTE)
        .saturating_add(MESSAGE_BYTES_FREE);
    let mut scan = Scan { bytes, left: budget };
    scan.message(root, 0, bytes.len(), 0).map_err(|fault| {
        let Fault { offset, problem, mut path, limit } = *fault;
        path.reverse();
        if path.len() > 12 {
            path.splice(7..path.len() - 4, ["…".to_string()]);
        }
        let (offset, place) = (offset as u64, path.join("."));
        if limit {
            OnnxError::Limit { offset, place, problem }
        } else {
            OnnxError::Malformed { offset, place, problem }
        }
    })
}

struct Scan<'a> {
    bytes: &'a [u8],
    left: u64,
}

struct Fault {
    offset: usize,
    problem: String,
    /// Innermost field first.
    path: Vec<String>,
    limit: bool,
}

impl Fault {
    fn broken(offset: usize, problem: impl Into<String>) -> Box<Fault> {
        Box::new(Fault { offset, problem: problem.into(), path: Vec::new(), limit: false })
    }

    fn limit(offset: usize, problem: impl Into<String>) -> Box<Fault> {
        Box::new(Fault { limit: true, ..*Fault::broken(offset, problem) })
    }
}

impl Scan<'_> {
    fn message(
        &mut self,
        msg: Msg,
        start: usize,
        end: usize,
        depth: u32,
    ) -> Result<(), Box<Fault>> {
        if depth > MAX_DEPTH {
            return Err(Fault::limit(start, format!("messages nest more than {MAX_DEPTH} deep")));
        }
        self.left = self.left.checked_sub(msg.decoded_bytes()).ok_or_else(|| {
            Fault::limit(start, "far more messages than a file of this size can mean")
        })?;
        // Occurrences of each field so far, to name the one that is broken. All fields that hold
        // messages have numbers below 32.
        let mut seen = [0u32; 32];
        let mut pos = start;
        while pos < end {
            let key_at = pos;
            let key = self.varint(&mut pos, end)?;
            let (field, wire) = (key >> 3, key & 7);
            if field == 0 {
                return Err(Fault::broken(key_at, "field number 0"));
            }
            let fixed = match wire {
                0 => {
                    self.varint(&mut pos, end)?;
                    continue;
                }
                1 => 8,
                5 => 4,
                2 => {
                    let (kind, name) = msg.child(field);
                    let len = self.varint(&mut pos, end)?;
                    let nth = match seen.get_mut(field as usize) {
                        Some(count) => {
                            *count += 1;
                            *count - 1
                        }
                        None => 0,
                    };
                    let named = |mut fault: Box<Fault>| {
                        if !name.is_empty() {
                            fault.path.push(if nth == 0 && !repeats(name) {
                                name.to_string()
                            } else {
                                format!("{name}[{nth}]")
                            });
                        }
                        fault
                    };
                    let stop = usize::try_from(len)
                        .ok()
                        .and_then(|len| pos.checked_add(len))
                        .filter(|stop| *stop <= end);
                    let Some(stop) = stop else {
                        let left = end - pos;
                        return Err(named(Fault::broken(
                            pos,
                            format!("{len} bytes are announced but only {left} are left"),
                        )));
                    };
                    if kind != Msg::Opaque {
                        self.message(kind, pos, stop, depth + 1).map_err(named)?;
                    }
                    pos = stop;
                    continue;
                }
                _ => {
                    return Err(Fault::broken(
                        key_at,
                        format!("field {field} has wire type {wire}, which ONNX never uses"),
                    ));
                }
            };
            if end - pos < fixed {
                return Err(Fault::broken(pos, "the data ends inside a number"));
            }
            pos += fixed;
        }
        Ok(())
    }

    fn varint(&self, pos: &mut usize, end: usize) -> Result<u64, Box<Fault>> {
        let start = *pos;
        let mut value = 0u64;
        for (i, byte) in self.bytes[start..end].iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                // The tenth byte may only add the highest bit.
                if i == 9 && *byte > 1 {
                    break;
                }
                *pos = start + i + 1;
                return Ok(value);
            }
        }
        Err(Fault::broken(
            start,
            if end - start < 10 {
                "the data ends inside a number"
            } else {
                "a number of more than 64 bits"
            },
        ))
    }
}

fn repeats(name: &str) -> bool {
    !matches!(
        name,
        "graph"
            | "t"
            | "g"
            | "tp"
            | "sparse_tensor"
            | "segment"
            | "raw_data"
            | "values"
            | "indices"
            | "type"
            | "tensor_type"
            | "sparse_tensor_type"
            | "sequence_type"
            | "optional_type"
            | "map_type"
            | "elem_type"
            | "value_type"
            | "shape"
    )
}
