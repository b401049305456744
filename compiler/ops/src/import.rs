//! ONNX node -> nodes of the graph.

use crate::def::MAX_ELEMS;
use crate::eval::{eval_op, infer_op};
use crate::pointwise_eval::round_to;
use crate::table::{OPS, find_onnx};
use crate::{OpError, Result};
use drift_ir::{
    Arg, Attrs, Body, DType, Graph, Operand, PointwiseOp, Shape, Step, Tensor, ValueId, View,
    ViewStep,
};

/// Results of constant folding up to this many bytes are always kept.
const FOLD_BYTES: usize = 64 << 20;

/// One ONNX node on its way into the graph.
///
/// Attribute conversion of the caller: INT, FLOAT, STRING, INTS, FLOATS, TENSOR as themselves; a
/// list of STRINGS joined by `,` into one string.
#[derive(Debug)]
pub struct ImportCtx<'g> {
    pub graph: &'g mut Graph,
    pub op_type: String,
    /// `""` for ai.onnx.
    pub domain: String,
    /// Version of the domain's operator set that the model uses.
    pub opset: i64,
    pub attrs: Attrs,
    /// `None` = an omitted optional input.
    pub inputs: Vec<Option<ValueId>>,
    /// `""` = an omitted output.
    pub output_names: Vec<String>,
    pub path: String,
}

/// Imports one ONNX node; the values of its outputs in order (possibly fewer than
/// `output_names` when the rest is optional and absent, possibly more).
pub fn import_node(ctx: &mut ImportCtx) -> Result<Vec<ValueId>> {
    if ctx.domain == "ai.onnx" {
        ctx.domain.clear();
    }
    let first_new = ctx.graph.value_ids().count() as u32;
    let def =
        find_onnx(&ctx.domain, &ctx.op_type, ctx.opset).map_err(|known| unknown(ctx, known))?;
    let values = (def.import)(ctx)?;
    for (i, name) in ctx.output_names.iter().enumerate() {
        match values.get(i) {
            Some(v) if v.0 >= first_new && !name.is_empty() => {
                ctx.graph.value_mut(*v).name.clone_from(name);
            }
            None if !name.is_empty() => {
                return Err(ctx.unsupported(format!("output {i} ({name}) is not supported")));
            }
            _ => {}
        }
    }
    Ok(values)
}

/// The error for an operator that is not in the table (or not in this version).
fn unknown(ctx: &ImportCtx, known: Vec<(i64, i64)>) -> OpError {
    let domain = if ctx.domain.is_empty() { "ai.onnx" } else { &ctx.domain };
    if !known.is_empty() {
        let ranges: Vec<String> = known
            .iter()
            .map(|&(since, until)| match until {
                i64::MAX => format!("{since} and later"),
                _ => format!("{since} to {until}"),
            })
            .collect();
        return ctx
            .unsupported(format!(
                "opset {} of {domain} is not supported for this operator",
                ctx.opset
            ))
            .help(format!(
                "supported opsets: {}; convert the model with onnx.version_converter",
                ranges.join(", ")
            ));
    }
    let mut near: Vec<(usize, &str)> = OPS
        .iter()
        .flat_map(|d| d.onnx)
        .map(|n| (edit_distance(&n.name.to_lowercase(), &ctx.op_type.to_lowercase()), n.name))
        .filter(|(d, n)| *d <= (n.len() / 3).max(2))
        .collect();
    near.sort_unstable();
    near.dedup();
    let near: Vec<&str> = near.into_iter().take(3).map(|(_, n)| n).collect();
    let help = match near.is_empty() {
        true => "docs/operators.md lists all operators; rewrite the node with those, or cut the \
                 model before it"
            .to_owned(),
        false => format!("near names that exist: {}", near.join(", ")),
    };
    ctx.unsupported(format!("the operator {domain}:{} is not known", ctx.op_type)).help(help)
}

fn edit_distance(a: &str, b: &str) -> usize {
    // hostile names are long: no need to measure those
    if a.len() > 64 || b.len() > 64 {
        return usize::MAX;
    }
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let cost = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

impl ImportCtx<'_> {
    pub fn invalid(&self, message: impl Into<String>) -> OpError {
        OpError::invalid(&self.op_type, &self.path, message)
    }

    pub fn unsupported(&self, message: impl Into<String>) -> OpError {
        OpError::unsupported(&self.op_type, &self.path, message)
    }

    /// Input `i`, which must be there.
    pub fn input(&self, i: usize) -> Result<ValueId> {
        self.opt(i).ok_or_else(|| self.invalid(format!("input {i} is missing")))
    }

    /// Input `i` where it is given.
    pub fn opt(&self, i: usize) -> Option<ValueId> {
        self.inputs.get(i).copied().flatten()
    }

    pub fn dtype(&self, v: ValueId) -> DType {
        self.graph.value(v).dtype
    }

    pub fn shape(&self, v: ValueId) -> Shape {
        self.graph.value(v).shape.clone()
    }

    pub fn rank(&self, v: ValueId) -> usize {
        self.graph.value(v).shape.rank()
    }

    /// Whether the model reads output `i`.
    pub fn wants(&self, i: usize) -> bool {
        self.output_names.get(i).is_some_and(|n| !n.is_empty())
    }

    pub fn constant(&self, v: ValueId) -> Option<&Tensor> {
        self.graph.const_of(v)
    }

    /// The constant behind input `i`; `what` names the input for people ("axes").
    pub fn const_input(&self, i: usize, what: &str) -> Result<&Tensor> {
        let v = self.input(i)?;
        self.graph.const_of(v).ok_or_else(|| {
            self.unsupported(format!(
                "{what} of {} must be known at compile time, but {} is computed from the inputs",
                self.op_type,
                self.graph.value(v).name
            ))
            .help(
                "give the model fixed input shapes (driftc compile --input-shape name=1x3x224x224), or \
                 simplify it with onnxsim or onnxslim first",
            )
        })
    }

    /// Integers of the constant input `i`; `None` when it is omitted.
    pub fn const_i64s(&self, i: usize, what: &str) -> Result<Option<Vec<i64>>> {
        if self.opt(i).is_none() {
            return Ok(None);
        }
        let t = self.const_input(i, what)?;
        if t.dtype.is_float() {
            return Err(self.invalid(format!("{what} must be integers, not {}", t.dtype)));
        }
        Ok(Some(t.to_i64s()))
    }

    pub fn const_f64s(&self, i: usize, what: &str) -> Result<Option<Vec<f64>>> {
        if self.opt(i).is_none() {
            return Ok(None);
        }
        Ok(Some(self.const_input(i, what)?.to_f64s()))
    }

    /// One integer of the constant input `i`.
    pub fn const_int(&self, i: usize, what: &str) -> Result<Option<i64>> {
        match self.const_i64s(i, what)?.as_deref() {
            None => Ok(None),
            Some([v]) => Ok(Some(*v)),
            Some(v) => Err(self.invalid(format!("{what} must be one number, not {}", v.len()))),
        }
    }

    /// One number of the constant input `i`.
    pub fn const_float(&self, i: usize, what: &str) -> Result<Option<f64>> {
        match self.const_f64s(i, what)?.as_deref() {
            None => Ok(None),
            Some([v]) => Ok(Some(*v)),
            Some(v) => Err(self.invalid(format!("{what} must be one number, not {}", v.len()))),
        }
    }

    /// Integers from the attribute `name` (older opsets) or the constant input `i` (newer ones).
    pub fn ints_attr_or_input(&self, name: &str, i: usize) -> Result<Option<Vec<i64>>> {
        match self.attrs.get(name) {
            Some(drift_ir::Attr::Ints(v)) => Ok(Some(v.clone())),
            Some(drift_ir::Attr::Int(v)) => Ok(Some(vec![*v])),
            _ => self.const_i64s(i, name),
        }
    }

    /// A finite float attribute.
    pub fn float(&self, name: &str, default: f64) -> Result<f64> {
        let v = self.attrs.float(name, default);
        if v.is_nan() {
            return Err(self.invalid(format!("attribute {name} is NaN")));
        }
        Ok(v)
    }

    /// Resolves a possibly negative axis of a value of rank `rank`.
    pub fn axis(&self, axis: i64, rank: usize) -> Result<usize> {
        let a = if axis < 0 { axis.checked_add(rank as i64).unwrap_or(-1) } else { axis };
        usize::try_from(a)
            .ok()
            .filter(|a| *a < rank)
            .ok_or_else(|| self.invalid(format!("axis {axis} is outside a value of rank {rank}")))
    }

    /// Resolves a list of axes, which may not repeat.
    pub fn axes(&self, axes: &[i64], rank: usize) -> Result<Vec<usize>> {
        let mut out = Vec::new();
        for a in axes {
            let a = self.axis(*a, rank)?;
            if out.contains(&a) {
                return Err(self.invalid(format!("axis {a} is listed twice")));
            }
            out.push(a);
        }
        Ok(out)
    }

    pub fn add_const(&mut self, tensor: Tensor) -> ValueId {
        let name = self.fresh_name();
        self.graph.add_const(name, tensor)
    }

    /// A constant scalar of `dtype`.
    pub fn scalar(&mut self, dtype: DType, v: f64) -> ValueId {
        self.add_const(Tensor::from_f64s(dtype, Shape::scalar(), &[v]))
    }

    fn fresh_name(&self) -> String {
        format!("{}:{}", self.path, self.graph.value_ids().count())
    }

    /// Emits a node with one result.
    pub fn emit(
        &mut self,
        op: &'static str,
        attrs: Attrs,
        operands: &[ValueId],
    ) -> Result<ValueId> {
        let operands: Vec<_> = operands.iter().map(|v| Some(*v)).collect();
        Ok(self.emit_multi(op, attrs, &operands)?[0])
    }

    /// Emits a node; its results. Computed at once when all operands are constants.
    pub fn emit_multi(
        &mut self,
        op: &'static str,
        attrs: Attrs,
        operands: &[Option<ValueId>],
    ) -> Result<Vec<ValueId>> {
        let operands: Vec<_> = operands.iter().map(|v| v.map(Operand::from)).collect();
        self.emit_node(op, attrs, operands, Body::default())
    }

    /// The general form: operands with views, and the body of a `pointwise` node.
    pub fn emit_node(
        &mut self,
        op: &'static str,
        attrs: Attrs,
        operands: Vec<Option<Operand>>,
        body: Body,
    ) -> Result<Vec<ValueId>> {
        let mut types = Vec::with_capacity(operands.len());
        for o in &operands {
            types.push(match o {
                None => None,
                Some(o) => {
                    let v = self.graph.value(o.value);
                    let shape = o.view.apply(&v.shape).ok_or_else(|| {
                        self.invalid(format!("{} does not apply to shape {}", o.view, v.shape))
                    })?;
                    Some((v.dtype, shape))
                }
            });
        }
        // errors name the ONNX operator, which is what the model's author knows
        let rename = |e: OpError| OpError { op: self.op_type.clone(), ..e };
        let results = infer_op(op, &self.path, &attrs, &types, &body).map_err(rename)?;
        if let Some(tensors) = self.fold(op, &attrs, &operands, &results, &body)? {
            return Ok(tensors.into_iter().map(|t| self.add_const(t)).collect());
        }
        let name = self.fresh_name();
        let named = results
            .into_iter()
            .enumerate()
            .map(|(i, (d, s))| (if i == 0 { name.clone() } else { format!("{name}.{i}") }, d, s))
            .collect();
        let path = self.path.clone();
        let id = self.graph.add_node(op, attrs, operands, named, path);
        if op == "pointwise" {
            let node = self.graph.node_mut(id);
            node.epilogue = body;
            node.epilogue_operands = 0;
        }
        Ok(self.graph.node(id).results.clone())
    }

    /// Computes a node whose operands are all constants, unless its result would be large.
    fn fold(
        &self,
        op: &str,
        attrs: &Attrs,
        operands: &[Option<Operand>],
        results: &[(DType, Shape)],
        body: &Body,
    ) -> Result<Option<Vec<Tensor>>> {
        let mut tensors = Vec::with_capacity(operands.len());
        for o in operands {
            tensors.push(match o {
                None => None,
                Some(o) => match self.graph.const_of(o.value) {
                    Some(t) => Some((t, &o.view)),
                    None => return Ok(None),
                },
            });
        }
        let given: usize = tensors.iter().flatten().map(|(t, _)| t.bytes().len()).sum();
        let made: usize = results.iter().map(|(d, s)| s.elems() * d.bytes()).sum();
        if made > FOLD_BYTES.max(given) {
            return Ok(None);
        }
        let seen = tensors
            .into_iter()
            .map(|t| match t {
                None => Ok(None),
                Some((t, view)) => crate::data::apply_view(t, view)
                    .map(Some)
                    .ok_or_else(|| self.invalid(format!("{view} does not apply to {}", t.shape))),
            })
            .collect::<Result<Vec<_>>>()?;
        let rename = |e: OpError| OpError { op: self.op_type.clone(), ..e };
        eval_op(op, &self.path, attrs, &seen, body).map(Some).map_err(rename)
    }

    // ---- views ----

    pub fn reshape(&mut self, v: ValueId, shape: impl Into<Shape>) -> Result<ValueId> {
        let shape = shape.into();
        if self.graph.value(v).shape == shape {
            return Ok(v);
        }
        self.emit("reshape", Attrs::new().with("shape", shape.0), &[v])
    }

    pub fn transpose(&mut self, v: ValueId, perm: &[usize]) -> Result<ValueId> {
        if perm.len() == self.rank(v) && perm.iter().enumerate().all(|(i, p)| i == *p) {
            return Ok(v);
        }
        self.emit("transpose", Attrs::new().with("perm", perm), &[v])
    }

    pub fn expand(&mut self, v: ValueId, shape: impl Into<Shape>) -> Result<ValueId> {
        let shape = shape.into();
        if self.graph.value(v).shape == shape {
            return Ok(v);
        }
        self.emit("expand", Attrs::new().with("shape", shape.0), &[v])
    }

    /// `starts` are coordinates in the source; every dim of `sizes` is in range of it.
    pub fn slice(
        &mut self,
        v: ValueId,
        starts: Vec<usize>,
        sizes: Vec<usize>,
        steps: Vec<i64>,
    ) -> Result<ValueId> {
        let same = starts.iter().all(|s| *s == 0) && steps.iter().all(|s| *s == 1);
        if same && self.graph.value(v).shape.0 == sizes {
            return Ok(v);
        }
        let attrs = Attrs::new().with("starts", starts).with("sizes", sizes).with("steps", steps);
        self.emit("slice", attrs, &[v])
    }

    /// The part `start..start + size` of one axis.
    pub fn slice_axis(
        &mut self,
        v: ValueId,
        axis: usize,
        start: usize,
        size: usize,
    ) -> Result<ValueId> {
        let shape = self.shape(v);
        let mut starts = vec![0; shape.rank()];
        let mut sizes = shape.0.clone();
        starts[axis] = start;
        sizes[axis] = size;
        self.slice(v, starts, sizes, vec![1; shape.rank()])
    }

    // ---- element-wise ----

    /// A single-step `pointwise` node over `args`, broadcast together; the result has `dtype`.
    /// Constants of one element become constants of the step.
    pub fn pointwise(&mut self, op: PointwiseOp, args: &[PwArg], dtype: DType) -> Result<ValueId> {
        let mut shape = Shape::scalar();
        for a in args {
            if let PwArg::Value(v) = a {
                let s = &self.graph.value(*v).shape;
                shape = shape.broadcast(s).ok_or_else(|| {
                    let all: Vec<String> = args
                        .iter()
                        .filter_map(|a| match a {
                            PwArg::Value(v) => Some(self.graph.value(*v).shape.to_string()),
                            PwArg::Const(_) => None,
                        })
                        .collect();
                    self.invalid(format!("shapes {} do not broadcast together", all.join(" and ")))
                })?;
            }
        }
        if shape.checked_elems().is_none_or(|n| n > MAX_ELEMS) {
            return Err(self.invalid(format!("the result {shape} has more than 2^34 elements")));
        }
        let foldable = args.iter().all(|a| match a {
            PwArg::Value(v) => self.constant(*v).is_some(),
            PwArg::Const(_) => true,
        });
        let mut operands: Vec<Option<Operand>> = Vec::new();
        let mut body_args = Vec::new();
        for a in args {
            let v = match a {
                PwArg::Const(c) => {
                    body_args.push(Arg::Const(*c));
                    continue;
                }
                PwArg::Value(v) => *v,
            };
            if !foldable && let Some(c) = self.constant(v).and_then(exact_scalar) {
                body_args.push(Arg::Const(c));
                continue;
            }
            let view = if self.graph.value(v).shape == shape {
                View::identity()
            } else {
                View::identity().then(ViewStep::Broadcast { shape: shape.clone() })
            };
            let operand = Some(Operand { value: v, view });
            let at = operands.iter().position(|o| *o == operand).unwrap_or(operands.len());
            if at == operands.len() {
                operands.push(operand);
            }
            body_args.push(Arg::Operand(at));
        }
        let body =
            Body { steps: vec![Step { op, args: body_args, dtype }], results: vec![Arg::Step(0)] };
        Ok(self.emit_node("pointwise", Attrs::new(), operands, body)?[0])
    }

    pub fn unary(&mut self, op: PointwiseOp, a: ValueId) -> Result<ValueId> {
        let dtype = self.dtype(a);
        self.pointwise(op, &[a.into()], dtype)
    }

    /// A binary operator on two values; the result has the dtype of the first.
    pub fn binary(&mut self, op: PointwiseOp, a: ValueId, b: ValueId) -> Result<ValueId> {
        let dtype = self.dtype(a);
        self.pointwise(op, &[a.into(), b.into()], dtype)
    }

    /// A value and a number.
    pub fn binary_const(&mut self, op: PointwiseOp, a: ValueId, b: f64) -> Result<ValueId> {
        let dtype = self.dtype(a);
        self.pointwise(op, &[a.into(), PwArg::Const(b)], dtype)
    }

    pub fn cast(&mut self, a: ValueId, to: DType) -> Result<ValueId> {
        if self.dtype(a) == to {
            return Ok(a);
        }
        self.pointwise(PointwiseOp::Cast, &[a.into()], to)
    }
}

/// Argument of an element-wise step under construction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PwArg {
    Value(ValueId),
    Const(f64),
}

impl From<ValueId> for PwArg {
    fn from(v: ValueId) -> PwArg {
        PwArg::Value(v)
    }
}

/// The value of a one-element constant when f64 holds it exactly and a shader literal can.
fn exact_scalar(t: &Tensor) -> Option<f64> {
    let v = t.scalar_f64()?;
    let whole = t.dtype.is_float() || (v.abs() < (1u64 << 53) as f64);
    (whole && v.is_finite() && t.dtype != DType::Bool && round_to(DType::F64, v) == v).then_some(v)
}

/// DType of an ONNX TensorProto.DataType number.
pub fn onnx_dtype(ctx: &ImportCtx, number: i64) -> Result<DType> {
    Ok(match number {
        1 => DType::F32,
        2 => DType::U8,
        3 => DType::I8,
        4 => DType::U16,
        5 => DType::I16,
        6 => DType::I32,
        7 => DType::I64,
        9 => DType::Bool,
        10 => DType::F16,
        11 => DType::F64,
        12 => DType::U32,
        13 => DType::U64,
        16 => DType::BF16,
        8 => return Err(ctx.unsupported("string tensors are not supported")),
        14 | 15 => return Err(ctx.unsupported("complex tensors are not supported")),
        17..=20 => return Err(ctx.unsupported("8-bit float tensors are not supported")),
        21..=26 => {
            return Err(ctx.unsupported(format!(
                "tensors of the sub-byte type {number} are not supported here"
            )));
        }
        n => return Err(ctx.invalid(format!("{n} is not an ONNX tensor type"))),
    })
}
