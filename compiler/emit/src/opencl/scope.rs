//! Where expressions are evaluated, and which of them get a name.
//!
//! The IR leaves pure expressions without a position. Blocks under construction form a stack of
//! scopes; each remembers the values that have a name in it. A value that is used several times is
//! named once in the scope that encloses its uses, one that is used once becomes part of the text
//! around it. What does not depend on a loop is named in front of it.
//!
//! Reads of memory have a position: the `Let` that names them. One whose only use is in the next
//! statement waits for it ([`Scopes::defer`]), for nothing happens in between, and is named where it
//! stands otherwise.

use super::text::Text;
use drift_kernel::ExprId;
use std::collections::HashMap;

/// Most characters of an expression before it gets a name.
pub const LONGEST: usize = 88;

#[derive(Default)]
struct Scope {
    lines: Vec<String>,
    named: HashMap<ExprId, Text>,
    is_loop: bool,
    /// A `Break` or `Return` was written: what follows is never reached.
    ended: bool,
}

/// A value that is text and has no name yet.
pub struct Pending {
    pub text: Text,
    /// The scope it belongs to, at the latest.
    pub home: usize,
}

/// Open blocks, innermost last.
pub struct Scopes {
    stack: Vec<Scope>,
    /// Values with one use that is yet to come.
    pub pending: HashMap<ExprId, Pending>,
    /// Of these, the reads that wait for the next statement, in their order.
    deferred: Vec<ExprId>,
}

impl Scopes {
    pub fn new() -> Scopes {
        let stack = vec![Scope::default()];
        Scopes { stack, pending: HashMap::new(), deferred: Vec::new() }
    }

    /// Index of the innermost scope.
    pub fn depth(&self) -> usize {
        self.stack.len() - 1
    }

    pub fn open(&mut self, is_loop: bool) {
        self.stack.push(Scope { is_loop, ..Scope::default() });
    }

    /// Closes the innermost block and gives its lines.
    pub fn close(&mut self) -> Vec<String> {
        // their uses came after a `Break` and were not written
        self.deferred.drain(..).for_each(|id| {
            self.pending.remove(&id);
        });
        self.stack.pop().map_or_else(Vec::new, |scope| scope.lines)
    }

    pub fn ended(&self) -> bool {
        self.stack.last().is_some_and(|scope| scope.ended)
    }

    pub fn end(&mut self) {
        if let Some(scope) = self.stack.last_mut() {
            scope.ended = true;
        }
    }

    /// The scope to evaluate an expression in that is needed in scope `at` and depends on nothing
    /// deeper than `natural`: outside of as many loops as possible, but never out of an `If` alone,
    /// which may keep it from being evaluated at all.
    pub fn home(&self, natural: usize, at: usize) -> usize {
        (natural..at).find(|&depth| self.stack[depth + 1].is_loop).unwrap_or(at)
    }

    /// The value by its name, where it has one in an open scope.
    pub fn find(&self, id: ExprId, at: usize) -> Option<&Text> {
        self.stack[..=at].iter().rev().find_map(|scope| scope.named.get(&id))
    }

    pub fn remember(&mut self, id: ExprId, name: Text, at: usize) {
        self.stack[at].named.insert(id, name);
    }

    /// Adds a line at the end of scope `at`.
    pub fn line_at(&mut self, line: String, at: usize) {
        self.stack[at].lines.push(line);
    }

    pub fn line(&mut self, line: String) {
        let at = self.depth();
        self.line_at(line, at);
    }

    /// Adds the lines of a closed block, indented.
    pub fn block(&mut self, lines: Vec<String>) {
        lines.into_iter().for_each(|line| self.line(format!("    {line}")));
    }

    /// Lets a read wait for its use in the next statement.
    pub fn defer(&mut self, id: ExprId, text: Text) {
        let home = self.depth();
        self.pending.insert(id, Pending { text, home });
        self.deferred.push(id);
    }

    /// The reads that the statement about to be written does not use.
    pub fn take_deferred(&mut self) -> Vec<(ExprId, Pending)> {
        let ids = std::mem::take(&mut self.deferred);
        ids.into_iter().filter_map(|id| Some((id, self.pending.remove(&id)?))).collect()
    }
}
