//! Reads the text form of a graph (see [`crate::text`]).
//!
//! Beyond what the printer writes, constants may be given by a generator, so that fixtures stay
//! short: `const f32[16,3,3,3] splat(0.5)`, `random(7)` (uniform in [-1, 1)), `random(7, 0.5, 2.0)`
//! (uniform in [0.5, 2)). Errors carry line and column; bad text never panics, and never makes a
//! constant of more than [`MAX_GENERATED_ELEMS`] elements.

use crate::text::INLINE_ELEMS;
use crate::{
    Arg, Attr, Attrs, Body, DType, Def, Graph, Operand, PointwiseOp, Shape, Step, Tensor, ValueId,
    View, ViewStep,
};
use bytes::Bytes;
use std::collections::{HashMap, HashSet};

/// Largest constant that `splat` and `random` make.
pub const MAX_GENERATED_ELEMS: usize = 1 << 24;

/// What is wrong with the text, and where (both counted from 1).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("graph text, line {line}, column {column}: {message}")]
pub struct ParseError {
    pub line: usize,
    pub column: usize,
    pub message: String,
}

/// Parses a graph. `ops` maps an operator name to the name in the operator table.
pub fn parse(text: &str, ops: &dyn Fn(&str) -> Option<&'static str>) -> Result<Graph, ParseError> {
    parse_with(text, ops, &|_| None)
}

/// Like [`parse`]; `constants` gives the tensor behind a printed content hash.
pub fn parse_with(
    text: &str,
    ops: &dyn Fn(&str) -> Option<&'static str>,
    constants: &dyn Fn(u64) -> Option<Tensor>,
) -> Result<Graph, ParseError> {
    let mut p = Parser { text, pos: 0, ops, constants, values: HashMap::new() };
    p.graph()
}

/// Elements in their printed form to little-endian bytes; `None` when one does not parse.
pub(crate) fn elements<'a>(dtype: DType, items: impl Iterator<Item = &'a str>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for item in items {
        match dtype {
            DType::F32 => out.extend(item.parse::<f32>().ok()?.to_le_bytes()),
            DType::U64 => out.extend(item.parse::<u64>().ok()?.to_le_bytes()),
            d if d.is_float() => {
                let v = item.parse::<f64>().ok()?;
                out.extend_from_slice(Tensor::from_f64s(d, [1], &[v]).bytes());
            }
            d => {
                let v = item.parse::<i64>().ok()?;
                let t = Tensor::from_i64s(d, [1], &[v]);
                if t.to_i64s()[0] != v {
                    return None;
                }
                out.extend_from_slice(t.bytes());
            }
        }
    }
    Some(out)
}

/// `elems` values of a splitmix64 stream, uniform in [lo, hi); integers are truncated, bools are
/// "at least the middle".
fn random(dtype: DType, shape: Shape, seed: u64, lo: f64, hi: f64) -> Tensor {
    let mut state = seed.wrapping_mul(0x2545_f491_4f6c_dd1d);
    let values: Vec<f64> = (0..shape.elems())
        .map(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^= z >> 31;
            let unit = (z >> 40) as f64 / (1u64 << 24) as f64;
            let v = lo + unit * (hi - lo);
            match dtype {
                DType::Bool => f64::from(unit >= 0.5),
                d if d.is_int() => v.trunc(),
                _ => v,
            }
        })
        .collect();
    Tensor::from_f64s(dtype, shape, &values)
}

struct Parser<'a> {
    text: &'a str,
    pos: usize,
    ops: &'a dyn Fn(&str) -> Option<&'static str>,
    constants: &'a dyn Fn(u64) -> Option<Tensor>,
    values: HashMap<String, ValueId>,
}

type Res<T> = Result<T, ParseError>;

impl<'a> Parser<'a> {
    fn error<T>(&self, message: impl Into<String>) -> Res<T> {
        let before = &self.text[..self.pos];
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        Err(ParseError { line, column, message: message.into() })
    }

    fn rest(&self) -> &'a str {
        &self.text[self.pos..]
    }

    fn skip(&mut self) {
        let rest = self.rest();
        self.pos += rest.len() - rest.trim_start().len();
    }

    fn eat(&mut self, token: &str) -> bool {
        self.skip();
        let hit = self.rest().starts_with(token);
        if hit {
            self.pos += token.len();
        }
        hit
    }

    /// Like `eat`, for words: the next character must not continue the word.
    fn eat_word(&mut self, word: &str) -> bool {
        let start = self.pos;
        if self.eat(word) && !self.rest().starts_with(|c: char| c.is_alphanumeric() || c == '_') {
            return true;
        }
        self.pos = start;
        false
    }

    fn expect(&mut self, token: &str) -> Res<()> {
        if self.eat(token) { Ok(()) } else { self.error(format!("expected `{token}`")) }
    }

    fn take_while(&mut self, keep: impl Fn(char) -> bool) -> &'a str {
        self.skip();
        let rest = self.rest();
        let end = rest.find(|c| !keep(c)).unwrap_or(rest.len());
        self.pos += end;
        &rest[..end]
    }

    fn word(&mut self) -> Res<&'a str> {
        let w = self.take_while(|c| c.is_alphanumeric() || c == '_');
        if w.is_empty() { self.error("expected a name") } else { Ok(w) }
    }

    fn number(&mut self) -> Res<&'a str> {
        let w = self.take_while(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
        if w.is_empty() { self.error("expected a number") } else { Ok(w) }
    }

    fn int<T: std::str::FromStr>(&mut self) -> Res<T> {
        let start = self.pos;
        let w = self.number()?;
        w.parse().or_else(|_| {
            self.pos = start;
            self.error(format!("`{w}` is not an integer in range"))
        })
    }

    fn float(&mut self) -> Res<f64> {
        let w = self.number()?;
        w.parse().or_else(|_| self.error(format!("`{w}` is not a number")))
    }

    fn string(&mut self) -> Res<String> {
        self.expect("\"")?;
        let mut out = String::new();
        let mut chars = self.rest().char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.pos += at + 1;
                    return Ok(out);
                }
                '\\' => match chars.next().map(|(_, c)| c) {
                    Some('n') => out.push('\n'),
                    Some('r') => out.push('\r'),
                    Some('t') => out.push('\t'),
                    Some('u') => {
                        let hex: String = chars
                            .by_ref()
                            .map(|(_, c)| c)
                            .skip(1)
                            .take_while(|c| *c != '}')
                            .collect();
                        match u32::from_str_radix(&hex, 16).ok().and_then(char::from_u32) {
                            Some(c) => out.push(c),
                            None => return self.error("bad \\u{…} escape"),
                        }
                    }
                    Some(c @ ('"' | '\\')) => out.push(c),
                    _ => return self.error("unknown escape in a string"),
                },
                c => out.push(c),
            }
        }
        self.error("string without its closing quote")
    }

    /// `// "name"` at the end of a line; other comments are skipped.
    fn comment(&mut self) -> Res<String> {
        let rest = self.rest();
        let blank = rest.len() - rest.trim_start_matches([' ', '\t']).len();
        if !rest[blank..].starts_with("//") {
            return Ok(String::new());
        }
        self.pos += blank + 2;
        let line_end = self.rest().find('\n').map_or(self.text.len(), |n| self.pos + n);
        let name = if self.text[self.pos..line_end].trim_start().starts_with('"') {
            self.string()?
        } else {
            String::new()
        };
        self.pos = line_end.max(self.pos);
        Ok(name)
    }

    fn list<T>(&mut self, item: impl Fn(&mut Self) -> Res<T>) -> Res<Vec<T>> {
        self.expect("[")?;
        let mut out = Vec::new();
        if self.eat("]") {
            return Ok(out);
        }
        loop {
            out.push(item(self)?);
            if self.eat("]") {
                return Ok(out);
            }
            self.expect(",")?;
        }
    }

    fn shape(&mut self) -> Res<Shape> {
        let shape = Shape(self.list(Self::int)?);
        if shape.checked_elems().and_then(|n| n.checked_mul(8)).is_none() {
            return self.error(format!("shape {shape} has too many elements"));
        }
        Ok(shape)
    }

    fn dtype(&mut self) -> Res<DType> {
        let start = self.pos;
        let w = self.word()?;
        match DType::from_name(w) {
            Some(d) => Ok(d),
            None => {
                self.pos = start;
                self.error(format!("`{w}` is not a dtype"))
            }
        }
    }

    fn tensor(&mut self) -> Res<Tensor> {
        let dtype = self.dtype()?;
        let shape = self.shape()?;
        if self.eat("#") {
            let hex = self.word()?;
            let found = u64::from_str_radix(hex, 16).ok().and_then(self.constants);
            return match found {
                Some(t) if t.dtype == dtype && t.shape == shape => Ok(t),
                _ => self.error(format!(
                    "the data of constant #{hex} is not in the text: only up to {INLINE_ELEMS} \
                     elements are printed; use splat(x) or random(seed)"
                )),
            };
        }
        let generated =
            self.eat_word("splat").then_some(0).or(self.eat_word("random").then_some(1));
        if let Some(kind) = generated {
            if shape.elems() > MAX_GENERATED_ELEMS {
                return self
                    .error(format!("generated constants end at {MAX_GENERATED_ELEMS} elements"));
            }
            self.expect("(")?;
            let t = if kind == 0 {
                let item = self.number()?;
                match elements(dtype, std::iter::once(item)) {
                    Some(one) => {
                        Tensor::from_bytes(dtype, shape.clone(), one.repeat(shape.elems()).into())
                    }
                    None => return self.error(format!("`{item}` is not a value of {dtype}")),
                }
            } else {
                let seed = self.int()?;
                let (mut lo, mut hi) = if dtype.is_int() { (0.0, 8.0) } else { (-1.0, 1.0) };
                if self.eat(",") {
                    lo = self.float()?;
                    self.expect(",")?;
                    hi = self.float()?;
                }
                Some(random(dtype, shape, seed, lo, hi))
            };
            self.expect(")")?;
            return t.map_or_else(|| self.error("constant does not fit its shape"), Ok);
        }
        let items = self.list(Self::number)?;
        let Some(bytes) = elements(dtype, items.iter().copied()) else {
            return self.error(format!("an element is not a value of {dtype}"));
        };
        let n = items.len();
        match Tensor::from_bytes(dtype, shape.clone(), Bytes::from(bytes)) {
            Some(t) => Ok(t),
            None => self.error(format!("{n} elements given for shape {shape}")),
        }
    }

    fn attr(&mut self) -> Res<Attr> {
        self.skip();
        if self.rest().starts_with('"') {
            return Ok(Attr::Str(self.string()?));
        }
        if self.eat_word("tensor") {
            return Ok(Attr::Tensor(self.tensor()?));
        }
        if self.eat("floats[]") {
            return Ok(Attr::Floats(Vec::new()));
        }
        if self.rest().starts_with('[') {
            let items = self.list(Self::number)?;
            if let Ok(ints) = items.iter().map(|i| i.parse()).collect::<Result<Vec<i64>, _>>() {
                return Ok(Attr::Ints(ints));
            }
            return match items.iter().map(|i| i.parse()).collect::<Result<Vec<f64>, _>>() {
                Ok(floats) => Ok(Attr::Floats(floats)),
                Err(_) => self.error("list attribute with an element that is no number"),
            };
        }
        let w = self.number()?;
        if let Ok(v) = w.parse::<i64>() {
            return Ok(Attr::Int(v));
        }
        w.parse().map(Attr::Float).or_else(|_| self.error(format!("`{w}` is not a number")))
    }

    fn attrs(&mut self) -> Res<Attrs> {
        self.expect("{")?;
        let mut attrs = Attrs::new();
        if self.eat("}") {
            return Ok(attrs);
        }
        loop {
            let name = self.word()?;
            self.expect("=")?;
            let value = self.attr()?;
            if attrs.0.insert(name.to_owned(), value).is_some() {
                return self.error(format!("attribute `{name}` is given twice"));
            }
            if self.eat("}") {
                return Ok(attrs);
            }
            self.expect(",")?;
        }
    }

    fn view(&mut self) -> Res<View> {
        let mut view = View::identity();
        while self.rest().starts_with('.') {
            self.pos += 1;
            let start = self.pos;
            let step = match self.word()? {
                "reshape" => ViewStep::Reshape { shape: self.shape()? },
                "transpose" => ViewStep::Transpose { perm: self.list(Self::int)? },
                "broadcast" => ViewStep::Broadcast { shape: self.shape()? },
                "slice" => {
                    self.expect("(")?;
                    let starts = self.list(Self::int)?;
                    self.expect(",")?;
                    let sizes = self.list(Self::int)?;
                    self.expect(",")?;
                    let steps = self.list(Self::int)?;
                    self.expect(")")?;
                    ViewStep::Slice { starts, sizes, steps }
                }
                w => {
                    self.pos = start;
                    return self.error(format!("`{w}` is not a view step"));
                }
            };
            view = view.then(step);
        }
        Ok(view)
    }

    fn read(&mut self) -> Res<ValueId> {
        self.expect("%")?;
        let name = self.word()?;
        match self.values.get(name) {
            Some(id) => Ok(*id),
            None => self.error(format!("%{name} is read before it is defined")),
        }
    }

    fn operand(&mut self) -> Res<Option<Operand>> {
        if self.eat_word("_") {
            return Ok(None);
        }
        let value = self.read()?;
        Ok(Some(Operand { value, view: self.view()? }))
    }

    fn arg(&mut self) -> Res<Arg> {
        if self.eat_word("acc") {
            return Ok(Arg::Acc);
        }
        self.skip();
        let start = self.pos;
        if self.rest().starts_with(['t', 'o']) {
            let w = self.word()?;
            if let Ok(i) = w[1..].parse::<usize>() {
                return Ok(if w.starts_with('t') { Arg::Step(i) } else { Arg::Operand(i) });
            }
            self.pos = start;
        }
        Ok(Arg::Const(self.float()?))
    }

    /// Steps without a written dtype get `None`: they have the dtype of the node's first result.
    fn body(&mut self) -> Res<(Body, Vec<Option<DType>>)> {
        self.expect("{")?;
        let (mut body, mut dtypes) = (Body::default(), Vec::new());
        loop {
            if self.eat_word("return") {
                if self.eat("}") {
                    return Ok((body, dtypes));
                }
                loop {
                    body.results.push(self.arg()?);
                    if self.eat("}") {
                        return Ok((body, dtypes));
                    }
                    self.expect(",")?;
                }
            }
            let want = format!("t{}", body.steps.len());
            if !self.eat_word(&want) {
                return self.error(format!("expected `{want}` or `return`"));
            }
            dtypes.push(if self.eat(":") { Some(self.dtype()?) } else { None });
            self.expect("=")?;
            let start = self.pos;
            let w = self.word()?;
            let Some(op) = PointwiseOp::from_name(w) else {
                self.pos = start;
                return self.error(format!("`{w}` is not an element-wise operator"));
            };
            self.expect("(")?;
            let mut args = Vec::new();
            if !self.eat(")") {
                loop {
                    args.push(self.arg()?);
                    if self.eat(")") {
                        break;
                    }
                    self.expect(",")?;
                }
            }
            self.expect(";")?;
            body.steps.push(Step { op, args, dtype: DType::F32 });
        }
    }

    fn define(&mut self, name: &str, id: ValueId) -> Res<()> {
        match self.values.insert(name.to_owned(), id) {
            None => Ok(()),
            Some(_) => self.error(format!("%{name} is defined twice")),
        }
    }

    fn node(&mut self, graph: &mut Graph, names: &[&str]) -> Res<()> {
        let start = self.pos;
        let word = self.word()?;
        let Some(op) = (self.ops)(word) else {
            self.pos = start;
            return self.error(format!("`{word}` is not an operator of the table"));
        };
        self.expect("(")?;
        let (mut operands, mut split) = (Vec::new(), None);
        if self.eat(";") {
            split = Some(0);
        }
        if !self.eat(")") {
            loop {
                operands.push(self.operand()?);
                if self.eat(")") {
                    break;
                }
                if self.eat(";") && split.is_none() {
                    split = Some(operands.len());
                } else {
                    self.expect(",")?;
                }
            }
        }
        self.skip();
        let pointwise = op == "pointwise";
        let mut attrs = Attrs::new();
        if (pointwise && self.eat_word("attrs")) || (!pointwise && self.rest().starts_with('{')) {
            attrs = self.attrs()?;
        }
        let (mut body, mut dtypes) = (Body::default(), Vec::new());
        if pointwise || self.eat_word("epilogue") {
            (body, dtypes) = self.body()?;
        }
        let store_view = if self.eat_word("store") { self.view()? } else { View::identity() };
        self.expect("->")?;
        let mut types = Vec::new();
        loop {
            types.push((self.dtype()?, self.shape()?));
            if !self.eat(",") {
                break;
            }
        }
        if types.len() != names.len() {
            return self.error(format!("{} results but {} types", names.len(), types.len()));
        }
        let path = self.comment()?;
        let base = if path.is_empty() { format!("%{}", names[0]) } else { path.clone() };
        for (step, dtype) in body.steps.iter_mut().zip(dtypes) {
            step.dtype = dtype.unwrap_or(types[0].0);
        }
        let results = types
            .into_iter()
            .enumerate()
            .map(|(i, (d, s))| (if i == 0 { base.clone() } else { format!("{base}:{i}") }, d, s))
            .collect();
        let id = graph.add_node(op, attrs, operands, results, path);
        let node = graph.node_mut(id);
        node.epilogue = body;
        node.store_view = store_view;
        node.epilogue_operands = if pointwise { 0 } else { split.unwrap_or(node.operands.len()) };
        for (name, value) in names.iter().zip(node.results.clone()) {
            self.define(name, value)?;
        }
        Ok(())
    }

    fn graph(&mut self) -> Res<Graph> {
        while self.comment_line() {}
        if !self.eat_word("graph") {
            return self.error("expected `graph \"name\" {`");
        }
        let mut graph = Graph::new(self.string()?);
        let mut output_names = HashSet::new();
        self.expect("{")?;
        loop {
            if self.comment_line() {
                continue;
            }
            if self.eat("}") {
                break;
            }
            if self.eat_word("output") {
                let name = self.string()?;
                let value = self.read()?;
                if !output_names.insert(name.clone()) {
                    return self.error(format!("output {name:?} is given twice"));
                }
                graph.outputs.push((name, value));
                continue;
            }
            if self.eat_word("state") {
                let name = self.string()?;
                graph.states.push(name);
                continue;
            }
            let mut names = Vec::new();
            loop {
                self.expect("%")?;
                names.push(self.word()?);
                if !self.eat(",") {
                    break;
                }
            }
            self.expect("=")?;
            if self.eat_word("input") {
                let name = self.string()?;
                let (dtype, shape) = (self.dtype()?, self.shape()?);
                let id = graph.add_input(name, dtype, shape);
                self.define(names[0], id)?;
            } else if self.eat_word("const") {
                let t = self.tensor()?;
                let name = self.comment()?;
                let (dtype, shape) = (t.dtype, t.shape.clone());
                let id = graph.add_value(name, dtype, shape, Def::Const(t));
                self.define(names[0], id)?;
            } else {
                self.node(&mut graph, &names)?;
            }
        }
        while self.comment_line() {}
        self.skip();
        if self.rest().is_empty() { Ok(graph) } else { self.error("text after the graph") }
    }

    /// Skips a whole-line comment.
    fn comment_line(&mut self) -> bool {
        let hit = self.eat("//");
        if hit {
            self.pos = self.rest().find('\n').map_or(self.text.len(), |n| self.pos + n);
        }
        hit
    }
}
