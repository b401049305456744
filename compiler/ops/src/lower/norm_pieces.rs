//! Group and instance normalization of few large groups: many workgroups take a piece of a group
//! each, their statistics are merged, and a map normalizes all elements.
//!
//! Mean and centered sum of squares of pieces of equal size merge exactly: the squares of the whole
//! are those of the pieces plus those of the pieces' means around the common mean (Chan et al.).

use super::map::{Input, Map};
use super::rows::{Rows, step_type};
use super::{Lowering, dispatch_1d, grid::linear_id};
use crate::Result;
use drift_ir::{Shape, View, ViewStep};
use drift_kernel::{Access, Elem, Scalar};

const MOST_PIECES: usize = 64;

/// Lowers a normalization over `groups` groups of channels and all of space.
pub fn lower(l: &mut Lowering<'_>, groups: usize) -> Result<()> {
    let own = l.own_shape(0);
    let eps = l.node.attrs.float("epsilon", 1e-5) as f32;
    let (batch, each) = (own[0], own[1] / groups);
    let space: usize = own[2..].iter().product();
    let pieces = (1..=MOST_PIECES)
        .rev()
        .find(|p| space.is_multiple_of(*p) && each * space / p >= 64)
        .unwrap_or(1);
    let part = each * space / pieces;
    let all = batch * groups;
    let parts = l.temp([all, pieces, 2], Elem::F32);
    let stats = l.temp([all, 2], Elem::F32);

    let shape = Shape::from([batch, groups, each, pieces, space / pieces]);
    let lane = match super::reduce::input_lane(l, 0, &own) {
        Some(1) => each.is_multiple_of(4).then_some(2),
        Some(a) if a >= 2 => shape[4].is_multiple_of(4).then_some(4),
        _ => None,
    };
    let rows = Rows::new(l, &shape, &[2, 4], lane);
    let k = l.kernel("norm_pieces", rows.workgroup(), rows.workgroups());
    let view = View::identity().then(ViewStep::Reshape { shape: shape.clone() });
    let x = Input::viewed(l, &k, 0, view, None)?;
    let t = l.temp_arg(&k, parts, Access::Write);
    let b = &k.b;
    rows.run(b, |row| {
        let zero = || b.lit_like(0.0, step_type(&rows, Scalar::F32));
        let sum = b.var("sum", zero());
        row.each(|step| {
            let v = row.masked(step, x.lanes(b, &step.at, rows.axis()), zero());
            sum.set(sum.get() + v);
        });
        let mean = row.combine(sum.get(), |a, c| a + c) * (1.0 / part as f32);
        let wide = row.spread(mean);
        let squares = b.var("squares", zero());
        row.each(|step| {
            let d = x.lanes(b, &step.at, rows.axis()) - wide;
            let d = row.masked(step, d, zero());
            squares.set(d.fma(d, squares.get()));
        });
        let squares = row.combine(squares.get(), |a, c| a + c);
        row.once(|| {
            let group = row.at[0] * groups as u32 + row.at[1];
            b.store(t, &[group, row.at[3], b.u32(0)], mean);
            b.store(t, &[group, row.at[3], b.u32(1)], squares);
        });
    });
    l.kernels.push(k.finish(4 * own.elems() as u64));

    const SMALL: u32 = 32;
    let grid = dispatch_1d(all as u64, SMALL);
    let k = l.kernel("norm_merge", [SMALL, 1, 1], grid);
    let from = l.temp_arg(&k, parts, Access::Read);
    let to = l.temp_arg(&k, stats, Access::Write);
    let b = &k.b;
    let group = linear_id(b, SMALL, grid);
    b.if_(group.lt(all as u32), || {
        let sum = b.var("sum", b.f32(0.0));
        b.for_(0u32, pieces as u32, 1, |p| {
            sum.set(sum.get() + b.load(from, &[group, p, b.u32(0)]));
        });
        let mean = sum.get() * (1.0 / pieces as f32);
        let squares = b.var("squares", b.f32(0.0));
        b.for_(0u32, pieces as u32, 1, |p| {
            let d = b.load(from, &[group, p, b.u32(0)]) - mean;
            let own = b.load(from, &[group, p, b.u32(1)]);
            squares.set(squares.get() + (d * d).fma(part as f32, own));
        });
        let variance = squares.get() * (1.0 / (part * pieces) as f32);
        b.store(to, &[group, b.u32(0)], mean);
        b.store(to, &[group, b.u32(1)], b.f32(1.0) / (variance + eps).sqrt());
    });
    l.kernels.push(k.finish(0));

    // lanes along channels may belong to different groups
    let touched = if each.is_multiple_of(4) { vec![] } else { vec![1] };
    Map::new("norm_apply", 4 * own.elems() as u64, touched).lower(
        l,
        |l, k| {
            let params = [Input::of(l, k, 1)?, Input::of(l, k, 2)?];
            Ok((Input::of(l, k, 0)?, params, l.temp_arg(k, stats, Access::Read)))
        },
        |b, (x, params, stats), at, axis| {
            let width = if axis.is_some() { 4 } else { 1 };
            let group = at[0] * groups as u32 + at[1] / each as u32;
            let mean = b.load(*stats, &[group, b.u32(0)]).splat(width);
            let factor = b.load(*stats, &[group, b.u32(1)]).splat(width);
            let [scale, bias] = [0, 1].map(|i| match axis {
                Some(1) => params[i].lanes(b, &[at[1]], Some(0)),
                _ => params[i].load(b, &[at[1]]).splat(width),
            });
            (x.lanes(b, at, axis) - mean) * factor * scale + bias
        },
    )
}
