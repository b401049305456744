//! Views: zero-cost coordinate changes between a consumer and the value it reads.

use crate::Shape;
use std::fmt;

/// One step of a view. It maps coordinates of its *result* (nearer the consumer) to coordinates
/// of its *source* (nearer the stored value).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ViewStep {
    /// Same elements in row-major order under another shape.
    Reshape { shape: Shape },
    /// `result[i0, i1, ..] = source[..]` where result axis `k` is source axis `perm[k]`.
    Transpose { perm: Vec<usize> },
    /// `source[axis] = starts[axis] + steps[axis] * result[axis]`; steps may be negative.
    Slice { starts: Vec<usize>, sizes: Vec<usize>, steps: Vec<i64> },
    /// Numpy broadcast to `shape` (leading axes may be added; source dims of 1 repeat).
    Broadcast { shape: Shape },
}

/// A chain of steps, the first applied to the stored value, the last giving what the consumer sees.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct View {
    pub steps: Vec<ViewStep>,
}

impl ViewStep {
    /// Shape after this step on a source of shape `source`; `None` when it does not apply.
    pub fn apply(&self, source: &Shape) -> Option<Shape> {
        match self {
            ViewStep::Reshape { shape } => {
                (shape.checked_elems()? == source.elems()).then(|| shape.clone())
            }
            ViewStep::Transpose { perm } => {
                let mut seen = vec![false; source.rank()];
                if perm.len() != source.rank() {
                    return None;
                }
                for &p in perm {
                    if p >= seen.len() || std::mem::replace(&mut seen[p], true) {
                        return None;
                    }
                }
                Some(Shape(perm.iter().map(|&p| source[p]).collect()))
            }
            ViewStep::Slice { starts, sizes, steps } => {
                let rank = source.rank();
                if starts.len() != rank || sizes.len() != rank || steps.len() != rank {
                    return None;
                }
                for i in 0..rank {
                    if sizes[i] == 0 {
                        continue;
                    }
                    let last = starts[i] as i128 + (sizes[i] as i128 - 1) * i128::from(steps[i]);
                    if starts[i] >= source[i] || last < 0 || last >= source[i] as i128 {
                        return None;
                    }
                }
                Some(Shape(sizes.clone()))
            }
            ViewStep::Broadcast { shape } => {
                if shape.rank() < source.rank() {
                    return None;
                }
                let pad = shape.rank() - source.rank();
                let fits =
                    (0..source.rank()).all(|i| source[i] == 1 || source[i] == shape[i + pad]);
                fits.then(|| shape.clone())
            }
        }
    }
}

impl View {
    pub fn identity() -> View {
        View::default()
    }

    pub fn is_identity(&self) -> bool {
        self.steps.is_empty()
    }

    /// Shape the consumer sees of a value of shape `source`; `None` when a step does not apply.
    pub fn apply(&self, source: &Shape) -> Option<Shape> {
        self.steps.iter().try_fold(source.clone(), |s, step| step.apply(&s))
    }

    /// This view followed by one more step (towards the consumer).
    #[must_use]
    pub fn then(mut self, step: ViewStep) -> View {
        self.steps.push(step);
        self
    }

    /// `inner` (applied to the value first) followed by `self`.
    #[must_use]
    pub fn after(&self, inner: &View) -> View {
        View { steps: inner.steps.iter().chain(&self.steps).cloned().collect() }
    }

    /// Shapes before each step and after the last: `steps.len() + 1` entries.
    pub fn shapes(&self, source: &Shape) -> Option<Vec<Shape>> {
        let mut out = vec![source.clone()];
        for step in &self.steps {
            let next = step.apply(out.last()?)?;
            out.push(next);
        }
        Some(out)
    }

    /// Source coordinates of one consumer coordinate (row-major integer evaluation; the host-side
    /// twin of what the kernel compiler does on expressions).
    pub fn source_coord(&self, source: &Shape, coord: &[usize]) -> Option<Vec<usize>> {
        let shapes = self.shapes(source)?;
        let mut c = coord.to_vec();
        for (k, step) in self.steps.iter().enumerate().rev() {
            let (from, to) = (&shapes[k], &shapes[k + 1]);
            c = match step {
                ViewStep::Reshape { .. } => {
                    let mut linear = 0;
                    for (d, x) in to.iter().zip(&c) {
                        linear = linear * d + x;
                    }
                    let mut out = vec![0; from.rank()];
                    for i in (0..from.rank()).rev() {
                        out[i] = linear % from[i].max(1);
                        linear /= from[i].max(1);
                    }
                    out
                }
                ViewStep::Transpose { perm } => {
                    let mut out = vec![0; from.rank()];
                    for (i, &p) in perm.iter().enumerate() {
                        out[p] = c[i];
                    }
                    out
                }
                ViewStep::Slice { starts, steps, .. } => (0..from.rank())
                    .map(|i| (starts[i] as i64 + steps[i] * c[i] as i64) as usize)
                    .collect(),
                ViewStep::Broadcast { .. } => {
                    let pad = to.rank() - from.rank();
                    (0..from.rank()).map(|i| if from[i] == 1 { 0 } else { c[i + pad] }).collect()
                }
            };
        }
        Some(c)
    }
}

fn list<T: fmt::Display>(f: &mut fmt::Formatter<'_>, items: &[T]) -> fmt::Result {
    f.write_str("[")?;
    for (i, x) in items.iter().enumerate() {
        if i > 0 {
            f.write_str(",")?;
        }
        write!(f, "{x}")?;
    }
    f.write_str("]")
}

impl fmt::Display for ViewStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ViewStep::Reshape { shape } => write!(f, "reshape{shape}"),
            ViewStep::Transpose { perm } => {
                f.write_str("transpose")?;
                list(f, perm)
            }
            ViewStep::Slice { starts, sizes, steps } => {
                f.write_str("slice(")?;
                list(f, starts)?;
                f.write_str(",")?;
                list(f, sizes)?;
                f.write_str(",")?;
                list(f, steps)?;
                f.write_str(")")
            }
            ViewStep::Broadcast { shape } => write!(f, "broadcast{shape}"),
        }
    }
}

/// Printed as `.step.step`, nothing for the identity.
impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.steps.iter().try_for_each(|s| write!(f, ".{s}"))
    }
}
