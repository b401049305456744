//! Statements: blocks, loops, stores and subgroup operations.

use super::expr::{bitcast, infix};
use super::module::Emitter;
use crate::EmitError;
use drift_kernel::{Block, ExprId, LoopId, Scalar, Stmt, SubgroupOp, Vector};
use naga::{
    Barrier, BinaryOperator, CollectiveOperation, Expression, GatherMode, Handle, Literal,
    Statement, SubgroupOperation,
};

impl Emitter<'_> {
    /// Writes the statements of a block into the innermost scope. What follows a `Break` or a
    /// `Return` is never reached and not written (naga refuses it).
    pub fn block(&mut self, block: &Block) -> Result<(), EmitError> {
        for stmt in block {
            if self.scopes.ended() {
                break;
            }
            self.stmt(stmt)?;
        }
        Ok(())
    }

    fn stmt(&mut self, stmt: &Stmt) -> Result<(), EmitError> {
        match *stmt {
            Stmt::Let(id) => self.let_(id)?,
            Stmt::SetVar { var, index, value } => {
                let value = self.value(value)?;
                let pointer = self.var_pointer(var, index)?;
                self.scopes.push(Statement::Store { pointer, value });
            }
            Stmt::StoreShared { shared, index, value } => {
                let mut value = self.value(value)?;
                if self.float_arrays.contains(&shared) {
                    let at = self.scopes.depth();
                    value = self.scopes.evaluate(bitcast(Scalar::F32, value), at);
                }
                let pointer = self.shared_pointer(shared, index)?;
                self.scopes.push(Statement::Store { pointer, value });
            }
            Stmt::StoreBuffer { binding, index, value } => {
                let value = self.value(value)?;
                let pointer = self.buffer_pointer(binding, index)?;
                self.scopes.push(Statement::Store { pointer, value });
            }
            Stmt::StoreImage { binding, ref coords, value } => {
                let value = self.value(value)?;
                let (image, coordinate, array_index) = self.texel(binding, coords)?;
                self.scopes.push(Statement::ImageStore { image, coordinate, array_index, value });
            }
            Stmt::StoreTensor { tensor, .. } => {
                return Err(EmitError::NotPhysical {
                    kernel: self.kernel.name.clone(),
                    what: format!("a store to tensor {}", tensor.0),
                });
            }
            Stmt::Await(_) => {
                return Err(EmitError::NotPhysical {
                    kernel: self.kernel.name.clone(),
                    what: "an await".to_owned(),
                });
            }
            Stmt::If { cond, ref yes, ref no } => {
                let condition = self.value(cond)?;
                let accept = self.nested(yes)?;
                let reject = self.nested(no)?;
                self.scopes.push(Statement::If { condition, accept, reject });
            }
            // the hint is written by `spirv`; the text dialects have none that naga could write
            Stmt::For { id, from, to, step, ref body, unroll: _ } => {
                self.for_(id, from, to, step, body)?;
            }
            Stmt::Break => self.scopes.push(Statement::Break),
            Stmt::Return => self.scopes.push(Statement::Return { value: None }),
            Stmt::Barrier => self.scopes.push(Statement::ControlBarrier(Barrier::WORK_GROUP)),
            Stmt::StoreMatrix { value, to, index, stride, row_major } => {
                let target = self.value(value)?;
                let data = self.matrix_data(to, index, stride, row_major)?;
                self.scopes.push(Statement::CooperativeStore { target, data });
            }
        }
        Ok(())
    }

    fn nested(&mut self, block: &Block) -> Result<naga::Block, EmitError> {
        self.scopes.open(false);
        self.block(block)?;
        Ok(self.scopes.close())
    }

    /// `i = from; loop { if i >= to { break } body; i = i + step }`. There is no `continue` in the
    /// IR, so the step can end the body: naga's continuing blocks become a flag and a branch in MSL.
    fn for_(
        &mut self,
        id: LoopId,
        from: ExprId,
        to: ExprId,
        step: u32,
        body: &Block,
    ) -> Result<(), EmitError> {
        if step == 0 {
            return Err(self.malformed(format!("loop {} has step 0 and never ends", id.0)));
        }
        let from = self.value(from)?;
        let to = self.value(to)?;
        let u32_ty = self.vector_type(Vector { scalar: Scalar::U32, width: 1 });
        let counter = self.local("i", u32_ty);
        self.scopes.push(Statement::Store { pointer: counter, value: from });

        self.scopes.open(true);
        let at = self.scopes.depth();
        let index = self.scopes.evaluate(Expression::Load { pointer: counter }, at);
        let done = infix(BinaryOperator::GreaterEqual, index, to);
        let condition = self.scopes.evaluate(done, at);
        let mut accept = naga::Block::new();
        accept.push(Statement::Break, naga::Span::UNDEFINED);
        self.scopes.push(Statement::If { condition, accept, reject: naga::Block::new() });

        if self.loops.insert(id, (index, at)).is_some() {
            return Err(self.malformed(format!("loop {} is inside of itself", id.0)));
        }
        self.block(body)?;
        self.loops.remove(&id);
        if !self.scopes.ended() {
            let step = self.scopes.name(Expression::Literal(Literal::U32(step)));
            let next = self.scopes.evaluate(infix(BinaryOperator::Add, index, step), at);
            self.scopes.push(Statement::Store { pointer: counter, value: next });
        }
        let body = self.scopes.close();
        self.scopes.push(Statement::Loop { body, continuing: naga::Block::new(), break_if: None });
        Ok(())
    }

    // ---- subgroups ----

    pub fn subgroup_reduce(
        &mut self,
        op: SubgroupOp,
        argument: ExprId,
    ) -> Result<Handle<Expression>, EmitError> {
        let (argument, result) = self.subgroup_operands(argument)?;
        let op = match op {
            SubgroupOp::Add => SubgroupOperation::Add,
            SubgroupOp::Min => SubgroupOperation::Min,
            SubgroupOp::Max => SubgroupOperation::Max,
        };
        let collective_op = CollectiveOperation::Reduce;
        let statement =
            Statement::SubgroupCollectiveOperation { op, collective_op, argument, result };
        self.scopes.push(statement);
        Ok(result)
    }

    pub fn subgroup_gather(
        &mut self,
        mode: GatherMode,
        argument: ExprId,
    ) -> Result<Handle<Expression>, EmitError> {
        let (argument, result) = self.subgroup_operands(argument)?;
        self.scopes.push(Statement::SubgroupGather { mode, argument, result });
        Ok(result)
    }

    fn subgroup_operands(
        &mut self,
        argument: ExprId,
    ) -> Result<(Handle<Expression>, Handle<Expression>), EmitError> {
        let v = self.vector_of(argument)?;
        let argument = self.value(argument)?;
        let ty = self.vector_type(v);
        Ok((argument, self.scopes.result(Expression::SubgroupOperationResult { ty })))
    }
}
