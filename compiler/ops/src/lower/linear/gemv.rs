//! Few rows of x: every weight is read once, so the bandwidth of memory decides, and for small
//! matrices the time from the first load to the last store.
//!
//! A workgroup first puts x into workgroup memory, with gamma and, where the device gains by it,
//! rounded to int8. Its teams then walk blocks of weight rows along K. The loads of the next tile
//! are under way while one is multiplied, and those of the first while x is prepared. The norm is
//! a factor of the whole row, which is applied to the sums: nothing waits for it.

mod dot;
mod plan;
mod stage;

pub use plan::{MOST_ROWS, Plan};

use super::{Args, Linear};
use crate::Result;
use crate::lower::Lowering;
use crate::quant::Scheme;
use drift_bundle::caps::Features;
use drift_kernel::builder::{S, V};
use drift_kernel::tensor::Elem;
use drift_kernel::{Builder, E, F32X4, Scalar, SubgroupOp, Type, U32};
use plan::unit;
use stage::Staged;

/// Sums across a team that pass through workgroup memory together.
const BATCH: u32 = 4;

/// A kernel being written.
struct Gemv<'b, 'a> {
    b: &'b Builder,
    p: Linear,
    plan: Plan,
    args: &'a Args<'a>,
    /// Number of the team in its workgroup, and of the invocation in its team.
    team: E<'b>,
    lane: E<'b>,
    /// Parts of the sums of squares of the rows of x, `[m, parts]`.
    squares: Option<S<'b>>,
    /// Weights in f16 stay halves until they are multiplied: nothing waits for their loads.
    halves: bool,
    /// Scratch for sums across a team without subgroups.
    scratch: Option<S<'b>>,
}

/// The loads of a tile, `[rows][steps]`: packed words or floats, and group scales.
struct Tile<'b> {
    weights: Vec<Vec<V<'b>>>,
    scales: Vec<Vec<V<'b>>>,
}

/// Lowers a product of few rows.
pub fn lower(l: &mut Lowering<'_>, p: &Linear, plan: &Plan) -> Result<()> {
    let k = l.kernel("linear_gemv", [plan.invocations, 1, 1], [plan.workgroups, 1, 1]);
    let args = p.args(l, &k)?;
    let b = &k.b;
    let (team, lane) = match plan.subgroups {
        true => {
            b.set_subgroup_size(plan.team);
            (b.subgroup_id(), b.subgroup_invocation())
        }
        false => (b.local_index() / plan.team, b.local_index() % plan.team),
    };
    let words = |name: &str, n: u32| (n > 0).then(|| b.shared(name, Scalar::F32, 1, n));
    let squares = p.spec.norm.map_or(0, |_| plan.square_parts(p) * p.m as u32);
    let g = Gemv {
        b,
        p: *p,
        plan: *plan,
        args: &args,
        team: b.assume_max(team, u64::from(plan.teams() - 1)),
        lane: b.assume_max(lane, u64::from(plan.team - 1)),
        squares: words("squares", squares),
        halves: args.w.elem(b) == Elem::F16 && l.target.caps.features.contains(Features::F16),
        scratch: words("scratch", if plan.subgroups { 0 } else { BATCH * plan.invocations }),
    };
    g.write();
    l.kernels.push(k.finish(p.flops()));
    Ok(())
}

impl<'b> Gemv<'b, '_> {
    fn write(&self) {
        let (b, plan) = (self.b, &self.plan);
        let tile = self.tile();
        let zero = b.u32(0);
        self.load(&tile, self.block(zero), zero);
        let staged = Staged::new(self);
        if plan.chunks == 1 {
            staged.fill(self, zero);
        }
        self.sum_squares();
        b.barrier();
        b.for_(0u32, plan.turns, 1, |turn| {
            let block = self.block(turn);
            let sums = self.sums();
            b.for_(0u32, plan.chunks, 1, |chunk| {
                if plan.chunks > 1 {
                    b.barrier();
                    staged.fill(self, chunk);
                    b.barrier();
                }
                b.for_(0u32, plan.tiles, 1, |t| {
                    let now = self.taken(&tile);
                    self.load_next(&tile, turn, chunk * plan.tiles + t);
                    self.add(&staged, &now, chunk, t, &sums);
                });
            });
            self.store(block, &sums);
        });
    }

    fn m(&self) -> u32 {
        self.p.m as u32
    }

    /// Blocks of weight rows.
    fn blocks(&self) -> u32 {
        (self.p.n as u32).div_ceil(self.plan.rows)
    }

    /// The block of this team in a turn: neighbours go to different workgroups, so that the last
    /// turn is spread over the device.
    fn block(&self, turn: E<'b>) -> E<'b> {
        let groups = self.plan.workgroups;
        (turn * self.plan.teams() + self.team) * groups + self.b.workgroup_id(0)
    }

    /// Variables for the loads of a tile.
    fn tile(&self) -> Tile<'b> {
        let (b, plan) = (self.b, &self.plan);
        let ty = match self.p.spec.scheme {
            Scheme::F32 | Scheme::F16 if self.halves => Type::vec(Scalar::F16, 4),
            Scheme::F32 | Scheme::F16 => F32X4,
            _ => Type::vec(Scalar::U32, 4),
        };
        let steps = |name: &str, ty: Type| -> Vec<V<'b>> {
            (0..plan.steps).map(|_| b.var_uninit(name, ty)).collect()
        };
        let grouped = self.p.spec.scheme.group().is_some();
        let scale_rows = if grouped { plan.rows } else { 0 };
        Tile {
            weights: (0..plan.rows).map(|_| steps("weights", ty)).collect(),
            scales: (0..scale_rows).map(|_| steps("scales", U32)).collect(),
        }
    }

    /// The unit of this invocation in step `s` of tile `t` of a whole row.
    fn unit(&self, t: E<'b>, s: u32) -> E<'b> {
        t * self.plan.tile_units() + self.lane + s * self.plan.team
    }

    /// Units of a row of weights.
    fn units(&self) -> u32 {
        (self.args.w.padded_k() as u32).div_ceil(unit(self.p.spec.scheme))
    }

    /// Starts the loads of tile `t` of a block; blocks and units past the end are some others.
    fn load(&self, tile: &Tile<'b>, block: E<'b>, t: E<'b>) {
        let plan = &self.plan;
        let (n, units) = (self.p.n as u32, self.units());
        let w = &self.args.w;
        let covered = plan.chunks * plan.chunk_units() == units;
        let exact = plan.turns * plan.workgroups * plan.teams() * plan.rows == n;
        for r in 0..plan.rows {
            let row = block * plan.rows + r;
            let row = if exact { row } else { row.min(n - 1) };
            for s in 0..plan.steps {
                let u = self.unit(t, s);
                let u = if covered { u } else { u.min(units - 1) };
                let to = tile.weights[r as usize][s as usize];
                match w.scheme {
                    Scheme::F32 | Scheme::F16 => {
                        let v = w.floats(self.b, row, u * 4u32);
                        to.set(if self.halves { v.cast(Scalar::F16) } else { v });
                    }
                    _ => to.set(w.words(self.b, row, u * 4u32)),
                }
                if let Some(scales) = tile.scales.get(r as usize) {
                    scales[s as usize].set(w.scale_word(self.b, row, u * unit(w.scheme)));
                }
            }
        }
    }

    /// What a tile's loads brought.
    fn taken(&self, tile: &Tile<'b>) -> [Vec<Vec<E<'b>>>; 2] {
        [&tile.weights, &tile.scales]
            .map(|vars| vars.iter().map(|row| row.iter().map(|v| v.get()).collect()).collect())
    }

    /// Starts the loads of the tile after `t`, of this block or of the next.
    fn load_next(&self, tile: &Tile<'b>, turn: E<'b>, t: E<'b>) {
        let (b, plan) = (self.b, &self.plan);
        let tiles = plan.chunks * plan.tiles;
        if tiles == 1 && plan.turns == 1 {
            return;
        }
        let last = t.eq(tiles - 1);
        if plan.turns == 1 {
            let block = self.block(b.u32(0));
            b.if_(!last, || self.load(tile, block, t + 1u32));
            return;
        }
        let next = b.select(last, turn + 1u32, turn);
        let block = self.block(next);
        let more = block.lt(self.blocks()).and(next.lt(plan.turns));
        b.if_(more, || self.load(tile, block, b.select(last, b.u32(0), t + 1u32)));
    }

    /// Sums of a block, `[rows][m]`.
    fn sums(&self) -> Vec<Vec<V<'b>>> {
        let zero = self.b.f32(0.0);
        let row = || (0..self.m()).map(|_| self.b.var("sum", zero)).collect();
        (0..self.plan.rows).map(|_| row()).collect()
    }

    /// The sum of each value over the team, on all its invocations.
    fn team_sums(&self, values: &[E<'b>]) -> Vec<E<'b>> {
        let b = self.b;
        let Some(scratch) = self.scratch else {
            return values.iter().map(|v| v.subgroup(SubgroupOp::Add)).collect();
        };
        let (size, team) = (self.plan.invocations, self.plan.team);
        let local = b.local_index();
        let mut out = Vec::new();
        for batch in values.chunks(BATCH as usize) {
            for (i, v) in (0u32..).zip(batch) {
                scratch.store(local + i * size, *v);
            }
            b.barrier();
            let mut half = team / 2;
            while half > 0 {
                b.if_(self.lane.lt(half), || {
                    for i in 0..batch.len() as u32 {
                        let at = local + i * size;
                        scratch.store(at, scratch.load(at) + scratch.load(at + half));
                    }
                });
                b.barrier();
                half /= 2;
            }
            let first = self.team * team;
            out.extend((0..batch.len() as u32).map(|i| scratch.load(first + i * size)));
            b.barrier();
        }
        out
    }

    /// Puts the sums of squares of the rows of x into workgroup memory. With one row, its
    /// invocations are those of the whole workgroup; otherwise a team takes a row at a time.
    fn sum_squares(&self) {
        let Some(squares) = self.squares else { return };
        let (b, plan) = (self.b, &self.plan);
        let quads = (self.p.k as u32).div_ceil(4);
        let (parts, share) = match self.m() {
            1 => (1, plan.invocations),
            m => (m.div_ceil(plan.teams()), plan.team),
        };
        b.for_(0u32, parts, 1, |part| {
            let row = if self.m() == 1 { b.u32(0) } else { part * plan.teams() + self.team };
            let mine = if self.m() == 1 { b.local_index() } else { self.lane };
            let at = row.min(self.m() - 1);
            let sum = b.var("squares", b.f32(0.0));
            b.for_(0u32, quads.div_ceil(share), 1, |turn| {
                let quad = turn * share + mine;
                let add = || {
                    let v = self.args.x.lanes(b, &[at, quad * 4u32], Some(1));
                    sum.set(sum.get() + v.dot(v));
                };
                if quads.is_multiple_of(share) { add() } else { b.if_(quad.lt(quads), add) }
            });
            let total = self.team_sums(&[sum.get()])[0];
            let to = if self.m() == 1 { self.team } else { row };
            let first = self.lane.eq(0u32);
            let inside = if self.m() == 1 { first } else { first.and(row.lt(self.m())) };
            b.if_(inside, || squares.store(to, total));
        });
    }

    /// The factor of row `m` of x that its norm is.
    fn factor(&self, m: E<'b>) -> Option<E<'b>> {
        let (squares, eps) = (self.squares?, self.p.spec.norm?);
        let parts = self.plan.square_parts(&self.p);
        let sum = (0..parts).map(|i| squares.load(m * parts + i)).reduce(|a, c| a + c)?;
        Some((sum * (1.0 / self.p.k as f32) + eps as f32).rsqrt())
    }

    /// Adds the sums of a block over the team and stores what they give: lane by lane.
    fn store(&self, block: E<'b>, sums: &[Vec<V<'b>>]) {
        let (b, plan, m) = (self.b, &self.plan, self.m());
        let pair = if self.p.spec.gate.is_some() { 2 } else { 1 };
        let values: Vec<E<'b>> = sums.iter().flatten().map(|s| s.get()).collect();
        let totals = self.team_sums(&values);
        let (columns, outputs) = (plan.rows / pair, self.p.outputs() as u32);
        let count = columns * m;
        for first in (0..count).step_by(plan.team as usize) {
            let i = self.lane + first;
            let (column, row) = (i / m, i % m);
            let to = block * columns + column;
            let inside = i.lt(count).and(to.lt(outputs));
            // the total of this lane, one of those that all lanes have
            let pick = |which: u32| {
                let of = |j: u32| totals[(((j / m) * pair + which) * m + j % m) as usize];
                let last = (count - 1).min(first + plan.team - 1);
                let mut v = of(last);
                for j in (first..last).rev() {
                    v = b.select(i.eq(j), of(j), v);
                }
                v
            };
            let picked: Vec<E<'b>> = (0..pair).map(pick).collect();
            b.if_(inside, || {
                let factor = self.factor(row);
                let values: Vec<E<'b>> = (0u32..)
                    .zip(&picked)
                    .map(|(which, v)| {
                        let n = to * pair + which;
                        let scale = match self.args.w.scheme.group() {
                            Some(_) => None,
                            None => self.args.w.scale(b, n, b.u32(0)),
                        };
                        let v = scale.map_or(*v, |s| *v * s);
                        factor.map_or(v, |f| v * f)
                    })
                    .collect();
                let value =
                    if pair == 2 { self.p.gated(b, values[0], values[1]) } else { values[0] };
                self.args.out.store(b, &[row, to], Some(value));
            });
        }
    }
}
