//! Which reads of variables need no copy.
//!
//! `let e = v` fixes the value of `v` at that place. Where everything that uses `e` comes before
//! the next write of `v` (or is that write), `e` may be the variable's own registers:
//! `acc = fma(x, w, acc)` then runs without moving `acc` about.

use crate::ir::*;
use std::collections::{HashMap, HashSet};

#[derive(Debug, Default)]
pub(super) struct Lifetimes {
    /// Reads that may share the variable's registers.
    pub shared: HashSet<ExprId>,
    /// How often expressions are used by what is reached.
    pub uses: Vec<u32>,
}

pub(super) fn lifetimes(kernel: &Kernel) -> Lifetimes {
    let mut out = Lifetimes { uses: vec![0; kernel.exprs.len()], ..Lifetimes::default() };
    scan(kernel, &kernel.body, &mut out);
    let mut todo = Vec::new();
    roots(&kernel.body, &mut todo);
    while let Some(e) = todo.pop() {
        let n = &mut out.uses[e.0 as usize];
        *n += 1;
        if *n == 1 {
            kernel.expr(e).operands(|o| todo.push(o));
        }
    }
    out
}

fn roots(block: &Block, out: &mut Vec<ExprId>) {
    for s in block {
        s.operands(|e| out.push(e));
        match s {
            Stmt::If { yes, no, .. } => {
                roots(yes, out);
                roots(no, out);
            }
            Stmt::For { body, .. } => roots(body, out),
            _ => {}
        }
    }
}

/// What a statement, nested ones included, reads and writes.
#[derive(Default)]
struct Touch {
    reads: HashSet<ExprId>,
    writes: HashSet<VarId>,
}

/// Decides the reads of one block; returns what the block touches.
fn scan(k: &Kernel, block: &Block, out: &mut Lifetimes) -> Touch {
    let mut touches = Vec::with_capacity(block.len());
    for s in block {
        let mut t = Touch::default();
        let mut seen = HashSet::new();
        let mut todo = Vec::new();
        match s {
            // the let itself uses its operands only
            Stmt::Let(e) => k.expr(*e).operands(|o| todo.push(o)),
            s => s.operands(|o| todo.push(o)),
        }
        while let Some(e) = todo.pop() {
            if !seen.insert(e) {
                continue;
            }
            let x = k.expr(e);
            if x.is_ordered() {
                t.reads.insert(e);
            } else {
                x.operands(|o| todo.push(o));
            }
        }
        let mut nested = |b: &Block, out: &mut Lifetimes| {
            let inner = scan(k, b, out);
            t.reads.extend(inner.reads);
            t.writes.extend(inner.writes);
        };
        match s {
            Stmt::SetVar { var, .. } => {
                t.writes.insert(*var);
            }
            Stmt::If { yes, no, .. } => {
                nested(yes, out);
                nested(no, out);
            }
            Stmt::For { body, .. } => nested(body, out),
            _ => {}
        }
        touches.push(t);
    }
    // last statement of this block that uses an expression
    let mut last: HashMap<ExprId, usize> = HashMap::new();
    for (i, t) in touches.iter().enumerate() {
        t.reads.iter().for_each(|&e| {
            last.insert(e, i);
        });
    }
    // walking backwards: where each variable is written next
    let mut next: HashMap<VarId, usize> = HashMap::new();
    for (i, s) in block.iter().enumerate().rev() {
        if let Stmt::Let(e) = s
            && let Expr::Var { var, .. } = k.expr(*e)
        {
            let last = last.get(e).copied().unwrap_or(i);
            let fits = match next.get(var) {
                None => true,
                Some(&w) => last < w || last == w && matches!(block[w], Stmt::SetVar { .. }),
            };
            if fits {
                out.shared.insert(*e);
            }
        }
        touches[i].writes.iter().for_each(|&v| {
            next.insert(v, i);
        });
    }
    let mut all = Touch::default();
    for t in touches {
        all.reads.extend(t.reads);
        all.writes.extend(t.writes);
    }
    all
}
