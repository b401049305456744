//! Reductions over axes.

use crate::data::{Int, Num, for_each_coord, sample, sample_f32};
use crate::def::{Accuracy, Case, InferCtx, OpDef, RefCtx, ai};
use crate::import::ImportCtx;
use crate::{Result, by_class};
use drift_ir::{Attr, Attrs, DType, PointwiseOp, Shape, Tensor, ValueId};

/// Attributes: `kind` (`sum`, `mean`, `max`, `min`, `prod`, `l1`, `l2`, `sum_square`, `log_sum`,
/// `log_sum_exp`), `axes` (sorted, normalized), `keepdims` (0 or 1).
pub static OP: OpDef = OpDef {
    name: "reduce",
    onnx: &[
        ai("ReduceSum"),
        ai("ReduceMean"),
        ai("ReduceMax"),
        ai("ReduceMin"),
        ai("ReduceProd"),
        ai("ReduceL1"),
        ai("ReduceL2"),
        ai("ReduceSumSquare"),
        ai("ReduceLogSum"),
        ai("ReduceLogSumExp"),
    ],
    import,
    infer,
    reference,
    accuracy: Accuracy::SUMMED,
    cases,
};

const KINDS: [(&str, &str); 10] = [
    ("ReduceSum", "sum"),
    ("ReduceMean", "mean"),
    ("ReduceMax", "max"),
    ("ReduceMin", "min"),
    ("ReduceProd", "prod"),
    ("ReduceL1", "l1"),
    ("ReduceL2", "l2"),
    ("ReduceSumSquare", "sum_square"),
    ("ReduceLogSum", "log_sum"),
    ("ReduceLogSumExp", "log_sum_exp"),
];

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let x = c.input(0)?;
    let rank = c.rank(x);
    let kind = KINDS.iter().find(|k| k.0 == c.op_type).map_or("", |k| k.1);
    let given = match c.attrs.get("axes") {
        Some(Attr::Ints(v)) => Some(v.clone()),
        _ => c.const_i64s(1, "axes")?,
    };
    let axes = match given {
        Some(a) if !a.is_empty() => c.axes(&a, rank)?,
        _ if c.attrs.int("noop_with_empty_axes", 0) != 0 => Vec::new(),
        _ => (0..rank).collect(),
    };
    if axes.is_empty() && matches!(kind, "sum" | "mean" | "max" | "min" | "prod") {
        return Ok(vec![x]);
    }
    if c.dtype(x) == DType::Bool {
        let x = c.cast(x, DType::U8)?;
        let y = emit(c, kind, x, axes, c.attrs.int("keepdims", 1) != 0)?;
        return Ok(vec![c.pointwise(PointwiseOp::Cast, &[y.into()], DType::Bool)?]);
    }
    let keep = c.attrs.int("keepdims", 1) != 0;
    Ok(vec![emit(c, kind, x, axes, keep)?])
}

/// A `reduce` node.
pub fn emit(
    c: &mut ImportCtx,
    kind: &str,
    x: ValueId,
    mut axes: Vec<usize>,
    keep: bool,
) -> Result<ValueId> {
    axes.sort_unstable();
    let attrs =
        Attrs::new().with("kind", kind).with("axes", axes).with("keepdims", i64::from(keep));
    c.emit("reduce", attrs, &[x])
}

fn axes_of(attrs: &Attrs, rank: usize) -> Option<Vec<usize>> {
    let axes = attrs.usizes("axes")?;
    let sorted = axes.windows(2).all(|w| w[0] < w[1]);
    (sorted && axes.iter().all(|a| *a < rank)).then_some(axes)
}

fn infer(c: &InferCtx) -> Result<Vec<(DType, Shape)>> {
    let x = c.shape(0)?;
    let axes = axes_of(c.attrs, x.rank())
        .ok_or_else(|| c.invalid(format!("axes are not sorted axes of {x}")))?;
    let kind = c.attrs.str("kind").unwrap_or("");
    if !KINDS.iter().any(|k| k.1 == kind) {
        return Err(c.invalid(format!("kind {kind:?} is not known")));
    }
    let keep = c.attrs.int("keepdims", 1) != 0;
    let out = (0..x.rank())
        .filter(|i| keep || !axes.contains(i))
        .map(|i| if axes.contains(&i) { 1 } else { x[i] })
        .collect::<Vec<_>>();
    Ok(vec![(c.dtype(0)?, Shape(out))])
}

fn reference(c: &RefCtx) -> Result<Vec<Tensor>> {
    let x = c.tensor(0)?;
    let axes = axes_of(c.attrs, x.shape.rank()).ok_or_else(|| c.invalid("bad axes"))?;
    let kind = c.attrs.str("kind").unwrap_or("");
    let (dtype, shape) = &c.results[0];
    Ok(vec![by_class!(dtype, compute(x, kind, &axes, *dtype, shape))])
}

/// What the definition needs beyond arithmetic.
trait Reducible: Num {
    const LOWEST: Self;
    const HIGHEST: Self;
    fn is_nan(self) -> bool;
    fn of_f64(v: f64) -> Self;
}

impl Reducible for f64 {
    const LOWEST: f64 = f64::NEG_INFINITY;
    const HIGHEST: f64 = f64::INFINITY;
    fn is_nan(self) -> bool {
        f64::is_nan(self)
    }
    fn of_f64(v: f64) -> f64 {
        v
    }
}

impl Reducible for Int {
    const LOWEST: Int = Int(i64::MIN);
    const HIGHEST: Int = Int(i64::MAX);
    fn is_nan(self) -> bool {
        false
    }
    fn of_f64(v: f64) -> Int {
        Int(v as i64)
    }
}

fn compute<T: Reducible>(
    x: &Tensor,
    kind: &str,
    axes: &[usize],
    dtype: DType,
    shape: &Shape,
) -> Tensor {
    let v = T::read(x);
    let kept: Vec<usize> = (0..x.shape.rank()).filter(|i| !axes.contains(i)).collect();
    let group = |coord: &[usize]| kept.iter().fold(0, |i, &a| i * x.shape[a] + coord[a]);
    let n = shape.elems();
    let count: usize = axes.iter().map(|a| x.shape[*a]).product();
    let start = match kind {
        "prod" => T::ONE,
        "max" => T::LOWEST,
        "min" => T::HIGHEST,
        _ => T::ZERO,
    };
    // log_sum_exp subtracts the group's maximum first
    let mut peak = vec![0.0f64; 0];
    if kind == "log_sum_exp" {
        peak = vec![f64::NEG_INFINITY; n];
        for_each_coord(&x.shape, |i, coord| {
            let p = &mut peak[group(coord)];
            *p = p.max(v[i].to_f64());
        });
        peak.iter_mut().filter(|p| !p.is_finite()).for_each(|p| *p = 0.0);
    }
    let mut acc = vec![start; n];
    let mut exps = vec![0.0f64; if kind == "log_sum_exp" { n } else { 0 }];
    for_each_coord(&x.shape, |i, coord| {
        let g = group(coord);
        let (a, x) = (acc[g], v[i]);
        acc[g] = match kind {
            "prod" => a * x,
            "max" if a.is_nan() || x.is_nan() || a > x => {
                if x.is_nan() {
                    x
                } else {
                    a
                }
            }
            "min" if a.is_nan() || x.is_nan() || a < x => {
                if x.is_nan() {
                    x
                } else {
                    a
                }
            }
            "max" | "min" => x,
            "l1" => a + if x < T::ZERO { T::ZERO - x } else { x },
            "l2" | "sum_square" => a + x * x,
            "log_sum_exp" => {
                exps[g] += (x.to_f64() - peak[g]).exp();
                a
            }
            _ => a + x,
        };
    });
    let finish = |g: usize, a: T| match kind {
        "mean" => T::of_f64(a.to_f64() / count as f64),
        "l2" => T::of_f64(a.to_f64().sqrt()),
        "log_sum" => T::of_f64(a.to_f64().ln()),
        "log_sum_exp" => T::of_f64(exps[g].ln() + peak[g]),
        _ => a,
    };
    let out: Vec<T> = acc.iter().enumerate().map(|(g, a)| finish(g, *a)).collect();
    T::write(dtype, shape, &out)
}

fn cases() -> Vec<Case> {
    let attrs = |kind: &str, axes: &[i64], keep: i64| {
        Attrs::new().with("kind", kind).with("axes", axes.to_vec()).with("keepdims", keep)
    };
    let mut out = Vec::new();
    for (_, kind) in KINDS {
        let mut x = sample_f32(1, [3, 4, 5]);
        if kind == "log_sum" {
            let v: Vec<f32> = x.to_f32s().iter().map(|x| x.abs() + 0.1).collect();
            x = Tensor::from_f32([3, 4, 5], &v);
        }
        out.push(Case::new(format!("{kind} last"), attrs(kind, &[2], 1), vec![x.clone()]));
        out.push(Case::new(format!("{kind} outer"), attrs(kind, &[0, 2], 0), vec![x]));
    }
    let image = sample_f32(2, [2, 6, 7, 7]);
    out.push(Case::new("mean spatial", attrs("mean", &[2, 3], 1), vec![image]));
    out.push(Case::new("sum long row", attrs("sum", &[1], 0), vec![sample_f32(3, [2, 700])]));
    let ints = sample(4, DType::I32, [4, 6]);
    out.push(Case::new("max i32", attrs("max", &[1], 0), vec![ints]));
    out
}
