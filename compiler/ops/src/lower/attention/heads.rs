//! Heads of q, k and v as a decoder's product gives them: normalized and rotated on load.

use super::cache::{Cache, quantized};
use crate::Result;
use crate::lower::{KernelArgs, Lowering};
use crate::ops::cached_attention::{self as op, CachedAttention};
use drift_ir::{View, ViewStep};
use drift_kernel::{Builder, E, Scalar, TensorId};

/// The operand qkv `[S, heads, dh]` with what turns its heads into queries and keys.
#[derive(Clone, Debug)]
pub struct Heads {
    a: CachedAttention,
    qkv: TensorId,
    /// cos, sin and the positions that each set of angles has.
    tables: Option<(TensorId, TensorId, u32)>,
    q_gamma: Option<TensorId>,
    k_gamma: Option<TensorId>,
}

/// Which heads a kernel reads, and so which operands it binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    pub q: bool,
    pub k: bool,
    pub v: bool,
}

impl Parts {
    pub const ALL: Parts = Parts { q: true, k: true, v: true };

    /// Heads of qkv from the first to behind the last.
    pub fn heads(self, a: &CachedAttention) -> (usize, usize) {
        let ends = [a.heads, a.kv_heads, a.kv_heads];
        let starts = [0, a.heads, a.heads + a.kv_heads];
        let on = [self.q, self.k, self.v];
        let first = on.iter().position(|x| *x).unwrap_or(0);
        let last = on.iter().rposition(|x| *x).unwrap_or(0);
        (starts[first], starts[last] + ends[last])
    }

    /// Buffers that a kernel binds for them, the cache's included.
    pub fn buffers(self, l: &Lowering<'_>, a: &CachedAttention) -> usize {
        let rotates = if (self.q || self.k) && a.rotary_dim > 0 { 2 } else { 0 };
        let gammas =
            usize::from(self.q && l.has(op::Q_GAMMA)) + usize::from(self.k && l.has(op::K_GAMMA));
        let states = usize::from(self.k) + usize::from(self.v);
        let states = if a.int8 { 2 * states } else { states };
        // qkv and params
        2 + rotates + gammas + states
    }
}

impl Heads {
    pub fn bind(
        l: &Lowering<'_>,
        k: &KernelArgs,
        a: &CachedAttention,
        parts: Parts,
    ) -> Result<Heads> {
        let all = a.heads + 2 * a.kv_heads;
        let shape = [a.rows, all, a.head_dim].into();
        let view = View::identity().then(ViewStep::Reshape { shape });
        let qkv = l.operand_viewed(k, op::QKV, view, None)?;
        let mut tables = None;
        if a.rotary_dim > 0 && (parts.q || parts.k) {
            let sets = if a.rope_switch > 0 { 2 } else { 1 };
            let positions = l.shape(op::COS)?[0] as u32 / sets;
            tables = Some((l.operand_f32(k, op::COS)?, l.operand_f32(k, op::SIN)?, positions));
        }
        let gamma = |i: usize, on: bool| -> Result<Option<TensorId>> {
            if on && l.has(i) { l.operand_f32(k, i).map(Some) } else { Ok(None) }
        };
        let q_gamma = gamma(op::Q_GAMMA, parts.q)?;
        let k_gamma = gamma(op::K_GAMMA, parts.k)?;
        Ok(Heads { a: a.clone(), qkv, tables, q_gamma, k_gamma })
    }

    pub fn q_gamma(&self) -> Option<TensorId> {
        self.q_gamma
    }

    pub fn k_gamma(&self) -> Option<TensorId> {
        self.k_gamma
    }

    /// Elements `d .. d + 4` of head `head` of row `row`, as they are. Past the end: 0.
    pub fn raw<'b>(&self, b: &'b Builder, row: E<'b>, head: E<'b>, d: E<'b>) -> E<'b> {
        b.load4(self.qkv, &[row, head, d], 2)
    }

    /// The same, normalized and rotated for the row's position. `norm`: 1 / rms of the head and the
    /// scale.
    pub fn turned<'b>(
        &self,
        b: &'b Builder,
        [row, head, d]: [E<'b>; 3],
        norm: Option<(E<'b>, TensorId)>,
        params: &Params<'b>,
    ) -> E<'b> {
        let quad = |d: E<'b>| {
            let x = self.raw(b, row, head, d);
            match norm {
                None => x,
                Some((inv, gamma)) => x * inv.splat(4) * b.load4(gamma, &[d], 0),
            }
        };
        let Some((cos, sin, positions)) = self.tables else { return quad(d) };
        let at = (params.position + row).min(positions - 1);
        let at = match params.long {
            Some(long) => b.select(long, at + positions, at),
            None => at,
        };
        let (dh, rd) = (self.a.head_dim as u32, self.a.rotary_dim as u32);
        let half = rd / 2;
        // past the rotated part of a head: some angle, and the element stays
        let whole = rd == dh;
        let keep = |turned: E<'b>, x: E<'b>| match whole {
            true => turned,
            false => b.select(d.lt(rd), turned, x),
        };
        if self.a.interleaved && rd.is_multiple_of(4) {
            let x = quad(d);
            let j = (d / 2u32).min(half - 2);
            let angle = |t: TensorId| {
                let [u, v] = [0u32, 1].map(|i| b.load(t, &[at, j + i]));
                b.compose(&[u, u, v, v])
            };
            let swapped = b.compose(&[-x.lane(1), x.lane(0), -x.lane(3), x.lane(2)]);
            return keep(x * angle(cos) + swapped * angle(sin), x);
        }
        if !self.a.interleaved && half.is_multiple_of(4) {
            let x = quad(d);
            let low = d.lt(half);
            let inside = if whole { d } else { d.min(rd - 4) };
            let high = inside.max(half) - half;
            let partner = quad(b.select(low, d + half, high));
            let j = b.select(low, d, high);
            let (c, s) = (b.load4(cos, &[at, j], 1), b.load4(sin, &[at, j], 1));
            let s = b.select(low, -s, s);
            return keep(x * c + partner * s, x);
        }
        // pairs straddle quads: element by element
        let scalar = |d: E<'b>| {
            let x = b.load(self.qkv, &[row, head, d]);
            match norm {
                None => x,
                Some((inv, gamma)) => x * inv * b.load(gamma, &[d]),
            }
        };
        let lanes = [0u32, 1, 2, 3].map(|lane| {
            let d = (d + lane).min(dh - 1);
            let x = scalar(d);
            let inside = d.min(rd - 1);
            let (first, j, partner) = if self.a.interleaved {
                (d.and(1u32).eq(0u32), inside / 2u32, inside.xor(1u32))
            } else {
                let first = inside.lt(half);
                let high = inside.max(half) - half;
                (first, b.select(first, inside, high), b.select(first, inside + half, high))
            };
            let (c, s) = (b.load(cos, &[at, j]), b.load(sin, &[at, j]));
            let y = scalar(partner);
            let turned = x * c + b.select(first, -s, s) * y;
            if whole { turned } else { b.select(d.lt(rd), turned, x) }
        });
        b.compose(&lanes)
    }

    /// Zero in the lanes past the end of a head.
    pub fn inside<'b>(&self, b: &'b Builder, d: E<'b>, x: E<'b>) -> E<'b> {
        let dh = self.a.head_dim as u32;
        if dh.is_multiple_of(4) {
            return x;
        }
        let lanes = [0u32, 1, 2, 3].map(|i| {
            let lane = x.lane(i as u8);
            b.select((d + i).lt(dh), lane, b.f32(0.0))
        });
        b.compose(&lanes)
    }
}

/// The run-time parameters that attention reads.
#[derive(Clone, Copy, Debug)]
pub struct Params<'b> {
    /// Position of the first row.
    pub position: E<'b>,
    /// Rows that are not padding.
    pub active: E<'b>,
    /// Whether the second set of angles holds, where there are two.
    long: Option<E<'b>>,
}

impl<'b> Params<'b> {
    pub fn load(b: &'b Builder, params: TensorId, a: &CachedAttention) -> Params<'b> {
        let element = |i: usize| b.load(params, &[b.u32(i as u32)]).max(0).cast(Scalar::U32);
        let (position, active) = (element(0), element(1).min(a.rows as u32));
        let long = (a.rope_switch > 0).then(|| {
            let text = (position + active).max(element(op::TEXT));
            text.gt(a.rope_switch as u32)
        });
        Params { position, active, long }
    }
}

/// First kernel of a layer whose attention reads everything from memory: normalizes and rotates q
/// into scratch `[kv_heads, S * group, dh]` (times `factor`), and writes new keys and values into
/// the cache. A row of heads per group of invocations, four elements each.
pub fn relayout(
    l: &mut Lowering<'_>,
    a: &CachedAttention,
    parts: Parts,
    scratch: usize,
    factor: f64,
) -> Result<()> {
    let quads = a.head_dim.div_ceil(4) as u32;
    let lanes = quads.next_power_of_two();
    let size = lanes.max(128.min(l.target.caps.limits.workgroup_invocations as u32));
    if u64::from(size) > l.target.caps.limits.workgroup_invocations {
        return Err(l.unsupported(format!(
            "heads of {} elements exceed a workgroup of this device",
            a.head_dim
        )));
    }
    let (first, end) = parts.heads(a);
    let count = (a.rows * (end - first)) as u64;
    let groups = crate::lower::dispatch_1d(count * u64::from(lanes), size);
    let name = match parts {
        Parts { q: true, k: false, .. } => "attention_queries",
        Parts { q: false, .. } => "attention_keys",
        _ => "attention_relayout",
    };
    let k = l.kernel(name, [size, 1, 1], groups);
    let heads = Heads::bind(l, &k, a, parts)?;
    let params = l.operand(&k, op::PARAMS)?;
    let cache = Cache::bind(l, &k, a, parts.k, parts.v, drift_kernel::Access::Write);
    let q = parts.q.then(|| l.temp_arg(&k, scratch, drift_kernel::Access::Write));
    let b = &k.b;
    let params = Params::load(b, params, a);
    let id = crate::lower::grid::linear_id(b, size, groups);
    let (vector, quad) = (id / lanes, id % lanes);
    let whole = (count * u64::from(lanes)).is_multiple_of(u64::from(size));
    let every = lanes == quads && whole && groups[1] == 1;
    let inside = if every { b.bool(true) } else { vector.lt(count as u32).and(quad.lt(quads)) };
    let vector = vector.min(count as u32 - 1);
    let d = if every { quad * 4u32 } else { quad.min(quads - 1) * 4u32 };
    let per_row = (end - first) as u32;
    let (row, head) = (vector / per_row, vector % per_row + first as u32);
    let (is_q, is_v) = (head.lt(a.heads as u32), head.ge((a.heads + a.kv_heads) as u32));
    let memory = b.shared("parts", Scalar::F32, 1, size);
    let local = b.local_index();
    let norms = heads.q_gamma.is_some() || heads.k_gamma.is_some();
    let inv = norms.then(|| {
        let x = heads.raw(b, row, head, d);
        let part = b.select(inside, x.dot(x), b.f32(0.0));
        let sum = combine(b, memory, local, part, lanes, |x, y| x + y);
        (sum / a.head_dim as f32 + a.norm_eps as f32).rsqrt()
    });
    let value = b.var("value", b.zero4());
    let turn = |gamma: Option<TensorId>| {
        let norm = inv.and_then(|inv| gamma.map(|g| (inv, g)));
        let x = heads.turned(b, [row, head, d], norm, &params);
        value.set(heads.inside(b, d, x));
    };
    b.if_(inside, || {
        if parts.q {
            b.if_(is_q, || turn(heads.q_gamma));
        }
        if parts.k {
            let is_k = (!is_q).and(!is_v);
            b.if_(if parts.q || parts.v { is_k } else { b.bool(true) }, || turn(heads.k_gamma));
        }
        if parts.v {
            b.if_(is_v, || value.set(heads.raw(b, row, head, d)));
        }
    });
    if let Some(q) = q {
        b.if_(inside.and(is_q), || {
            let group = a.group() as u32;
            let to = [head / group, row * group + head % group, d];
            b.store4(q, &to, 2, value.get() * factor as f32);
        });
    }
    if parts.k || parts.v {
        let x = value.get();
        let scale = a.int8.then(|| {
            let peak = x.abs();
            let peak = peak.lane(0).max(peak.lane(1)).max(peak.lane(2).max(peak.lane(3)));
            let peak = b.select(inside, peak, b.f32(0.0));
            combine(b, memory, local, peak, lanes, |x, y| x.max(y)) / 127.0
        });
        let x = scale.map_or(x, |s| quantized(b, x, s));
        let slot = (params.position + row) % a.context as u32;
        let live = inside.and(row.lt(params.active));
        if parts.k {
            let is_k = (!is_q).and(!is_v);
            b.if_(live.and(is_k), || {
                cache.store_key(b, [head - a.heads as u32, slot, d], x, scale);
            });
        }
        if parts.v {
            b.if_(live.and(is_v), || {
                let head = head - (a.heads + a.kv_heads) as u32;
                cache.store_value(b, [head, slot, d], x, scale);
            });
        }
    }
    l.kernels.push(k.finish(8 * (a.rows * (end - first) * a.head_dim) as u64));
    Ok(())
}

/// What `lanes` neighbouring invocations have, put together; every invocation of the workgroup
/// comes by.
pub fn combine<'b>(
    b: &'b Builder,
    memory: drift_kernel::builder::S<'b>,
    local: E<'b>,
    part: E<'b>,
    lanes: u32,
    op: impl Fn(E<'b>, E<'b>) -> E<'b>,
) -> E<'b> {
    b.barrier();
    memory.store(local, part);
    b.barrier();
    let first = local / lanes * lanes;
    let mut all: Vec<E<'b>> = (0..lanes).map(|i| memory.load(first + i)).collect();
    while all.len() > 1 {
        all = all.chunks(2).map(|c| if c.len() == 2 { op(c[0], c[1]) } else { c[0] }).collect();
    }
    all[0]
}
