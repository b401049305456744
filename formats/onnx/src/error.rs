//! What can be wrong with a model file, said so that the person who exported it can act.

use std::path::PathBuf;

use crate::ElemType;

/// Why a model was refused. The text names the file, node or tensor; [`OnnxError::help`] gives the
/// way out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OnnxError {
    /// The operating system refused.
    #[error("cannot read {}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },

    /// The first bytes belong to another kind of file.
    #[error("this is not an ONNX model but {what}")]
    NotOnnx { what: &'static str, help: &'static str },

    /// The protobuf structure is broken at a byte offset.
    #[error("the file is damaged at byte {offset}{}: {problem}", at(place))]
    Malformed { offset: u64, place: String, problem: String },

    /// A count of messages so high, or a nesting so deep, that it can only be an attack or damage.
    #[error("the file is refused at byte {offset}{}: {problem}", at(place))]
    Limit { offset: u64, place: String, problem: String },

    /// Fields have the wrong protobuf type.
    #[error("this does not decode as an ONNX model: {detail}")]
    Decode { detail: String },

    /// `ModelProto.graph` is absent.
    #[error("the model holds no graph")]
    NoGraph,

    /// An IR version that is too old or makes no sense.
    #[error("IR version {version} is not supported; {} and newer are", crate::OLDEST_IR_VERSION)]
    IrVersion { version: i64 },

    /// A domain is used but no operator-set version is given for it.
    #[error("{user} needs operator set `{domain}`, but the model imports no version of it")]
    MissingOpset { domain: String, user: String },

    /// Two different versions of one operator set, or a version below 1.
    #[error("operator set `{domain}`: {problem}")]
    BadOpset { domain: String, problem: String },

    /// One name is defined twice in one graph.
    #[error("{graph}: the name `{name}` is defined twice, by {first} and by {second}")]
    DuplicateName { graph: String, name: String, first: String, second: String },

    /// A name is used that nothing defines.
    #[error("{user} uses `{name}`, but no input, initializer or node defines it")]
    UndefinedName { name: String, user: String },

    /// Nodes depend on each other in a ring.
    #[error("{graph}: these nodes depend on each other in a cycle: {}", nodes.join(" -> "))]
    Cycle { graph: String, nodes: Vec<String> },

    /// A tensor's declared shape and its data disagree.
    #[error(
        "{tensor}: shape {dims:?} of {dtype} takes {expected} bytes, but {actual} bytes are stored"
    )]
    TensorSize { tensor: String, dims: Vec<u64>, dtype: ElemType, expected: u64, actual: u64 },

    /// A tensor's declared shape cannot be.
    #[error("{tensor}: shape {dims:?}: {problem}")]
    TensorShape { tensor: String, dims: Vec<i64>, problem: &'static str },

    /// Something else about a tensor.
    #[error("{tensor}: {problem}")]
    Tensor { tensor: String, problem: String },

    /// An element type number that the format does not define (or not yet).
    #[error("{place}: element type {code} is not known")]
    ElemType { place: String, code: i32 },

    /// A node or graph breaks the format's rules.
    #[error("{place}: {problem}")]
    Invalid { place: String, problem: String },

    /// An attribute is absent, has another type than the operator needs, or a useless value.
    #[error("{node}: attribute `{attribute}`: {problem}")]
    Attribute { node: String, attribute: String, problem: String },

    /// A tensor stored in another file cannot be read.
    #[error("{tensor}: external data file `{location}`: {problem}")]
    External { tensor: String, location: String, problem: String },

    /// Valid ONNX that this reader does not handle.
    #[error("{place}: {what} is not supported")]
    Unsupported { place: String, what: String },
}

fn at(place: &str) -> String {
    if place.is_empty() { String::new() } else { format!(" ({place})") }
}

impl OnnxError {
    /// True when the model may be right and this reader is the limit (exit code 3 on the command
    /// line), false when the file itself is wrong or unreadable (exit code 2).
    pub fn is_unsupported(&self) -> bool {
        match self {
            OnnxError::Unsupported { .. } => true,
            OnnxError::IrVersion { version } => *version > 0,
            OnnxError::ElemType { code, .. } => *code > 0,
            _ => false,
        }
    }

    /// What to do about it, one sentence or two, where there is something to do.
    pub fn help(&self) -> Option<String> {
        Some(match self {
            OnnxError::NotOnnx { help, .. } => (*help).to_string(),
            OnnxError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                "check the path; it is relative to the current folder".into()
            }
            OnnxError::Malformed { .. } | OnnxError::Decode { .. } => {
                "compare the file's size and checksum with its source: downloads and copies often \
                 stop early. `onnx.checker.check_model(path)` in Python judges independently"
                    .into()
            }
            OnnxError::IrVersion { version: 1 } => {
                "if this is a TensorFlow SavedModel (saved_model.pb), convert it with tf2onnx; a \
                 real ONNX file this old is updated by onnx.version_converter"
                    .into()
            }
            OnnxError::IrVersion { .. } => "export the model again with a newer exporter".into(),
            OnnxError::MissingOpset { domain, .. } => format!(
                "add it to opset_import: onnx.helper.make_opsetid(\"{}\", version)",
                if domain == "ai.onnx" { "" } else { domain }
            ),
            OnnxError::External { .. } => {
                "keep the data file in the model's folder, under the name that the model gives it; \
                 onnx.save(model, path) without external data makes one file of both"
                    .into()
            }
            OnnxError::Cycle { .. }
            | OnnxError::UndefinedName { .. }
            | OnnxError::DuplicateName { .. } => {
                "a tool that edited the graph left it inconsistent: export it again, or repair it \
                 (onnx.checker.check_model finds the same places)"
                    .into()
            }
            _ => return None,
        })
    }
}

/// At most about `max` bytes of a name that comes from the file, for messages and paths: a name may
/// be megabytes long, and every node inside a subgraph repeats its parents' names.
pub(crate) fn clip(name: &str, max: usize) -> String {
    if name.len() <= max {
        return name.to_string();
    }
    let mut end = max;
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &name[..end])
}
