//! The product in plain arithmetic: a workgroup computes 64 pixels x 64 channels, an invocation
//! 4 x 4 of them in registers.

use super::{
    Conv, Filters, Plan, Product, Sink, Source, partial, pin, pixel, pixels_adjoin, reduce, steps,
};
use crate::Result;
use crate::lower::Lowering;
use drift_kernel::{Access, E, Scalar};

const INVOCATIONS: u32 = 256;
/// Invocations along a side of the tile.
const SIDE: u32 = 16;

/// Lowers a convolution with `plan` (64 x 64 x 16).
pub fn lower(l: &mut Lowering<'_>, conv: &Conv, plan: &Plan) -> Result<()> {
    let product = Product::of(conv);
    let by_row = pixels_adjoin(&l.result_placement(0).layout);
    let temp = (plan.split > 1).then(|| partial(l, &product, plan, by_row));
    let k = l.kernel("conv_tiled", [INVOCATIONS, 1, 1], plan.workgroups(&product));
    let source = Source::new(l, &k, conv, plan, Filters::AlongColumns)?;
    let sink = match temp {
        Some(t) => Sink::Partial(l.temp_arg(&k, t, Access::Write)),
        None => Sink::results(l, &k, conv)?,
    };
    let b = &k.b;
    let quads = plan.step / 4;
    // one more quad than used, so that rows lie in other banks
    let pitch = quads + 1;
    let left = b.shared("left", Scalar::F32, 4, plan.rows * pitch);
    let right = b.shared("right", Scalar::F32, 4, plan.step * SIDE);
    let local = b.local_index();
    let (first_row, first_column) =
        (b.workgroup_id(1) * plan.rows, b.workgroup_id(0) * plan.columns);
    // every invocation brings one quad of each tile per step
    let (row, quad) = match source.pixels_adjoin {
        true => (local % plan.rows, local / plan.rows),
        false => (local / quads, local % quads),
    };
    let at = pixel(conv, (first_row + row).min(product.rows - 1)).map(|e| pin(b, e));
    let (depth, column) = (local / SIDE, local % SIDE);
    let next_left = b.var_uninit("next_left", drift_kernel::F32X4);
    let next_right = b.var_uninit("next_right", drift_kernel::F32X4);
    let load = |step| {
        let (v, inside) = source.patch(step, quad, &at);
        next_left.set(inside.map_or(v, |inside| b.select(inside, v, b.zero4())));
        let at = [depth / 4u32, depth % 4u32];
        next_right.set(source.filter_along_columns(step, at, first_column + column * 4u32));
    };
    // neighbouring invocations store neighbouring pixels, else neighbouring channels
    let (tx, ty) = if by_row { (local / SIDE, local % SIDE) } else { (local % SIDE, local / SIDE) };
    let sums: Vec<_> = (0..4).map(|_| b.var("sum", b.zero4())).collect();
    let (from, to) = steps(b, &product, plan);
    load(from);
    b.for_(from, to, 1, |step| {
        left.store(row * pitch + quad, next_left.get());
        right.store(local, next_right.get());
        b.barrier();
        let next = step + 1u32;
        b.if_(next.lt(to), || load(next));
        for q in 0..quads {
            let rows: Vec<E<'_>> =
                (0..4u32).map(|r| left.load((ty + r * SIDE) * pitch + q)).collect();
            for lane in 0..4u8 {
                let w = right.load(tx + (q * 4 + u32::from(lane)) * SIDE);
                for (row, sum) in rows.iter().zip(&sums) {
                    sum.set(row.lane(lane).splat(4).fma(w, sum.get()));
                }
            }
        }
        b.barrier();
    });
    let n = first_column + tx * 4u32;
    for (r, sum) in (0u32..).zip(&sums) {
        let m = first_row + ty + r * SIDE;
        let inside = m.lt(product.rows).and(n.lt(product.columns));
        b.if_(inside, || sink.put(conv, m, n, b.workgroup_id(2), by_row, sum.get()));
    }
    l.kernels.push(k.finish(conv.flops()));
    match temp {
        Some(t) => reduce(l, conv, plan, t, by_row),
        None => Ok(()),
    }
}
