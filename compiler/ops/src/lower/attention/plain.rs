//! `attention`: all keys and values are operands.

use super::attend::attend;
use super::io::{Io, Keys, LOWEST, Row, Work};
use super::matrix::{self, Tile};
use super::partials::{self, Partials, Reduce};
use super::plan::{Plan, Problem};
use crate::Result;
use crate::def::InferCtx;
use crate::lower::map::Input;
use crate::lower::{KernelArgs, Lowering, Out};
use crate::ops::attention::{Attention, MASK};
use drift_ir::{DType, View, ViewStep};
use drift_kernel::{Access, E};

fn node(l: &Lowering<'_>) -> Result<Attention> {
    let types = crate::eval::operand_types(l.graph, l.node)?;
    let own = &types[..l.node.epilogue_operands.min(types.len())];
    Attention::of(&InferCtx {
        op: l.node.op,
        path: &l.node.path,
        attrs: &l.node.attrs,
        operands: own,
        body: &l.node.epilogue,
    })
}

/// Lowers an `attention` node.
pub fn lower(l: &mut Lowering<'_>) -> Result<()> {
    let a = node(l)?;
    if l.own_shape(0).elems() == 0 {
        return Ok(());
    }
    let p = Problem {
        heads: a.batch * a.kv_heads,
        group: a.group(),
        tokens: a.rows,
        head_dim: a.head_dim,
        value_dim: a.value_dim,
        keys: a.keys,
        scale: a.scale,
        softcap: a.softcap,
        keys_whole: true,
    };
    if let Some(tile) = Tile::of(l.target, &p, false) {
        let groups = tile.workgroups(&p);
        if groups.iter().all(|g| *g <= 65_535) {
            let k = l.kernel("attention_matrix", [tile.size(), 1, 1], groups);
            let out = Some(l.out(&k, &View::identity())?);
            let io = Operands::bind(l, &k, &a, &p, out)?;
            matrix::attend(&k.b, &p, tile, &io, None);
            l.kernels.push(k.finish(p.flops()));
            return Ok(());
        }
    }
    let plan = Plan::of(l.target, &p, 0, true).ok_or_else(|| {
        l.unsupported(format!(
            "heads of {} and {} elements need more workgroup memory than this device has ({} bytes)",
            a.head_dim, a.value_dim, l.target.caps.limits.workgroup_memory_bytes
        ))
    })?;
    let groups = plan.workgroups(&p);
    if groups.iter().any(|g| *g > 65_535) {
        return Err(l.unsupported(format!("{groups:?} workgroups exceed a dispatch")));
    }
    let temps = (plan.splits > 1).then(|| partials::temps(l, &p, plan.splits));
    let k = l.kernel("attention", [plan.size, 1, 1], groups);
    let out = if temps.is_none() { Some(l.out(&k, &View::identity())?) } else { None };
    let io = Operands::bind(l, &k, &a, &p, out)?;
    let to = temps.map(|t| Partials::bind(l, &k, t, Access::Write));
    attend(&k.b, &p, plan, &io, to);
    l.kernels.push(k.finish(p.flops()));
    if let Some(temps) = temps {
        reduce(l, &a, &p, plan.splits, temps)?;
    }
    Ok(())
}

/// The mask spread to `[B, hq, S, T]`.
fn mask(l: &Lowering<'_>, k: &KernelArgs, a: &Attention) -> Result<Option<Input>> {
    if !l.has(MASK) {
        return Ok(None);
    }
    let shape = [a.batch, a.heads, a.rows, a.keys].into();
    let view = View::identity().then(ViewStep::Broadcast { shape });
    Input::viewed(l, k, MASK, view, None).map(Some)
}

/// Joins the splits.
fn reduce(
    l: &mut Lowering<'_>,
    a: &Attention,
    p: &Problem,
    splits: u32,
    temps: [usize; 2],
) -> Result<()> {
    let reduce = Reduce::new(l, p, splits);
    let k = l.kernel("attention_reduce", [reduce.size(), 1, 1], reduce.workgroups(p));
    let from = Partials::bind(l, &k, temps, Access::Read);
    let out = l.out(&k, &View::identity())?;
    let b = &k.b;
    reduce.body(b, from, |head, row, d, value| {
        let group = p.group as u32;
        let at = place(a, head, row % group, row / group, d);
        out.store4(b, &at, 3, Some(value));
    });
    l.kernels.push(k.finish(reduce.flops(p)));
    Ok(())
}

/// Coordinates `[B, hq, S, d]` of a row.
fn place<'b>(a: &Attention, head: E<'b>, member: E<'b>, token: E<'b>, d: E<'b>) -> [E<'b>; 4] {
    let kv_heads = a.kv_heads as u32;
    let (batch, kv) = (head / kv_heads, head % kv_heads);
    [batch, kv * a.group() as u32 + member, token, d]
}

struct Operands<'a> {
    a: Attention,
    factor: f32,
    q: Input,
    k: Input,
    v: Input,
    mask: Option<Input>,
    out: Option<Out<'a>>,
}

impl<'a> Operands<'a> {
    fn bind(
        l: &Lowering<'_>,
        k: &KernelArgs,
        a: &Attention,
        p: &Problem,
        out: Option<Out<'a>>,
    ) -> Result<Operands<'a>> {
        Ok(Operands {
            factor: p.factor() as f32,
            q: Input::of(l, k, 0)?,
            k: Input::of(l, k, 1)?,
            v: Input::of(l, k, 2)?,
            mask: mask(l, k, a)?,
            out,
            a: a.clone(),
        })
    }

    fn head<'b>(&self, w: &Work<'b>) -> [E<'b>; 2] {
        let n = self.a.kv_heads as u32;
        [w.head / n, w.head % n]
    }
}

impl<'b> Keys<'b> for Operands<'_> {
    fn key(&self, w: &Work<'b>, t: E<'b>, d: E<'b>) -> E<'b> {
        let [batch, head] = self.head(w);
        self.k.lanes(w.b, &[batch, head, t, d], Some(3))
    }

    fn value(&self, w: &Work<'b>, t: E<'b>, d: E<'b>) -> E<'b> {
        let [batch, head] = self.head(w);
        self.v.lanes(w.b, &[batch, head, t, d], Some(3))
    }

    fn visible(&self, w: &Work<'b>, row: &Row<'b>, t: E<'b>) -> Option<E<'b>> {
        let shift = self.a.keys.saturating_sub(self.a.rows) as u32;
        let mut all: Option<E<'b>> = None;
        let mut and = |e: E<'b>| all = Some(all.map_or(e, |x| x.and(e)));
        if self.a.causal {
            and(t.le(row.token + shift));
        }
        if self.a.window > 0 {
            and((t + self.a.window as u32).gt(row.token + shift));
        }
        if let Some(mask) = self.mask.as_ref().filter(|m| m.dtype == DType::Bool) {
            let [batch, head, token, _] = place(&self.a, w.head, row.member, row.token, t);
            and(mask.load(w.b, &[batch, head, token, t]));
        }
        all
    }

    fn mask(&self, w: &Work<'b>, row: &Row<'b>, t: E<'b>) -> Option<E<'b>> {
        let mask = self.mask.as_ref().filter(|m| m.dtype != DType::Bool)?;
        let [batch, head, token, _] = place(&self.a, w.head, row.member, row.token, t);
        let m = mask.load(w.b, &[batch, head, token, t]);
        // -inf hides a key; the lowest finite numbers only push it far away
        let hidden = m.lt(f32::MIN);
        Some(w.b.select(hidden, super::io::HIDDEN, m.max(LOWEST)))
    }
}

impl<'b> Io<'b> for Operands<'_> {
    fn query(&self, w: &Work<'b>, row: &Row<'b>, d: E<'b>) -> E<'b> {
        let at = place(&self.a, w.head, row.member, row.token, d);
        self.q.lanes(w.b, &at, Some(3)) * self.factor
    }

    fn head_dim(&self) -> usize {
        self.a.head_dim
    }

    fn range(&self, w: &Work<'b>) -> (E<'b>, E<'b>) {
        let (b, keys) = (w.b, self.a.keys as u32);
        let shift = self.a.keys.saturating_sub(self.a.rows) as u32;
        let (first, last) = (w.row(0u32).token, w.row(w.plan.rows - 1).token);
        let lo = match self.a.window as u32 {
            0 => b.u32(0),
            n => (first + (shift + 1)).max(n) - n,
        };
        let hi = if self.a.causal { (last + (shift + 1)).min(keys) } else { b.u32(keys) };
        (lo.min(hi), hi)
    }

    fn store(&self, w: &Work<'b>, row: &Row<'b>, d: E<'b>, value: E<'b>) {
        let at = place(&self.a, w.head, row.member, row.token, d);
        let out = self.out.as_ref().expect("bound without splits");
        out.store4(w.b, &at, 3, Some(value));
    }
}
