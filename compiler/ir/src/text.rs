//! The text form of a graph: stable, one line per value or node, read back by [`crate::parse`].
//!
//! ```text
//! graph "g" {
//!   %0 = input "x" f32[1,3,8,8]
//!   %1 = const f32[16,3,3,3] #51c4b0bf22a1c3d0  // "w"
//!   %2 = conv(%0, %1; %9) {group=1} epilogue { t0 = add(acc, o2); return t0 } -> f32[1,16,8,8]  // "c"
//!   %3 = pointwise(%2.reshape[16,64]) { t0 = relu(o0); return t0 } -> f32[16,64]
//!   output "y" %3
//! }
//! ```
//!
//! * Numbers are dense and follow the printed order, so two equal graphs with different holes print
//!   the same. Constants come right before their first reader.
//! * `_` is an omitted operand; operands after `;` belong to the epilogue; `.step` chains are views;
//!   `store.step` is the view on the store.
//! * A body step prints its dtype (`t0:bool`) only where it differs from the node's first result.
//! * `state "k"` says that input and output of this name persist in one memory.
//! * Constants of at most [`INLINE_ELEMS`] elements print their data, uniform ones `splat(x)`,
//!   others a content hash: text alone cannot bring those back (see [`crate::parse::parse_with`]).

use crate::{Arg, Attr, Attrs, Body, DType, Def, Graph, Node, Tensor, ValueId};
use std::collections::HashMap;
use std::fmt::{self, Write};

/// Constants up to this many elements are printed in full.
pub const INLINE_ELEMS: usize = 16;

/// 64-bit content hash of dtype, shape and bytes: equal tensors hash equal on every machine.
/// (FNV-1a over 8-byte words: for naming and finding candidates, not against an adversary.)
pub fn content_hash(tensor: &Tensor) -> u64 {
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let mut h: u64 = 0xcbf2_9ce4_8422_2325;
    let mut word = |w: u64| {
        h = (h ^ w).wrapping_mul(PRIME);
        h ^= h >> 32;
    };
    word(tensor.dtype as u64);
    word(tensor.shape.rank() as u64);
    tensor.shape.iter().for_each(|&d| word(d as u64));
    let chunks = tensor.bytes().chunks_exact(8);
    let mut last = [0u8; 8];
    last[..chunks.remainder().len()].copy_from_slice(chunks.remainder());
    chunks.for_each(|c| word(u64::from_le_bytes(c.try_into().expect("chunks of 8"))));
    word(u64::from_le_bytes(last));
    h
}

/// What stands in the text for a constant that is not in memory.
fn key_hash(key: &str) -> u64 {
    let bytes = bytes::Bytes::copy_from_slice(key.as_bytes());
    let tensor = Tensor::from_bytes(DType::U8, [key.len()], bytes);
    tensor.as_ref().map_or(0, content_hash)
}

/// `"…"` with `\"`, `\\`, `\n`, `\r`, `\t` and `\u{hex}` for control characters.
pub(crate) fn quote(s: &str) -> String {
    let mut out = String::with_capacity(s.len() + 2);
    out.push('"');
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{{{:x}}}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn float(v: f64) -> String {
    if v.is_nan() { "nan".to_owned() } else { format!("{v:?}") }
}

fn join(items: impl IntoIterator<Item = String>) -> String {
    items.into_iter().collect::<Vec<_>>().join(",")
}

/// Elements as the parser reads them, `None` when they would not come back bit for bit
/// (NaN payloads, bools other than 0 and 1).
fn literal(t: &Tensor) -> Option<String> {
    let items: Vec<String> = match t.dtype {
        DType::F32 => t.to_f32s().iter().map(|v| format!("{v:?}").to_lowercase()).collect(),
        d if d.is_float() => t.to_f64s().iter().map(|v| float(*v)).collect(),
        DType::U64 => t.to_i64s().iter().map(|v| (*v as u64).to_string()).collect(),
        _ => t.to_i64s().iter().map(i64::to_string).collect(),
    };
    let back = crate::parse::elements(t.dtype, items.iter().map(String::as_str))?;
    (back == t.bytes()[..]).then(|| format!("[{}]", items.join(",")))
}

fn tensor(t: &Tensor) -> String {
    let head = format!("{}{}", t.dtype, t.shape);
    if t.elems() <= INLINE_ELEMS {
        if let Some(text) = literal(t) {
            return format!("{head} {text}");
        }
    } else if t.splat_f64().is_some() {
        let n = t.dtype.bytes();
        let one = Tensor::from_bytes(t.dtype, [1], t.bytes().slice(..n));
        if let Some(text) = one.as_ref().and_then(literal) {
            return format!("{head} splat({})", &text[1..text.len() - 1]);
        }
    }
    format!("{head} #{:016x}", content_hash(t))
}

fn attr(a: &Attr) -> String {
    match a {
        Attr::Int(v) => v.to_string(),
        Attr::Float(v) => float(*v),
        Attr::Str(v) => quote(v),
        Attr::Ints(v) => format!("[{}]", join(v.iter().map(i64::to_string))),
        Attr::Floats(v) if v.is_empty() => "floats[]".to_owned(),
        Attr::Floats(v) => format!("[{}]", join(v.iter().map(|x| float(*x)))),
        Attr::Tensor(t) => format!("tensor {}", tensor(t)),
    }
}

/// `{a=1, b=[2,3]}`.
pub fn attrs(attrs: &Attrs) -> String {
    let items: Vec<String> = attrs.0.iter().map(|(k, v)| format!("{k}={}", attr(v))).collect();
    format!("{{{}}}", items.join(", "))
}

fn arg(a: &Arg) -> String {
    match a {
        Arg::Acc => "acc".to_owned(),
        Arg::Step(i) => format!("t{i}"),
        Arg::Operand(i) => format!("o{i}"),
        Arg::Const(v) => float(*v),
    }
}

/// `{ t0 = add(acc, o2); return t0 }`; steps show a dtype where it is not `default`.
pub fn body(body: &Body, default: DType) -> String {
    let mut out = String::from("{ ");
    for (i, s) in body.steps.iter().enumerate() {
        let dtype = if s.dtype == default { String::new() } else { format!(":{}", s.dtype) };
        let args: Vec<String> = s.args.iter().map(arg).collect();
        let _ = write!(out, "t{i}{dtype} = {}({}); ", s.op, args.join(", "));
    }
    let results: Vec<String> = body.results.iter().map(arg).collect();
    let _ = write!(out, "return {} }}", results.join(", "));
    out
}

struct Printer<'g> {
    graph: &'g Graph,
    numbers: HashMap<ValueId, usize>,
    out: String,
}

impl Printer<'_> {
    fn number(&mut self, id: ValueId) -> usize {
        let next = self.numbers.len();
        *self.numbers.entry(id).or_insert(next)
    }

    fn constant(&mut self, id: ValueId) {
        if self.numbers.contains_key(&id) {
            return;
        }
        let value = self.graph.value(id);
        let text = match &value.def {
            Def::Const(t) => tensor(t),
            Def::Lazy(lazy) => {
                format!("{}{} #{:016x}", value.dtype, value.shape, key_hash(lazy.key()))
            }
            _ => return,
        };
        let n = self.number(id);
        let _ = write!(self.out, "  %{n} = const {text}");
        self.comment(&value.name);
    }

    fn comment(&mut self, name: &str) {
        if !name.is_empty() {
            let _ = write!(self.out, "  // {}", quote(name));
        }
        self.out.push('\n');
    }

    /// A read of a value that nothing printed so far defines (only in a graph that the verifier
    /// refuses) shows its raw id.
    fn read(&self, id: ValueId) -> String {
        self.numbers.get(&id).map_or_else(|| format!("%undefined{}", id.0), |n| format!("%{n}"))
    }

    fn node(&mut self, node: &Node) {
        for o in node.operands.iter().flatten() {
            self.constant(o.value);
        }
        let operands: Vec<String> = node
            .operands
            .iter()
            .map(|o| o.as_ref().map_or("_".into(), |o| format!("{}{}", self.read(o.value), o.view)))
            .collect();
        let results: Vec<String> =
            node.results.iter().map(|r| format!("%{}", self.number(*r))).collect();
        let _ = write!(self.out, "  {} = {}(", results.join(", "), node.op);
        let pointwise = node.op == "pointwise";
        let split = if pointwise { operands.len() } else { node.epilogue_operands };
        let split = split.min(operands.len());
        self.out.push_str(&operands[..split].join(", "));
        if split < operands.len() {
            let _ = write!(self.out, "; {}", operands[split..].join(", "));
        }
        self.out.push(')');
        if !node.attrs.0.is_empty() {
            let word = if pointwise { " attrs" } else { "" };
            let _ = write!(self.out, "{word} {}", attrs(&node.attrs));
        }
        let default = node.results.first().map_or(DType::F32, |r| self.graph.value(*r).dtype);
        if pointwise || node.epilogue != Body::default() {
            let word = if pointwise { "" } else { " epilogue" };
            let _ = write!(self.out, "{word} {}", body(&node.epilogue, default));
        }
        if !node.store_view.is_identity() {
            let _ = write!(self.out, " store{}", node.store_view);
        }
        let types: Vec<String> = node
            .results
            .iter()
            .map(|r| format!("{}{}", self.graph.value(*r).dtype, self.graph.value(*r).shape))
            .collect();
        let _ = write!(self.out, " -> {}", types.join(", "));
        self.comment(&node.path);
    }
}

/// The text of a graph. A graph with a cycle prints its nodes in insertion order.
pub fn print(graph: &Graph) -> String {
    let mut p = Printer { graph, numbers: HashMap::new(), out: String::new() };
    let _ = writeln!(p.out, "graph {} {{", quote(&graph.name));
    for &id in &graph.inputs {
        let n = p.number(id);
        let v = graph.value(id);
        let _ = writeln!(p.out, "  %{n} = input {} {}{}", quote(&v.name), v.dtype, v.shape);
    }
    let order = graph.topo_order().unwrap_or_else(|_| graph.node_ids().collect());
    for id in order {
        p.node(graph.node(id));
    }
    for name in &graph.states {
        let _ = writeln!(p.out, "  state {}", quote(name));
    }
    for (name, id) in &graph.outputs {
        p.constant(*id);
        let read = p.read(*id);
        let _ = writeln!(p.out, "  output {} {read}", quote(name));
    }
    p.out.push_str("}\n");
    p.out
}

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&print(self))
    }
}
