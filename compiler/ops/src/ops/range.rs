//! Range: its operands must be constants, so the result is one.

use crate::Result;
use crate::def::{OpDef, composite, since};
use crate::import::ImportCtx;
use drift_ir::{Tensor, ValueId};

/// More elements are a mistake in the model.
const LIMIT: usize = 1 << 24;

pub static OP: OpDef = composite("range", &[since("Range", 11)], import);

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let dtype = c.dtype(c.input(0)?);
    let too_long =
        |c: &ImportCtx| c.invalid(format!("more than {LIMIT} elements")).help("check the limits");
    let tensor = if dtype.is_float() {
        let get = |i, what| -> Result<f64> {
            c.const_float(i, what)?.ok_or_else(|| c.invalid(format!("{what} is missing")))
        };
        let (start, limit, delta) = (get(0, "start")?, get(1, "limit")?, get(2, "delta")?);
        let n = ((limit - start) / delta).ceil();
        if n.is_nan() || delta == 0.0 {
            return Err(c.invalid(format!("no range from {start} to {limit} by {delta}")));
        }
        if n > LIMIT as f64 {
            return Err(too_long(c));
        }
        let v: Vec<f64> = (0..n.max(0.0) as usize).map(|i| start + i as f64 * delta).collect();
        Tensor::from_f64s(dtype, [v.len()], &v)
    } else {
        let get = |i, what| -> Result<i128> {
            let v = c.const_int(i, what)?;
            v.map(i128::from).ok_or_else(|| c.invalid(format!("{what} is missing")))
        };
        let (start, limit, delta) = (get(0, "start")?, get(1, "limit")?, get(2, "delta")?);
        if delta == 0 {
            return Err(c.invalid("delta is 0"));
        }
        let span = if delta > 0 { limit - start } else { start - limit };
        let n = if span <= 0 { 0 } else { (span as u128).div_ceil(delta.unsigned_abs()) };
        if n > LIMIT as u128 {
            return Err(too_long(c));
        }
        let v: Vec<i64> = (0..n as i128).map(|i| (start + i * delta) as i64).collect();
        Tensor::from_i64s(dtype, [v.len()], &v)
    };
    Ok(vec![c.add_const(tensor)])
}
