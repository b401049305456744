//! Several kernels as one dispatch: workgroups of each link wait for what those before hand over, and
//! load what they have from elsewhere meanwhile.
//!
//! Between dispatches a device drains, and starts over: with work of a few microseconds that takes
//! longer than the work. In a chain, every element that is handed over says itself whether it is
//! there: its memory is full of NaNs ([`MISSING`]) before the chain runs, and whoever reads it loads
//! until all are numbers ([`Stmt::Await`]). So a value takes one way through memory, where a fence, a
//! flag and a look at it would take three. A result that is NaN is handed over as infinity.
//!
//! Workgroups start in the order of their numbers, so whoever is waited for has started before, and
//! nobody waits for a workgroup that could only start after him. No API promises that order, nor
//! that a store of one element is seen at all before its workgroup ends, or seen whole, nor that the
//! invocations of a subgroup go on together after they have waited. **A chain is for devices that are
//! known to do all that** (the feature `ordered-workgroups`); others hang, or give wrong results.

use crate::any_stmt;
use crate::ir::*;
use crate::tensor::{Elem, Storage, TensorId};

/// A word of memory that nothing has been handed over in: a NaN in f32, two of them in f16.
pub const MISSING: u32 = u32::MAX;

/// Whether a kernel can be a link: one axis of workgroups, nothing that leaves early, no matrices.
pub fn can_be_link(k: &Kernel) -> bool {
    let plain = |e: &Expr| {
        !matches!(
            e,
            Expr::Builtin(Builtin::GlobalId(_))
                | Expr::MatrixZero(_)
                | Expr::MatrixLoad { .. }
                | Expr::MatrixMulAdd { .. }
                | Expr::MatrixScaleAdd { .. }
        )
    };
    k.bindings.is_empty()
        && k.workgroups[1..] == [1, 1]
        && k.exprs.iter().all(plain)
        && !any_stmt(&k.body, |s| matches!(s, Stmt::Return))
}

/// Whether two links can be in one chain.
pub fn fit(a: &Kernel, b: &Kernel) -> bool {
    a.workgroup_size == b.workgroup_size && a.subgroup_size == b.subgroup_size
}

/// Whether a kernel may have a tensor handed over, as far as it is concerned: floats in a buffer,
/// which it reads, if it does, inside of [`Stmt::Await`] only.
pub fn can_be_handed(k: &Kernel, tensor: TensorId) -> bool {
    let arg = &k.tensors[tensor.0 as usize];
    let floats = matches!(arg.elem, Elem::F32 | Elem::F16);
    floats && arg.storage == Storage::Buffer && awaited(k, &k.body, tensor)
}

/// Whether all loads of a tensor in a block are awaited.
fn awaited(k: &Kernel, block: &Block, tensor: TensorId) -> bool {
    block.iter().all(|s| match s {
        Stmt::Let(e) => !matches!(k.expr(*e), Expr::Tensor { tensor: t, .. } if *t == tensor),
        Stmt::If { yes, no, .. } => awaited(k, yes, tensor) && awaited(k, no, tensor),
        Stmt::For { body, .. } => awaited(k, body, tensor),
        _ => true,
    })
}

/// Bytes of workgroup memory of a chain: each workgroup runs one link, so arrays of equal elements
/// are one array.
pub fn shared_bytes(links: &[&Kernel]) -> u64 {
    let shared = &merged_shared(links).0;
    shared.iter().map(|s| u64::from(s.len) * u64::from(s.elem.width) * s.elem.scalar.bytes()).sum()
}

/// The arrays of a chain, and for each link which of them its own have become.
fn merged_shared(links: &[&Kernel]) -> (Vec<Shared>, Vec<Vec<SharedId>>) {
    let mut all: Vec<Shared> = Vec::new();
    let mut maps = Vec::new();
    for link in links {
        let mut taken = vec![false; all.len()];
        let mut map = Vec::new();
        for own in &link.shared {
            let free = (0..all.len()).find(|&i| !taken[i] && all[i].elem == own.elem);
            let at = free.unwrap_or_else(|| {
                all.push(Shared { len: 0, ..own.clone() });
                taken.push(false);
                all.len() - 1
            });
            taken[at] = true;
            all[at].len = all[at].len.max(own.len);
            map.push(SharedId(at as u32));
        }
        maps.push(map);
    }
    (all, maps)
}

/// The chain of at least one link. Its tensors are those of the links, one after the other. What one
/// link writes and another reads must be [`Access::Handed`] in both, and hold [`MISSING`] in every
/// word before the chain runs: that is up to the caller, who knows which of them are the same memory.
pub fn chain(name: &str, links: &[&Kernel]) -> Kernel {
    let (shared, maps) = merged_shared(links);
    let first = links[0];
    let total = links.iter().map(|l| l.workgroups[0]).sum();
    let mut out = Kernel {
        name: name.to_owned(),
        shared,
        workgroup_size: first.workgroup_size,
        workgroups: [total, 1, 1],
        subgroup_size: first.subgroup_size,
        ..Kernel::default()
    };
    let mut chain = Chain { out: &mut out, loops: 0 };
    let group = chain.expr(Expr::Builtin(Builtin::WorkgroupId(0)), U32, Some(u64::from(total) - 1));
    let mut bodies = Vec::new();
    let mut done = 0;
    for (i, (link, map)) in links.iter().zip(&maps).enumerate() {
        let start = chain.u32(done);
        // the first link's number is that of the chain, which is not bounded by the link
        let bound = (i > 0).then(|| u64::from(link.workgroups[0]) - 1);
        let own = chain.expr(Expr::Binary(BinaryOp::Sub, group, start), U32, bound);
        let body = chain.copied(link, own, map);
        done += link.workgroups[0];
        let end = chain.u32(done);
        bodies.push((chain.expr(Expr::Binary(BinaryOp::Lt, group, end), BOOL, None), body));
    }
    // the last link is what is left
    let (_, last) = bodies.pop().unwrap_or((group, Block::new()));
    out.body =
        bodies.into_iter().rev().fold(last, |no, (cond, yes)| vec![Stmt::If { cond, yes, no }]);
    out
}

struct Chain<'a> {
    out: &'a mut Kernel,
    loops: u32,
}

impl Chain<'_> {
    fn expr(&mut self, expr: Expr, ty: Type, max: Option<u64>) -> ExprId {
        self.out.exprs.push(expr);
        self.out.types.push(ty);
        self.out.max.push(max);
        ExprId(self.out.exprs.len() as u32 - 1)
    }

    fn u32(&mut self, v: u32) -> ExprId {
        self.expr(Expr::Lit(Lit::U32(v)), U32, Some(u64::from(v)))
    }

    fn is_handed(&self, tensor: TensorId) -> bool {
        self.out.tensors[tensor.0 as usize].access == Access::Handed
    }

    /// Floats as they are handed over: no NaN.
    fn number(&mut self, value: ExprId) -> ExprId {
        let Type::Vector(v) = self.out.ty(value) else { return value };
        let words = Type::vec(Scalar::U32, v.width);
        let mut all = |v: u32, width: u8| {
            let word = self.u32(v);
            if width == 1 { word } else { self.expr(Expr::Splat(width, word), words, None) }
        };
        let (sign, infinity) = (all(1 << 31, v.width), all(0x7f80_0000, v.width));
        let others = all(!(1 << 31), v.width);
        let bits = self.expr(Expr::Bitcast(Scalar::U32, value), words, None);
        let mut binary = |op, a, b| self.expr(Expr::Binary(op, a, b), words, None);
        let size = binary(BinaryOp::And, bits, others);
        let size = binary(BinaryOp::Min, size, infinity);
        let sign = binary(BinaryOp::And, bits, sign);
        let bits = binary(BinaryOp::Or, size, sign);
        self.expr(Expr::Bitcast(Scalar::F32, bits), Type::Vector(v), None)
    }

    /// The body of a kernel with all it names; `group` stands for its workgroup.
    fn copied(&mut self, k: &Kernel, group: ExprId, shared: &[SharedId]) -> Block {
        let out = &mut *self.out;
        let base = Base {
            exprs: out.exprs.len() as u32,
            vars: out.vars.len() as u32,
            tensors: out.tensors.len() as u32,
            loops: self.loops,
            shared,
        };
        out.vars.extend(k.vars.iter().cloned());
        out.tensors.extend(k.tensors.iter().cloned());
        for (i, expr) in k.exprs.iter().enumerate() {
            let (expr, max) = match expr {
                // another name of the same number
                Expr::Builtin(Builtin::WorkgroupId(0)) => {
                    (Expr::Cast(Scalar::U32, group), out.max[group.0 as usize])
                }
                expr => (base.expr(expr), k.max.get(i).copied().flatten()),
            };
            out.exprs.push(expr);
            out.types.push(k.types[i]);
            out.max.push(max);
        }
        self.loops += loops(&k.body);
        self.block(&base, &k.body)
    }

    fn block(&mut self, base: &Base<'_>, block: &Block) -> Block {
        let mut out = Block::new();
        for s in block {
            let mut s = s.clone();
            s.operands_mut(|e| *e = base.id(*e));
            match &mut s {
                Stmt::SetVar { var, .. } => var.0 += base.vars,
                Stmt::StoreShared { shared, .. } => *shared = base.shared[shared.0 as usize],
                Stmt::StoreTensor { tensor, value, .. } => {
                    tensor.0 += base.tensors;
                    if self.is_handed(*tensor) {
                        *value = self.number(*value);
                    }
                }
                Stmt::If { yes, no, .. } => {
                    (*yes, *no) = (self.block(base, yes), self.block(base, no));
                }
                Stmt::For { id, body, .. } => {
                    id.0 += base.loops;
                    *body = self.block(base, body);
                }
                Stmt::Await(body) => {
                    let body = self.block(base, body);
                    s = self.waits(body);
                }
                _ => {}
            }
            out.push(s);
        }
        out
    }

    /// Makes a loop of what has something to wait for.
    fn waits(&mut self, body: Block) -> Stmt {
        let handed = any_stmt(&body, |s| match s {
            Stmt::Let(e) => {
                matches!(self.out.expr(*e), Expr::Tensor { tensor, .. } if self.is_handed(*tensor))
            }
            _ => false,
        });
        if !handed {
            return Stmt::Await(body);
        }
        let id = LoopId(self.loops);
        self.loops += 1;
        let (from, to) = (self.u32(0), self.u32(u32::MAX));
        Stmt::For { id, from, to, step: 1, body, unroll: Unroll::Never }
    }
}

/// Where what a link names begins in the chain.
struct Base<'a> {
    exprs: u32,
    vars: u32,
    tensors: u32,
    loops: u32,
    shared: &'a [SharedId],
}

impl Base<'_> {
    fn id(&self, e: ExprId) -> ExprId {
        ExprId(e.0 + self.exprs)
    }

    fn expr(&self, expr: &Expr) -> Expr {
        let mut expr = expr.clone().map_operands(|e| self.id(e));
        match &mut expr {
            Expr::LoopIndex(l) => l.0 += self.loops,
            Expr::Var { var, .. } => var.0 += self.vars,
            Expr::Shared { shared, .. } => *shared = self.shared[shared.0 as usize],
            Expr::Tensor { tensor, .. } => tensor.0 += self.tensors,
            _ => {}
        }
        expr
    }
}

/// One more than the highest loop of a block.
fn loops(block: &Block) -> u32 {
    let one = |s: &Stmt| match s {
        Stmt::If { yes, no, .. } => loops(yes).max(loops(no)),
        Stmt::For { id, body, .. } => (id.0 + 1).max(loops(body)),
        Stmt::Await(body) => loops(body),
        _ => 0,
    };
    block.iter().map(one).max().unwrap_or(0)
}
