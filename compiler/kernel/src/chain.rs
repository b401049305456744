//! Several kernels as one dispatch: each link's workgroups wait for those of the link before, and
//! load what does not depend on it while they wait.
//!
//! Between dispatches a device drains, and starts over: with work of a few microseconds that takes
//! longer than the work. Workgroups of a chain start in the order of their numbers, so whoever is
//! waited for has started before, and nobody waits for a workgroup that could only start after him.
//! **Devices that start workgroups in another order must not be given chains**, nor those that end
//! long loops of their own accord, as Mesa's lavapipe does after 65,535 iterations.
//!
//! Only the first invocation of a workgroup deals with the device: its fences are for all, because
//! barriers of the workgroup come before the one of the signal and after the one of the wait (see
//! [`Stmt::DeviceFence`]). A wait polls by reading: atomic sums would take turns with those of the
//! signals they wait for. Its fence comes once, after the last poll.

use crate::any_stmt;
use crate::ir::*;
use crate::tensor::{Elem, Layout, Storage, TensorArg, TensorId};

/// A kernel of a chain.
#[derive(Clone, Copy, Debug)]
pub struct Link<'a> {
    /// Before `virtualize`.
    pub kernel: &'a Kernel,
    /// Statements at the beginning that touch nothing that the links before read or write.
    pub ahead: usize,
}

/// Whether a kernel can be a link: one axis of workgroups, nothing that leaves early, no matrices.
pub fn can_be_link(k: &Kernel) -> bool {
    let plain = |e: &Expr| {
        !matches!(
            e,
            Expr::Builtin(Builtin::GlobalId(_))
                | Expr::AtomicAdd { .. }
                | Expr::AtomicLoad { .. }
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

/// Counters that a chain needs, all 0 when it starts.
pub fn counters(links: usize) -> usize {
    links.saturating_sub(1)
}

/// Bytes of workgroup memory of a chain: each workgroup runs one link, so arrays of equal elements
/// are one array.
pub fn shared_bytes(links: &[Link<'_>]) -> u64 {
    let shared = &merged_shared(links).0;
    shared.iter().map(|s| u64::from(s.len) * u64::from(s.elem.width) * s.elem.scalar.bytes()).sum()
}

/// The arrays of a chain, and for each link which of them its own have become.
fn merged_shared(links: &[Link<'_>]) -> (Vec<Shared>, Vec<Vec<SharedId>>) {
    let mut all: Vec<Shared> = Vec::new();
    let mut maps = Vec::new();
    for link in links {
        let mut taken = vec![false; all.len()];
        let mut map = Vec::new();
        for own in &link.kernel.shared {
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

/// The chain of at least one link. Its tensors are those of the links, one after the other, and
/// then the counters (u32, [`counters`] of them). Tensors that are written by one link and read by
/// another must be [`Access::ReadWrite`] in both: that is up to the caller, who knows which of them
/// are the same memory.
pub fn chain(name: &str, links: &[Link<'_>]) -> Kernel {
    let (shared, maps) = merged_shared(links);
    let first = links[0].kernel;
    let total = links.iter().map(|l| l.kernel.workgroups[0]).sum();
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
    let local = chain.expr(Expr::Builtin(Builtin::LocalIndex), U32, None);
    let zero = chain.u32(0);
    let leads = chain.expr(Expr::Binary(BinaryOp::Eq, local, zero), BOOL, None);
    let tensors: usize = links.iter().map(|l| l.kernel.tensors.len()).sum();
    let counters = TensorId(tensors as u32);
    let mut bodies = Vec::new();
    let mut done = 0;
    for (i, (link, map)) in links.iter().zip(&maps).enumerate() {
        let start = chain.u32(done);
        // the first link's number is that of the chain, which is not bounded by the link
        let bound = (i > 0).then(|| u64::from(link.kernel.workgroups[0]) - 1);
        let own = chain.expr(Expr::Binary(BinaryOp::Sub, group, start), U32, bound);
        let mut body = chain.copied(link.kernel, own, map);
        if i > 0 {
            let before = links[i - 1].kernel.workgroups[0];
            let wait = chain.wait((counters, i as u32 - 1), before, leads);
            body.splice(link.ahead..link.ahead, wait);
        }
        if i + 1 < links.len() {
            body.extend(chain.signal((counters, i as u32), leads));
        }
        done += link.kernel.workgroups[0];
        let end = chain.u32(done);
        bodies.push((chain.expr(Expr::Binary(BinaryOp::Lt, group, end), BOOL, None), body));
    }
    // the last link is what is left
    let (_, last) = bodies.pop().unwrap_or((leads, Block::new()));
    out.body =
        bodies.into_iter().rev().fold(last, |no, (cond, yes)| vec![Stmt::If { cond, yes, no }]);
    out.tensors.push(TensorArg {
        name: "counters".into(),
        elem: Elem::U32,
        stored: [self::counters(links.len())].into(),
        view: drift_ir::View::identity(),
        layout: Layout::RowMajor,
        storage: Storage::Buffer,
        access: Access::ReadWrite,
        base_elems: 0,
        max_object_bytes: u64::MAX,
    });
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

    /// Says that this workgroup has written its results.
    fn signal(&mut self, (counters, at): (TensorId, u32), leads: ExprId) -> Block {
        let (index, value) = (self.u32(at), self.u32(1));
        let place = AtomicPlace::Tensor(counters);
        let add = self.expr(Expr::AtomicAdd { place, index, value }, U32, None);
        let yes = vec![Stmt::DeviceFence, Stmt::Let(add)];
        vec![Stmt::BufferBarrier, Stmt::If { cond: leads, yes, no: Vec::new() }]
    }

    /// Waits until `count` workgroups have said so.
    fn wait(&mut self, (counters, at): (TensorId, u32), count: u32, leads: ExprId) -> Block {
        let (index, count) = (self.u32(at), self.u32(count));
        let place = AtomicPlace::Tensor(counters);
        let seen = self.expr(Expr::AtomicLoad { place, index }, U32, None);
        let all = self.expr(Expr::Binary(BinaryOp::Ge, seen, count), BOOL, None);
        let leave = Stmt::If { cond: all, yes: vec![Stmt::Break], no: Vec::new() };
        let id = LoopId(self.loops);
        self.loops += 1;
        let (from, to) = (self.u32(0), self.u32(u32::MAX));
        let body = vec![Stmt::Let(seen), leave];
        let spin = Stmt::For { id, from, to, step: 1, body, unroll: Unroll::Never };
        let yes = vec![spin, Stmt::DeviceFence];
        vec![Stmt::If { cond: leads, yes, no: Vec::new() }, Stmt::BufferBarrier]
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
        self.loops += base.count_loops(&k.body);
        base.block(&k.body)
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

    fn block(&self, block: &Block) -> Block {
        let one = |s: &Stmt| {
            let mut s = s.clone();
            s.operands_mut(|e| *e = self.id(*e));
            match &mut s {
                Stmt::SetVar { var, .. } => var.0 += self.vars,
                Stmt::StoreShared { shared, .. } => *shared = self.shared[shared.0 as usize],
                Stmt::StoreTensor { tensor, .. } => tensor.0 += self.tensors,
                Stmt::If { yes, no, .. } => (*yes, *no) = (self.block(yes), self.block(no)),
                Stmt::For { id, body, .. } => {
                    id.0 += self.loops;
                    *body = self.block(body);
                }
                _ => {}
            }
            s
        };
        block.iter().map(one).collect()
    }

    /// One more than the highest loop of a block.
    fn count_loops(&self, block: &Block) -> u32 {
        let one = |s: &Stmt| match s {
            Stmt::If { yes, no, .. } => self.count_loops(yes).max(self.count_loops(no)),
            Stmt::For { id, body, .. } => (id.0 + 1).max(self.count_loops(body)),
            _ => 0,
        };
        block.iter().map(one).max().unwrap_or(0)
    }
}
