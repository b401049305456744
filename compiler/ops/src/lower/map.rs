//! Archetype *map*: one invocation computes one element, or four neighbours, of the result from
//! whatever elements of the operands it needs.

use super::stored::from_stored;
use super::{Grid, KernelArgs, Lowering, dispatch_1d, grid::linear_id};
use crate::Result;
use drift_ir::{DType, Shape, View};
use drift_kernel::{Builder, E, Elem, Layout, Scalar, Storage, TensorId, Type};

pub const WORKGROUP: u32 = 64;

/// An operand inside a kernel: loads give what kernels compute with (bool, not 0 / 1).
#[derive(Clone, Debug)]
pub struct Input {
    pub t: TensorId,
    pub dtype: DType,
    pub shape: Shape,
}

impl Input {
    /// Operand `i` of the node as the node sees it.
    pub fn of(l: &Lowering<'_>, k: &KernelArgs, i: usize) -> Result<Input> {
        Input::viewed(l, k, i, View::identity(), None)
    }

    /// Operand `i` through a further view; a constant is packed in `layout`.
    pub fn viewed(
        l: &Lowering<'_>,
        k: &KernelArgs,
        i: usize,
        view: View,
        layout: Option<Layout>,
    ) -> Result<Input> {
        let t = l.operand_viewed(k, i, view, layout)?;
        let dtype = l.dtype(i).unwrap_or(DType::F32);
        Ok(Input { t, dtype, shape: k.b.shape(t) })
    }

    pub fn load<'b>(&self, b: &'b Builder, at: &[E<'b>]) -> E<'b> {
        from_stored(b, b.load(self.t, at), self.dtype)
    }

    /// One element, or four along `axis`.
    pub fn lanes<'b>(&self, b: &'b Builder, at: &[E<'b>], axis: Option<usize>) -> E<'b> {
        match axis {
            None => self.load(b, at),
            Some(a) => from_stored(b, b.load4(self.t, at, a), self.dtype),
        }
    }

    /// An integer element as i32.
    pub fn index<'b>(&self, b: &'b Builder, at: &[E<'b>]) -> E<'b> {
        b.load(self.t, at).cast(Scalar::I32)
    }
}

/// Four values, one per lane of `axis`; lanes past `dim` repeat the last element.
pub fn per_lane<'b>(
    b: &'b Builder,
    at: &[E<'b>],
    axis: usize,
    dim: usize,
    mut f: impl FnMut(&[E<'b>]) -> E<'b>,
) -> E<'b> {
    let mut at = at.to_vec();
    let first = at[axis];
    let parts: Vec<E<'b>> = (0..4u32)
        .map(|lane| {
            let c = first + lane;
            at[axis] = if dim.is_multiple_of(4) { c } else { c.min(dim as u32 - 1) };
            f(&at)
        })
        .collect();
    b.compose(&parts)
}

/// The part of the result that one kernel computes.
#[derive(Clone, Debug)]
pub struct Part {
    pub axis: usize,
    pub start: usize,
    pub len: usize,
}

/// What a map kernel is.
#[derive(Clone, Debug)]
pub struct Map<'n> {
    pub name: &'n str,
    pub flops: u64,
    /// Axes along which four neighbours of the result do not come from four neighbours of the
    /// operands: lanes are then computed one by one.
    pub touched: Vec<usize>,
    pub part: Option<Part>,
}

impl<'n> Map<'n> {
    pub fn new(name: &'n str, flops: u64, touched: impl Into<Vec<usize>>) -> Map<'n> {
        Map { name, flops, touched: touched.into(), part: None }
    }

    /// Adds the kernel. `args` declares what it reads; `f(builder, args, coords, axis)` computes
    /// the result at `coords`: one element, or four along `axis`.
    pub fn lower<A>(
        self,
        l: &mut Lowering<'_>,
        args: impl FnOnce(&Lowering<'_>, &KernelArgs) -> Result<A>,
        f: impl for<'b> Fn(&'b Builder, &A, &[E<'b>], Option<usize>) -> E<'b>,
    ) -> Result<()> {
        self.lower_where(l, args, |_, _, _| None, f)
    }

    /// The same, for a kernel that computes and stores the result only where `here(builder, args,
    /// coords)` holds (`None`: everywhere), which is the same for all of four neighbours.
    pub fn lower_where<A>(
        self,
        l: &mut Lowering<'_>,
        args: impl FnOnce(&Lowering<'_>, &KernelArgs) -> Result<A>,
        here: impl for<'b> Fn(&'b Builder, &A, &[E<'b>]) -> Option<E<'b>>,
        f: impl for<'b> Fn(&'b Builder, &A, &[E<'b>], Option<usize>) -> E<'b>,
    ) -> Result<()> {
        let own = l.own_shape(0);
        let mut shape = own.clone();
        if let Some(part) = &self.part {
            shape[part.axis] = part.len;
        }
        if shape.elems() == 0 {
            return Ok(());
        }
        let quads = stores_quads(l);
        let mut grid = result_grid(l, &shape);
        let lanes_touched = grid.axis.is_some_and(|a| self.touched.contains(&a));
        let unaligned = self.part.as_ref().is_some_and(|p| {
            grid.axis == Some(p.axis)
                && !(p.start.is_multiple_of(4) && p.len.is_multiple_of(4))
                && p.start + p.len != own[p.axis]
        });
        if (lanes_touched || unaligned) && !quads {
            grid = Grid::scalar(&shape);
        }
        let groups = dispatch_1d(grid.invocations, WORKGROUP);
        let k = l.kernel(self.name, [WORKGROUP, 1, 1], groups);
        let args = args(l, &k)?;
        let out = l.out(&k, &View::identity())?;
        let b = &k.b;
        let id = linear_id(b, WORKGROUP, groups);
        b.if_(id.lt(grid.invocations as u32), || {
            let mut at = grid.coords(b, id);
            if let Some(part) = &self.part {
                at[part.axis] = at[part.axis] + part.start as u32;
            }
            let store = || match grid.axis {
                None => out.store(b, &at, Some(f(b, &args, &at, None))),
                Some(axis) => {
                    let value = if lanes_touched {
                        per_lane(b, &at, axis, own[axis], |at| f(b, &args, at, None))
                    } else {
                        f(b, &args, &at, Some(axis))
                    };
                    out.store4(b, &at, axis, Some(value));
                }
            };
            match here(b, &args, &at) {
                Some(here) => b.if_(here, store),
                None => store(),
            }
        });
        l.kernels.push(k.finish(self.flops));
        Ok(())
    }
}

/// Whether result 0 can only be written four elements at a time.
pub fn stores_quads(l: &Lowering<'_>) -> bool {
    let p = l.result_placement(0);
    p.storage != Storage::Buffer || p.elem == Elem::F16Packed
}

/// The grid over the node's own coordinates in which result 0 is stored in its memory order.
pub fn result_grid(l: &Lowering<'_>, shape: &Shape) -> Grid {
    match l.node.store_view.is_identity() {
        true => Grid::of(shape, &l.result_placement(0).layout),
        // a transposed store walks in the node's own order
        false => Grid::of(shape, &Layout::RowMajor),
    }
}

/// Type of values of `dtype` with one or four lanes.
pub fn value_type(dtype: DType, axis: Option<usize>) -> Type {
    Type::vec(super::scalar_of(dtype), if axis.is_some() { 4 } else { 1 })
}

/// Nested loops over `dims`; `f` gets one counter per dim.
pub fn loops<'b>(b: &'b Builder, dims: &[usize], f: &mut dyn FnMut(&[E<'b>])) {
    fn nest<'b>(b: &'b Builder, dims: &[usize], at: &mut Vec<E<'b>>, f: &mut dyn FnMut(&[E<'b>])) {
        let Some((&first, rest)) = dims.split_first() else { return f(at) };
        b.for_(0u32, first as u32, 1, |i| {
            at.push(i);
            nest(b, rest, at, f);
            at.pop();
        });
    }
    nest(b, dims, &mut Vec::new(), f);
}

/// `inside` of several axes; `None` = always.
pub fn all<'b>(parts: impl IntoIterator<Item = Option<E<'b>>>) -> Option<E<'b>> {
    parts.into_iter().flatten().reduce(|a, c| a.and(c))
}

/// Lowest finite value of a scalar type.
pub fn lowest(b: &Builder, ty: Type) -> E<'_> {
    b.lit_like(
        match ty.vector().scalar {
            Scalar::I32 => f64::from(i32::MIN),
            Scalar::U32 | Scalar::Bool => 0.0,
            _ => f64::NEG_INFINITY,
        },
        ty,
    )
}
