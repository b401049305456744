//! Reductions over axes.

use super::map::{Input, Map, value_type};
use super::rows::{Rows, lane_axis};
use super::{KernelArgs, Lowering, Out};
use crate::Result;
use drift_ir::{DType, Shape, View, ViewStep};
use drift_kernel::{Access, Builder, E, Elem, Scalar};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Sum,
    Mean,
    Max,
    Min,
    Prod,
    L1,
    L2,
    SumSquare,
    LogSum,
    LogSumExp,
}

impl Kind {
    fn of(name: &str) -> Option<Kind> {
        Some(match name {
            "sum" => Kind::Sum,
            "mean" => Kind::Mean,
            "max" => Kind::Max,
            "min" => Kind::Min,
            "prod" => Kind::Prod,
            "l1" => Kind::L1,
            "l2" => Kind::L2,
            "sum_square" => Kind::SumSquare,
            "log_sum" => Kind::LogSum,
            "log_sum_exp" => Kind::LogSumExp,
            _ => return None,
        })
    }

    fn combine<'b>(self, a: E<'b>, c: E<'b>) -> E<'b> {
        match self {
            Kind::Max => a.max(c),
            Kind::Min => a.min(c),
            Kind::Prod => a * c,
            _ => a + c,
        }
    }

    /// What an element contributes.
    fn term(self, x: E<'_>) -> E<'_> {
        match self {
            Kind::L1 => x.abs(),
            Kind::L2 | Kind::SumSquare => x * x,
            _ => x,
        }
    }

    fn is_extreme(self) -> bool {
        matches!(self, Kind::Max | Kind::Min)
    }

    /// The neutral element of `combine`.
    fn neutral(self) -> f64 {
        match self {
            Kind::Max => f64::NEG_INFINITY,
            Kind::Min => f64::INFINITY,
            Kind::Prod => 1.0,
            _ => 0.0,
        }
    }

    fn finish(self, acc: E<'_>, count: usize) -> E<'_> {
        let scalar = acc.ty().vector().scalar;
        match self {
            Kind::Mean if scalar.is_float() => acc * (1.0 / count as f32),
            Kind::Mean => acc / count as i32,
            Kind::L2 => acc.cast(Scalar::F32).sqrt().cast(scalar),
            Kind::LogSum => acc.cast(Scalar::F32).log().cast(scalar),
            _ => acc,
        }
    }
}

/// How the coordinates of the input's rows become those of the result.
fn result_coords<'b>(at: &[E<'b>], axes: &[usize], keep: bool) -> Vec<E<'b>> {
    let kept = |i: &usize| keep || !axes.contains(i);
    (0..at.len()).filter(kept).map(|i| at[i]).collect()
}

/// Lowers a `reduce` node.
pub fn lower(l: &mut Lowering<'_>) -> Result<()> {
    let attrs = &l.node.attrs;
    let name = attrs.str("kind").unwrap_or("");
    let kind = Kind::of(name).ok_or_else(|| l.unsupported(format!("reduction {name:?}")))?;
    let axes = attrs.usizes("axes").unwrap_or_default();
    let keep = attrs.int("keepdims", 1) != 0;
    let (x, own) = (l.shape(0)?, l.own_shape(0));
    let dtype = l.dtype(0).unwrap_or(DType::F32);
    if own.elems() == 0 {
        return Ok(());
    }
    if x.elems() == 0 {
        return empty(l, kind, dtype);
    }
    if axes.is_empty() {
        return elements(l, kind);
    }
    let lane = input_lane(l, 0, &x);
    let rows = Rows::new(l, &x, &axes, lane);
    let few = rows.share > 1 && (own.elems() * 64) as u64 <= l.target.full_invocations;
    if few && rows.count() >= 1 << 15 && kind != Kind::LogSumExp {
        return two_stages(l, kind, &x, &axes, dtype);
    }
    let k = l.kernel("reduce", rows.workgroup(), rows.workgroups());
    let input = Input::of(l, &k, 0)?;
    let out = l.out(&k, &View::identity())?;
    one_stage(&k, &rows, kind, &input, |row, acc| {
        let at = result_coords(&row.at, &axes, keep);
        let axis = rows.axis().map(|a| a - axes.iter().filter(|&&r| !keep && r < a).count());
        store_row(&out, row.b, &at, axis.filter(|_| rows.width() == 4), acc);
    });
    l.kernels.push(k.finish(x.elems() as u64));
    Ok(())
}

/// The axis of operand `i` (its own coordinates) along which four elements lie side by side.
pub fn input_lane(l: &Lowering<'_>, i: usize, shape: &Shape) -> Option<usize> {
    let operand = l.node.operands.get(i)?.as_ref()?;
    let placement = l.placement(operand.value);
    match placement {
        Some(p) if operand.view.is_identity() => lane_axis(shape, &p.layout),
        _ => lane_axis(shape, &drift_kernel::Layout::RowMajor),
    }
}

pub fn store_row<'b>(
    out: &Out<'_>,
    b: &'b Builder,
    at: &[E<'b>],
    axis: Option<usize>,
    value: E<'b>,
) {
    match axis {
        Some(axis) => out.store4(b, at, axis, Some(value)),
        None => out.store(b, at, Some(value)),
    }
}

fn one_stage(
    k: &KernelArgs,
    rows: &Rows,
    kind: Kind,
    input: &Input,
    store: impl FnOnce(&super::rows::Row<'_>, E<'_>),
) {
    let b = &k.b;
    let axis = rows.axis();
    rows.run(b, |row| {
        let mut peak = None;
        if kind == Kind::LogSumExp {
            let first = row.first();
            let v = input.lanes(b, &first.at, axis);
            let most = b.var("most", row.masked(&first, v, super::map::lowest(b, v.ty())));
            row.each(|step| {
                let v = input.lanes(b, &step.at, axis);
                let v = row.masked(step, v, super::map::lowest(b, v.ty()));
                most.set(most.get().max(v));
            });
            let most = row.combine(most.get(), |a, c| a.max(c));
            // infinities must not meet in a difference
            peak = Some(most.clamp(f32::MIN, f32::MAX));
        }
        let ty = drift_kernel::Type::vec(super::scalar_of(input.dtype), rows.step_width());
        let neutral = || b.lit_like(kind.neutral(), ty);
        let start = if kind.is_extreme() {
            let first = row.first();
            row.masked(&first, input.lanes(b, &first.at, axis), neutral())
        } else {
            neutral()
        };
        let acc = b.var("acc", start);
        row.each(|step| {
            let v = input.lanes(b, &step.at, axis);
            let term = match peak {
                Some(p) => (v - row.spread(p)).exp(),
                None => kind.term(v),
            };
            let term = row.masked(step, term, neutral());
            acc.set(kind.combine(acc.get(), term));
        });
        let all = row.combine(acc.get(), |a, c| kind.combine(a, c));
        row.once(|| {
            let value = match peak {
                Some(p) => all.log() + p,
                None => kind.finish(all, rows.count()),
            };
            store(row, value);
        });
    });
}

/// Few long rows: many workgroups take a piece of a row each, then one adds up the pieces.
fn two_stages(
    l: &mut Lowering<'_>,
    kind: Kind,
    x: &Shape,
    axes: &[usize],
    dtype: DType,
) -> Result<()> {
    let own = l.own_shape(0);
    let kept: Vec<usize> = (0..x.rank()).filter(|a| !axes.contains(a)).collect();
    let count: usize = axes.iter().map(|&a| x[a]).product();
    // the largest divisor that leaves pieces of some hundred elements
    let pieces = (1..=256usize).rev().find(|p| count.is_multiple_of(*p)).unwrap_or(1);
    let outer: usize = kept.iter().map(|&a| x[a]).product();
    let perm: Vec<usize> = kept.iter().chain(axes).copied().collect();
    let flat = Shape::from([outer, pieces, count / pieces]);
    let view = View::identity()
        .then(ViewStep::Transpose { perm })
        .then(ViewStep::Reshape { shape: flat.clone() });
    let elem = match super::scalar_of(dtype) {
        Scalar::I32 => Elem::I32,
        Scalar::U32 | Scalar::Bool => Elem::U32,
        _ => Elem::F32,
    };
    let temp = l.temp([outer, pieces], elem);
    let lane = flat[2].is_multiple_of(4).then_some(2);
    let rows = Rows::new(l, &flat, &[2], lane);
    let k = l.kernel("reduce_pieces", rows.workgroup(), rows.workgroups());
    let input = Input::viewed(l, &k, 0, view, None)?;
    let t = l.temp_arg(&k, temp, Access::Write);
    let b = &k.b;
    let ty = drift_kernel::Type::vec(super::scalar_of(dtype), rows.step_width());
    rows.run(b, |row| {
        let first = row.first();
        let neutral = || b.lit_like(kind.neutral(), ty);
        let start = match kind.is_extreme() {
            true => input.lanes(b, &first.at, rows.axis()),
            false => neutral(),
        };
        let acc = b.var("acc", start);
        row.each(|step| {
            let term = kind.term(input.lanes(b, &step.at, rows.axis()));
            acc.set(kind.combine(acc.get(), term));
        });
        let all = row.combine(acc.get(), |a, c| kind.combine(a, c));
        row.once(|| b.store(t, &[row.at[0], row.at[1]], all));
    });
    l.kernels.push(k.finish(x.elems() as u64));

    let rows = Rows::new(l, &Shape::from([outer, pieces]), &[1], None);
    let k = l.kernel("reduce_rest", rows.workgroup(), rows.workgroups());
    let t = l.temp_arg(&k, temp, Access::Read);
    let out_view = View::identity().then(ViewStep::Reshape { shape: [own.elems()].into() });
    let out = l.out(&k, &out_view)?;
    let b = &k.b;
    rows.run(b, |row| {
        let first = row.first();
        let ty = drift_kernel::Type::scalar(super::scalar_of(dtype));
        let start = match kind.is_extreme() {
            true => b.load(t, &first.at),
            false => b.lit_like(kind.neutral(), ty),
        };
        let acc = b.var("acc", start);
        row.each(|step| acc.set(kind.combine(acc.get(), b.load(t, &step.at))));
        let all = row.combine(acc.get(), |a, c| kind.combine(a, c));
        row.once(|| out.store(b, &[row.at[0]], Some(kind.finish(all, count))));
    });
    l.kernels.push(k.finish((outer * pieces) as u64));
    Ok(())
}

/// A reduction over nothing: the neutral element everywhere.
fn empty(l: &mut Lowering<'_>, kind: Kind, dtype: DType) -> Result<()> {
    Map::new("fill", 0, []).lower(
        l,
        |_, _| Ok(()),
        |b, (), _, axis| {
            let neutral = || b.lit_like(kind.neutral(), value_type(dtype, axis));
            let v = neutral();
            match kind {
                // 0 / 0: the mean of nothing is no number
                Kind::Mean => v / neutral(),
                Kind::LogSumExp => v.log(),
                _ => kind.finish(v, 1),
            }
        },
    )
}

/// A reduction over no axes: a map.
fn elements(l: &mut Lowering<'_>, kind: Kind) -> Result<()> {
    let flops = l.own_shape(0).elems() as u64;
    Map::new("reduce_none", flops, []).lower(
        l,
        |l, k| Input::of(l, k, 0),
        |b, x, at, axis| kind.finish(kind.term(x.lanes(b, at, axis)), 1),
    )
}
