//! Normalizations: over trailing axes (layer_norm, rms_norm), over groups of channels and space
//! (group_norm, instance_norm), with given statistics (batch_norm), across channels (lrn).
//!
//! Statistics are sums in f32: the mean first, then squares of what is left after it.

use super::map::{Input, Map, result_grid, stores_quads};
use super::reduce::store_row;
use super::rows::Rows;
use super::{KernelArgs, Lowering};
use crate::Result;
use drift_ir::{Shape, View, ViewStep};
use drift_kernel::{Builder, E};

/// `x` as the kernel indexes it, and how parameters (scale, bias) are found from its coordinates.
struct Norm {
    shape: Shape,
    view: View,
    axes: Vec<usize>,
    /// Axes of the kernel's coordinates that parameters vary along, in order.
    params: Vec<usize>,
    lane: Option<usize>,
    centered: bool,
}

/// Lowers `layer_norm` and `rms_norm`.
pub fn trailing(l: &mut Lowering<'_>) -> Result<()> {
    let own = l.own_shape(0);
    let axis = l.node.attrs.int("axis", -1);
    let axis = own.axis(axis).ok_or_else(|| l.unsupported(format!("axis {axis} of {own}")))?;
    let axes: Vec<usize> = (axis..own.rank()).collect();
    let lane = result_grid(l, &own).axis;
    let centered = l.node.op == "layer_norm";
    let norm =
        Norm { view: View::identity(), params: axes.clone(), shape: own, axes, lane, centered };
    lower(l, &norm)
}

/// Elements of a group from which several workgroups share it, if there are few groups.
const LARGE: usize = 1 << 13;

/// Lowers `group_norm` and `instance_norm`.
pub fn groups(l: &mut Lowering<'_>) -> Result<()> {
    let own = l.own_shape(0);
    if own.elems() == 0 {
        return Ok(());
    }
    let lane = result_grid(l, &own).axis;
    let groups = match l.node.op {
        "instance_norm" => own[1],
        _ => l.node.attrs.int("groups", 1).max(1) as usize,
    };
    let each = own[1] / groups;
    let large = own.elems() / (own[0] * groups) >= LARGE;
    let few = (own[0] * groups * 256) as u64 * 2 <= l.target.full_invocations;
    let straddles = lane == Some(1) && groups < own[1] && !each.is_multiple_of(4);
    if (large && few) || (straddles && stores_quads(l)) {
        return super::norm_pieces::lower(l, groups);
    }
    if groups == own[1] {
        let axes = (2..own.rank()).collect();
        let view = View::identity();
        let norm = Norm { shape: own, view, axes, params: vec![1], lane, centered: true };
        return lower(l, &norm);
    }
    let mut shape = vec![own[0], groups, each];
    shape.extend(&own[2..]);
    let shape = Shape(shape);
    let lane = match lane {
        Some(1) => each.is_multiple_of(4).then_some(2),
        Some(0) => None,
        other => other.map(|a| a + 1),
    };
    let view = View::identity().then(ViewStep::Reshape { shape: shape.clone() });
    let axes = (2..shape.rank()).collect();
    lower(l, &Norm { shape, view, axes, params: vec![1, 2], lane, centered: true })
}

/// A parameter as the kernel indexes it: along `norm.params`.
fn param(l: &Lowering<'_>, k: &KernelArgs, norm: &Norm, i: usize) -> Result<Option<Input>> {
    if !l.has(i) {
        return Ok(None);
    }
    let shape: Vec<usize> = norm.params.iter().map(|&a| norm.shape[a]).collect();
    let view = View::identity().then(ViewStep::Reshape { shape: shape.into() });
    Input::viewed(l, k, i, view, None).map(Some)
}

fn load_param<'b>(
    b: &'b Builder,
    norm: &Norm,
    p: &Input,
    at: &[E<'b>],
    axis: Option<usize>,
) -> E<'b> {
    let own: Vec<E<'b>> = norm.params.iter().map(|&a| at[a]).collect();
    match axis.and_then(|a| norm.params.iter().position(|&p| p == a)) {
        Some(lane) => p.lanes(b, &own, Some(lane)),
        None => p.load(b, &own).splat(if axis.is_some() { 4 } else { 1 }),
    }
}

fn lower(l: &mut Lowering<'_>, norm: &Norm) -> Result<()> {
    if norm.shape.elems() == 0 {
        return Ok(());
    }
    let eps = l.node.attrs.float("epsilon", 1e-5) as f32;
    let rows = Rows::new(l, &norm.shape, &norm.axes, norm.lane);
    let lanes = rows.axis();
    let k = l.kernel(l.node.op, rows.workgroup(), rows.workgroups());
    let x = Input::viewed(l, &k, 0, norm.view.clone(), None)?;
    let scale = param(l, &k, norm, 1)?;
    let bias = param(l, &k, norm, 2)?;
    let out = l.out(&k, &norm.view)?;
    let b = &k.b;
    let part = 1.0 / rows.count() as f32;
    rows.run(b, |row| {
        let zero = || {
            let ty = super::rows::step_type(&rows, drift_kernel::Scalar::F32);
            b.lit_like(0.0, ty)
        };
        let mean = norm.centered.then(|| {
            let sum = b.var("sum", zero());
            row.each(|step| {
                let v = row.masked(step, x.lanes(b, &step.at, lanes), zero());
                sum.set(sum.get() + v);
            });
            row.spread(row.combine(sum.get(), |a, c| a + c) * part)
        });
        let squares = b.var("squares", zero());
        row.each(|step| {
            let v = x.lanes(b, &step.at, lanes);
            let d = mean.map_or(v, |m| v - m);
            let d = row.masked(step, d, zero());
            squares.set(d.fma(d, squares.get()));
        });
        let variance = row.combine(squares.get(), |a, c| a + c) * part;
        let factor = b.lit_like(1.0, variance.ty()) / (variance + eps).sqrt();
        let factor = row.spread(factor);
        row.each(|step| {
            let v = x.lanes(b, &step.at, lanes);
            let mut y = mean.map_or(v, |m| v - m) * factor;
            if let Some(s) = &scale {
                y = y * load_param(b, norm, s, &step.at, lanes);
            }
            if let Some(p) = &bias {
                y = y + load_param(b, norm, p, &step.at, lanes);
            }
            store_row(&out, b, &step.at, lanes, y);
        });
    });
    l.kernels.push(k.finish(6 * norm.shape.elems() as u64));
    Ok(())
}

/// Lowers `batch_norm` (where nothing could take it in).
pub fn batch(l: &mut Lowering<'_>) -> Result<()> {
    let flops = 4 * l.own_shape(0).elems() as u64;
    let eps = l.node.attrs.float("epsilon", 1e-5) as f32;
    Map::new("batch_norm", flops, []).lower(
        l,
        |l, k| (0..5).map(|i| Input::of(l, k, i)).collect::<Result<Vec<_>>>(),
        |b, x, at, axis| {
            let p = |i: usize| {
                let c = at[1];
                match axis {
                    Some(1) => x[i].lanes(b, &[c], Some(0)),
                    other => x[i].load(b, &[c]).splat(if other.is_some() { 4 } else { 1 }),
                }
            };
            let d = x[0].lanes(b, at, axis) - p(3);
            d / (p(4) + eps).sqrt() * p(1) + p(2)
        },
    )
}

/// Lowers `lrn`.
pub fn lrn(l: &mut Lowering<'_>) -> Result<()> {
    let attrs = &l.node.attrs;
    let size = attrs.int("size", 1).max(1) as usize;
    let alpha = (attrs.float("alpha", 1e-4) / size as f64) as f32;
    let (beta, bias) = (attrs.float("beta", 0.75) as f32, attrs.float("bias", 1.0) as f32);
    let own = l.own_shape(0);
    let flops = (own.elems() * (2 * size + 4)) as u64;
    let channels = own.get(1).copied().unwrap_or(1) as u32;
    let (before, after) = (((size - 1) / 2) as u32, (size / 2) as u32);
    Map::new("lrn", flops, [1]).lower(
        l,
        |l, k| Input::of(l, k, 0),
        |b, x, at, axis| {
            let v = x.lanes(b, at, axis);
            let sum = b.var("sum", b.lit_like(0.0, v.ty()));
            // channels c - before ..= c + after, those that exist
            b.for_(0u32, before + after + 1, 1, |i| {
                let shifted = at[1] + i;
                let inside = shifted.ge(before).and(shifted.lt(channels + before));
                let mut from = at.to_vec();
                from[1] = shifted.max(before).min(channels + before - 1) - before;
                let n = x.lanes(b, &from, axis);
                sum.set(b.select(inside, n.fma(n, sum.get()), sum.get()));
            });
            v / (sum.get() * alpha + bias).pow(beta)
        },
    )
}
