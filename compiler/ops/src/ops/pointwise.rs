//! Element-wise operators: one IR operator whose program is the node's body.

use crate::def::{Accuracy, Case, InferCtx, OnnxName, OpDef, RefCtx, ai, ms};
use crate::import::{ImportCtx, PwArg, onnx_dtype};
use crate::pointwise_eval::eval_body;
use crate::{Result, data};
use drift_ir::{Arg, Attr, Attrs, Body, DType, PointwiseOp as P, Shape, Step, Tensor, ValueId};

pub static OP: OpDef = OpDef {
    name: "pointwise",
    onnx: ONNX,
    import,
    infer,
    reference,
    accuracy: Accuracy::APPROXIMATED,
    cases,
};

const ONNX: &[OnnxName] = &[
    ai("Add"),
    ai("Sub"),
    ai("Mul"),
    ai("Div"),
    ai("Pow"),
    ai("Mod"),
    ai("Equal"),
    ai("Less"),
    ai("LessOrEqual"),
    ai("Greater"),
    ai("GreaterOrEqual"),
    ai("And"),
    ai("Or"),
    ai("Xor"),
    ai("Not"),
    ai("BitwiseAnd"),
    ai("BitwiseOr"),
    ai("BitwiseXor"),
    ai("BitwiseNot"),
    ai("BitShift"),
    ai("Where"),
    ai("Cast"),
    ai("CastLike"),
    ai("Clip"),
    ai("Neg"),
    ai("Abs"),
    ai("Sign"),
    ai("Reciprocal"),
    ai("Floor"),
    ai("Ceil"),
    ai("Round"),
    ai("Sqrt"),
    ai("Exp"),
    ai("Log"),
    ai("Sin"),
    ai("Cos"),
    ai("Tan"),
    ai("Asin"),
    ai("Acos"),
    ai("Atan"),
    ai("Sinh"),
    ai("Cosh"),
    ai("Asinh"),
    ai("Acosh"),
    ai("Atanh"),
    ai("Tanh"),
    ai("Erf"),
    ai("IsNaN"),
    ai("IsInf"),
    ai("Relu"),
    ai("Sigmoid"),
    ai("Softplus"),
    ai("Softsign"),
    ai("HardSwish"),
    ai("Mish"),
    ai("Selu"),
    ai("Swish"),
    ai("LeakyRelu"),
    ai("Elu"),
    ai("Celu"),
    ai("ThresholdedRelu"),
    ai("PRelu"),
    ai("HardSigmoid"),
    ai("Gelu"),
    ai("Shrink"),
    ai("Sum"),
    ai("Mean"),
    ai("Min"),
    ai("Max"),
    ms("Gelu"),
    ms("FastGelu"),
    ms("QuickGelu"),
];

const UNARY: &[(&str, P)] = &[
    ("Not", P::Not),
    ("BitwiseNot", P::BitNot),
    ("Neg", P::Neg),
    ("Abs", P::Abs),
    ("Sign", P::Sign),
    ("Reciprocal", P::Reciprocal),
    ("Floor", P::Floor),
    ("Ceil", P::Ceil),
    ("Round", P::Round),
    ("Sqrt", P::Sqrt),
    ("Exp", P::Exp),
    ("Log", P::Log),
    ("Sin", P::Sin),
    ("Cos", P::Cos),
    ("Tan", P::Tan),
    ("Asin", P::Asin),
    ("Acos", P::Acos),
    ("Atan", P::Atan),
    ("Sinh", P::Sinh),
    ("Cosh", P::Cosh),
    ("Asinh", P::Asinh),
    ("Acosh", P::Acosh),
    ("Atanh", P::Atanh),
    ("Tanh", P::Tanh),
    ("Erf", P::Erf),
    ("Relu", P::Relu),
    ("Sigmoid", P::Sigmoid),
    ("Softplus", P::Softplus),
    ("Softsign", P::Softsign),
    ("HardSwish", P::HardSwish),
    ("Mish", P::Mish),
];

const BINARY: &[(&str, P)] = &[
    ("Add", P::Add),
    ("Sub", P::Sub),
    ("Mul", P::Mul),
    ("Div", P::Div),
    ("Pow", P::Pow),
    ("And", P::And),
    ("Or", P::Or),
    ("Xor", P::Xor),
    ("BitwiseAnd", P::BitAnd),
    ("BitwiseOr", P::BitOr),
    ("BitwiseXor", P::BitXor),
    ("PRelu", P::PRelu),
];

const COMPARE: &[(&str, P)] = &[
    ("Equal", P::Equal),
    ("Less", P::Less),
    ("LessOrEqual", P::LessEqual),
    ("Greater", P::Greater),
    ("GreaterOrEqual", P::GreaterEqual),
];

fn find(list: &[(&str, P)], name: &str) -> Option<P> {
    list.iter().find(|(n, _)| *n == name).map(|(_, op)| *op)
}

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let name = c.op_type.clone();
    let a = c.input(0)?;
    let dtype = c.dtype(a);
    if let Some(op) = find(UNARY, &name) {
        return Ok(vec![c.unary(op, a)?]);
    }
    if let Some(op) = find(COMPARE, &name) {
        let b = second(c, a)?;
        same_dtype(c, a, b)?;
        return Ok(vec![c.pointwise(op, &[a.into(), b.into()], DType::Bool)?]);
    }
    if let Some(op) = find(BINARY, &name) {
        let b = second(c, a)?;
        if op != P::Pow {
            same_dtype(c, a, b)?;
        }
        return Ok(vec![c.binary(op, a, b)?]);
    }
    let value = match name.as_str() {
        "Mod" => {
            let b = c.input(1)?;
            same_dtype(c, a, b)?;
            let trunc = c.attrs.int("fmod", 0) != 0;
            c.binary(if trunc { P::TruncMod } else { P::FloorMod }, a, b)?
        }
        "BitShift" => {
            let b = c.input(1)?;
            same_dtype(c, a, b)?;
            let op = match c.attrs.str("direction") {
                Some("LEFT") => P::ShiftLeft,
                Some("RIGHT") => P::ShiftRight,
                d => return Err(c.invalid(format!("direction {d:?} is neither LEFT nor RIGHT"))),
            };
            c.binary(op, a, b)?
        }
        "Where" => {
            let (x, y) = (c.input(1)?, c.input(2)?);
            if dtype != DType::Bool {
                return Err(c.invalid(format!("the condition is {dtype}, not bool")));
            }
            same_dtype(c, x, y)?;
            let dtype = c.dtype(x);
            c.pointwise(P::Where, &[a.into(), x.into(), y.into()], dtype)?
        }
        "Cast" => {
            let to = match c.attrs.get("to") {
                Some(Attr::Int(n)) => onnx_dtype(c, *n)?,
                _ => return Err(c.invalid("attribute to is missing")),
            };
            c.cast(a, to)?
        }
        "CastLike" => {
            let to = c.dtype(c.input(1)?);
            c.cast(a, to)?
        }
        "Clip" => clip(c, a)?,
        "IsNaN" if !dtype.is_float() => return Err(c.invalid("needs floats")),
        "IsNaN" => c.pointwise(P::IsNan, &[a.into()], DType::Bool)?,
        "IsInf" => is_inf(c, a)?,
        "LeakyRelu" => with_param(c, P::LeakyRelu, a, "alpha", 0.01)?,
        "Elu" => with_param(c, P::Elu, a, "alpha", 1.0)?,
        "Celu" => with_param(c, P::Celu, a, "alpha", 1.0)?,
        "ThresholdedRelu" => with_param(c, P::ThresholdedRelu, a, "alpha", 1.0)?,
        "HardSigmoid" => {
            let (alpha, beta) = (c.float("alpha", 0.2)?, c.float("beta", 0.5)?);
            let args = [a.into(), PwArg::Const(alpha), PwArg::Const(beta)];
            c.pointwise(P::HardSigmoid, &args, dtype)?
        }
        "Selu" => selu(c, a)?,
        "Swish" => {
            let alpha = c.float("alpha", 1.0)?;
            if alpha == 1.0 {
                c.unary(P::Silu, a)?
            } else {
                let s = c.binary_const(P::Mul, a, alpha)?;
                let s = c.unary(P::Sigmoid, s)?;
                c.binary(P::Mul, a, s)?
            }
        }
        "Gelu" => match c.attrs.str("approximate").unwrap_or("none") {
            "none" => c.unary(P::Gelu, a)?,
            "tanh" => c.unary(P::GeluTanh, a)?,
            other => return Err(c.invalid(format!("approximate={other:?} is not known"))),
        },
        "FastGelu" => {
            let x = match c.opt(1) {
                Some(bias) => c.binary(P::Add, a, bias)?,
                None => a,
            };
            c.unary(P::GeluTanh, x)?
        }
        "QuickGelu" => {
            let alpha = c.float("alpha", 1.702)?;
            if (alpha - 1.702).abs() < 1e-6 {
                c.unary(P::QuickGelu, a)?
            } else {
                let s = c.binary_const(P::Mul, a, alpha)?;
                let s = c.unary(P::Sigmoid, s)?;
                c.binary(P::Mul, a, s)?
            }
        }
        "Shrink" => shrink(c, a)?,
        "Sum" => fold(c, P::Add)?,
        "Min" => fold(c, P::Min)?,
        "Max" => fold(c, P::Max)?,
        "Mean" => {
            let s = fold(c, P::Add)?;
            let n = c.inputs.len() as f64;
            c.binary_const(P::Div, s, n)?
        }
        other => return Err(c.invalid(format!("{other} is listed but not imported"))),
    };
    Ok(vec![value])
}

fn same_dtype(c: &ImportCtx, a: ValueId, b: ValueId) -> Result<()> {
    if c.dtype(a) == c.dtype(b) {
        return Ok(());
    }
    Err(c.invalid(format!(
        "operands have different types: {}{} and {}{}",
        c.dtype(a),
        c.shape(a),
        c.dtype(b),
        c.shape(b)
    )))
}

/// Input 1, seen through the axis rule of opsets before 7 (and of PRelu's slope, which
/// broadcasts from the channel axis when it is a vector over channels).
fn second(c: &mut ImportCtx, a: ValueId) -> Result<ValueId> {
    let b = c.input(1)?;
    let (sa, sb) = (c.shape(a), c.shape(b));
    if c.op_type == "PRelu" {
        // opsets before 9 state the slope as a vector over axis 1
        if sb.rank() == 1
            && sa.rank() > 1
            && sb[0] == sa[1]
            && (c.opset < 9 || sa.broadcast(&sb).is_none())
        {
            let mut s = vec![1; sa.rank() - 1];
            s[0] = sb[0];
            return c.reshape(b, s);
        }
        return Ok(b);
    }
    if c.domain.is_empty() && c.opset < 7 && c.attrs.int("broadcast", 0) != 0 {
        let axis = match c.attrs.get("axis") {
            Some(Attr::Int(axis)) => c.axis(*axis, sa.rank())?,
            _ => sa.rank().saturating_sub(sb.rank()),
        };
        if axis + sb.rank() > sa.rank() {
            return Err(c.invalid(format!("axis {axis} does not fit shapes {sa} and {sb}")));
        }
        let mut s = sb.0.clone();
        s.resize(sa.rank() - axis, 1);
        return c.reshape(b, s);
    }
    Ok(b)
}

fn with_param(c: &mut ImportCtx, op: P, a: ValueId, name: &str, default: f64) -> Result<ValueId> {
    let p = c.float(name, default)?;
    c.binary_const(op, a, p)
}

fn clip(c: &mut ImportCtx, a: ValueId) -> Result<ValueId> {
    let dtype = c.dtype(a);
    let bound = |i: usize, name: &str, neutral: f64| -> Result<Option<PwArg>> {
        if c.domain.is_empty() && c.opset < 11 {
            let v = c.float(name, neutral)?;
            // the defaults are the largest finite floats
            return Ok((v.abs() < 3.4e38).then_some(PwArg::Const(v)));
        }
        let Some(v) = c.opt(i) else { return Ok(None) };
        if c.dtype(v) != dtype {
            return Err(c.invalid(format!("{name} is {}, the input {dtype}", c.dtype(v))));
        }
        match c.constant(v).map(|t| (t.elems(), t.scalar_f64())) {
            // an infinite bound bounds nothing
            Some((_, Some(x))) if x == neutral => Ok(None),
            Some((n, None)) if n != 1 => Err(c.invalid(format!("{name} has {n} elements"))),
            _ => Ok(Some(PwArg::Value(v))),
        }
    };
    let low = bound(1, "min", f64::NEG_INFINITY)?;
    let high = bound(2, "max", f64::INFINITY)?;
    match (low, high) {
        (None, None) => Ok(a),
        (Some(l), None) => c.pointwise(P::Max, &[a.into(), l], dtype),
        (None, Some(h)) => c.pointwise(P::Min, &[a.into(), h], dtype),
        (Some(l), Some(h)) => c.pointwise(P::Clip, &[a.into(), l, h], dtype),
    }
}

fn is_inf(c: &mut ImportCtx, a: ValueId) -> Result<ValueId> {
    let negative = c.attrs.int("detect_negative", 1) != 0;
    let positive = c.attrs.int("detect_positive", 1) != 0;
    let inf = c.pointwise(P::IsInf, &[a.into()], DType::Bool)?;
    if negative && positive {
        return Ok(inf);
    }
    let op = if positive { P::Greater } else { P::Less };
    let side = c.pointwise(op, &[a.into(), PwArg::Const(0.0)], DType::Bool)?;
    let side = c.binary(P::And, inf, side)?;
    if negative || positive {
        return Ok(side);
    }
    let not = c.unary(P::Not, inf)?;
    c.binary(P::And, inf, not)
}

/// Selu with its usual constants is one operator, with others gamma · elu(x, alpha).
fn selu(c: &mut ImportCtx, a: ValueId) -> Result<ValueId> {
    let alpha = c.float("alpha", 1.673_263_192_176_818_8)?;
    let gamma = c.float("gamma", 1.050_701_022_148_132_3)?;
    if (alpha - 1.673_263_2).abs() < 1e-6 && (gamma - 1.050_701).abs() < 1e-6 {
        return c.unary(P::Selu, a);
    }
    let e = c.binary_const(P::Elu, a, alpha)?;
    c.binary_const(P::Mul, e, gamma)
}

/// x + bias below -lambd, x - bias above lambd, else 0.
fn shrink(c: &mut ImportCtx, a: ValueId) -> Result<ValueId> {
    let dtype = c.dtype(a);
    let (lambd, bias) = (c.float("lambd", 0.5)?, c.float("bias", 0.0)?);
    let less = c.pointwise(P::Less, &[a.into(), PwArg::Const(-lambd)], DType::Bool)?;
    let more = c.pointwise(P::Greater, &[a.into(), PwArg::Const(lambd)], DType::Bool)?;
    let up = c.binary_const(P::Add, a, bias)?;
    let down = c.binary_const(P::Sub, a, bias)?;
    let high = c.pointwise(P::Where, &[more.into(), down.into(), PwArg::Const(0.0)], dtype)?;
    c.pointwise(P::Where, &[less.into(), up.into(), high.into()], dtype)
}

/// Variadic operators: a left fold.
fn fold(c: &mut ImportCtx, op: P) -> Result<ValueId> {
    let mut v = c.input(0)?;
    for i in 1..c.inputs.len() {
        let b = c.input(i)?;
        same_dtype(c, v, b)?;
        v = c.binary(op, v, b)?;
    }
    Ok(v)
}

fn infer(c: &InferCtx) -> Result<Vec<(DType, Shape)>> {
    let mut shape = Shape::scalar();
    for (i, (_, s)) in c.operands.iter().enumerate().filter_map(|(i, o)| Some((i, o.as_ref()?))) {
        shape = shape
            .broadcast(s)
            .ok_or_else(|| c.invalid(format!("operand {i} of shape {s} does not fit {shape}")))?;
    }
    for (k, s) in c.body.steps.iter().enumerate() {
        if s.args.len() != s.op.arity() {
            return Err(c.invalid(format!("step {k} ({}) needs {} arguments", s.op, s.op.arity())));
        }
    }
    if c.body.results.is_empty() {
        return Err(c.invalid("the body stores nothing"));
    }
    c.body
        .results
        .iter()
        .map(|arg| {
            let dtype = match arg {
                Arg::Step(i) => c.body.steps.get(*i).map(|s| s.dtype),
                Arg::Operand(i) => Some(c.dtype(*i)?),
                Arg::Acc | Arg::Const(_) => None,
            };
            let dtype = dtype.ok_or_else(|| c.invalid("the body stores a missing value"))?;
            Ok((dtype, shape.clone()))
        })
        .collect()
}

fn reference(c: &RefCtx) -> Result<Vec<Tensor>> {
    let shape = c.result_shape();
    let wide = c
        .operands
        .iter()
        .map(|t| {
            t.as_ref()
                .map(|t| {
                    data::broadcast_to(t, shape)
                        .ok_or_else(|| c.invalid(format!("{} does not fit {shape}", t.shape)))
                })
                .transpose()
        })
        .collect::<Result<Vec<_>>>()?;
    eval_body(c.body, None, &wide, shape, None).map_err(|m| c.invalid(m))
}

/// Every element-wise operator on floats in its domain, some on integers.
fn cases() -> Vec<Case> {
    let mut out = Vec::new();
    for &op in P::ALL {
        let float = crate::pointwise_eval::float_op(op, 0.5, 0.5, 0.5).is_some();
        let dtype = if float { DType::F32 } else { DType::I32 };
        let mut operands: Vec<Tensor> =
            (0..op.arity()).map(|i| data::sample(i as u64 + 7, dtype, [3, 5])).collect();
        let mut args: Vec<Arg> = (0..op.arity()).map(Arg::Operand).collect();
        let mut result = dtype;
        match op {
            P::Sqrt | P::Rsqrt | P::Log | P::Pow => {
                operands[0] = map(&operands[0], |x| x.abs() + 0.1)
            }
            P::Asin | P::Acos | P::Atanh => operands[0] = map(&operands[0], |x| x * 0.45),
            P::Acosh => operands[0] = map(&operands[0], |x| x.abs() + 1.1),
            P::Div | P::FloorMod | P::TruncMod => {
                operands[1] = map(&operands[1], |x| x.signum() * (x.abs() + 0.3));
            }
            P::Tan => operands[0] = map(&operands[0], |x| x * 0.6),
            P::Celu => args[1] = Arg::Const(0.75),
            P::HardSigmoid => {
                args.truncate(1);
                args.extend([Arg::Const(0.2), Arg::Const(0.5)]);
            }
            P::Clip => {
                args.truncate(1);
                args.extend([Arg::Const(-0.5), Arg::Const(1.0)]);
            }
            P::Equal | P::Less | P::LessEqual | P::Greater | P::GreaterEqual => {
                result = DType::Bool;
            }
            P::And | P::Or | P::Xor | P::Not => {
                result = DType::Bool;
                for (i, t) in operands.iter_mut().enumerate() {
                    *t = data::sample(i as u64 + 3, DType::Bool, [3, 5]);
                }
            }
            P::ShiftLeft | P::ShiftRight => {
                result = DType::U32;
                for (i, t) in operands.iter_mut().enumerate() {
                    *t = data::sample(i as u64 + 3, DType::U32, [3, 5]);
                }
            }
            P::Where => {
                operands[0] = data::sample(9, DType::Bool, [3, 5]);
            }
            P::IsNan | P::IsInf => {
                result = DType::Bool;
                let v = [1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0];
                operands[0] = Tensor::from_f32([5], &v);
            }
            P::Cast => {
                result = DType::I32;
            }
            _ => {}
        }
        let used = args.iter().filter(|a| matches!(a, Arg::Operand(_))).count();
        operands.truncate(used);
        out.push(case(op.name(), op, args, result, operands));
    }
    for (op, args) in [
        (P::Add, vec![Arg::Operand(0), Arg::Operand(1)]),
        (P::Mul, vec![Arg::Operand(0), Arg::Operand(1)]),
        (P::FloorMod, vec![Arg::Operand(0), Arg::Const(3.0)]),
        (P::TruncMod, vec![Arg::Operand(0), Arg::Const(3.0)]),
        (P::Div, vec![Arg::Operand(0), Arg::Const(3.0)]),
        (P::Max, vec![Arg::Operand(0), Arg::Operand(1)]),
    ] {
        let n = args.iter().filter(|a| matches!(a, Arg::Operand(_))).count();
        let operands = (0..n).map(|i| data::sample(i as u64 + 40, DType::I32, [2, 7])).collect();
        out.push(case(&format!("{op} i32"), op, args, DType::I32, operands));
    }
    out
}

fn case(name: &str, op: P, args: Vec<Arg>, dtype: DType, operands: Vec<Tensor>) -> Case {
    let body = Body { steps: vec![Step { op, args, dtype }], results: vec![Arg::Step(0)] };
    Case { body, ..Case::new(name, Attrs::new(), operands) }
}

fn map(t: &Tensor, f: impl Fn(f32) -> f32) -> Tensor {
    let v: Vec<f32> = t.to_f32s().into_iter().map(f).collect();
    Tensor::from_f32(t.shape.clone(), &v)
}
