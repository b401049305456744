//! Padding with a constant, the edge, a reflection or the other end.

use super::Lowering;
use super::map::{Input, Map, all, value_type};
use crate::Result;
use drift_kernel::E;

/// Lowers a `pad` node.
pub fn lower(l: &mut Lowering<'_>) -> Result<()> {
    let x = l.shape(0)?;
    let rank = x.rank();
    let pads = l.node.attrs.usizes("pads").filter(|p| p.len() == 2 * rank);
    let pads = pads.ok_or_else(|| l.unsupported("its pads are malformed"))?;
    let mode = l.node.attrs.str("mode").unwrap_or("constant").to_owned();
    let value = l.node.attrs.float("value", 0.0);
    let padded: Vec<usize> = (0..rank).filter(|&a| pads[a] + pads[rank + a] > 0).collect();
    if x.elems() == 0 {
        let dtype = l.dtype(0).unwrap_or(drift_ir::DType::F32);
        return Map::new("fill", 0, []).lower(
            l,
            |_, _| Ok(()),
            |b, (), _, axis| b.lit_like(value, value_type(dtype, axis)),
        );
    }
    Map::new("pad", 0, padded.clone()).lower(
        l,
        |l, k| Input::of(l, k, 0),
        |b, input, at, lanes| {
            let mut from = at.to_vec();
            let mut inside = Vec::new();
            for &a in &padded {
                let (begin, n) = (pads[a] as u32, x[a] as u32);
                let c = at[a];
                from[a] = match mode.as_str() {
                    "edge" => c.max(begin).min(begin + n - 1) - begin,
                    // shifted by whole periods, so that nothing is negative
                    "wrap" => (c + (n - begin % n) % n) % n,
                    "reflect" if n == 1 => b.u32(0),
                    "reflect" => {
                        let period = 2 * (n - 1);
                        let m = (c + (period - begin % period) % period) % period;
                        let back: E<'_> = b.u32(period) - m;
                        m.min(back)
                    }
                    _ => {
                        let low = (begin > 0).then(|| c.ge(begin));
                        let high = (pads[rank + a] > 0).then(|| c.lt(begin + n));
                        inside.push(all([low, high]));
                        c.max(begin).min(begin + n - 1) - begin
                    }
                };
                from[a] = b.assume_max(from[a], u64::from(n - 1));
            }
            let v = input.lanes(b, &from, lanes);
            match all(inside) {
                Some(inside) => b.select(inside, v, b.lit_like(value, v.ty())),
                None => v,
            }
        },
    )
}
