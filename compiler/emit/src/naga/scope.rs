//! Where expressions are evaluated.
//!
//! The IR leaves pure expressions without a position; naga wants every expression evaluated by an
//! `Emit` that comes before its uses and whose block encloses them. So blocks under construction
//! form a stack of scopes, and each remembers what it has evaluated: an expression of an enclosing
//! scope is used again, one of a closed sibling is evaluated anew. An expression that does not depend
//! on a loop goes in front of it, into the scope around the loop, whose block then ends right there.
//!
//! Names are given to expressions that nest deeply: text back ends write an expression that is used
//! once in place, and shader compilers limit nesting (clang: 256 brackets, Tint: 512 levels).

use drift_bundle::caps::Dialect;
use drift_kernel::ExprId;
use naga::{Block, Expression, Function, Handle, Range, Span, Statement};
use std::collections::HashMap;

/// Operators in one line of shader text before a name is given.
const MAX_NESTING: u16 = 12;

#[derive(Default)]
pub struct Scope {
    block: Block,
    evaluated: HashMap<ExprId, Handle<Expression>>,
    /// First and last expression of an `Emit` not yet written.
    pending: Option<(Handle<Expression>, Handle<Expression>)>,
    pub is_loop: bool,
    /// A `Break` or `Return` was written: what follows is never reached.
    pub ended: bool,
}

impl Scope {
    fn flush(&mut self) {
        if let Some((first, last)) = self.pending.take() {
            let range = Range::new_from_bounds(first, last);
            self.block.push(Statement::Emit(range), Span::UNDEFINED);
        }
    }
}

/// The function under construction and its open blocks, innermost last.
#[derive(Default)]
pub struct Scopes {
    pub function: Function,
    stack: Vec<Scope>,
    /// Nesting of every expression; parallel to the function's arena.
    nesting: Vec<u16>,
    names_nesting: bool,
}

impl Scopes {
    pub fn new(dialect: Dialect) -> Scopes {
        Scopes {
            stack: vec![Scope::default()],
            names_nesting: dialect != Dialect::SpirV,
            ..Scopes::default()
        }
    }

    pub fn finish(mut self, name: &str) -> Function {
        if let Some(mut scope) = self.stack.pop() {
            scope.flush();
            self.function.body = scope.block;
        }
        self.function.name = Some(name.to_owned());
        self.function
    }

    /// Index of the innermost scope.
    pub fn depth(&self) -> usize {
        self.stack.len() - 1
    }

    pub fn open(&mut self, is_loop: bool) {
        self.stack.push(Scope { is_loop, ..Scope::default() });
    }

    /// Closes the innermost block.
    pub fn close(&mut self) -> Block {
        let mut scope = self.stack.pop().unwrap_or_default();
        scope.flush();
        scope.block
    }

    pub fn ended(&self) -> bool {
        self.stack.last().is_some_and(|scope| scope.ended)
    }

    /// The scope to evaluate an expression in that is needed in scope `at` and depends on nothing
    /// deeper than `natural`: outside of as many loops as possible, but never out of an `If` alone,
    /// which may keep it from being evaluated at all.
    pub fn home(&self, natural: usize, at: usize) -> usize {
        (natural..at).find(|&depth| self.stack[depth + 1].is_loop).unwrap_or(at)
    }

    pub fn find(&self, id: ExprId, at: usize) -> Option<Handle<Expression>> {
        self.stack[..=at].iter().rev().find_map(|scope| scope.evaluated.get(&id).copied())
    }

    pub fn remember(&mut self, id: ExprId, value: Handle<Expression>, at: usize) {
        self.stack[at].evaluated.insert(id, value);
    }

    /// An expression that is a name or a constant: it has no place and no `Emit`.
    pub fn name(&mut self, expr: Expression) -> Handle<Expression> {
        debug_assert!(expr.needs_pre_emit());
        self.nesting.push(0);
        self.function.expressions.append(expr, Span::UNDEFINED)
    }

    /// The result of a statement that is about to be pushed.
    pub fn result(&mut self, expr: Expression) -> Handle<Expression> {
        self.nesting.push(0);
        self.function.expressions.append(expr, Span::UNDEFINED)
    }

    /// Evaluates `expr` at the end of scope `at`.
    pub fn evaluate(&mut self, expr: Expression, at: usize) -> Handle<Expression> {
        if expr.needs_pre_emit() {
            return self.name(expr);
        }
        let nesting = self.nesting_of(&expr);
        let handle = self.function.expressions.append(expr, Span::UNDEFINED);
        self.nesting.push(nesting);
        let scope = &mut self.stack[at];
        match &mut scope.pending {
            Some((_, last)) if last.index() + 1 == handle.index() => *last = handle,
            _ => {
                scope.flush();
                scope.pending = Some((handle, handle));
            }
        }
        handle
    }

    /// Gives the value a name if it nests deeply.
    pub fn bake_if_deep(&mut self, handle: Handle<Expression>) {
        if self.nesting[handle.index()] > MAX_NESTING {
            self.bake(handle);
        }
    }

    /// Makes text back ends give the value a name here.
    pub fn bake(&mut self, handle: Handle<Expression>) {
        if self.names_nesting {
            self.nesting[handle.index()] = 0;
            self.function.named_expressions.insert(handle, "t".to_owned());
        }
    }

    pub fn push(&mut self, statement: Statement) {
        if let Some(scope) = self.stack.last_mut() {
            scope.flush();
            scope.ended = matches!(statement, Statement::Break | Statement::Return { .. });
            scope.block.push(statement, Span::UNDEFINED);
        }
    }

    fn nesting_of(&self, expr: &Expression) -> u16 {
        use Expression as E;
        let of = |h: &Handle<Expression>| self.nesting[h.index()];
        let deepest = match expr {
            E::Compose { components, .. } => components.iter().map(of).max().unwrap_or(0),
            E::Access { base, index } => of(base).max(of(index)),
            E::AccessIndex { base, .. } => of(base),
            E::Splat { value, .. } => of(value),
            E::Unary { expr, .. } | E::As { expr, .. } => of(expr),
            E::Binary { left, right, .. } => of(left).max(of(right)),
            E::Select { condition, accept, reject } => {
                of(condition).max(of(accept)).max(of(reject))
            }
            E::Math { arg, arg1, arg2, .. } => {
                let rest = [arg1, arg2].into_iter().flatten().map(of).max().unwrap_or(0);
                of(arg).max(rest)
            }
            // baked where they are evaluated
            _ => return 0,
        };
        deepest.saturating_add(1)
    }
}
