//! Expressions: each IR operation as text.

use super::kernel::{Halves, Writer};
use super::scope::{LONGEST, Pending};
use super::text::{Binds, Text, call, infix, literal, product, sum};
use crate::EmitError;
use crate::needs::rounding;
use drift_kernel::{BinaryOp, Expr, ExprId, Lit, Packing, Scalar, Type, UnaryOp, Vector};

impl Writer<'_> {
    /// The value of an expression, for a statement in the innermost scope. Operands come first, by
    /// a list and not by recursion: unrolled sums may be thousands of operations deep.
    pub fn value(&mut self, id: ExprId) -> Result<Text, EmitError> {
        let at = self.scopes.depth();
        let mut todo = vec![(id, false)];
        while let Some((id, operands_done)) = todo.pop() {
            if self.trivial(id).is_some() || self.is_ready(id, at) {
                continue;
            }
            let expr = self.kernel.expr(id);
            if operands_done {
                self.place(id, at)?;
            } else if !expr.is_ordered() {
                todo.push((id, true));
                let first = todo.len();
                expr.operands(|operand| todo.push((operand, false)));
                todo[first..].reverse();
            }
        }
        self.take(id, at)
    }

    /// The value under a name, or as a literal: for text that repeats it.
    pub fn named(&mut self, id: ExprId) -> Result<Text, EmitError> {
        let value = self.value(id)?;
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        match value.text.chars().all(word) {
            true => Ok(value),
            false => self.name_value(id, &value, self.scopes.depth()),
        }
    }

    fn is_ready(&self, id: ExprId, at: usize) -> bool {
        self.scopes.pending.contains_key(&id) || self.scopes.find(id, at).is_some()
    }

    /// Values that are text wherever they are used.
    fn trivial(&self, id: ExprId) -> Option<Text> {
        match *self.kernel.expr(id) {
            Expr::Lit(lit) => Some(self.literal(lit)),
            Expr::Builtin(b) => self.builtins.get(&b).map(|name| Text::primary(name.as_str())),
            Expr::LoopIndex(l) => self.loops.get(&l).map(|(name, _)| Text::primary(name.as_str())),
            Expr::Splat(_, a) => match *self.kernel.expr(a) {
                Expr::Lit(lit) => {
                    let v = self.vector_of(id).ok()?;
                    match self.is_bits(Type::Vector(v)) {
                        true => self.half_literals(v.width, lit),
                        false => Some(self.splat(v, &self.literal(lit))),
                    }
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// The value as an operand of something in scope `home`.
    pub fn take(&mut self, id: ExprId, home: usize) -> Result<Text, EmitError> {
        if let Some(text) = self.trivial(id) {
            return Ok(text);
        }
        if let Some(text) = self.scopes.find(id, home) {
            return Ok(text.clone());
        }
        match self.scopes.pending.remove(&id) {
            Some(Pending { text, home: at }) if at == home => Ok(text),
            Some(Pending { text, home: at }) => self.name_value(id, &text, at),
            None => Err(self.malformed(format!(
                "e{} is used where nothing has evaluated it: {:?}",
                id.0,
                self.kernel.expr(id)
            ))),
        }
    }

    /// Writes a pure expression whose operands are ready.
    fn place(&mut self, id: ExprId, at: usize) -> Result<(), EmitError> {
        let natural = self.natural_of(id)?;
        let home = self.scopes.home(natural, at);
        let text = self.pure(id, home)?;
        let simple = |c: char| c.is_ascii_alphanumeric() || "_.()".contains(c);
        let alias = matches!(self.kernel.expr(id), Expr::Extract(..) | Expr::Bitcast(..))
            && text.binds == Binds::Primary
            && text.text.len() < 24
            && text.text.chars().all(simple);
        if alias {
            self.scopes.remember(id, text, home);
        } else if self.uses[id.0 as usize] <= 1 && text.text.len() <= LONGEST {
            self.scopes.pending.insert(id, Pending { text, home });
        } else {
            self.name_value(id, &text, home)?;
        }
        Ok(())
    }

    /// Depth of the deepest scope that `id` depends on; its operands have been placed.
    fn natural_of(&mut self, id: ExprId) -> Result<usize, EmitError> {
        if let Some(&depth) = self.natural.get(&id) {
            return Ok(depth);
        }
        let mut depth = 0;
        let mut missing = None;
        self.kernel.expr(id).operands(|operand| {
            let of = match self.kernel.expr(operand) {
                Expr::Lit(_) | Expr::Builtin(_) => Some(0),
                Expr::LoopIndex(l) => self.loops.get(l).map(|(_, depth)| *depth),
                Expr::Splat(_, a) if matches!(self.kernel.expr(*a), Expr::Lit(_)) => Some(0),
                _ => self.natural.get(&operand).copied(),
            };
            match of {
                Some(of) => depth = depth.max(of),
                None => missing = Some(operand),
            }
        });
        if let Some(operand) = missing {
            return Err(self.malformed(format!(
                "e{} is used before anything has evaluated it: {:?}",
                operand.0,
                self.kernel.expr(operand)
            )));
        }
        self.natural.insert(id, depth);
        Ok(depth)
    }

    pub fn vector_of(&self, id: ExprId) -> Result<Vector, EmitError> {
        match self.kernel.ty(id) {
            Type::Vector(v) => Ok(v),
            Type::Matrix(m) => {
                Err(self.malformed(format!("e{} is the matrix {m:?}, used as a vector", id.0)))
            }
        }
    }

    fn literal(&self, lit: Lit) -> Text {
        match lit {
            Lit::F16(bits) if self.halves == Halves::Bits => self.half_literal(bits),
            Lit::F16(bits) if self.halves == Halves::Floats => {
                literal(Lit::F32(half::f16::from_bits(bits).to_f32().to_bits()))
            }
            _ => literal(lit),
        }
    }

    /// The type that values of a type have in the text.
    fn shown(&self, v: Vector) -> Vector {
        match v.scalar {
            Scalar::F16 if self.halves != Halves::Type => Vector { scalar: Scalar::F32, ..v },
            _ => v,
        }
    }

    fn splat(&self, v: Vector, value: &Text) -> Text {
        // in a vector of bools, true is -1
        let value = match v.scalar {
            Scalar::Bool => format!("{} ? -1 : 0", value.within(Binds::Unary)),
            _ => value.text.clone(),
        };
        Text::new(format!("({})({value})", self.type_name(v)), Binds::Unary)
    }

    fn pure(&mut self, id: ExprId, home: usize) -> Result<Text, EmitError> {
        if let Some(text) = self.of_bits(id, home)? {
            return Ok(text);
        }
        let text = self.computed(id, home)?;
        self.rounded(id, text)
    }

    /// The value of an expression that was computed in f32 where its type is f16.
    pub fn rounded(&mut self, id: ExprId, text: Text) -> Result<Text, EmitError> {
        let v = self.vector_of(id)?;
        match v.scalar {
            Scalar::F16 if self.halves == Halves::Bits => Ok(self.narrowed(v.width, &text)),
            Scalar::F16 if self.halves == Halves::Floats && rounding(self.kernel.expr(id)) => {
                Ok(call(&self.functions.round_to_half(v.width), &[&text]))
            }
            _ => Ok(text),
        }
    }

    fn computed(&mut self, id: ExprId, home: usize) -> Result<Text, EmitError> {
        let v = self.shown(self.vector_of(id)?);
        let expr = self.kernel.expr(id);
        Ok(match *expr {
            Expr::Unary(op, a) => {
                let of = self.shown(self.vector_of(a)?);
                let a = self.operand(a, home)?;
                self.unary(op, of, &a)?
            }
            Expr::Binary(op, x, y) => {
                let of = self.shown(self.vector_of(x)?);
                let (a, b) = (self.operand(x, home)?, self.operand(y, home)?);
                match op {
                    BinaryOp::Div | BinaryOp::Rem if !of.scalar.is_float() => {
                        self.integer_division(op, of, (&a, &b), self.literal_of(y))
                    }
                    _ => self.binary(op, of, &a, &b)?,
                }
            }
            Expr::Fma(a, b, c) => {
                let (a, b, c) =
                    (self.operand(a, home)?, self.operand(b, home)?, self.operand(c, home)?);
                match v.scalar {
                    Scalar::F32 => call(self.functions.mul_add(), &[&a, &b, &c]),
                    Scalar::F16 => call("fma", &[&a, &b, &c]),
                    Scalar::I32 => {
                        let product = self.wrapping(v, &a, &b, product_of);
                        self.wrapping(v, &product, &c, |a, b| sum(a, '+', b))
                    }
                    _ => sum(&product(&a, '*', &b), '+', &c),
                }
            }
            Expr::Select { cond, yes, no } => {
                let wide = self.vector_of(cond)?.width > 1;
                let cond = self.operand(cond, home)?;
                let (yes, no) = match wide {
                    true => (self.operand(yes, home)?, self.operand(no, home)?),
                    false => (self.choice(yes, home)?, self.choice(no, home)?),
                };
                match (wide, v.scalar) {
                    (false, _) => {
                        let [c, y, n] = [&cond, &yes, &no].map(|t| t.within(Binds::Sum));
                        Text::new(format!("{c} ? {y} : {n}"), Binds::Loosely)
                    }
                    // the mask is as wide as the elements
                    (true, Scalar::F16) => {
                        let mask = call(&format!("convert_short{}", v.width), &[&cond]);
                        call("select", &[&no, &yes, &mask])
                    }
                    (true, _) => call("select", &[&no, &yes, &cond]),
                }
            }
            Expr::Cast(to, a) => {
                let from = self.vector_of(a)?;
                let a = self.operand(a, home)?;
                self.cast(from, to, a)
            }
            Expr::Bitcast(_, a) => {
                let a = self.operand(a, home)?;
                match (&a.unsigned, v.scalar) {
                    (Some(unsigned), Scalar::U32) => (**unsigned).clone(),
                    _ => call(&format!("as_{}", self.type_name(v)), &[&a]),
                }
            }
            Expr::Splat(_, a) => {
                let a = self.operand(a, home)?;
                self.splat(v, &a)
            }
            Expr::Compose(ref parts) => {
                let mut list = Vec::with_capacity(parts.len());
                for &part in parts {
                    let part = self.operand(part, home)?;
                    list.push(match v.scalar {
                        Scalar::Bool => format!("{} ? -1 : 0", part.within(Binds::Unary)),
                        _ => part.text,
                    });
                }
                Text::new(format!("({})({})", self.type_name(v), list.join(", ")), Binds::Unary)
            }
            Expr::Extract(a, lane) => {
                let a = self.operand(a, home)?;
                let component = ['x', 'y', 'z', 'w'][usize::from(lane.min(3))];
                let text = Text::primary(format!("{}.{component}", a.tight()));
                match v.scalar {
                    Scalar::Bool => infix(&text, "!=", &Text::primary("0")),
                    _ => text,
                }
            }
            Expr::ExtractDynamic(a, lane) => {
                let of = self.shown(self.vector_of(a)?);
                let name = self.functions.pick(of);
                let (a, lane) = (self.operand(a, home)?, self.operand(lane, home)?);
                let text = call(&name, &[&a, &lane]);
                match v.scalar {
                    Scalar::Bool => infix(&text, "!=", &Text::primary("0")),
                    _ => text,
                }
            }
            Expr::Dot(a, b) => {
                let (a, b) = (self.operand(a, home)?, self.operand(b, home)?);
                call("dot", &[&a, &b])
            }
            Expr::Dot4 { signed, a, b, acc } => {
                let (a, b) = (self.operand(a, home)?, self.operand(b, home)?);
                let acc = self.operand(acc, home)?;
                let name = match self.ptx {
                    true => self.functions.dot4_ptx(signed),
                    false => self.functions.dot4(signed),
                };
                call(name, &[&a, &b, &acc])
            }
            Expr::Unpack(packing, a) => {
                let a = self.operand(a, home)?;
                match packing {
                    Packing::Half2 => call(&self.functions.unpack_half2(), &[&a]),
                    Packing::I8x4 => call("convert_int4", &[&call("as_char4", &[&a])]),
                    Packing::U8x4 => call("convert_uint4", &[&call("as_uchar4", &[&a])]),
                }
            }
            Expr::Pack(packing, a) => {
                let a = self.operand(a, home)?;
                let low = match packing {
                    Packing::Half2 => return Ok(call(&self.functions.pack_half2(), &[&a])),
                    Packing::I8x4 => infix(&a, "&", &Text::primary("255")),
                    Packing::U8x4 => infix(&a, "&", &Text::primary("255u")),
                };
                call("as_uint", &[&call("convert_uchar4", &[&low])])
            }
            // handled by `trivial`, or evaluated where a `Let` names them
            Expr::Lit(_)
            | Expr::Builtin(_)
            | Expr::LoopIndex(_)
            | Expr::Var { .. }
            | Expr::Shared { .. }
            | Expr::Buffer { .. }
            | Expr::Image { .. }
            | Expr::Tensor { .. }
            | Expr::Subgroup(..)
            | Expr::SubgroupShuffleXor(..)
            | Expr::SubgroupBroadcast(..)
            | Expr::MatrixZero(_)
            | Expr::MatrixLoad { .. }
            | Expr::MatrixMulAdd { .. }
            | Expr::MatrixScaleAdd { .. } => {
                return Err(self.malformed(format!("e{} is not pure: {expr:?}", id.0)));
            }
        })
    }

    /// The literal that an expression is or repeats.
    pub fn literal_of(&self, id: ExprId) -> Option<Lit> {
        match *self.kernel.expr(id) {
            Expr::Lit(lit) => Some(lit),
            Expr::Splat(_, a) => self.literal_of(a),
            _ => None,
        }
    }

    fn unary(&mut self, op: UnaryOp, v: Vector, a: &Text) -> Result<Text, EmitError> {
        use UnaryOp as U;
        let float = v.scalar.is_float();
        let name = match op {
            U::Neg if v.scalar == Scalar::I32 => {
                let unsigned = Text::new(format!("-{}", unsigned(v, a).tight()), Binds::Unary);
                return Ok(signed(v, unsigned));
            }
            U::Neg => return Ok(Text::new(format!("-{}", a.tight()), Binds::Unary)),
            U::Not => {
                let sign = if v.scalar == Scalar::Bool && v.width == 1 { '!' } else { '~' };
                return Ok(Text::new(format!("{sign}{}", a.tight()), Binds::Unary));
            }
            U::IsNan | U::IsInf => {
                let test = call(if op == U::IsNan { "isnan" } else { "isinf" }, &[a]);
                return Ok(self.truth(v, test));
            }
            U::Abs if v.scalar == Scalar::I32 => return Ok(signed(v, call("abs", &[a]))),
            U::Sign if v.scalar == Scalar::I32 => {
                let [low, high] = ["-1", "1"].map(|t| Text::new(t, Binds::Unary));
                return Ok(call("clamp", &[a, &low, &high]));
            }
            U::Sign if v.scalar == Scalar::U32 => {
                return Ok(call("min", &[a, &Text::primary("1u")]));
            }
            // whole numbers already
            U::Abs | U::Floor | U::Ceil | U::Round | U::Trunc if !float => return Ok(a.clone()),
            _ if !float => return Err(self.malformed(format!("{op:?} of {v:?}; it takes floats"))),
            U::Sign => return Ok(call(&self.functions.sign(v), &[a])),
            U::Abs => "fabs",
            U::Floor => "floor",
            U::Ceil => "ceil",
            // ties to even
            U::Round => "rint",
            U::Trunc => "trunc",
            U::Sqrt => "sqrt",
            U::Rsqrt => "rsqrt",
            U::Exp => "exp",
            U::Exp2 => "exp2",
            U::Log => "log",
            U::Log2 => "log2",
            U::Sin => "sin",
            U::Cos => "cos",
            U::Tan => "tan",
            U::Asin => "asin",
            U::Acos => "acos",
            U::Atan => "atan",
            U::Sinh => "sinh",
            U::Cosh => "cosh",
            U::Tanh => "tanh",
            U::Asinh => "asinh",
            U::Acosh => "acosh",
            U::Atanh => "atanh",
        };
        Ok(call(name, &[a]))
    }

    /// What a test of `v` gives, as a bool or a vector of them.
    fn truth(&self, v: Vector, test: Text) -> Text {
        match (v.width, v.scalar) {
            (1, _) => Text::new(format!("{} != 0", test.within(Binds::Unary)), Binds::Loosely),
            // of vectors of f16 a test gives shorts
            (n, Scalar::F16) => call(&format!("convert_int{n}"), &[&test]),
            _ => test,
        }
    }

    fn binary(&mut self, op: BinaryOp, v: Vector, a: &Text, b: &Text) -> Result<Text, EmitError> {
        use BinaryOp as B;
        let float = v.scalar.is_float();
        let logical = v.scalar == Scalar::Bool && v.width == 1;
        let bits = |op: &str| Ok(infix(a, op, b));
        match op {
            B::Add if v.scalar == Scalar::I32 => Ok(self.wrapping(v, a, b, |a, b| sum(a, '+', b))),
            B::Sub if v.scalar == Scalar::I32 => Ok(self.wrapping(v, a, b, |a, b| sum(a, '-', b))),
            B::Mul if v.scalar == Scalar::I32 => Ok(self.wrapping(v, a, b, product_of)),
            B::Add => Ok(sum(a, '+', b)),
            B::Sub => Ok(sum(a, '-', b)),
            B::Mul => Ok(product(a, '*', b)),
            B::Div => Ok(product(a, '/', b)),
            B::Rem => Ok(call("fmod", &[a, b])),
            B::Min => Ok(call(if float { "fmin" } else { "min" }, &[a, b])),
            B::Max => Ok(call(if float { "fmax" } else { "max" }, &[a, b])),
            B::Pow if float => Ok(call("pow", &[a, b])),
            B::Pow => Err(self.malformed(format!("Pow of {v:?}; it takes floats"))),
            B::And if logical => bits("&&"),
            B::Or if logical => bits("||"),
            B::Xor if logical => bits("!="),
            B::And => bits("&"),
            B::Or => bits("|"),
            B::Xor => bits("^"),
            // distances count modulo 32 in OpenCL C
            B::Shl => bits("<<"),
            B::Shr => bits(">>"),
            B::Eq | B::Ne | B::Lt | B::Le | B::Gt | B::Ge => {
                let sign = match op {
                    B::Eq => "==",
                    B::Ne => "!=",
                    B::Lt => "<",
                    B::Le => "<=",
                    B::Gt => ">",
                    _ => ">=",
                };
                let sides = [a, b].map(|t| t.within(Binds::Sum));
                let test = Text::new(format!("{} {sign} {}", sides[0], sides[1]), Binds::Loosely);
                Ok(if v.width == 1 { test } else { self.truth(v, test) })
            }
        }
    }

    /// Signed arithmetic on the bits of unsigned integers, which may overflow.
    fn wrapping(&self, v: Vector, a: &Text, b: &Text, op: fn(&Text, &Text) -> Text) -> Text {
        signed(v, op(&unsigned(v, a), &unsigned(v, b)))
    }

    fn integer_division(
        &mut self,
        op: BinaryOp,
        v: Vector,
        (a, b): (&Text, &Text),
        divisor: Option<Lit>,
    ) -> Text {
        let sign = if op == BinaryOp::Div { '/' } else { '%' };
        let harmless = match divisor {
            Some(Lit::U32(n)) => n != 0,
            Some(Lit::I32(n)) => n > 0,
            _ => false,
        };
        if harmless {
            return product(a, sign, b);
        }
        match v.scalar {
            Scalar::I32 => call(&self.functions.division(sign, v.width), &[a, b]),
            _ => product(a, sign, &call("max", &[b, &Text::primary("1u")])),
        }
    }

    fn cast(&mut self, from: Vector, to: Scalar, a: Text) -> Text {
        let (n, target) = (from.width, Vector { scalar: to, width: from.width });
        if to == Scalar::F16 && self.halves == Halves::Bits {
            // `rounded` makes halves of it
            return self.cast(from, Scalar::F32, a);
        }
        if to == Scalar::F16 && self.halves == Halves::Floats && from.scalar != to {
            let wide = self.cast(from, Scalar::F32, a);
            return call(&self.functions.round_to_half(n), &[&wide]);
        }
        let from = self.shown(from);
        let converted = |a: &Text| call(&format!("convert_{}", self.type_name(target)), &[a]);
        match (from.scalar, self.shown(target).scalar) {
            (from, to) if from == to => a,
            (Scalar::I32, Scalar::U32) => unsigned(target, &a),
            (Scalar::U32, Scalar::I32) => signed(target, a),
            (Scalar::Bool, _) if n == 1 => {
                let one = match to {
                    Scalar::F32 => "1.0f : 0.0f",
                    Scalar::F16 => "1.0h : 0.0h",
                    Scalar::U32 => "1u : 0u",
                    _ => "1 : 0",
                };
                Text::new(format!("{} ? {one}", a.within(Binds::Unary)), Binds::Loosely)
            }
            // true is -1 in a vector
            (Scalar::Bool, _) => converted(&Text::new(format!("-{}", a.tight()), Binds::Unary)),
            (_, Scalar::Bool) => {
                let test = infix(&a, "!=", &Text::primary("0"));
                if n == 1 { test } else { self.truth(from, test) }
            }
            // out of range: the nearest; NaN: 0
            (Scalar::F32 | Scalar::F16, Scalar::I32 | Scalar::U32) => {
                call(&format!("convert_{}_sat", self.type_name(target)), &[&a])
            }
            _ => converted(&a),
        }
    }
}

fn product_of(a: &Text, b: &Text) -> Text {
    product(a, '*', b)
}

fn as_type(v: Vector, scalar: &str, a: &Text) -> Text {
    let n = if v.width == 1 { String::new() } else { v.width.to_string() };
    call(&format!("as_{scalar}{n}"), &[a])
}

/// An i32 as the u32 of the same bits.
fn unsigned(v: Vector, a: &Text) -> Text {
    match &a.unsigned {
        Some(unsigned) => (**unsigned).clone(),
        None => as_type(v, "uint", a),
    }
}

/// A u32 as the i32 of the same bits.
fn signed(v: Vector, a: Text) -> Text {
    Text { unsigned: Some(Box::new(a.clone())), ..as_type(v, "int", &a) }
}
