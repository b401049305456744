//! Rotary position embedding, in the two spellings of ONNX: pairs of elements of a head are turned by
//! an angle that grows with the position (Su et al., RoFormer, arXiv 2104.09864).
//!
//! The turn is one element-wise step over two views: `x * cos + flip(x) * sin`, where `flip` exchanges
//! the two of each pair and the sign of the first sine of a pair is in the table.

use crate::Result;
use crate::def::{OpDef, composite, ms, since};
use crate::import::ImportCtx;
use drift_ir::{Attrs, DType, PointwiseOp as P, Shape, Tensor, ValueId};

pub static OP: OpDef =
    composite("rotary_embedding", &[since("RotaryEmbedding", 23), ms("RotaryEmbedding")], import);

/// Cosines and signed sines `[.., 2, h]`, or `[.., h, 2]` where pairs are neighbours (the axis of 2 is
/// 1 in the cosines, which are the same for both).
#[derive(Clone, Copy, Debug)]
pub struct Angles {
    pub cos: ValueId,
    pub sin: ValueId,
    pub interleaved: bool,
}

impl Angles {
    /// From tables `[.., h]` of cosines and sines.
    pub fn of(c: &mut ImportCtx, cos: ValueId, sin: ValueId, interleaved: bool) -> Result<Angles> {
        let shape = c.shape(cos);
        if shape != c.shape(sin) || shape.rank() < 2 || !c.dtype(cos).is_float() {
            return Err(c.invalid(format!(
                "the cosines {shape} and sines {} do not fit together",
                c.shape(sin)
            )));
        }
        let rank = shape.rank();
        let pair = if interleaved { rank } else { rank - 1 };
        let mut one = shape.0;
        one.insert(pair, 1);
        let cos = c.reshape(cos, one.clone())?;
        let sin = c.reshape(sin, one)?;
        let negative = c.unary(P::Neg, sin)?;
        let axis = Attrs::new().with("axis", pair as i64);
        let sin = c.emit("concat", axis, &[negative, sin])?;
        Ok(Angles { cos, sin, interleaved })
    }

    /// The rows of the tables `[M, ..]` at `positions`, integers `[B, S]`: `[B, S, ..]`.
    pub fn at(self, c: &mut ImportCtx, positions: ValueId) -> Result<Angles> {
        let attrs = || Attrs::new().with("axis", 0i64);
        let cos = c.emit("gather", attrs(), &[self.cos, positions])?;
        let sin = c.emit("gather", attrs(), &[self.sin, positions])?;
        Ok(Angles { cos, sin, ..self })
    }

    /// Turns the first `2 h` elements of each head of `x [B, H, S, d]` by angles `[B or 1, S, ..]`.
    pub fn turn(self, c: &mut ImportCtx, x: ValueId) -> Result<ValueId> {
        let (shape, table) = (c.shape(x), c.shape(self.sin));
        let (pair, half) = if self.interleaved { (4, 3) } else { (3, 4) };
        let fits = shape.rank() == 4
            && table.rank() == 4
            && (table[0] == shape[0] || table[0] == 1)
            && table[1] == shape[2]
            && table[half - 1].checked_mul(2).is_some_and(|n| n <= shape[3]);
        if !fits {
            return Err(c.invalid(format!("angles {table} do not fit heads {shape}")));
        }
        let h = table[half - 1];
        let turned = c.slice_axis(x, 3, 0, 2 * h)?;
        let dtype = c.dtype(x);
        let mut pairs = shape[..3].to_vec();
        pairs.extend(if self.interleaved { [h, 2] } else { [2, h] });
        let even = c.reshape(turned, pairs.clone())?;
        let mut starts = vec![0; 5];
        let mut steps = vec![1; 5];
        (starts[pair], steps[pair]) = (1, -1);
        let odd = c.slice(even, starts, pairs, steps)?;
        // a head axis for the tables
        let headed = |c: &mut ImportCtx, v: ValueId| {
            let mut dims = c.shape(v).0;
            dims.insert(1, 1);
            let v = c.reshape(v, dims)?;
            c.cast(v, dtype)
        };
        let (cos, sin) = (headed(c, self.cos)?, headed(c, self.sin)?);
        let straight = c.binary(P::Mul, even, cos)?;
        let crossed = c.binary(P::Mul, odd, sin)?;
        let y = c.binary(P::Add, straight, crossed)?;
        let y = c.reshape(y, vec![shape[0], shape[1], shape[2], 2 * h])?;
        if 2 * h == shape[3] {
            return Ok(y);
        }
        let rest = c.slice_axis(x, 3, 2 * h, shape[3] - 2 * h)?;
        c.emit("concat", Attrs::new().with("axis", 3i64), &[y, rest])
    }
}

/// Numbers `0..n` as `dims`.
pub fn count(c: &mut ImportCtx, dtype: DType, dims: &[usize]) -> ValueId {
    let n: usize = dims.iter().product();
    let v: Vec<i64> = (0..n as i64).collect();
    c.add_const(Tensor::from_i64s(dtype, Shape::from(dims), &v))
}

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let contrib = !c.domain.is_empty();
    let x = c.input(0)?;
    let [cos, sin, positions] = if contrib { [2, 3, 1] } else { [1, 2, 3] };
    let (cos, sin, positions) = (c.input(cos)?, c.input(sin)?, c.opt(positions));
    if c.attrs.int("is_packed_batching", 0) != 0 {
        return Err(c.unsupported("is_packed_batching (ragged batches)"));
    }
    let shape = c.shape(x);
    let turned = usize::try_from(c.attrs.int("rotary_embedding_dim", 0)).unwrap_or(0);
    let table = c.shape(cos);
    let Some(&half) = table.last() else { return Err(c.invalid("the cosines are a scalar")) };
    if turned != 0 && turned != half.saturating_mul(2) {
        return Err(c.invalid(format!("rotary_embedding_dim is {turned}, the cosines are {table}")));
    }
    let heads = match shape.rank() {
        4 => x,
        3 => {
            let told = usize::try_from(c.attrs.int("num_heads", 0)).unwrap_or(0);
            let heads = match (told, half) {
                (0, 0) => 0,
                // all of a head is turned
                (0, half) => shape[2] / (2 * half),
                (n, _) => n,
            };
            super::attention::parts::split_heads(c, x, heads)?
        }
        _ => return Err(c.invalid(format!("the input is {shape}; it must have rank 3 or 4"))),
    };
    let interleaved = c.attrs.int("interleaved", 0) != 0;
    let angles = Angles::of(c, cos, sin, interleaved)?;
    let (batch, rows) = (c.shape(heads)[0], c.shape(heads)[2]);
    let angles = match positions {
        None => angles,
        Some(p) if *c.shape(p) == [batch, rows] => angles.at(c, p)?,
        Some(p) if contrib && c.shape(p).elems() == 1 => {
            // the position of the first row
            let dtype = c.dtype(p);
            if !dtype.is_int() {
                return Err(c.invalid(format!("position_ids are {dtype}, not integers")));
            }
            let first = c.reshape(p, vec![1, 1])?;
            let row = count(c, dtype, &[1, rows]);
            let p = c.binary(P::Add, first, row)?;
            angles.at(c, p)?
        }
        Some(p) => {
            return Err(c.invalid(format!(
                "position_ids are {}; they must be [{batch}, {rows}]{}",
                c.shape(p),
                if contrib { " or [1]" } else { "" }
            )));
        }
    };
    let y = angles.turn(c, heads)?;
    Ok(vec![if shape.rank() == 4 { y } else { super::attention::parts::join_heads(c, y)? }])
}
