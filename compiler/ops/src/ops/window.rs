//! HannWindow, HammingWindow, BlackmanWindow: constants.

use crate::Result;
use crate::def::{OpDef, ai, composite};
use crate::import::{ImportCtx, onnx_dtype};
use drift_ir::{Tensor, ValueId};

pub static OP: OpDef =
    composite("window", &[ai("HannWindow"), ai("HammingWindow"), ai("BlackmanWindow")], import);

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let size = c.const_int(0, "the size")?.ok_or_else(|| c.invalid("the size is missing"))?;
    let n = usize::try_from(size)
        .ok()
        .filter(|n| *n <= 1 << 24)
        .ok_or_else(|| c.invalid(format!("a window of {size} elements")))?;
    let dtype = onnx_dtype(c, c.attrs.int("output_datatype", 1))?;
    let period = match c.attrs.int("periodic", 1) {
        0 => n as f64 - 1.0,
        _ => n as f64,
    };
    // cosine sums; Hamming's coefficients are those of the ONNX definition
    let a: [f64; 3] = match c.op_type.as_str() {
        "HannWindow" => [0.5, -0.5, 0.0],
        "HammingWindow" => [25.0 / 46.0, -21.0 / 46.0, 0.0],
        _ => [0.42, -0.5, 0.08],
    };
    let v: Vec<f64> = (0..n)
        .map(|i| {
            let t = std::f64::consts::TAU * i as f64 / period;
            a[0] + a[1] * t.cos() + a[2] * (2.0 * t).cos()
        })
        .collect();
    Ok(vec![c.add_const(Tensor::from_f64s(dtype, [n], &v))])
}
