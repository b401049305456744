//! Expressions: each IR operation in naga's terms.

use super::module::{Emitter, builtin, role, scalar, vector_size};
use crate::EmitError;
use crate::stand_in::scalar_of;
use drift_bundle::caps::{Dialect, ImageKind};
use drift_kernel::{
    BinaryOp, BindingId, BindingType, Expr, ExprId, Lit, MatrixPlace, Packing, Scalar, SharedId,
    Type, UnaryOp, VarId, Vector,
};
use naga::{
    BinaryOperator, CooperativeData, Expression, Handle, Literal, MathFunction, ScalarKind,
    UnaryOperator,
};

type Value = Handle<Expression>;

/// |x| from which tanh is 1 in f32; a shader may compute it from exp(2x), which overflows.
const TANH_SATURATED: f32 = 15.0;

impl Emitter<'_> {
    /// The value of an expression, evaluated here or further out. Operands come first, by a list
    /// and not by recursion: unrolled sums may be thousands of operations deep.
    pub fn value(&mut self, id: ExprId) -> Result<Value, EmitError> {
        let at = self.scopes.depth();
        let mut todo = vec![(id, false)];
        while let Some((id, operands_done)) = todo.pop() {
            if operands_done {
                self.place(id, at)?;
            } else if self.scopes.find(id, at).is_none() {
                todo.push((id, true));
                let expr = self.kernel.expr(id);
                if !expr.is_ordered() {
                    let first = todo.len();
                    expr.operands(|operand| todo.push((operand, false)));
                    todo[first..].reverse();
                }
            }
        }
        self.place(id, at)
    }

    fn place(&mut self, id: ExprId, at: usize) -> Result<Value, EmitError> {
        if let Some(value) = self.scopes.find(id, at) {
            return Ok(value);
        }
        let expr = self.kernel.expr(id);
        if let Expr::LoopIndex(loop_id) = expr {
            return match self.loops.get(loop_id) {
                Some(&(value, _)) => Ok(value),
                None => Err(self.malformed(format!(
                    "e{} is the counter of loop {}, which is not open here",
                    id.0, loop_id.0
                ))),
            };
        }
        if expr.is_ordered() {
            return Err(self.malformed(format!(
                "e{} is used where no `Let` has evaluated it: {expr:?}",
                id.0
            )));
        }
        let natural = self.natural(id)?;
        let at = self.scopes.home(natural, at);
        // it may be there already, evaluated for a user outside
        if let Some(value) = self.scopes.find(id, at) {
            return Ok(value);
        }
        let value = self.pure(id, expr, at)?;
        self.scopes.bake_if_deep(value);
        self.scopes.remember(id, value, at);
        Ok(value)
    }

    /// Depth of the deepest scope that `id` depends on.
    fn natural(&mut self, id: ExprId) -> Result<usize, EmitError> {
        if let Some(&depth) = self.natural.get(&id) {
            return Ok(depth);
        }
        let expr = self.kernel.expr(id);
        if let Expr::LoopIndex(loop_id) = expr {
            return Ok(self.loops.get(loop_id).map_or(0, |l| l.1));
        }
        if expr.is_ordered() {
            return Err(self.malformed(format!(
                "e{} is used before the `Let` that evaluates it: {expr:?}",
                id.0
            )));
        }
        let mut operands = Vec::new();
        expr.operands(|operand| operands.push(operand));
        let mut depth = 0;
        for operand in operands {
            depth = depth.max(self.natural(operand)?);
        }
        self.natural.insert(id, depth);
        Ok(depth)
    }

    fn pure(&mut self, id: ExprId, expr: &Expr, at: usize) -> Result<Value, EmitError> {
        let out = match *expr {
            Expr::Lit(lit) => return Ok(self.literal(lit, at)),
            Expr::Builtin(b) => {
                let (which, axis) = builtin(b);
                let Some(&base) = self.builtins.get(&which) else {
                    return Err(self.malformed(format!("{b:?} was not declared")));
                };
                match axis {
                    None => return Ok(base),
                    Some(index) => Expression::AccessIndex { base, index: u32::from(index) },
                }
            }
            Expr::Unary(op, a) => {
                let v = self.vector_of(a)?;
                let a = self.place(a, at)?;
                return self.unary(op, v, a, at);
            }
            Expr::Binary(op, a, b) => {
                let v = self.vector_of(a)?;
                let (a, b) = (self.place(a, at)?, self.place(b, at)?);
                return self.binary(op, v, a, b, at);
            }
            Expr::Fma(a, b, c) => {
                let float = self.vector_of(a)?.scalar.is_float();
                let (a, b, c) = (self.place(a, at)?, self.place(b, at)?, self.place(c, at)?);
                if float {
                    math(MathFunction::Fma, &[a, b, c])
                } else {
                    let product = self.scopes.evaluate(infix(BinaryOperator::Multiply, a, b), at);
                    infix(BinaryOperator::Add, product, c)
                }
            }
            Expr::Select { cond, yes, no } => Expression::Select {
                condition: self.place(cond, at)?,
                accept: self.place(yes, at)?,
                reject: self.place(no, at)?,
            },
            Expr::Cast(to, a) => {
                let a = self.place(a, at)?;
                convert(to, a)
            }
            Expr::Bitcast(to, a) => bitcast(to, self.place(a, at)?),
            Expr::Splat(width, a) => {
                let value = self.place(a, at)?;
                match vector_size(width) {
                    Some(size) => Expression::Splat { size, value },
                    None => return Ok(value),
                }
            }
            Expr::Compose(ref parts) => {
                let components =
                    parts.iter().map(|&p| self.place(p, at)).collect::<Result<Vec<_>, _>>()?;
                let ty = self.value_type(self.kernel.ty(id))?;
                Expression::Compose { ty, components }
            }
            Expr::Extract(a, lane) => {
                let base = self.place(a, at)?;
                Expression::AccessIndex { base, index: u32::from(lane) }
            }
            Expr::ExtractDynamic(a, lane) => {
                let base = self.place(a, at)?;
                let index = self.place(lane, at)?;
                // WGSL and SPIR-V index a value; a name keeps text back ends from repeating it
                self.scopes.bake(base);
                Expression::Access { base, index }
            }
            Expr::Dot(a, b) => {
                let (a, b) = (self.place(a, at)?, self.place(b, at)?);
                math(MathFunction::Dot, &[a, b])
            }
            Expr::Dot4 { signed, a, b, acc } => {
                let fun =
                    if signed { MathFunction::Dot4I8Packed } else { MathFunction::Dot4U8Packed };
                let (a, b) = (self.place(a, at)?, self.place(b, at)?);
                let acc = self.place(acc, at)?;
                let dot = self.scopes.evaluate(math(fun, &[a, b]), at);
                infix(BinaryOperator::Add, acc, dot)
            }
            Expr::Unpack(packing, a) => {
                let fun = match packing {
                    Packing::Half2 => MathFunction::Unpack2x16float,
                    Packing::I8x4 => MathFunction::Unpack4xI8,
                    Packing::U8x4 => MathFunction::Unpack4xU8,
                };
                math(fun, &[self.place(a, at)?])
            }
            Expr::Pack(packing, a) => {
                let fun = match packing {
                    Packing::Half2 => MathFunction::Pack2x16float,
                    Packing::I8x4 => MathFunction::Pack4xI8,
                    Packing::U8x4 => MathFunction::Pack4xU8,
                };
                math(fun, &[self.place(a, at)?])
            }
            // handled by `place`, all of them ordered or loop counters
            Expr::LoopIndex(_)
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
        };
        Ok(self.scopes.evaluate(out, at))
    }

    pub fn vector_of(&self, id: ExprId) -> Result<Vector, EmitError> {
        match self.kernel.ty(id) {
            Type::Vector(v) => Ok(v),
            Type::Matrix(m) => {
                Err(self.malformed(format!("e{} is the matrix {m:?}, used as a vector", id.0)))
            }
        }
    }

    fn literal(&mut self, lit: Lit, at: usize) -> Value {
        let literal = match lit {
            Lit::F32(bits) => {
                let v = f32::from_bits(bits);
                if !v.is_finite() {
                    return self.non_finite(bits, at);
                }
                Literal::F32(v)
            }
            Lit::F16(bits) => {
                let v = half::f16::from_bits(bits);
                if !v.is_finite() {
                    let wide = self.non_finite(v.to_f32().to_bits(), at);
                    return self.scopes.evaluate(convert(Scalar::F16, wide), at);
                }
                Literal::F16(v)
            }
            Lit::I32(v) => Literal::I32(v),
            Lit::U32(v) => Literal::U32(v),
            Lit::Bool(v) => Literal::Bool(v),
        };
        self.scopes.name(Expression::Literal(literal))
    }

    /// Infinities and NaN are no literals in naga, and in WGSL a constant expression that yields one
    /// is an error; so there the bits go through a variable, which no WGSL compiler may fold early.
    fn non_finite(&mut self, bits: u32, at: usize) -> Value {
        let mut bits = self.scopes.name(Expression::Literal(Literal::U32(bits)));
        if self.dialect == Dialect::Wgsl {
            let ty = self.vector_type(Vector { scalar: Scalar::U32, width: 1 });
            let pointer = self.local_with("float_bits", ty, bits);
            bits = self.scopes.evaluate(Expression::Load { pointer }, at);
        }
        self.scopes.evaluate(bitcast(Scalar::F32, bits), at)
    }

    /// A literal as wide as `v`.
    fn splat_literal(&mut self, v: Vector, literal: Literal, at: usize) -> Value {
        let value = self.scopes.name(Expression::Literal(literal));
        match vector_size(v.width) {
            Some(size) => self.scopes.evaluate(Expression::Splat { size, value }, at),
            None => value,
        }
    }

    fn float_literal(&mut self, v: Vector, value: f32, at: usize) -> Value {
        let literal = match v.scalar {
            Scalar::F16 => Literal::F16(half::f16::from_f32(value)),
            _ => Literal::F32(value),
        };
        self.splat_literal(v, literal, at)
    }

    fn unary(&mut self, op: UnaryOp, v: Vector, a: Value, at: usize) -> Result<Value, EmitError> {
        use MathFunction as F;
        let float = v.scalar.is_float();
        let fun = match op {
            UnaryOp::Neg if v.scalar == Scalar::U32 => {
                let zero = self.splat_literal(v, Literal::U32(0), at);
                return Ok(self.scopes.evaluate(infix(BinaryOperator::Subtract, zero, a), at));
            }
            UnaryOp::Neg => {
                let negated = Expression::Unary { op: UnaryOperator::Negate, expr: a };
                return Ok(self.scopes.evaluate(negated, at));
            }
            UnaryOp::Not => {
                let op = match v.scalar {
                    Scalar::Bool => UnaryOperator::LogicalNot,
                    _ => UnaryOperator::BitwiseNot,
                };
                return Ok(self.scopes.evaluate(Expression::Unary { op, expr: a }, at));
            }
            UnaryOp::IsNan | UnaryOp::IsInf => return Ok(self.classify(op, v, a, at)),
            UnaryOp::Abs if v.scalar == Scalar::U32 => return Ok(a),
            UnaryOp::Sign if v.scalar == Scalar::U32 => {
                let one = self.splat_literal(v, Literal::U32(1), at);
                return Ok(self.scopes.evaluate(math(F::Min, &[a, one]), at));
            }
            // whole numbers already
            UnaryOp::Floor | UnaryOp::Ceil | UnaryOp::Round | UnaryOp::Trunc if !float => {
                return Ok(a);
            }
            UnaryOp::Tanh => {
                let a = self.saturate_tanh(v, a, at);
                return Ok(self.scopes.evaluate(math(F::Tanh, &[a]), at));
            }
            UnaryOp::Abs => F::Abs,
            UnaryOp::Sign => F::Sign,
            UnaryOp::Floor => F::Floor,
            UnaryOp::Ceil => F::Ceil,
            // ties to even in naga and in all three dialects
            UnaryOp::Round => F::Round,
            UnaryOp::Trunc => F::Trunc,
            UnaryOp::Sqrt => F::Sqrt,
            UnaryOp::Rsqrt => F::InverseSqrt,
            UnaryOp::Exp => F::Exp,
            UnaryOp::Exp2 => F::Exp2,
            UnaryOp::Log => F::Log,
            UnaryOp::Log2 => F::Log2,
            UnaryOp::Sin => F::Sin,
            UnaryOp::Cos => F::Cos,
            UnaryOp::Tan => F::Tan,
            UnaryOp::Asin => F::Asin,
            UnaryOp::Acos => F::Acos,
            UnaryOp::Atan => F::Atan,
            UnaryOp::Sinh => F::Sinh,
            UnaryOp::Cosh => F::Cosh,
            UnaryOp::Asinh => F::Asinh,
            UnaryOp::Acosh => F::Acosh,
            UnaryOp::Atanh => F::Atanh,
        };
        if !float && !matches!(op, UnaryOp::Abs | UnaryOp::Sign) {
            return Err(self.malformed(format!("{op:?} of {v:?}; it takes floats")));
        }
        Ok(self.scopes.evaluate(math(fun, &[a]), at))
    }

    /// Limits |x| where tanh is 1. By comparisons, which keep a NaN, and not by min and max, which
    /// may not.
    fn saturate_tanh(&mut self, v: Vector, a: Value, at: usize) -> Value {
        let high = self.float_literal(v, TANH_SATURATED, at);
        let low = self.float_literal(v, -TANH_SATURATED, at);
        let above = self.scopes.evaluate(infix(BinaryOperator::Greater, a, high), at);
        let below = self.scopes.evaluate(infix(BinaryOperator::Less, a, low), at);
        let select = Expression::Select { condition: above, accept: high, reject: a };
        let limited = self.scopes.evaluate(select, at);
        let select = Expression::Select { condition: below, accept: low, reject: limited };
        self.scopes.evaluate(select, at)
    }

    /// NaN and infinity by bits: compilers that assume finite floats fold `x != x`, and WGSL has no
    /// such test at all.
    fn classify(&mut self, op: UnaryOp, v: Vector, a: Value, at: usize) -> Value {
        let wide = match v.scalar {
            Scalar::F16 => self.scopes.evaluate(convert(Scalar::F32, a), at),
            _ => a,
        };
        let bits = self.scopes.evaluate(bitcast(Scalar::U32, wide), at);
        let mask = self.splat_literal(v, Literal::U32(0x7fff_ffff), at);
        let magnitude = self.scopes.evaluate(infix(BinaryOperator::And, bits, mask), at);
        let infinity = self.splat_literal(v, Literal::U32(0x7f80_0000), at);
        let op = match op {
            UnaryOp::IsNan => BinaryOperator::Greater,
            _ => BinaryOperator::Equal,
        };
        self.scopes.evaluate(infix(op, magnitude, infinity), at)
    }

    fn binary(
        &mut self,
        op: BinaryOp,
        v: Vector,
        a: Value,
        b: Value,
        at: usize,
    ) -> Result<Value, EmitError> {
        use BinaryOperator as B;
        let scalar_bool = v.scalar == Scalar::Bool && v.width == 1;
        let op = match op {
            BinaryOp::Min => return Ok(self.scopes.evaluate(math(MathFunction::Min, &[a, b]), at)),
            BinaryOp::Max => return Ok(self.scopes.evaluate(math(MathFunction::Max, &[a, b]), at)),
            BinaryOp::Pow if v.scalar.is_float() => {
                return Ok(self.scopes.evaluate(math(MathFunction::Pow, &[a, b]), at));
            }
            BinaryOp::Pow => {
                return Err(self.malformed(format!("Pow of {v:?}; it takes floats")));
            }
            BinaryOp::Shl | BinaryOp::Shr => {
                // naga wants the distance as u32
                let distance = match v.scalar {
                    Scalar::I32 => self.scopes.evaluate(bitcast(Scalar::U32, b), at),
                    _ => b,
                };
                let op = if op == BinaryOp::Shl { B::ShiftLeft } else { B::ShiftRight };
                return Ok(self.scopes.evaluate(infix(op, a, distance), at));
            }
            BinaryOp::And if scalar_bool => B::LogicalAnd,
            BinaryOp::Or if scalar_bool => B::LogicalOr,
            BinaryOp::Xor if v.scalar == Scalar::Bool => B::NotEqual,
            BinaryOp::Add => B::Add,
            BinaryOp::Sub => B::Subtract,
            BinaryOp::Mul => B::Multiply,
            BinaryOp::Div => B::Divide,
            BinaryOp::Rem => B::Modulo,
            BinaryOp::And => B::And,
            BinaryOp::Or => B::InclusiveOr,
            BinaryOp::Xor => B::ExclusiveOr,
            BinaryOp::Eq => B::Equal,
            BinaryOp::Ne => B::NotEqual,
            BinaryOp::Lt => B::Less,
            BinaryOp::Le => B::LessEqual,
            BinaryOp::Gt => B::Greater,
            BinaryOp::Ge => B::GreaterEqual,
        };
        Ok(self.scopes.evaluate(infix(op, a, b), at))
    }

    // ---- memory ----

    /// A pointer to an element, or to the whole where `index` is `None`; evaluated here.
    fn element(&mut self, base: Value, index: Option<ExprId>) -> Result<Value, EmitError> {
        let Some(index) = index else { return Ok(base) };
        let at = self.scopes.depth();
        let access = match self.kernel.expr(index) {
            Expr::Lit(Lit::U32(index)) => Expression::AccessIndex { base, index: *index },
            _ => {
                let index = self.value(index)?;
                self.scopes.bake_if_deep(index);
                Expression::Access { base, index }
            }
        };
        Ok(self.scopes.evaluate(access, at))
    }

    pub fn var_pointer(&mut self, var: VarId, index: Option<ExprId>) -> Result<Value, EmitError> {
        match self.vars.get(var.0 as usize) {
            Some(&base) => self.element(base, index),
            None => Err(self.malformed(format!("there is no variable {}", var.0))),
        }
    }

    pub fn shared_pointer(&mut self, shared: SharedId, index: ExprId) -> Result<Value, EmitError> {
        match self.shared.get(shared.0 as usize) {
            Some(&base) => self.element(base, Some(index)),
            None => Err(self.malformed(format!("there is no workgroup array {}", shared.0))),
        }
    }

    pub fn buffer_pointer(&mut self, id: BindingId, index: ExprId) -> Result<Value, EmitError> {
        match self.kernel.bindings.get(id.0 as usize) {
            Some(b) if matches!(b.ty, BindingType::Buffer { .. }) => {
                self.element(self.bindings[id.0 as usize], Some(index))
            }
            _ => Err(self.malformed(format!("binding {} is no buffer", id.0))),
        }
    }

    /// Where a matrix lies. Index and stride count scalars in the IR; a pointer into an array of
    /// vectors counts vectors, so both are divided there (they are multiples of the width: rows
    /// begin at whole vectors).
    pub fn matrix_data(
        &mut self,
        place: MatrixPlace,
        index: ExprId,
        stride: ExprId,
        row_major: bool,
    ) -> Result<CooperativeData, EmitError> {
        let (base, elem) = match place {
            MatrixPlace::Shared(SharedId(i)) => {
                let elem = self.kernel.shared.get(i as usize).map(|s| s.elem);
                (self.shared.get(i as usize).copied(), elem)
            }
            MatrixPlace::Buffer(BindingId(i)) => {
                let elem = self.kernel.bindings.get(i as usize).and_then(|b| match b.ty {
                    BindingType::Buffer { elem, .. } => Some(elem),
                    BindingType::Image { .. } => None,
                });
                (self.bindings.get(i as usize).copied(), elem)
            }
        };
        let (Some(base), Some(elem)) = (base, elem) else {
            return Err(self.malformed(format!("a matrix in {place:?}, which is no array")));
        };
        if elem.scalar == Scalar::U32 && self.dialect != Dialect::SpirV {
            return Err(self.unsupported(
                "matrix in packed words",
                "declare the array with the scalar of the matrix",
            ));
        }
        // in MSL the pointer becomes one to scalars (`vector_pointers` in the module above)
        let stride = match self.dialect {
            Dialect::Msl => self.value(stride)?,
            _ => self.divided(stride, elem.width)?,
        };
        let index = self.divided(index, elem.width)?;
        let at = self.scopes.depth();
        let pointer = self.scopes.evaluate(Expression::Access { base, index }, at);
        Ok(CooperativeData { pointer, stride, row_major })
    }

    fn divided(&mut self, id: ExprId, by: u8) -> Result<Value, EmitError> {
        let by = u32::from(by.max(1));
        if let Expr::Lit(Lit::U32(v)) = self.kernel.expr(id) {
            let literal = Literal::U32(v / by);
            return Ok(self.scopes.name(Expression::Literal(literal)));
        }
        let value = self.value(id)?;
        self.scopes.bake_if_deep(value);
        if by == 1 {
            return Ok(value);
        }
        let by = self.scopes.name(Expression::Literal(Literal::U32(by)));
        let at = self.scopes.depth();
        Ok(self.scopes.evaluate(infix(BinaryOperator::Divide, value, by), at))
    }

    /// Image, coordinate and array layer.
    pub fn texel(
        &mut self,
        id: BindingId,
        coords: &[ExprId],
    ) -> Result<(Value, Value, Option<Value>), EmitError> {
        let kind = match self.kernel.bindings.get(id.0 as usize).map(|b| &b.ty) {
            Some(BindingType::Image { kind, .. }) => *kind,
            _ => return Err(self.malformed(format!("binding {} is no image", id.0))),
        };
        let (dims, layers) = match kind {
            ImageKind::TexelBuffer => (1, 0),
            ImageKind::Texture2d => (2, 0),
            ImageKind::Texture2dArray => (2, 1),
            ImageKind::Texture3d => (3, 0),
        };
        if coords.len() != dims + layers {
            return Err(self.malformed(format!(
                "{} coordinates for binding {}, a {kind:?}",
                coords.len(),
                id.0
            )));
        }
        let at = self.scopes.depth();
        let scalar = self.vector_of(coords[0])?.scalar;
        let values = coords.iter().map(|&c| self.value(c)).collect::<Result<Vec<_>, _>>()?;
        let coordinate = if dims == 1 {
            values[0]
        } else {
            let ty = self.vector_type(Vector { scalar, width: dims as u8 });
            let components = values[..dims].to_vec();
            self.scopes.evaluate(Expression::Compose { ty, components }, at)
        };
        Ok((self.bindings[id.0 as usize], coordinate, values.get(dims).copied()))
    }

    /// Evaluates an ordered expression at the end of the innermost scope.
    pub fn let_(&mut self, id: ExprId) -> Result<(), EmitError> {
        let at = self.scopes.depth();
        let value = match *self.kernel.expr(id) {
            Expr::Var { var, index } => {
                let pointer = self.var_pointer(var, index)?;
                self.scopes.evaluate(Expression::Load { pointer }, at)
            }
            Expr::Shared { shared, index } => {
                let pointer = self.shared_pointer(shared, index)?;
                let value = self.scopes.evaluate(Expression::Load { pointer }, at);
                match self.float_arrays.contains(&shared) {
                    true => {
                        let scalar = self.kernel.ty(id).vector().scalar;
                        self.scopes.evaluate(bitcast(scalar, value), at)
                    }
                    false => value,
                }
            }
            Expr::Buffer { binding, index } => {
                let pointer = self.buffer_pointer(binding, index)?;
                self.scopes.evaluate(Expression::Load { pointer }, at)
            }
            Expr::Image { binding, ref coords } => {
                let (image, coordinate, array_index) = self.texel(binding, coords)?;
                let level = self.scopes.name(Expression::Literal(Literal::I32(0)));
                let load = Expression::ImageLoad {
                    image,
                    coordinate,
                    array_index,
                    sample: None,
                    level: Some(level),
                };
                self.scopes.evaluate(load, at)
            }
            Expr::Tensor { tensor, .. } => {
                return Err(EmitError::NotPhysical {
                    kernel: self.kernel.name.clone(),
                    what: format!("a load of tensor {}", tensor.0),
                });
            }
            Expr::Subgroup(op, a) => self.subgroup_reduce(op, a)?,
            Expr::SubgroupShuffleXor(a, mask) => {
                let mask = self.value(mask)?;
                self.subgroup_gather(naga::GatherMode::ShuffleXor(mask), a)?
            }
            Expr::SubgroupBroadcast(a, lane) => {
                let constant = matches!(self.kernel.expr(lane), Expr::Lit(_));
                let lane = self.value(lane)?;
                let mode = if constant {
                    naga::GatherMode::Broadcast(lane)
                } else {
                    naga::GatherMode::Shuffle(lane)
                };
                self.subgroup_gather(mode, a)?
            }
            Expr::MatrixZero(matrix) => {
                let ty = self.matrix_type(matrix)?;
                self.scopes.name(Expression::ZeroValue(ty))
            }
            Expr::MatrixLoad { matrix, from, index, stride, row_major } => {
                let data = self.matrix_data(from, index, stride, row_major)?;
                let scalar = scalar_of(self.kernel, &self.float_arrays, from);
                let (columns, rows) = self.matrix_sides(matrix, scalar)?;
                let role = role(matrix.role);
                let load = Expression::CooperativeLoad { columns, rows, role, data };
                let value = self.scopes.evaluate(load, at);
                self.scopes.bake(value);
                value
            }
            Expr::MatrixMulAdd { a, b, c } => {
                let (a, b, c) = (self.value(a)?, self.value(b)?, self.value(c)?);
                let value =
                    self.scopes.evaluate(Expression::CooperativeMultiplyAdd { a, b, c }, at);
                self.scopes.bake(value);
                value
            }
            // the difference stands for the scaled product; see `stand_in`
            Expr::MatrixScaleAdd { product, scale, sum } => {
                let (product, scale) = (self.value(product)?, self.value(scale)?);
                let sum = self.value(sum)?;
                let scaled = infix(BinaryOperator::Subtract, product, scale);
                let scaled = self.scopes.evaluate(scaled, at);
                self.scopes.bake(scaled);
                let value = self.scopes.evaluate(infix(BinaryOperator::Add, sum, scaled), at);
                self.scopes.bake(value);
                value
            }
            // a pure expression may be named, too: it is evaluated here
            _ => self.value(id)?,
        };
        self.scopes.remember(id, value, at);
        self.natural.insert(id, at);
        Ok(())
    }
}

pub fn infix(op: BinaryOperator, left: Value, right: Value) -> Expression {
    Expression::Binary { op, left, right }
}

fn math(fun: MathFunction, args: &[Value]) -> Expression {
    Expression::Math {
        fun,
        arg: args[0],
        arg1: args.get(1).copied(),
        arg2: args.get(2).copied(),
        arg3: None,
    }
}

fn kind(s: Scalar) -> ScalarKind {
    scalar(s).kind
}

fn convert(to: Scalar, expr: Value) -> Expression {
    Expression::As { expr, kind: kind(to), convert: Some(scalar(to).width) }
}

pub fn bitcast(to: Scalar, expr: Value) -> Expression {
    Expression::As { expr, kind: kind(to), convert: None }
}
