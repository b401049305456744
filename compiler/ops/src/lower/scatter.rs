//! Scatters. Without atomic operations: either every result element looks for the updates that hit
//! it (any reduction, one kernel), or updates are written where they belong (no reduction, two
//! kernels), or one invocation applies all updates of its column in order.

use super::gather::wrapped;
use super::map::{Input, Map, WORKGROUP};
use super::stored::{from_stored, to_stored};
use super::{KernelArgs, Lowering, dispatch_1d, elem_of, grid::linear_id};
use crate::Result;
use drift_ir::{DType, Shape, View};
use drift_kernel::{Access, Builder, E, Elem};

/// Comparisons that looking for updates may cost.
const LOOK_LIMIT: u64 = 1 << 24;

/// A scatter, with `scatter_elements` and `scatter_nd` as two ways to name targets.
struct Scatter {
    data: Shape,
    index: Shape,
    reduction: String,
    dtype: DType,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Elements { axis: usize },
    Nd { tuple: usize },
}

struct Args {
    data: Input,
    index: Input,
    updates: Input,
}

impl Args {
    fn of(l: &Lowering<'_>, k: &KernelArgs) -> Result<Args> {
        Ok(Args {
            data: Input::of(l, k, 0)?,
            index: Input::of(l, k, 1)?,
            updates: Input::of(l, k, 2)?,
        })
    }
}

impl Scatter {
    fn combine<'b>(&self, old: E<'b>, new: E<'b>) -> E<'b> {
        match self.reduction.as_str() {
            "add" => old + new,
            "mul" => old * new,
            "max" => old.max(new),
            "min" => old.min(new),
            _ => new,
        }
    }

    /// Updates that may hit one result element.
    fn candidates(&self) -> usize {
        match self.kind {
            Kind::Elements { axis } => self.index[axis],
            Kind::Nd { .. } => self.index[..self.index.rank() - 1].iter().product(),
        }
    }

    /// Coordinates of index tuple number `i`, its last axis left at 0.
    fn tuple_at<'b>(&self, b: &'b Builder, i: E<'b>) -> Vec<E<'b>> {
        let rank = self.index.rank();
        let mut at = vec![b.u32(0); rank];
        let mut rest = i;
        for a in (0..rank - 1).rev() {
            at[a] = if a == 0 { rest } else { rest % self.index[a] as u32 };
            rest = rest / self.index[a] as u32;
        }
        at
    }

    /// Axes of the data that tuple number `i` names.
    fn target<'b>(&self, b: &'b Builder, index: &Input, at: &[E<'b>], tuple: usize) -> Vec<E<'b>> {
        let mut at = at.to_vec();
        (0..tuple)
            .map(|j| {
                at[self.index.rank() - 1] = b.u32(j as u32);
                wrapped(b, index.index(b, &at), self.data[j])
            })
            .collect()
    }

    /// The result element at `at`: the data with all its updates.
    fn look<'b>(&self, b: &'b Builder, args: &Args, at: &[E<'b>]) -> E<'b> {
        let acc = b.var("acc", args.data.load(b, at));
        b.for_(0u32, self.candidates() as u32, 1, |i| {
            let apply = |from: &[E<'b>]| {
                acc.set(self.combine(acc.get(), args.updates.load(b, from)));
            };
            match self.kind {
                Kind::Elements { axis } => {
                    let mut from = at.to_vec();
                    from[axis] = i;
                    // the indices may cover less than the data on the other axes
                    let covered = (0..self.data.rank())
                        .filter(|&a| a != axis && self.index[a] < self.data[a])
                        .map(|a| at[a].lt(self.index[a] as u32))
                        .reduce(|a, c| a.and(c));
                    let hit = || {
                        let to = wrapped(b, args.index.index(b, &from), self.data[axis]);
                        b.if_(to.eq(at[axis]), || apply(&from));
                    };
                    match covered {
                        Some(c) => b.if_(c, hit),
                        None => hit(),
                    }
                }
                Kind::Nd { tuple } => {
                    let tuple_at = self.tuple_at(b, i);
                    let to = self.target(b, &args.index, &tuple_at, tuple);
                    let hit = to.iter().zip(at).map(|(t, a)| t.eq(*a)).reduce(|a, c| a.and(c));
                    let mut from = tuple_at[..self.index.rank() - 1].to_vec();
                    from.extend(&at[tuple..]);
                    b.if_(hit.unwrap_or_else(|| b.bool(true)), || apply(&from));
                }
            }
        });
        acc.get()
    }

    /// Shape of the updates.
    fn updates(&self) -> Shape {
        match self.kind {
            Kind::Elements { .. } => self.index.clone(),
            Kind::Nd { tuple } => {
                let mut s = self.index[..self.index.rank() - 1].to_vec();
                s.extend(&self.data[tuple..]);
                Shape(s)
            }
        }
    }

    /// Data coordinates that the update at `from` goes to.
    fn goes_to<'b>(&self, b: &'b Builder, index: &Input, from: &[E<'b>]) -> Vec<E<'b>> {
        match self.kind {
            Kind::Elements { axis } => {
                let mut to = from.to_vec();
                to[axis] = wrapped(b, index.index(b, from), self.data[axis]);
                to
            }
            Kind::Nd { tuple } => {
                let last = self.index.rank() - 1;
                let mut at = from[..last].to_vec();
                at.push(b.u32(0));
                let mut to = self.target(b, index, &at, tuple);
                to.extend(&from[last..]);
                to
            }
        }
    }
}

/// Lowers a `scatter_elements` node.
pub fn elements(l: &mut Lowering<'_>) -> Result<()> {
    let data = l.shape(0)?;
    let axis = l.node.attrs.int("axis", 0);
    let axis = data.axis(axis).ok_or_else(|| l.unsupported(format!("axis {axis} of {data}")))?;
    lower(l, Kind::Elements { axis })
}

/// Lowers a `scatter_nd` node.
pub fn nd(l: &mut Lowering<'_>) -> Result<()> {
    let index = l.shape(1)?;
    lower(l, Kind::Nd { tuple: index[index.rank() - 1] })
}

fn lower(l: &mut Lowering<'_>, kind: Kind) -> Result<()> {
    let scatter = Scatter {
        data: l.shape(0)?,
        index: l.shape(1)?,
        reduction: l.node.attrs.str("reduction").unwrap_or("none").to_owned(),
        dtype: l.dtype(0).unwrap_or(DType::F32),
        kind,
    };
    let looks = scatter.data.elems() as u64 * scatter.candidates() as u64;
    if looks == 0 {
        return copy(l);
    }
    if looks <= LOOK_LIMIT {
        let touched: Vec<usize> = (0..scatter.data.rank()).collect();
        return Map::new("scatter", looks, touched)
            .lower(l, Args::of, |b, args, at, _| scatter.look(b, args, at));
    }
    if scatter.reduction == "none" {
        copy(l)?;
        return place(l, &scatter);
    }
    accumulate(l, &scatter)
}

fn copy(l: &mut Lowering<'_>) -> Result<()> {
    Map::new("scatter_copy", 0, []).lower(
        l,
        |l, k| Input::of(l, k, 0),
        |b, x, at, axis| x.lanes(b, at, axis),
    )
}

/// Writes every update over what `copy` has written. Targets are distinct by the operator's
/// definition.
fn place(l: &mut Lowering<'_>, s: &Scatter) -> Result<()> {
    let updates = s.updates();
    let count = updates.elems() as u64;
    let groups = dispatch_1d(count, WORKGROUP);
    let k = l.kernel("scatter_place", [WORKGROUP, 1, 1], groups);
    let (index, update) = (Input::of(l, &k, 1)?, Input::of(l, &k, 2)?);
    let out = l.out(&k, &View::identity())?;
    let b = &k.b;
    let id = linear_id(b, WORKGROUP, groups);
    let grid = super::Grid::scalar(&updates);
    b.if_(id.lt(count as u32), || {
        let from = grid.coords(b, id);
        let to = s.goes_to(b, &index, &from);
        out.store(b, &to, Some(update.load(b, &from)));
    });
    l.kernels.push(k.finish(0));
    Ok(())
}

/// Applies the updates of one column (everything that only its own invocation touches) in order,
/// in scratch memory.
fn accumulate(l: &mut Lowering<'_>, s: &Scatter) -> Result<()> {
    let temp = l.temp(s.data.clone(), elem_of(s.dtype, Elem::F32));
    // scratch starts as the data
    let grid = super::Grid::scalar(&s.data);
    let groups = dispatch_1d(grid.invocations, WORKGROUP);
    let k = l.kernel("scatter_start", [WORKGROUP, 1, 1], groups);
    let x = Input::of(l, &k, 0)?;
    let t = l.temp_arg(&k, temp, Access::Write);
    let b = &k.b;
    let id = linear_id(b, WORKGROUP, groups);
    b.if_(id.lt(grid.invocations as u32), || {
        let at = grid.coords(b, id);
        b.store(t, &at, to_stored(b, x.load(b, &at), s.dtype));
    });
    l.kernels.push(k.finish(0));

    // columns: all but the scattered axis, or the part behind a tuple
    let updates = s.updates();
    let mut columns = updates.clone();
    let walked: Vec<usize> = match s.kind {
        Kind::Elements { axis } => vec![axis],
        Kind::Nd { .. } => (0..s.index.rank() - 1).collect(),
    };
    let dims: Vec<usize> = walked.iter().map(|&a| updates[a]).collect();
    walked.iter().for_each(|&a| columns[a] = 1);
    let grid = super::Grid::scalar(&columns);
    let groups = dispatch_1d(grid.invocations, WORKGROUP);
    let k = l.kernel("scatter_accumulate", [WORKGROUP, 1, 1], groups);
    let (index, update) = (Input::of(l, &k, 1)?, Input::of(l, &k, 2)?);
    let t = l.temp_arg(&k, temp, Access::ReadWrite);
    let b = &k.b;
    let id = linear_id(b, WORKGROUP, groups);
    b.if_(id.lt(grid.invocations as u32), || {
        let column = grid.coords(b, id);
        super::map::loops(b, &dims, &mut |i| {
            let mut from = column.clone();
            walked.iter().zip(i).for_each(|(&a, &i)| from[a] = i);
            let to = s.goes_to(b, &index, &from);
            let old = from_stored(b, b.load(t, &to), s.dtype);
            let new = s.combine(old, update.load(b, &from));
            b.store(t, &to, to_stored(b, new, s.dtype));
        });
    });
    l.kernels.push(k.finish(updates.elems() as u64));

    let grid = super::map::result_grid(l, &s.data);
    let groups = dispatch_1d(grid.invocations, WORKGROUP);
    let k = l.kernel("scatter_finish", [WORKGROUP, 1, 1], groups);
    let t = l.temp_arg(&k, temp, Access::Read);
    let out = l.out(&k, &View::identity())?;
    let b = &k.b;
    let id = linear_id(b, WORKGROUP, groups);
    b.if_(id.lt(grid.invocations as u32), || {
        let at = grid.coords(b, id);
        match grid.axis {
            Some(a) => {
                let v = from_stored(b, b.load4(t, &at, a), s.dtype);
                out.store4(b, &at, a, Some(v));
            }
            None => out.store(b, &at, Some(from_stored(b, b.load(t, &at), s.dtype))),
        }
    });
    l.kernels.push(k.finish(0));
    Ok(())
}
