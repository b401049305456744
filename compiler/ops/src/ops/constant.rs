//! Constant and ConstantOfShape.

use crate::Result;
use crate::def::{OpDef, ai, composite};
use crate::import::ImportCtx;
use crate::ops::expand::sizes;
use drift_ir::{Attr, DType, Shape, Tensor, ValueId};

pub static OP: OpDef = composite("constant", &[ai("Constant"), ai("ConstantOfShape")], import);

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    if c.op_type == "ConstantOfShape" {
        let shape = c.const_i64s(0, "the shape")?.ok_or_else(|| c.invalid("no shape"))?;
        let shape = Shape(sizes(c, &shape)?);
        let value = match c.attrs.tensor("value") {
            None => Tensor::from_f32(Shape::scalar(), &[0.0]),
            Some(t) => t
                .reshaped(Shape::scalar())
                .ok_or_else(|| c.invalid("attribute value needs exactly one element"))?,
        };
        let v = c.add_const(value);
        return Ok(vec![c.expand(v, shape)?]);
    }
    let tensor = match c.attrs.0.iter().find(|(k, _)| k.starts_with("value")) {
        Some((_, Attr::Tensor(t))) => t.clone(),
        Some((_, Attr::Int(v))) => Tensor::from_i64(Shape::scalar(), &[*v]),
        Some((_, Attr::Ints(v))) => Tensor::from_i64([v.len()], v),
        Some((_, Attr::Float(v))) => Tensor::from_f64s(DType::F32, Shape::scalar(), &[*v]),
        Some((_, Attr::Floats(v))) => Tensor::from_f64s(DType::F32, [v.len()], v),
        Some((k, Attr::Str(_))) => {
            return Err(c.unsupported(format!("{k}: string constants are not supported")));
        }
        None if c.attrs.get("sparse_value").is_some() => {
            return Err(c.unsupported("sparse constants are not supported"));
        }
        None => return Err(c.invalid("no attribute holds the value")),
    };
    Ok(vec![c.add_const(tensor)])
}
