//! Mapping invocations to elements.

use drift_ir::Shape;
use drift_kernel::{Builder, E, Layout};

/// Most workgroups along one axis that every API allows.
const MAX_GROUPS: u64 = 65_535;

/// Workgroups for `count` invocations in workgroups of `size` along x; overflow goes to y.
/// Read the invocation number with `linear_id`.
pub fn dispatch_1d(count: u64, size: u32) -> [u32; 3] {
    let groups = count.div_ceil(u64::from(size)).max(1);
    if groups <= MAX_GROUPS {
        return [groups as u32, 1, 1];
    }
    let y = groups.div_ceil(MAX_GROUPS);
    let x = groups.div_ceil(y);
    [x as u32, y as u32, 1]
}

/// Number of the invocation in a [`dispatch_1d`] grid.
pub fn linear_id(b: &Builder, size: u32, groups: [u32; 3]) -> E<'_> {
    if groups[1] == 1 {
        return b.global_id(0);
    }
    b.workgroup_id(1) * (groups[0] * size) + b.global_id(0)
}

/// Walks the elements of a tensor in the order they lie in memory, four at a time where the
/// layout puts four side by side.
#[derive(Clone, Debug)]
pub struct Grid {
    pub shape: Shape,
    /// Axis of the four lanes, `None` = one element per invocation.
    pub axis: Option<usize>,
    /// Axes from slowest to fastest.
    order: Vec<usize>,
    pub invocations: u64,
}

impl Grid {
    /// For a tensor of `shape` lying in `layout`.
    pub fn of(shape: &Shape, layout: &Layout) -> Grid {
        let rank = shape.rank();
        let (axis, order) = match layout {
            Layout::Slices4 { channel, order } if order.len() == rank => {
                (Some(*channel as usize), order.iter().map(|&a| a as usize).collect())
            }
            _ => {
                let lanes = rank > 0 && shape[rank - 1].is_multiple_of(4) && shape[rank - 1] > 0;
                (lanes.then(|| rank - 1), (0..rank).collect())
            }
        };
        let mut grid = Grid { shape: shape.clone(), axis, order, invocations: 0 };
        grid.invocations = (0..rank).map(|a| grid.extent(a)).product();
        grid
    }

    /// One element per invocation, in row-major order.
    pub fn scalar(shape: &Shape) -> Grid {
        let order = (0..shape.rank()).collect();
        Grid { shape: shape.clone(), axis: None, order, invocations: shape.elems() as u64 }
    }

    /// Four elements along `axis` per invocation, the other axes in row-major order.
    pub fn with_lanes(shape: &Shape, axis: usize) -> Grid {
        let order = (0..shape.rank() as u8).collect();
        Grid::of(shape, &Layout::Slices4 { channel: axis as u8, order })
    }

    fn extent(&self, axis: usize) -> u64 {
        let d = self.shape[axis] as u64;
        if self.axis == Some(axis) { d.div_ceil(4) } else { d }
    }

    /// Coordinates of invocation `id` (below `invocations`): the first of its lanes.
    pub fn coords<'b>(&self, b: &'b Builder, id: E<'b>) -> Vec<E<'b>> {
        let mut coords = vec![b.u32(0); self.shape.rank()];
        let mut rest = id;
        for (i, &a) in self.order.iter().enumerate().rev() {
            let n = self.extent(a) as u32;
            let c = if i == 0 { rest } else { rest % n };
            coords[a] = if self.axis == Some(a) { c * 4u32 } else { c };
            rest = rest / n;
        }
        coords
    }
}
