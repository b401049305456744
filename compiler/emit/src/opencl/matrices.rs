//! Cooperative matrices, where they are said in PTX.

use super::kernel::Writer;
use super::ptx::SUBGROUP;
use super::text::{Binds, Text, call, product, sum};
use crate::EmitError;
use drift_kernel::{
    BinaryOp, Builtin, Component, Expr, ExprId, Lit, Matrix, MatrixPlace, MatrixRole, Scalar, Type,
};

/// Bytes of a line of an operand in one block: what a lane names in `ldmatrix`.
const LINE: u32 = 16;

impl Writer<'_> {
    /// Name of the type of a value or variable.
    pub fn type_of(&self, ty: Type) -> Result<String, EmitError> {
        match ty {
            Type::Vector(v) => Ok(self.type_name(v)),
            Type::Matrix(m) => self.matrix_name(m).map(str::to_owned),
        }
    }

    fn matrix_name(&self, m: Matrix) -> Result<&'static str, EmitError> {
        use Component as C;
        use MatrixRole as R;
        if !self.ptx {
            return Err(self.no_matrices());
        }
        match (m.role, m.component, m.rows, m.cols) {
            (R::A | R::B, C::F16, 16, 16) | (R::A, C::I8, 16, 32) | (R::B, C::I8, 32, 16) => {
                Ok("uint4")
            }
            (R::C, C::F32, 16, 16) => Ok("float8"),
            (R::C, C::I32, 16, 16) => Ok("int8"),
            _ => Err(self.unsupported(
                format!("cooperative matrix of {}x{} {:?}", m.rows, m.cols, m.component),
                "products there are 16x16x16 f16 to f32 and 16x16x32 s8 to s32",
            )),
        }
    }

    fn matrix_of(&self, id: ExprId) -> Result<Matrix, EmitError> {
        match self.kernel.ty(id) {
            Type::Matrix(m) => Ok(m),
            Type::Vector(v) => Err(self.malformed(format!("e{} is {v:?}, not a matrix", id.0))),
        }
    }

    /// All lanes take part in what is said in PTX.
    pub fn whole_subgroups(&self) -> Result<(), EmitError> {
        let invocations: u32 = self.kernel.workgroup_size.iter().product();
        match invocations.is_multiple_of(SUBGROUP) {
            true => Ok(()),
            false => Err(self.unsupported(
                format!("subgroup operation in workgroups of {invocations}"),
                "take workgroups of whole subgroups of 32",
            )),
        }
    }

    /// The text of an ordered expression of matrices.
    pub fn matrix(&mut self, id: ExprId) -> Result<Text, EmitError> {
        self.whole_subgroups()?;
        let m = self.matrix_of(id)?;
        let name = self.matrix_name(m)?;
        match *self.kernel.expr(id) {
            Expr::MatrixZero(_) => Ok(Text::new(format!("({name})(0)"), Binds::Unary)),
            Expr::MatrixLoad { from, index, stride, row_major, .. } => {
                self.load_matrix(m, from, (index, stride), row_major)
            }
            Expr::MatrixMulAdd { a, b, c } => {
                let scalar = sums_of(m);
                let (a, b, c) = (self.value(a)?, self.value(b)?, self.value(c)?);
                Ok(call(self.functions.multiply_matrices(scalar), &[&a, &b, &c]))
            }
            Expr::MatrixScaleAdd { product: ints, scale, sum: to } => {
                let (ints, scale) = (self.value(ints)?, self.value(scale)?);
                let to = self.value(to)?;
                Ok(sum(&product(&call("convert_float8", &[&ints]), '*', &scale), '+', &to))
            }
            ref other => Err(self.malformed(format!("{other:?} is no matrix"))),
        }
    }

    /// The workgroup array of a matrix, with its scalar; of `m`, how many elements lie in one.
    fn array_of(&self, m: Matrix, place: MatrixPlace) -> Result<(String, Scalar, u32), EmitError> {
        let MatrixPlace::Shared(id) = place else {
            return Err(self.unsupported(
                "cooperative matrix in a buffer",
                "load it through workgroup memory",
            ));
        };
        let (name, elem) = self.shared_array(id)?;
        match m.component.in_one(elem.scalar) {
            Some(n) => Ok((name, elem.scalar, n)),
            None => Err(self.malformed(format!("{m:?} in `{name}`, an array of {elem:?}"))),
        }
    }

    /// Refuses what does not lie at multiples of `unit` scalars.
    fn aligned(&self, ids: [ExprId; 2], unit: u32) -> Result<(), EmitError> {
        match ids.iter().all(|&id| self.is_multiple(id, unit)) {
            true => Ok(()),
            false => Err(self.unsupported(
                format!("matrix whose lines may lie between multiples of {unit} elements"),
                "pad its lines",
            )),
        }
    }

    fn load_matrix(
        &mut self,
        m: Matrix,
        from: MatrixPlace,
        (index, stride): (ExprId, ExprId),
        row_major: bool,
    ) -> Result<Text, EmitError> {
        let (array, scalar, _) = self.array_of(m, from)?;
        let lane = self.lane()?;
        if m.role == MatrixRole::C {
            let (first, stride) = self.sums_at(&array, m, (index, stride), row_major)?;
            let name = self.functions.load_sums(sums_of(m));
            return Ok(call(&name, &[&first, &stride, &lane]));
        }
        // lines are rows of the left operand and columns of the right one, or the other way round
        let along_k = row_major == (m.role == MatrixRole::A);
        if !along_k && m.component == Component::I8 {
            return Err(self.unsupported(
                "matrix of bytes that lie across the depth of the product",
                "store its lines along the depth",
            ));
        }
        let bytes = scalar.bytes() as u32;
        self.aligned([index, stride], LINE / bytes)?;
        let scale = Text::primary(format!("{bytes}u"));
        let [index, stride] = [index, stride].map(|id| self.value(id));
        let (index, stride) = (product(&index?, '*', &scale), product(&stride?, '*', &scale));
        let name = self.functions.load_operand(m.role, along_k);
        Ok(call(name, &[&Text::primary(array), &index, &stride, &lane]))
    }

    /// Pointer to the first element of sums, and their stride.
    fn sums_at(
        &mut self,
        array: &str,
        m: Matrix,
        (index, stride): (ExprId, ExprId),
        row_major: bool,
    ) -> Result<(Text, Text), EmitError> {
        if !row_major {
            return Err(self.unsupported("matrix of sums by columns", "store it by rows"));
        }
        // they come in pairs
        self.aligned([index, stride], 2)?;
        let ty = if sums_of(m) == Scalar::F32 { "float" } else { "int" };
        let index = self.value(index)?;
        let pointer = Text::new(format!("(__local {ty} *){array}"), Binds::Unary);
        let stride = self.value(stride)?;
        Ok((sum(&pointer, '+', &index), stride))
    }

    /// The statement that stores a matrix.
    pub fn store_matrix(
        &mut self,
        value: ExprId,
        to: MatrixPlace,
        place: (ExprId, ExprId),
        row_major: bool,
    ) -> Result<String, EmitError> {
        self.whole_subgroups()?;
        let m = self.matrix_of(value)?;
        self.matrix_name(m)?;
        if m.role != MatrixRole::C {
            return Err(self.malformed(format!("a store of {m:?}; sums are stored")));
        }
        let (array, ..) = self.array_of(m, to)?;
        let value = self.value(value)?;
        let (first, stride) = self.sums_at(&array, m, place, row_major)?;
        let lane = self.lane()?;
        let name = self.functions.store_sums(sums_of(m));
        Ok(format!("{};", call(&name, &[&value, &first, &stride, &lane]).text))
    }

    fn lane(&self) -> Result<Text, EmitError> {
        match self.builtins.get(&Builtin::SubgroupInvocation) {
            Some(name) => Ok(Text::primary(name.as_str())),
            None => Err(self.malformed("the lane of an invocation was not declared")),
        }
    }

    /// Whether an index is known to be a multiple of `unit`, a power of two.
    fn is_multiple(&self, id: ExprId, unit: u32) -> bool {
        let both = |a, b| self.is_multiple(a, unit) && self.is_multiple(b, unit);
        let literal = |id| match *self.kernel.expr(id) {
            Expr::Lit(Lit::U32(n)) => Some(n),
            _ => None,
        };
        match *self.kernel.expr(id) {
            _ if unit <= 1 => true,
            Expr::Lit(Lit::U32(n)) => n.is_multiple_of(unit),
            Expr::Binary(BinaryOp::Add | BinaryOp::Sub | BinaryOp::Rem, a, b) => both(a, b),
            Expr::Binary(BinaryOp::Mul, a, b) => {
                let share = |n: u32| unit >> n.trailing_zeros().min(unit.trailing_zeros());
                match (literal(a), literal(b)) {
                    (_, Some(n)) => self.is_multiple(a, share(n)),
                    (Some(n), _) => self.is_multiple(b, share(n)),
                    _ => self.is_multiple(a, unit) || self.is_multiple(b, unit),
                }
            }
            Expr::Binary(BinaryOp::Shl, a, b) => match literal(b) {
                Some(n) => self.is_multiple(a, unit >> n.min(31)),
                None => self.is_multiple(a, unit),
            },
            Expr::Binary(BinaryOp::And, a, b) => {
                self.is_multiple(a, unit) || self.is_multiple(b, unit)
            }
            Expr::Fma(a, b, c) => {
                let of_product = match (literal(a), literal(b)) {
                    (_, Some(n)) => {
                        self.is_multiple(a, unit >> n.trailing_zeros().min(unit.trailing_zeros()))
                    }
                    _ => self.is_multiple(a, unit) || self.is_multiple(b, unit),
                };
                of_product && self.is_multiple(c, unit)
            }
            Expr::Select { yes, no, .. } => both(yes, no),
            _ => false,
        }
    }
}

/// Scalar of the sums of a matrix of them.
fn sums_of(m: Matrix) -> Scalar {
    if m.component == Component::I32 { Scalar::I32 } else { Scalar::F32 }
}
