//! Archetype *pointwise*: one invocation computes one element, or four neighbours, of every result.

use super::{Grid, Lowering, dispatch_1d, grid::linear_id};
use crate::Result;
use drift_ir::{Shape, View, ViewStep};
use drift_kernel::Layout;

const WORKGROUP: u32 = 64;

/// Lowers a `pointwise` node.
pub fn lower(l: &mut Lowering<'_>) -> Result<()> {
    let own = l.own_shape(0);
    if own.elems() == 0 {
        return Ok(());
    }
    let placement = l.result_placement(0);
    let flat = flattens(l, &own);
    let (shape, view) = if flat {
        let shape = Shape::from([own.elems()]);
        (shape.clone(), View::identity().then(ViewStep::Reshape { shape }))
    } else {
        (own.clone(), View::identity())
    };
    // a transposed store walks in the node's own order: reads are then in order, writes are not
    let layout = match placement.layout {
        _ if flat || !l.node.store_view.is_identity() => Layout::RowMajor,
        other => other,
    };
    let grid = Grid::of(&shape, &layout);
    let groups = dispatch_1d(grid.invocations, WORKGROUP);
    let k = l.kernel("pointwise", [WORKGROUP, 1, 1], groups);
    let out = l.out(&k, &view)?;
    {
        let b = &k.b;
        let id = linear_id(b, WORKGROUP, groups);
        b.if_(id.lt(grid.invocations as u32), || {
            let coords = grid.coords(b, id);
            match grid.axis {
                Some(axis) => out.store4(b, &coords, axis, None),
                None => out.store(b, &coords, None),
            }
        });
    }
    let flops = (own.elems() * l.node.epilogue.steps.len()) as u64;
    l.kernels.push(k.finish(flops));
    Ok(())
}

/// Whether a row-major pointwise node whose rows are not a multiple of 4 may be walked as one flat
/// row: everything it touches is row-major, so neighbours stay neighbours.
fn flattens(l: &Lowering<'_>, own: &Shape) -> bool {
    let row_major = |layout: &Layout| matches!(layout, Layout::RowMajor);
    let rows = own.last().is_some_and(|d| !d.is_multiple_of(4));
    rows && own.elems().is_multiple_of(4)
        && l.node.store_view.is_identity()
        && l.node.results.iter().all(|r| l.placement(*r).is_none_or(|p| row_major(&p.layout)))
        && l.node.operands.iter().flatten().all(|o| {
            o.view.is_identity() && l.placement(o.value).is_none_or(|p| row_major(&p.layout))
                || l.graph.const_of(o.value).is_some_and(|t| t.splat_f64().is_some())
        })
}
