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

pub use plan::{MOST_ROWS, Plan, link_invocations};

use super::{Args, Linear};
use crate::Result;
use crate::lower::{LoweredKernel, Lowering};
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
    /// Likewise of the row that x is made of, where the kernel makes it.
    post_squares: Option<S<'b>>,
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
    let args = p.args(l, &k, plan.makes_x(p))?;
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
        post_squares: words("post_squares", if plan.makes_x(p) { plan.teams() } else { 0 }),
        halves: args.w.elem(b) == Elem::F16 && l.target.caps.features.contains(Features::F16),
        scratch: words("scratch", if plan.subgroups { 0 } else { BATCH * plan.invocations }),
    };
    g.write();
    let kernel = k.finish(p.flops());
    l.kernels.push(LoweredKernel { link: plan.link(), ..kernel });
    Ok(())
}

impl<'b> Gemv<'b, '_> {
    /// Writes the body.
    fn write(&self) {
        let (b, plan) = (self.b, &self.plan);
        let tile = self.tile();
        let zero = b.u32(0);
        let staged = Staged::new(self);
        // teams without a block read nothing
        let first = || {
            let load = || self.load(&tile, self.block(zero), zero);
            if plan.idles(&self.p) { b.if_(self.has_block(), load) } else { load() }
        };
        let mut ends = None;
        match plan.chunks {
            // x is still to come, other operands less so
            1 if plan.chained => {
                first();
                ends = (plan.turns == 1).then(|| self.begin_store(self.block(zero)));
                staged.fill(self, zero, || ());
            }
            // everything waits for x, so its loads come first
            1 => staged.fill(self, zero, first),
            _ => first(),
        }
        if plan.chunks > 1 || self.m() > 1 {
            self.sum_squares();
        }
        b.barrier();
        let factor = self.only_factor();
        let last = plan.turns - 1;
        b.for_(0u32, last, 1, |turn| {
            let ends = self.begin_store(self.block(turn));
            self.turn(&tile, &staged, (turn, true), factor, &ends);
        });
        let end = || {
            let turn = b.u32(last);
            let ends = ends.unwrap_or_else(|| self.begin_store(self.block(turn)));
            self.turn(&tile, &staged, (turn, false), factor, &ends);
        };
        if plan.idles(&self.p) { b.if_(self.has_block(), end) } else { end() }
    }

    /// Whether this team has a block in the first turn.
    fn has_block(&self) -> E<'b> {
        self.block(self.b.u32(0)).lt(self.plan.blocks(&self.p))
    }

    /// Walks one block. `more`: there is another after it, whose first tile is loaded at the end.
    fn turn(
        &self,
        tile: &Tile<'b>,
        staged: &Staged<'b>,
        (turn, more): (E<'b>, bool),
        factor: Option<E<'b>>,
        ends: &[End<'b>],
    ) {
        let (b, plan) = (self.b, &self.plan);
        let block = self.block(turn);
        let sums = self.sums();
        let zero = b.u32(0);
        if plan.chunks > 1 {
            let total = plan.chunks * plan.tiles;
            b.for_(0u32, plan.chunks, 1, |chunk| {
                b.barrier();
                staged.fill(self, chunk, || ());
                b.barrier();
                b.for_(0u32, plan.tiles, 1, |t| {
                    let now = self.taken(tile);
                    let next = (chunk * plan.tiles + t + 1u32).min(total - 1);
                    self.load(tile, block, next);
                    self.add(staged, &now, chunk, t, &sums);
                });
            });
        } else {
            b.for_(0u32, plan.tiles - u32::from(!more), 1, |t| {
                let now = self.taken(tile);
                match more {
                    false => self.load(tile, block, t + 1u32),
                    true => {
                        let end = t.eq(plan.tiles - 1);
                        let next = self.block(turn + 1u32);
                        // a team without a block in the last turn repeats loads
                        let next = b.select(next.lt(plan.blocks(&self.p)), next, block);
                        let next = b.select(end, next, block);
                        self.load(tile, next, b.select(end, zero, t + 1u32));
                    }
                }
                self.add(staged, &now, zero, t, &sums);
            });
            if !more {
                self.add(staged, &self.taken(tile), zero, b.u32(plan.tiles - 1), &sums);
            }
        }
        self.store(block, &sums, ends, factor);
    }

    fn m(&self) -> u32 {
        self.p.m as u32
    }

    /// Number of this invocation in its workgroup, with neighbours in a subgroup side by side.
    fn local(&self) -> E<'b> {
        self.team * self.plan.team + self.lane
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

    /// Puts the sum of squares of this invocation's part of the only row into workgroup memory.
    fn keep_squares(&self, squares: Option<S<'b>>, part: E<'b>) {
        let Some(squares) = squares else { return };
        let total = self.team_sums(&[part])[0];
        self.b.if_(self.lane.eq(0u32), || squares.store(self.team, total));
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
        let sum = self.squares?.load(m);
        self.factor_of(sum)
    }

    fn factor_of(&self, squares: E<'b>) -> Option<E<'b>> {
        let eps = self.p.spec.norm?;
        Some((squares * (1.0 / self.p.k as f32) + eps as f32).rsqrt())
    }

    /// The factor of the only row of x: the teams' parts of its sum are added up once.
    fn only_factor(&self) -> Option<E<'b>> {
        let squares = self.squares.filter(|_| self.m() == 1)?;
        self.factor_of(self.all_teams(squares))
    }

    /// The sum of what every team has left.
    fn all_teams(&self, squares: S<'b>) -> E<'b> {
        let (b, parts) = (self.b, self.plan.teams());
        match self.plan.subgroups && parts <= self.plan.team {
            true => {
                let part = squares.load(self.lane.min(parts - 1));
                let part = b.select(self.lane.lt(parts), part, b.f32(0.0));
                part.subgroup(SubgroupOp::Add)
            }
            false => (1..parts).fold(squares.load(0u32), |sum, i| sum + squares.load(i)),
        }
    }

    /// Results that one lane of a team stores per block, rounds of lanes.
    fn ends(&self) -> std::iter::StepBy<std::ops::Range<u32>> {
        (0..self.plan.rows / self.pair() * self.m()).step_by(self.plan.team as usize)
    }

    /// Rows of weights that make one column of the result.
    fn pair(&self) -> u32 {
        if self.p.spec.gate.is_some() { 2 } else { 1 }
    }

    /// Number of the result of this lane in its block, in the round of lanes from `first`; its
    /// row, its column, and whether there is one.
    fn place(&self, block: E<'b>, first: u32) -> (E<'b>, [E<'b>; 2], E<'b>) {
        let (m, columns) = (self.m(), self.plan.rows / self.pair());
        let i = self.lane + first;
        let column = block * columns + i / m;
        let inside = i.lt(columns * m).and(column.lt(self.p.outputs() as u32));
        (i, [i % m, column], inside)
    }

    /// Starts the loads that storing a block needs, so that the end does not wait for them.
    fn begin_store(&self, block: E<'b>) -> Vec<End<'b>> {
        let (b, last) = (self.b, self.p.outputs() as u32 - 1);
        let w = &self.args.w;
        self.ends()
            .map(|first| {
                let (_, [row, column], _) = self.place(block, first);
                let column = column.min(last);
                let scale = |which| match w.scheme.group() {
                    Some(_) => None,
                    None => w.scale(b, column * self.pair() + which, b.u32(0)),
                };
                End {
                    scales: (0..self.pair()).map(scale).collect(),
                    operands: self.operands([row, column]),
                }
            })
            .collect()
    }

    /// Operands of the epilogue. Each waits for itself: in a chain, some may be handed over.
    fn operands(&self, at: [E<'b>; 2]) -> Vec<Option<E<'b>>> {
        let readers = self.args.out.readers(self.b, &at);
        let awaited = |read: &dyn Fn() -> E<'b>| self.awaited(|| vec![read()]).pop();
        readers.iter().map(|r| r.as_ref().and_then(|read| awaited(read))).collect()
    }

    /// Loads that in a chain may be of what another workgroup hands over.
    fn awaited(&self, load: impl Fn() -> Vec<E<'b>>) -> Vec<E<'b>> {
        let b = self.b;
        if !self.plan.chained {
            return load();
        }
        let mut vars: Vec<V<'b>> = Vec::new();
        b.await_(|| {
            let loaded = load();
            vars = loaded.iter().map(|e| b.var_uninit("awaited", e.ty())).collect();
            vars.iter().zip(loaded).for_each(|(v, e)| v.set(e));
            vars.iter().map(|v| v.get()).filter(|e| e.ty().vector().scalar == Scalar::F32).collect()
        });
        vars.iter().map(|v| v.get()).collect()
    }

    /// Adds the sums of a block over the team and stores what they give: lane by lane.
    fn store(&self, block: E<'b>, sums: &[Vec<V<'b>>], ends: &[End<'b>], factor: Option<E<'b>>) {
        let (b, plan, m, pair) = (self.b, &self.plan, self.m(), self.pair());
        let values: Vec<E<'b>> = sums.iter().flatten().map(|s| s.get()).collect();
        let totals = self.team_sums(&values);
        let count = plan.rows / pair * m;
        for (first, end) in self.ends().zip(ends) {
            let (i, at, inside) = self.place(block, first);
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
                let factor = factor.or_else(|| self.factor(at[0]));
                let values: Vec<E<'b>> = picked
                    .iter()
                    .zip(&end.scales)
                    .map(|(v, scale)| {
                        let v = scale.map_or(*v, |s| *v * s);
                        factor.map_or(v, |f| v * f)
                    })
                    .collect();
                let value =
                    if pair == 2 { self.p.gated(b, values[0], values[1]) } else { values[0] };
                self.args.out.store_read(b, &at, value, &end.operands);
            });
        }
    }
}

/// What storing a result needs: scales of its rows of weights, operands of the epilogue.
struct End<'b> {
    scales: Vec<Option<E<'b>>>,
    operands: Vec<Option<E<'b>>>,
}
