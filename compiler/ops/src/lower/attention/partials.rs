//! Ranges of keys that are split over workgroups: their parts, and the reduction that joins them.

use super::plan::Problem;
use crate::lower::linear::link_invocations;
use crate::lower::{KernelArgs, Lowering};
use drift_kernel::{Access, Builder, E, Elem, Scalar, TensorId};

/// Scratch between the splits and their reduction.
#[derive(Clone, Copy, Debug)]
pub struct Partials {
    /// `[heads, rows, splits, value_dim]`: weighted sums.
    pub sums: TensorId,
    /// `[heads, rows, splits, 2]`: maximum and sum of weights.
    pub stats: TensorId,
}

/// Scratch for the splits of a plan: two temps of the node.
pub fn temps(l: &mut Lowering<'_>, p: &Problem, splits: u32) -> [usize; 2] {
    let shape = |last: usize| [p.heads, p.rows(), splits as usize, last];
    [l.temp(shape(p.value_dim), Elem::F32), l.temp(shape(2), Elem::F32)]
}

impl Partials {
    pub fn bind(l: &Lowering<'_>, k: &KernelArgs, temps: [usize; 2], access: Access) -> Partials {
        let [sums, stats] = temps.map(|t| l.temp_arg(k, t, access));
        Partials { sums, stats }
    }

    /// Stores maximum and sum of weights of a row.
    pub fn store_stats<'b>(&self, b: &'b Builder, at: [E<'b>; 3], peak: E<'b>, total: E<'b>) {
        let [head, row, split] = at;
        b.store(self.stats, &[head, row, split, b.u32(0)], peak);
        b.store(self.stats, &[head, row, split, b.u32(1)], total);
    }
}

/// The kernel that joins splits: a team of invocations per row, who share elements and splits.
/// A workgroup is one team, or as many as make it a link of a chain.
#[derive(Clone, Copy, Debug)]
pub struct Reduce {
    quads: u32,
    /// Invocations per quad.
    groups: u32,
    splits: u32,
    /// Of a key head.
    rows: u32,
    /// Rows of all key heads.
    all: u32,
    /// Teams of a workgroup in a chain.
    link: Option<u32>,
}

impl Reduce {
    pub fn new(l: &Lowering<'_>, p: &Problem, splits: u32) -> Reduce {
        let most = l.target.caps.limits.workgroup_invocations.min(256) as u32;
        let quads = p.value_dim.div_ceil(4) as u32;
        let mut groups = (most / quads).clamp(1, 16).min(splits);
        let rows = p.rows() as u32;
        let mut link = None;
        // workgroups as large as those of the products behind it
        let size = link_invocations(l.target);
        if l.target.chains && p.tokens == 1 && size.is_multiple_of(quads) {
            let fit = |g: &u32| size.is_multiple_of(quads * g);
            groups = (1..=groups).rev().find(fit).unwrap_or(1);
            link = Some(size / (quads * groups));
        }
        Reduce { quads, groups, splits, rows, all: rows * p.heads as u32, link }
    }

    pub fn size(&self) -> u32 {
        self.quads * self.groups * self.link.unwrap_or(1)
    }

    /// Whether the kernel can be a link of a chain.
    pub fn is_link(&self) -> bool {
        self.link.is_some()
    }

    pub fn flops(&self, p: &Problem) -> u64 {
        2 * (p.heads * p.rows() * p.value_dim) as u64 * u64::from(self.splits)
    }

    pub fn workgroups(&self, p: &Problem) -> [u32; 3] {
        match self.link {
            Some(teams) => [self.all.div_ceil(teams), 1, 1],
            None => [self.rows, p.heads as u32, 1],
        }
    }

    /// Writes the body; `store(head, row, d, value)` takes four elements of a row.
    pub fn body<'b>(
        &self,
        b: &'b Builder,
        from: Partials,
        store: impl FnOnce(E<'b>, E<'b>, E<'b>, E<'b>),
    ) {
        let (local, team) = (b.local_index(), self.quads * self.groups);
        let (row, head, first) = match self.link {
            None => (b.workgroup_id(0), b.workgroup_id(1), b.u32(0)),
            Some(teams) => {
                // teams past the last row repeat it
                let row = (b.workgroup_id(0) * teams + local / team).min(self.all - 1);
                (row % self.rows, row / self.rows, local / team)
            }
        };
        let own = local % team;
        let (quad, group) = (own % self.quads, own / self.quads);
        let turns = self.splits.div_ceil(self.groups);
        // all loads are under way before the first is used
        let loaded: Vec<_> = (0..turns)
            .map(|turn| {
                let split = group + turn * self.groups;
                let complete = (turn + 1) * self.groups <= self.splits;
                let at = if complete { split } else { split.min(self.splits - 1) };
                let stat = |i: u32| b.load(from.stats, &[head, row, at, b.u32(i)]);
                let (peak, total) = (stat(0), stat(1));
                let sums = b.load4(from.sums, &[head, row, at, quad * 4u32], 3);
                let inside = (!complete).then(|| split.lt(self.splits));
                (inside, peak, total, sums)
            })
            .collect();
        let peaks: Vec<E<'b>> = loaded.iter().map(|x| x.1).collect();
        let most = peaks.iter().skip(1).fold(peaks[0], |m, p| m.max(*p));
        let (mut sum, mut total) = (b.zero4(), b.f32(0.0));
        for (inside, peak, t, s) in loaded {
            let weight = (peak - most).exp2();
            let weight = inside.map_or(weight, |i| b.select(i, weight, b.f32(0.0)));
            total = t.fma(weight, total);
            sum = s.fma(weight.splat(4), sum);
        }
        if self.groups == 1 {
            let inv = b.f32(1.0) / total.max(1e-30);
            return store(head, row, quad * 4u32, sum * inv.splat(4));
        }
        let parts = b.shared("parts", Scalar::F32, 4, self.size());
        let teams = self.link.unwrap_or(1);
        let stats = b.shared("stats", Scalar::F32, 2, self.groups * teams);
        let (first_part, first_stat) = (first * team, first * self.groups);
        parts.store(local, sum);
        let stat = b.compose(&[most, total]);
        b.if_(quad.eq(0u32), || stats.store(first_stat + group, stat));
        b.barrier();
        b.if_(group.eq(0u32), || {
            let stats: Vec<E<'b>> = (0..self.groups).map(|g| stats.load(first_stat + g)).collect();
            let most = stats.iter().skip(1).fold(stats[0].lane(0), |m, s| m.max(s.lane(0)));
            let (mut sum, mut total) = (b.zero4(), b.f32(0.0));
            for (g, s) in (0u32..).zip(&stats) {
                let weight = (s.lane(0) - most).exp2();
                total = s.lane(1).fma(weight, total);
                sum = parts.load(first_part + quad + g * self.quads).fma(weight.splat(4), sum);
            }
            let inv = b.f32(1.0) / total.max(1e-30);
            store(head, row, quad * 4u32, sum * inv.splat(4));
        });
    }
}
