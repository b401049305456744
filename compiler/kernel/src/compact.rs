//! Drops expressions that no statement needs and renumbers the rest, operands before users.

use crate::ir::*;

/// The kernel with only the expressions its body reaches.
#[must_use]
pub fn compact(mut kernel: Kernel) -> Kernel {
    let mut work = Work { new: vec![None; kernel.exprs.len()], order: Vec::new() };
    let mut body = std::mem::take(&mut kernel.body);
    work.block(&kernel, &mut body);
    let Work { new, order } = work;
    let renumber = |o: ExprId| new[o.0 as usize].unwrap_or(o);
    let bounded = kernel.max.len() == kernel.exprs.len();
    let exprs = order.iter().map(|&e| kernel.expr(e).clone().map_operands(renumber)).collect();
    let types = order.iter().map(|&e| kernel.ty(e)).collect();
    let max = match bounded {
        true => order.iter().map(|&e| kernel.max[e.0 as usize]).collect(),
        false => Vec::new(),
    };
    Kernel { exprs, types, max, body, ..kernel }
}

struct Work {
    new: Vec<Option<ExprId>>,
    order: Vec<ExprId>,
}

impl Work {
    fn block(&mut self, k: &Kernel, block: &mut Block) {
        for stmt in block {
            stmt.operands_mut(|e| *e = self.visit(k, *e));
            match stmt {
                Stmt::If { yes, no, .. } => {
                    self.block(k, yes);
                    self.block(k, no);
                }
                Stmt::For { body, .. } | Stmt::Await(body) => self.block(k, body),
                _ => {}
            }
        }
    }

    /// Post-order without recursion: sums may be thousands of terms deep.
    fn visit(&mut self, k: &Kernel, root: ExprId) -> ExprId {
        let mut todo = vec![(root, false)];
        while let Some((e, ready)) = todo.pop() {
            if self.new[e.0 as usize].is_some() {
                continue;
            }
            if ready {
                self.new[e.0 as usize] = Some(ExprId(self.order.len() as u32));
                self.order.push(e);
                continue;
            }
            todo.push((e, true));
            let at = todo.len();
            k.expr(e).operands(|o| todo.push((o, false)));
            todo[at..].reverse();
        }
        self.new[root.0 as usize].unwrap_or(root)
    }
}
