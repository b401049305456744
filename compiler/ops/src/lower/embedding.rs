//! Rows of a weight matrix by token or position. Where the matrix is read in parts, each kernel
//! writes those rows of the result that come from its part.

use super::linear::weights::Weights;
use super::map::{Input, Map};
use super::row_parts::{self, Rows};
use super::{KernelArgs, Lowering};
use crate::Result;
use crate::ops::embedding::{DATA, PARAMS, SCALES, TOKENS};
use crate::ops::linear::matrix_attrs;
use drift_kernel::{Builder, E, Scalar};

struct Args {
    tokens: Option<Input>,
    params: Input,
    w: Weights,
    /// Rows of the whole matrix, and those of them that are read here (all: `None`).
    n: usize,
    rows: Option<Rows>,
    scale: f32,
}

/// Lowers an `embedding` node: one invocation per element, or per four neighbours.
pub fn lower(l: &mut Lowering<'_>) -> Result<()> {
    match row_parts::parts(l, &[DATA, SCALES]) {
        None => lower_one(l),
        Some(parts) => parts.into_iter().try_for_each(|rows| {
            l.rows = Some(rows);
            lower_one(l)
        }),
    }
}

fn lower_one(l: &mut Lowering<'_>) -> Result<()> {
    let (scheme, n, columns) = matrix_attrs(&l.node.attrs).map_err(|e| l.unsupported(e))?;
    let flops = l.own_shape(0).elems() as u64;
    let args = move |l: &Lowering<'_>, k: &KernelArgs| -> Result<Args> {
        let tokens = if l.has(TOKENS) { Some(Input::of(l, k, TOKENS)?) } else { None };
        let params = Input::of(l, k, PARAMS)?;
        let here = l.rows.map_or(n, |rows| rows.count);
        let w = Weights::of(l, k, DATA, (scheme, here, columns))?;
        let scale = l.node.attrs.float("scale", 1.0) as f32;
        Ok(Args { tokens, params, w, n, rows: l.rows, scale })
    };
    let map = Map::new("embedding", flops, []);
    map.lower_where(l, args, Args::here, |b, args, at, axis| {
        let row = args.row(b, at[0]);
        let row = args.rows.map_or(row, |rows| rows.local(b, row));
        match axis {
            // four neighbours along the columns; rows are no lanes of a row-major result
            Some(_) => args.w.four(b, row, at[1]) * args.scale,
            None => {
                let first = at[1] / 4u32 * 4u32;
                args.w.four(b, row, first).lane_dyn(at[1] - first) * args.scale
            }
        }
    })
}

impl Args {
    /// The row of the matrix for row `r` of the step.
    fn row<'b>(&self, b: &'b Builder, r: E<'b>) -> E<'b> {
        let position = self.params.index(b, &[b.u32(0)]) + r.cast(Scalar::I32);
        let id = match &self.tokens {
            None => position,
            Some(tokens) => tokens.index(b, &[inside(b, position, tokens.shape[0])]),
        };
        inside(b, id, self.n)
    }

    /// Whether the row of the matrix for the row `at[0]` of the step is read here.
    fn here<'b>(b: &'b Builder, args: &Args, at: &[E<'b>]) -> Option<E<'b>> {
        args.rows.map(|rows| rows.contain(args.row(b, at[0])))
    }
}

/// An i32 index moved into `0..n`.
fn inside<'b>(b: &'b Builder, i: E<'b>, n: usize) -> E<'b> {
    let last = n as i32 - 1;
    b.assume_max(i.clamp(0i32, last).cast(Scalar::U32), last as u64)
}
