//! `cached_attention`: the choice of kernels, and where they find queries, keys and values.

use super::attend::attend;
use super::cache::Cache;
use super::fused::Fused;
use super::heads::{Params, Parts, relayout};
use super::io::{Io, Keys, Row, Work};
use super::matrix::{self, Tile};
use super::partials::{self, Partials, Reduce};
use super::plan::{Plan, Problem};
use crate::Result;
use crate::def::InferCtx;
use crate::lower::{KernelArgs, Link, LoweredKernel, Lowering};
use crate::ops::cached_attention::{self as op, CachedAttention};
use drift_ir::{View, ViewStep};
use drift_kernel::{Access, E, Elem, Layout, TensorId};

/// The node's attributes and dims.
fn node(l: &Lowering<'_>) -> Result<CachedAttention> {
    let types = crate::eval::operand_types(l.graph, l.node)?;
    CachedAttention::of(&InferCtx {
        op: l.node.op,
        path: &l.node.path,
        attrs: &l.node.attrs,
        operands: &types,
        body: &l.node.epilogue,
    })
}

/// Rows up to which one kernel does everything, where products of matrices are no better.
const FEW_ROWS: usize = 16;

/// Lowers a `cached_attention` node.
pub fn lower(l: &mut Lowering<'_>) -> Result<()> {
    let a = node(l)?;
    if a.rows == 0 {
        return Ok(());
    }
    let row_major = |i: usize| l.result_placement(i).layout == Layout::RowMajor;
    let p = Problem {
        heads: a.kv_heads,
        group: a.group(),
        tokens: a.rows,
        head_dim: a.head_dim,
        value_dim: a.head_dim,
        keys: if a.window > 0 { a.context.min(a.window + a.rows) } else { a.context },
        scale: a.scale,
        softcap: a.softcap,
        keys_whole: row_major(1),
    };
    let tile = if a.rows > 1 { Tile::of(l.target, &p, true) } else { None };
    if let Some(tile) = tile {
        return flash(l, &a, &p, tile);
    }
    if a.rows <= FEW_ROWS
        && let Some(plan) = Fused::plan(l, &a, &p)
    {
        return fused(l, &a, &p, plan);
    }
    let plan = Plan::of(l.target, &p, 0, a.rows <= FEW_ROWS).ok_or_else(|| {
        l.unsupported(format!(
            "heads of {} elements need more workgroup memory than this device has ({} bytes)",
            a.head_dim, l.target.caps.limits.workgroup_memory_bytes
        ))
    })?;
    let queries = l.temp([a.kv_heads, p.rows(), a.head_dim], Elem::F32);
    prepare(l, &a, &p, queries)?;
    let temps = (plan.splits > 1).then(|| partials::temps(l, &p, plan.splits));
    let k = l.kernel("attention", [plan.size, 1, 1], plan.workgroups(&p));
    let params = l.operand(&k, op::PARAMS)?;
    let io = Stored {
        a: a.clone(),
        queries: l.temp_arg(&k, queries, Access::Read),
        cache: Cache::bind(l, &k, &a, true, true, Access::Read),
        params: Params::load(&k.b, params, &a),
        out: temps.is_none().then(|| result(l, &k, &a, Access::Write)),
    };
    let to = temps.map(|t| Partials::bind(l, &k, t, Access::Write));
    attend(&k.b, &p, plan, &io, to);
    l.kernels.push(k.finish(p.flops()));
    if let Some(temps) = temps {
        reduce(l, &a, &p, plan.splits, temps)?;
    }
    Ok(())
}

/// Long steps on devices with matrices: queries into scratch, then one kernel per tile of rows.
fn flash(l: &mut Lowering<'_>, a: &CachedAttention, p: &Problem, tile: Tile) -> Result<()> {
    let queries = l.temp([a.kv_heads, p.rows(), a.head_dim], Elem::F16);
    prepare(l, a, p, queries)?;
    let temps = (tile.splits > 1).then(|| partials::temps(l, p, tile.splits));
    let k = l.kernel("attention_matrix", [tile.size(), 1, 1], tile.workgroups(p));
    let params = l.operand(&k, op::PARAMS)?;
    let io = Stored {
        a: a.clone(),
        queries: l.temp_arg(&k, queries, Access::Read),
        cache: Cache::bind(l, &k, a, true, true, Access::Read),
        params: Params::load(&k.b, params, a),
        out: temps.is_none().then(|| result(l, &k, a, Access::Write)),
    };
    let to = temps.map(|t| Partials::bind(l, &k, t, Access::Write));
    matrix::attend(&k.b, p, tile, &io, to);
    l.kernels.push(k.finish(p.flops()));
    if let Some(temps) = temps {
        reduce(l, a, p, tile.splits, temps)?;
    }
    Ok(())
}

/// The result `[S, heads, dh]`.
fn result(l: &Lowering<'_>, k: &KernelArgs, a: &CachedAttention, access: Access) -> TensorId {
    let shape = [a.rows, a.heads, a.head_dim].into();
    l.result_arg(k, 0, access, View::identity().then(ViewStep::Reshape { shape }))
}

/// Queries into scratch, new keys and values into the cache: one kernel, or several where the
/// device binds fewer buffers.
fn prepare(l: &mut Lowering<'_>, a: &CachedAttention, p: &Problem, queries: usize) -> Result<()> {
    let most = l.target.caps.limits.storage_buffers as usize;
    let part = |q, k, v| Parts { q, k, v };
    let fits = |l: &Lowering<'_>, parts: Parts| parts.buffers(l, a) + usize::from(parts.q) <= most;
    let ways: [&[Parts]; 3] = [
        &[Parts::ALL],
        &[part(true, false, false), part(false, true, true)],
        &[part(true, false, false), part(false, true, false), part(false, false, true)],
    ];
    let way = ways.iter().find(|w| w.iter().all(|parts| fits(l, *parts))).unwrap_or(&ways[2]);
    for parts in *way {
        relayout(l, a, *parts, queries, p.factor())?;
    }
    Ok(())
}

/// One kernel from qkv to the result, and the reduction of its splits.
fn fused(l: &mut Lowering<'_>, a: &CachedAttention, p: &Problem, mut plan: Plan) -> Result<()> {
    if plan.splits > 1 {
        // the new tokens get a split of their own: the others need not wait for them
        (plan.splits, plan.fresh) = (plan.splits + 1, true);
    }
    let temps = (plan.splits > 1).then(|| partials::temps(l, p, plan.splits));
    let k = l.kernel("attention_step", [plan.size, 1, 1], plan.workgroups(p));
    let to = temps.map(|t| Partials::bind(l, &k, t, Access::Write));
    let out = temps.is_none().then(|| result(l, &k, a, Access::Write));
    let io = Fused::bind(l, &k, a, p, &plan, out)?;
    attend(&k.b, p, plan, &io, to);
    l.kernels.push(k.finish(p.flops()));
    if let Some(temps) = temps {
        reduce(l, a, p, plan.splits, temps)?;
    }
    Ok(())
}

/// Joins the splits.
fn reduce(
    l: &mut Lowering<'_>,
    a: &CachedAttention,
    p: &Problem,
    splits: u32,
    temps: [usize; 2],
) -> Result<()> {
    let reduce = Reduce::new(l, p, splits);
    let k = l.kernel("attention_reduce", [reduce.size(), 1, 1], reduce.workgroups(p));
    let from = Partials::bind(l, &k, temps, Access::Read);
    let params = l.operand(&k, op::PARAMS)?;
    let out = result(l, &k, a, Access::Write);
    let b = &k.b;
    let active = Params::load(b, params, a).active;
    reduce.body(b, from, |head, row, d, value| {
        let group = p.group as u32;
        let (token, member) = (row / group, row % group);
        let value = b.select(token.lt(active).splat(4), value, b.zero4());
        b.store4(out, &[token, head * group + member, d], 2, value);
    });
    if reduce.is_link() {
        b.set_subgroup_size(l.target.caps.subgroup_size_max);
    }
    let kernel = k.finish(reduce.flops(p));
    let link = if reduce.is_link() { Link::Yes } else { Link::No };
    l.kernels.push(LoweredKernel { link, ..kernel });
    Ok(())
}

/// Queries in scratch, all keys and values in the cache.
struct Stored<'b> {
    a: CachedAttention,
    queries: TensorId,
    cache: Cache,
    params: Params<'b>,
    out: Option<TensorId>,
}

/// What a row at `position` sees of the positions up to `t`.
pub fn in_window<'b>(a: &CachedAttention, position: E<'b>, t: E<'b>) -> Option<E<'b>> {
    (a.window > 0).then(|| (t + a.window as u32).gt(position))
}

/// The first position that a row at `position` sees.
pub fn window_start<'b>(a: &CachedAttention, position: E<'b>) -> E<'b> {
    match a.window {
        0 => position.builder().u32(0),
        n => (position + 1u32).max(n as u32) - n as u32,
    }
}

/// Stores a result row, zeros for padding.
pub fn store_result<'b>(
    w: &Work<'b>,
    out: Option<TensorId>,
    active: E<'b>,
    row: &Row<'b>,
    d: E<'b>,
    value: E<'b>,
) {
    let b = w.b;
    let value = b.select(row.token.lt(active).splat(4), value, b.zero4());
    let head = w.head * w.group + row.member;
    b.store4(out.expect("bound without splits"), &[row.token, head, d], 2, value);
}

impl<'b> Keys<'b> for Stored<'b> {
    fn key(&self, w: &Work<'b>, t: E<'b>, d: E<'b>) -> E<'b> {
        self.cache.key(w.b, [w.head, self.cache.slot(t), d])
    }

    fn value(&self, w: &Work<'b>, t: E<'b>, d: E<'b>) -> E<'b> {
        self.cache.value(w.b, [w.head, self.cache.slot(t), d])
    }

    fn scales(&self, w: &Work<'b>, t: E<'b>) -> Option<[E<'b>; 2]> {
        self.cache.scales(w.b, w.head, self.cache.slot(t))
    }

    fn scaled(&self) -> bool {
        self.a.int8
    }

    fn visible(&self, _: &Work<'b>, row: &Row<'b>, t: E<'b>) -> Option<E<'b>> {
        let at = self.params.position + row.token;
        let seen = t.le(at);
        Some(in_window(&self.a, at, t).map_or(seen, |w| seen.and(w)))
    }
}

impl<'b> Io<'b> for Stored<'b> {
    fn query(&self, w: &Work<'b>, row: &Row<'b>, d: E<'b>) -> E<'b> {
        w.b.load4(self.queries, &[w.head, row.row, d], 2)
    }

    fn head_dim(&self) -> usize {
        self.a.head_dim
    }

    fn range(&self, w: &Work<'b>) -> (E<'b>, E<'b>) {
        let (first, last) = (w.row(0u32).token, w.row(w.plan.rows - 1).token);
        let Params { position, active, .. } = self.params;
        let end = (last + 1u32).min(active);
        let hi = w.b.select(first.lt(active), position + end, w.b.u32(0));
        (window_start(&self.a, position + first), hi)
    }

    fn store(&self, w: &Work<'b>, row: &Row<'b>, d: E<'b>, value: E<'b>) {
        store_result(w, self.out, self.params.active, row, d, value);
    }
}
