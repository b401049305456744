//! Archetype *row reduction*: sums, maxima and the like over some axes of a tensor.
//!
//! A *row* is what is reduced together. One invocation takes a whole row when rows are short or
//! many; otherwise a workgroup shares a row and puts its parts together in workgroup memory. Four
//! lanes run *across* four neighbouring rows, or *along* the row.

use super::grid::linear_id;
use super::{Grid, Lowering, dispatch_1d};
use drift_ir::Shape;
use drift_kernel::{Builder, E, Layout, Scalar, Type, Vector};
use std::cell::RefCell;

/// Rows up to this many steps are walked by one invocation each.
const SHORT: usize = 32;
const LARGEST_WORKGROUP: u32 = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lanes {
    None,
    /// Four rows at a time, neighbours along this axis.
    Across(usize),
    /// Four elements of one row at a time.
    Along(usize),
}

/// How the rows of a tensor are walked.
#[derive(Clone, Debug)]
pub struct Rows {
    pub shape: Shape,
    /// Reduced axes, ascending.
    pub axes: Vec<usize>,
    pub lanes: Lanes,
    /// Rows (or groups of four rows).
    grid: Grid,
    /// Loop dims: reduced axes, the one with the lanes in steps of four.
    steps: Vec<usize>,
    /// Invocations that share a row; 1 = each invocation has its own.
    pub share: u32,
    groups: [u32; 3],
}

/// Axis along which a tensor of `shape` in `layout` has four lanes side by side.
pub fn lane_axis(shape: &Shape, layout: &Layout) -> Option<usize> {
    Grid::of(shape, layout).axis
}

impl Rows {
    /// `lane`: the axis to take four at a time, if any.
    pub fn new(l: &Lowering<'_>, shape: &Shape, axes: &[usize], lane: Option<usize>) -> Rows {
        let mut kept = shape.clone();
        axes.iter().for_each(|&a| kept[a] = 1);
        let lanes = match lane {
            Some(a) if axes.contains(&a) => Lanes::Along(a),
            Some(a) => Lanes::Across(a),
            None => Lanes::None,
        };
        let grid = match lanes {
            Lanes::Across(a) => Grid::with_lanes(&kept, a),
            _ => Grid::scalar(&kept),
        };
        let steps: Vec<usize> = axes
            .iter()
            .map(|&a| if lanes == Lanes::Along(a) { shape[a].div_ceil(4) } else { shape[a] })
            .collect();
        let count: usize = steps.iter().product();
        let alone =
            count <= SHORT || (grid.invocations >= l.target.full_invocations && count <= 4096);
        let largest =
            LARGEST_WORKGROUP.min(l.target.caps.limits.workgroup_invocations.max(1) as u32);
        let share = if alone {
            1
        } else {
            // every invocation gets some elements to add before the tree starts
            (count as u32 / 4).next_power_of_two().clamp(32, largest)
        };
        let groups = match share {
            1 => dispatch_1d(grid.invocations, super::map::WORKGROUP),
            n => dispatch_1d(grid.invocations * u64::from(n), n),
        };
        Rows { shape: shape.clone(), axes: axes.to_vec(), lanes, grid, steps, share, groups }
    }

    pub fn workgroup(&self) -> [u32; 3] {
        [if self.share == 1 { super::map::WORKGROUP } else { self.share }, 1, 1]
    }

    pub fn workgroups(&self) -> [u32; 3] {
        self.groups
    }

    /// Elements of a row.
    pub fn count(&self) -> usize {
        self.axes.iter().map(|&a| self.shape[a]).product()
    }

    /// Width of what is computed per row.
    pub fn width(&self) -> u8 {
        if matches!(self.lanes, Lanes::Across(_)) { 4 } else { 1 }
    }

    /// Width of a step's elements.
    pub fn step_width(&self) -> u8 {
        if self.lanes == Lanes::None { 1 } else { 4 }
    }

    /// Axis of a step's elements for `lanes` loads.
    pub fn axis(&self) -> Option<usize> {
        match self.lanes {
            Lanes::None => None,
            Lanes::Across(a) | Lanes::Along(a) => Some(a),
        }
    }

    /// Runs `f` once per row of this invocation (all invocations that share a row run it).
    pub fn run<'b>(&'b self, b: &'b Builder, f: impl FnOnce(&Row<'b>)) {
        let size = self.workgroup()[0];
        let (id, local) = match self.share {
            1 => (linear_id(b, size, self.groups), None),
            _ if self.groups[1] == 1 => (b.workgroup_id(0), Some(b.local_index())),
            _ => {
                let id = b.workgroup_id(1) * self.groups[0] + b.workgroup_id(0);
                (id, Some(b.local_index()))
            }
        };
        let n = self.grid.invocations;
        let body = || {
            let at = self.grid.coords(b, id);
            f(&Row { rows: self, b, at, local, shared: RefCell::default() });
        };
        let covered = u64::from(self.groups[0]) * u64::from(self.groups[1]);
        let covered = if self.share == 1 { covered * u64::from(size) } else { covered };
        if covered == n { body() } else { b.if_(id.lt(n as u32), body) }
    }
}

/// One row inside a kernel.
pub struct Row<'b> {
    rows: &'b Rows,
    pub b: &'b Builder,
    /// Coordinates of the row: 0 on the reduced axes.
    pub at: Vec<E<'b>>,
    /// Number of this invocation among those that share the row.
    pub local: Option<E<'b>>,
    shared: RefCell<Vec<(Vector, drift_kernel::builder::S<'b>)>>,
}

impl std::fmt::Debug for Row<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Row {:?}", self.at)
    }
}

/// A step along a row.
#[derive(Debug)]
pub struct StepAt<'b> {
    pub at: Vec<E<'b>>,
    /// Which of four lanes along the row are inside; `None` = all.
    pub inside: Option<E<'b>>,
    /// Number of the element in the row (of the first lane), row-major over the reduced axes.
    pub index: E<'b>,
}

impl<'b> Row<'b> {
    /// Runs `f` for this invocation's elements of the row.
    pub fn each(&self, f: impl FnOnce(&StepAt<'b>)) {
        let (b, r) = (self.b, self.rows);
        let count: usize = r.steps.iter().product();
        let body = |step: E<'b>| f(&self.step(step));
        match self.local {
            None => b.for_(0u32, count as u32, 1, body),
            Some(local) if count <= r.share as usize => {
                b.if_(local.lt(count as u32), || body(local));
            }
            Some(local) => {
                let turns = count.div_ceil(r.share as usize);
                b.for_(0u32, turns as u32, 1, |turn| {
                    let step = turn * r.share + local;
                    if turns * r.share as usize == count {
                        body(step);
                    } else {
                        b.if_(step.lt(count as u32), || body(step));
                    }
                });
            }
        }
    }

    /// The first step of this invocation (some step, when it has none): a start for maxima.
    pub fn first(&self) -> StepAt<'b> {
        let count: usize = self.rows.steps.iter().product();
        match self.local {
            None => self.step(self.b.u32(0)),
            Some(local) => self.step(local.min(count as u32 - 1)),
        }
    }

    fn step(&self, step: E<'b>) -> StepAt<'b> {
        let (b, r) = (self.b, self.rows);
        let mut at = self.at.clone();
        let mut rest = step;
        let mut inside = None;
        for (i, &a) in r.axes.iter().enumerate().rev() {
            let n = r.steps[i] as u32;
            let c = if i == 0 { rest } else { rest % n };
            rest = rest / n;
            at[a] = c;
            if r.lanes == Lanes::Along(a) {
                let c = c * 4u32;
                at[a] = c;
                let dim = r.shape[a];
                if !dim.is_multiple_of(4) {
                    let lanes: Vec<_> = (0..4u32).map(|k| c + k).collect();
                    inside = Some(b.compose(&lanes).lt(dim as u32));
                }
            }
        }
        let mut index = b.u32(0);
        for &a in &r.axes {
            index = index * r.shape[a] as u32 + at[a];
        }
        StepAt { at, inside, index }
    }

    /// Puts together what the invocations (and the lanes along the row) have: every invocation
    /// gets the result.
    pub fn combine(&self, part: E<'b>, op: impl Fn(E<'b>, E<'b>) -> E<'b>) -> E<'b> {
        let part = match self.rows.lanes {
            Lanes::Along(_) if part.ty().vector().width == 4 => {
                let low = op(part.lane(0), part.lane(1));
                op(low, op(part.lane(2), part.lane(3)))
            }
            _ => part,
        };
        let Some(local) = self.local else { return part };
        let b = self.b;
        let memory = self.memory(part.ty());
        memory.store(local, part);
        b.barrier();
        let mut n = self.rows.share / 2;
        while n > 0 {
            b.if_(local.lt(n), || {
                memory.store(local, op(memory.load(local), memory.load(local + n)));
            });
            b.barrier();
            n /= 2;
        }
        let all = memory.load(0u32);
        // the next user of this memory waits until everybody has read
        b.barrier();
        all
    }

    /// Workgroup memory with one element of type `ty` per invocation.
    pub fn memory(&self, ty: Type) -> drift_kernel::builder::S<'b> {
        let v = ty.vector();
        let mut shared = self.shared.borrow_mut();
        if let Some((_, s)) = shared.iter().find(|(have, _)| *have == v) {
            return *s;
        }
        let s = self.b.shared("parts", v.scalar, v.width, self.rows.share);
        shared.push((v, s));
        s
    }

    /// Runs `f` on one of the invocations that share the row.
    pub fn once(&self, f: impl FnOnce()) {
        match self.local {
            None => f(),
            Some(local) => self.b.if_(local.eq(0u32), f),
        }
    }

    /// A row value as wide as a step's elements.
    pub fn spread(&self, v: E<'b>) -> E<'b> {
        match self.rows.lanes {
            Lanes::Along(_) => v.splat(4),
            _ => v,
        }
    }

    /// `v`, with `fill` in the lanes outside of the row.
    pub fn masked(&self, step: &StepAt<'b>, v: E<'b>, fill: E<'b>) -> E<'b> {
        match step.inside {
            Some(inside) => self.b.select(inside, v, fill),
            None => v,
        }
    }
}

/// Type of a step's elements.
pub fn step_type(rows: &Rows, scalar: Scalar) -> Type {
    Type::vec(scalar, rows.step_width())
}
