//! The one row of a step that logits are computed of.

use crate::Result;
use crate::data::sample_f32;
use crate::def::{Accuracy, Case, InferCtx, OpDef, RefCtx};
use crate::ops::embedding::{check_params, params};
use drift_ir::{Attrs, DType, Shape, Tensor};

/// Operands: x `[S, D]`; params I32 `[16]`. Result `[1, D]`: with `from` = `"active"` the last
/// active row, `params[1] - 1`; with `"index"` row `params[2]`. Rows beyond the ends mean the
/// first or the last one.
pub static OP: OpDef = OpDef {
    name: "last_row",
    onnx: &[],
    import: |c| Err(c.unsupported("`last_row` is made by model builders")),
    infer,
    reference,
    accuracy: Accuracy::EXACT,
    cases,
};

/// Operands by number.
pub const X: usize = 0;
pub const PARAMS: usize = 1;

/// Element of params that says which row, and what to subtract from it. `Err` says what is wrong.
pub fn place(attrs: &Attrs) -> std::result::Result<(usize, usize), String> {
    match attrs.str("from").unwrap_or("") {
        "active" => Ok((1, 1)),
        "index" => Ok((2, 0)),
        other => Err(format!("attribute from is `{other}`, not `active` or `index`")),
    }
}

fn infer(c: &InferCtx) -> Result<Vec<(DType, Shape)>> {
    place(c.attrs).map_err(|e| c.invalid(e))?;
    let x = c.shape(X)?;
    if x.rank() != 2 || x[0] == 0 {
        return Err(c.invalid(format!("x is {x}, not a matrix of rows")));
    }
    check_params(c, PARAMS)?;
    Ok(vec![(c.dtype(X)?, [1, x[1]].into())])
}

fn reference(c: &RefCtx) -> Result<Vec<Tensor>> {
    let (at, less) = place(c.attrs).map_err(|e| c.invalid(e))?;
    let x = c.tensor(X)?;
    let row = c.tensor(PARAMS)?.to_i64s()[at] - less as i64;
    let row = row.clamp(0, x.shape[0] as i64 - 1) as usize;
    let bytes = x.shape[1] * x.dtype.bytes();
    let data = x.bytes().slice(row * bytes..(row + 1) * bytes);
    Tensor::from_bytes(x.dtype, c.result_shape().clone(), data)
        .map(|t| vec![t])
        .ok_or_else(|| c.invalid("the row does not fill the result"))
}

fn cases() -> Vec<Case> {
    let case = |from: &str, rows: usize, d: usize, p: Tensor| {
        let attrs = Attrs::new().with("from", from);
        let at = p.to_i64s();
        let name = format!("{from} {} {} of {rows}x{d}", at[1], at[2]);
        Case::new(name, attrs, vec![sample_f32(1, [rows, d]), p])
    };
    vec![
        case("active", 5, 12, params(7, 3, 0)),
        case("active", 1, 7, params(0, 1, 0)),
        // no active row, and more than there are
        case("active", 3, 8, params(0, 0, 0)),
        case("active", 3, 8, params(0, 9, 0)),
        case("index", 6, 10, params(2, 1, 4)),
    ]
}
