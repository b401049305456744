//! Statements: blocks, loops, memory and subgroups.

use super::kernel::{Halves, Writer};
use super::text::{Binds, Text, call};
use crate::EmitError;
use drift_bundle::caps::ImageKind;
use drift_kernel::{
    BindingId, BindingType, Block, Expr, ExprId, LoopId, Scalar, SharedId, Stmt, SubgroupOp,
    Unroll, VarId, Vector, any_stmt,
};

impl Writer<'_> {
    /// Writes the statements of a block into the innermost scope. What follows a `Break` or a
    /// `Return` is never reached and not written.
    pub fn block(&mut self, block: &Block) -> Result<(), EmitError> {
        for stmt in block {
            if self.scopes.ended() {
                break;
            }
            self.stmt(stmt)?;
        }
        Ok(())
    }

    /// Writes a line that may change memory: reads that wait and are not part of it come first.
    fn statement(&mut self, line: String) -> Result<(), EmitError> {
        self.settle()?;
        self.scopes.line(line);
        Ok(())
    }

    fn settle(&mut self) -> Result<(), EmitError> {
        for (id, pending) in self.scopes.take_deferred() {
            self.name_value(id, &pending.text, pending.home)?;
        }
        Ok(())
    }

    fn stmt(&mut self, stmt: &Stmt) -> Result<(), EmitError> {
        match *stmt {
            Stmt::Let(id) => self.let_(id),
            Stmt::SetVar { var, index, value } => {
                let value = self.value(value)?;
                let place = self.var(var, index)?;
                self.statement(format!("{} = {};", place.text, value.text))
            }
            Stmt::StoreShared { shared, index, value } => {
                let (name, elem) = self.shared_array(shared)?;
                self.store((name, "__local ", elem), index, value)
            }
            Stmt::StoreBuffer { binding, index, value } => {
                let (name, elem) = self.buffer(binding)?;
                self.store((name, "", elem), index, value)
            }
            Stmt::StoreImage { binding, ref coords, value } => {
                let value = self.value(value)?;
                let (image, at) = self.texel(binding, coords)?;
                let store = call("write_imagef", &[&image, &at, &value]);
                self.statement(format!("{};", store.text))
            }
            Stmt::StoreTensor { tensor, .. } => Err(EmitError::NotPhysical {
                kernel: self.kernel.name.clone(),
                what: format!("a store to tensor {}", tensor.0),
            }),
            Stmt::If { cond, ref yes, ref no } => {
                let cond = self.value(cond)?;
                self.settle()?;
                let yes = self.nested(yes)?;
                let no = self.nested(no)?;
                self.scopes.line(format!("if ({}) {{", cond.text));
                self.scopes.block(yes);
                if !no.is_empty() {
                    self.scopes.line("} else {".to_owned());
                    self.scopes.block(no);
                }
                self.scopes.line("}".to_owned());
                Ok(())
            }
            Stmt::For { id, from, to, step, ref body, unroll } => {
                self.for_(id, (from, to, step), body, unroll)
            }
            Stmt::Await(_) => Err(EmitError::NotPhysical {
                kernel: self.kernel.name.clone(),
                what: "an await".to_owned(),
            }),
            Stmt::Break => {
                self.statement("break;".to_owned())?;
                self.scopes.end();
                Ok(())
            }
            Stmt::Return => {
                self.statement("return;".to_owned())?;
                self.scopes.end();
                Ok(())
            }
            Stmt::Barrier => self.statement("barrier(CLK_LOCAL_MEM_FENCE);".to_owned()),
            Stmt::StoreMatrix { value, to, index, stride, row_major } => {
                let line = self.store_matrix(value, to, (index, stride), row_major)?;
                self.statement(line)
            }
        }
    }

    fn nested(&mut self, block: &Block) -> Result<Vec<String>, EmitError> {
        self.scopes.open(false);
        self.block(block)?;
        Ok(self.scopes.close())
    }

    fn for_(
        &mut self,
        id: LoopId,
        (from, to, step): (ExprId, ExprId, u32),
        body: &Block,
        unroll: Unroll,
    ) -> Result<(), EmitError> {
        if step == 0 {
            return Err(self.malformed(format!("loop {} has step 0 and never ends", id.0)));
        }
        let from = self.value(from)?;
        let known = matches!(self.kernel.expr(to), Expr::Lit(_));
        let mut to = self.named(to)?;
        self.settle()?;
        if !known && any_stmt(body, |s| matches!(s, Stmt::Barrier)) {
            let bound = self.names.temporary();
            let hidden = call(self.functions.loop_bound(), &[&to]);
            self.scopes.line(format!("const uint {bound} = {};", hidden.text));
            to = Text::primary(bound);
        }
        let counter = self.names.unique("i");
        self.scopes.open(true);
        let at = self.scopes.depth();
        if self.loops.insert(id, (counter.clone(), at)).is_some() {
            return Err(self.malformed(format!("loop {} is inside of itself", id.0)));
        }
        self.block(body)?;
        self.loops.remove(&id);
        let body = self.scopes.close();
        match unroll {
            Unroll::Default => {}
            Unroll::Full => self.scopes.line("#pragma unroll".to_owned()),
            Unroll::Never => self.scopes.line("#pragma unroll 1".to_owned()),
        }
        let next = match step {
            1 => format!("++{counter}"),
            _ => format!("{counter} += {step}u"),
        };
        let from = from.text;
        let to = to.text;
        self.scopes.line(format!("for (uint {counter} = {from}; {counter} < {to}; {next}) {{"));
        self.scopes.block(body);
        self.scopes.line("}".to_owned());
        Ok(())
    }

    /// Evaluates an ordered expression here.
    fn let_(&mut self, id: ExprId) -> Result<(), EmitError> {
        let at = self.scopes.depth();
        self.natural.insert(id, at);
        let uses = self.uses[id.0 as usize];
        if uses == 0 {
            // nothing that a `Let` evaluates changes anything
            return Ok(());
        }
        let text = match *self.kernel.expr(id) {
            Expr::Var { var, index } => self.var(var, index)?,
            Expr::Shared { shared, index } => {
                let (name, elem) = self.shared_array(shared)?;
                self.load((name, "__local ", elem), index)?
            }
            Expr::Buffer { binding, index } => {
                let (name, elem) = self.buffer(binding)?;
                self.load((name, "", elem), index)?
            }
            Expr::Image { binding, ref coords } => {
                let (image, at) = self.texel(binding, coords)?;
                call("read_imagef", &[&image, &at])
            }
            Expr::Tensor { tensor, .. } => {
                return Err(EmitError::NotPhysical {
                    kernel: self.kernel.name.clone(),
                    what: format!("a load of tensor {}", tensor.0),
                });
            }
            Expr::Subgroup(op, a) if self.ptx => {
                let name = self.functions.reduce(op, self.lane_scalar(a)?);
                let text = self.by_component(a, |x| call(&name, &[x]))?;
                let text = self.rounded(id, text)?;
                return self.name_value(id, &text, at).map(|_| ());
            }
            Expr::SubgroupShuffleXor(a, lane) | Expr::SubgroupBroadcast(a, lane) if self.ptx => {
                let how = match self.kernel.expr(id) {
                    Expr::SubgroupBroadcast(..) => "idx",
                    _ => "bfly",
                };
                let name = self.functions.shuffle(how, self.lane_scalar(a)?);
                let lane = self.named(lane)?;
                let text = self.by_component(a, |x| call(&name, &[x, &lane]))?;
                let text = self.rounded(id, text)?;
                return self.name_value(id, &text, at).map(|_| ());
            }
            Expr::Subgroup(op, a) => {
                let name = match op {
                    SubgroupOp::Add => "sub_group_reduce_add",
                    SubgroupOp::Min => "sub_group_reduce_min",
                    SubgroupOp::Max => "sub_group_reduce_max",
                };
                let text = self.by_component(a, |x| call(name, &[x]))?;
                let text = self.rounded(id, text)?;
                return self.name_value(id, &text, at).map(|_| ());
            }
            Expr::SubgroupShuffleXor(a, mask) => {
                let mask = self.named(mask)?;
                let text = self.by_component(a, |x| call("sub_group_shuffle_xor", &[x, &mask]))?;
                return self.name_value(id, &text, at).map(|_| ());
            }
            Expr::SubgroupBroadcast(a, lane) => {
                let constant = matches!(self.kernel.expr(lane), Expr::Lit(_));
                let lane = self.named(lane)?;
                let name = if constant { "sub_group_broadcast" } else { "sub_group_shuffle" };
                let text = self.by_component(a, |x| call(name, &[x, &lane]))?;
                return self.name_value(id, &text, at).map(|_| ());
            }
            Expr::MatrixZero(_)
            | Expr::MatrixLoad { .. }
            | Expr::MatrixMulAdd { .. }
            | Expr::MatrixScaleAdd { .. } => {
                let text = self.matrix(id)?;
                return self.name_value(id, &text, at).map(|_| ());
            }
            // a pure expression may be named, too: it is evaluated here
            _ => {
                self.named(id)?;
                return Ok(());
            }
        };
        let may_wait = !self.ptx || matches!(self.kernel.expr(id), Expr::Var { .. });
        if uses == 1 && may_wait {
            self.scopes.defer(id, text);
            return Ok(());
        }
        self.name_value(id, &text, at).map(|_| ())
    }

    /// The scalar that travels between lanes, for one of `a`.
    fn lane_scalar(&self, a: ExprId) -> Result<Scalar, EmitError> {
        self.whole_subgroups()?;
        Ok(self.vector_of(a)?.scalar)
    }

    pub fn no_matrices(&self) -> EmitError {
        self.unsupported(
            "cooperative matrix",
            "compile the kernel for a target whose dialect has it",
        )
    }

    /// A function of scalars, on each component of a vector. Bools travel as ints.
    fn by_component(&mut self, a: ExprId, f: impl Fn(&Text) -> Text) -> Result<Text, EmitError> {
        let v = self.vector_of(a)?;
        let bits = self.is_bits(self.kernel.ty(a));
        if v.width == 1 {
            let mut value = self.value(a)?;
            if bits {
                value = self.widened(1, &value);
            }
            return Ok(match v.scalar {
                Scalar::Bool => {
                    let int = Text::new(
                        format!("{} ? 1 : 0", value.within(Binds::Unary)),
                        Binds::Loosely,
                    );
                    Text::new(format!("{} != 0", f(&int).text), Binds::Loosely)
                }
                _ => f(&value),
            });
        }
        let mut vector = self.named(a)?;
        let mut ty = self.type_name(v);
        if bits {
            vector = self.widened(v.width, &vector);
            ty = self.type_name(Vector { scalar: Scalar::F32, ..v });
        }
        let components = ["x", "y", "z", "w"];
        let parts: Vec<String> = components[..usize::from(v.width)]
            .iter()
            .map(|c| f(&Text::primary(format!("{}.{c}", vector.text))).text)
            .collect();
        Ok(Text::new(format!("({ty})({})", parts.join(", ")), Binds::Unary))
    }

    fn element(&mut self, array: String, index: ExprId) -> Result<Text, EmitError> {
        let index = self.value(index)?;
        Ok(Text::primary(format!("{array}[{}]", index.text)))
    }

    fn var(&mut self, id: VarId, index: Option<ExprId>) -> Result<Text, EmitError> {
        let Some(name) = self.vars.get(id.0 as usize).cloned() else {
            return Err(self.malformed(format!("variable {} does not exist", id.0)));
        };
        match index {
            Some(index) => self.element(name, index),
            None => Ok(Text::primary(name)),
        }
    }

    pub fn shared_array(&self, id: SharedId) -> Result<(String, Vector), EmitError> {
        let index = id.0 as usize;
        match (self.shared.get(index), self.kernel.shared.get(index)) {
            (Some(name), Some(shared)) => Ok((name.clone(), shared.elem)),
            _ => Err(self.malformed(format!("workgroup array {} does not exist", id.0))),
        }
    }

    fn buffer(&self, id: BindingId) -> Result<(String, Vector), EmitError> {
        match self.kernel.bindings.get(id.0 as usize).map(|b| &b.ty) {
            Some(BindingType::Buffer { elem, .. }) => {
                Ok((self.bindings[id.0 as usize].clone(), *elem))
            }
            _ => Err(self.malformed(format!("binding {} is no buffer", id.0))),
        }
    }

    /// Reads an element of an array.
    fn load(&mut self, (name, space, elem): Array, index: ExprId) -> Result<Text, EmitError> {
        if elem.scalar != Scalar::F16 || self.halves != Halves::Floats {
            return self.element(name, index);
        }
        let index = self.value(index)?;
        let pointer = halves(&name, space, "const ");
        Ok(call(&format!("vload{}", half_suffix(elem.width)), &[&index, &pointer]))
    }

    fn store(
        &mut self,
        (name, space, elem): Array,
        index: ExprId,
        value: ExprId,
    ) -> Result<(), EmitError> {
        if elem.scalar != Scalar::F16 || self.halves != Halves::Floats {
            let value = self.value(value)?;
            let place = self.element(name, index)?;
            return self.statement(format!("{} = {};", place.text, value.text));
        }
        // the store rounds: no need to do it before
        let value = match *self.kernel.expr(value) {
            Expr::Cast(Scalar::F16, wide)
                if self.uses[value.0 as usize] == 1
                    && self.vector_of(wide)?.scalar == Scalar::F32 =>
            {
                wide
            }
            _ => value,
        };
        let value = self.value(value)?;
        let index = self.value(index)?;
        let pointer = halves(&name, space, "");
        let function = format!("vstore{}_rte", half_suffix(elem.width));
        let store = call(&function, &[&value, &index, &pointer]);
        self.statement(format!("{};", store.text))
    }

    /// Name and coordinates of a texel.
    fn texel(&mut self, id: BindingId, coords: &[ExprId]) -> Result<(Text, Text), EmitError> {
        let kind = match self.kernel.bindings.get(id.0 as usize).map(|b| &b.ty) {
            Some(BindingType::Image { kind, .. }) => *kind,
            _ => return Err(self.malformed(format!("binding {} is no image", id.0))),
        };
        let (count, ty) = match kind {
            ImageKind::TexelBuffer => (1, "int"),
            ImageKind::Texture2d => (2, "int2"),
            ImageKind::Texture2dArray | ImageKind::Texture3d => (3, "int4"),
        };
        if coords.len() != count {
            let n = coords.len();
            return Err(self.malformed(format!("{n} coordinates for binding {}, a {kind:?}", id.0)));
        }
        let mut list = Vec::with_capacity(4);
        for &c in coords {
            list.push(self.value(c)?.text);
        }
        if count == 3 {
            list.push("0".to_owned());
        }
        let at = Text::new(format!("({ty})({})", list.join(", ")), Binds::Unary);
        Ok((Text::primary(self.bindings[id.0 as usize].clone()), at))
    }
}

/// Name, address space (empty: a pointer to its elements) and element type of an array.
type Array = (String, &'static str, Vector);

/// An array as a pointer to single halves.
fn halves(name: &str, space: &str, constant: &str) -> Text {
    match space {
        "" => Text::primary(name),
        _ => Text::new(format!("({space}{constant}half *){name}"), Binds::Unary),
    }
}

/// Elements of 2 and 4 halves are aligned to their size; 3 take the place of 4.
fn half_suffix(width: u8) -> String {
    if width == 1 { "_half".to_owned() } else { format!("a_half{width}") }
}
