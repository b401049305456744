//! What an operator is: [`OpDef`], and the contexts its functions see.

use crate::import::ImportCtx;
use crate::{OpError, Result};
use drift_ir::{Attrs, Body, DType, Shape, Tensor};

/// The most elements a value may have. More is a mistake in the model (or an attack), and is
/// refused before anything is allocated.
pub const MAX_ELEMS: usize = 1 << 34;

/// Type of a value: element type and dims.
pub type TensorType = (DType, Shape);

/// One operator of the IR, or one ONNX operator that import spells with other IR operators.
#[derive(Debug)]
pub struct OpDef {
    /// Name in the IR, snake_case.
    pub name: &'static str,
    /// ONNX operators that this file imports.
    pub onnx: &'static [OnnxName],
    /// ONNX node -> IR nodes; the values of the ONNX node's outputs, in order.
    pub import: fn(&mut ImportCtx) -> Result<Vec<drift_ir::ValueId>>,
    /// Types of the results.
    pub infer: fn(&InferCtx) -> Result<Vec<TensorType>>,
    /// The definition: f64 for floats, exact for integers, rounded once to the result's dtype.
    pub reference: fn(&RefCtx) -> Result<Vec<Tensor>>,
    pub accuracy: Accuracy,
    /// Small operands on which every back end is compared with `reference`.
    pub cases: fn() -> Vec<Case>,
}

/// An ONNX operator in a range of opset versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnnxName {
    /// `""` is ai.onnx.
    pub domain: &'static str,
    pub name: &'static str,
    pub since: i64,
    /// Last opset version with a meaning known here.
    pub until: i64,
}

pub const MICROSOFT: &str = "com.microsoft";

/// An ai.onnx operator from its first version on.
pub const fn ai(name: &'static str) -> OnnxName {
    since(name, 1)
}

pub const fn since(name: &'static str, since: i64) -> OnnxName {
    OnnxName { domain: "", name, since, until: i64::MAX }
}

/// A contrib operator of onnxruntime.
pub const fn ms(name: &'static str) -> OnnxName {
    OnnxName { domain: MICROSOFT, name, since: 1, until: i64::MAX }
}

/// An ONNX operator that import writes as other operators; it never is a node of a graph.
pub const fn composite(
    name: &'static str,
    onnx: &'static [OnnxName],
    import: fn(&mut ImportCtx) -> Result<Vec<drift_ir::ValueId>>,
) -> OpDef {
    OpDef {
        name,
        onnx,
        import,
        infer: |c| Err(c.invalid("is written as other operators at import and cannot be a node")),
        reference: |c| Err(c.invalid("is written as other operators at import")),
        accuracy: Accuracy::EXACT,
        cases: Vec::new,
    }
}

impl OpDef {
    pub fn import_only(&self) -> bool {
        (self.cases)().is_empty()
    }
}

/// The largest error a back end may show against the reference, relative to the largest
/// absolute value of the reference result, in f32.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Accuracy {
    pub f32: f64,
    pub reason: &'static str,
}

impl Accuracy {
    pub const EXACT: Accuracy = Accuracy { f32: 0.0, reason: "moves or compares elements" };
    pub const ROUNDED: Accuracy =
        Accuracy { f32: 1e-6, reason: "a few correctly rounded f32 operations per element" };
    pub const SUMMED: Accuracy =
        Accuracy { f32: 1e-5, reason: "f32 sums in another order than the reference" };
    pub const APPROXIMATED: Accuracy = Accuracy {
        f32: 5e-5,
        reason: "built-in functions of shading languages (exp, log, sin, pow) have absolute \
                 errors up to about 2^-15 of their range",
    };

    /// The tolerance when values are stored as `dtype`.
    pub fn tolerance(&self, dtype: DType) -> f64 {
        match dtype {
            DType::F16 => self.f32.max(2e-3),
            DType::BF16 => self.f32.max(1.6e-2),
            d if d.is_float() => self.f32,
            _ => 0.0,
        }
    }
}

/// Operands on which an operator is tried.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: String,
    pub attrs: Attrs,
    pub operands: Vec<Option<Tensor>>,
    /// The program of a `pointwise` node; empty elsewhere.
    pub body: Body,
}

impl Case {
    pub fn new(name: impl Into<String>, attrs: Attrs, operands: Vec<Tensor>) -> Case {
        let operands = operands.into_iter().map(Some).collect();
        Case { name: name.into(), attrs, operands, body: Body::default() }
    }
}

/// What shape inference sees: attributes and the operands' types (after their views).
#[derive(Clone, Debug)]
pub struct InferCtx<'a> {
    pub op: &'a str,
    pub path: &'a str,
    pub attrs: &'a Attrs,
    pub operands: &'a [Option<(DType, Shape)>],
    pub body: &'a Body,
}

/// What the reference sees: operands (after their views) and the inferred result types.
#[derive(Clone, Debug)]
pub struct RefCtx<'a> {
    pub op: &'a str,
    pub path: &'a str,
    pub attrs: &'a Attrs,
    pub operands: &'a [Option<Tensor>],
    pub results: &'a [(DType, Shape)],
    pub body: &'a Body,
}

impl InferCtx<'_> {
    pub fn invalid(&self, message: impl Into<String>) -> OpError {
        OpError::invalid(self.op, self.path, message)
    }

    pub fn unsupported(&self, message: impl Into<String>) -> OpError {
        OpError::unsupported(self.op, self.path, message)
    }

    pub fn get(&self, i: usize) -> Option<&(DType, Shape)> {
        self.operands.get(i)?.as_ref()
    }

    fn need(&self, i: usize) -> Result<&(DType, Shape)> {
        self.get(i).ok_or_else(|| self.invalid(format!("operand {i} is missing")))
    }

    pub fn shape(&self, i: usize) -> Result<&Shape> {
        Ok(&self.need(i)?.1)
    }

    pub fn dtype(&self, i: usize) -> Result<DType> {
        Ok(self.need(i)?.0)
    }

    /// Operand `i` with a rank of at least `rank`.
    pub fn shape_min_rank(&self, i: usize, rank: usize) -> Result<&Shape> {
        let s = self.shape(i)?;
        if s.rank() < rank {
            return Err(
                self.invalid(format!("operand {i} has shape {s}, but rank {rank} is the least"))
            );
        }
        Ok(s)
    }

    /// The attribute `axis`, already normalized to `0..rank`.
    pub fn axis(&self, rank: usize) -> Result<usize> {
        axis_attr(self.attrs, rank)
            .ok_or_else(|| self.invalid(format!("attribute axis is not within rank {rank}")))
    }

    pub fn usizes(&self, name: &str, len: usize) -> Result<Vec<usize>> {
        match self.attrs.usizes(name) {
            Some(v) if v.len() == len => Ok(v),
            _ => Err(self.invalid(format!("attribute {name} needs {len} sizes"))),
        }
    }

    pub fn ints(&self, name: &str, len: usize) -> Result<&[i64]> {
        match self.attrs.ints(name) {
            Some(v) if v.len() == len => Ok(v),
            _ => Err(self.invalid(format!("attribute {name} needs {len} integers"))),
        }
    }
}

impl<'a> RefCtx<'a> {
    pub fn invalid(&self, message: impl Into<String>) -> OpError {
        OpError::invalid(self.op, self.path, message)
    }

    pub fn unsupported(&self, message: impl Into<String>) -> OpError {
        OpError::unsupported(self.op, self.path, message)
    }

    pub fn get(&self, i: usize) -> Option<&'a Tensor> {
        self.operands.get(i)?.as_ref()
    }

    pub fn tensor(&self, i: usize) -> Result<&'a Tensor> {
        self.get(i).ok_or_else(|| self.invalid(format!("operand {i} is missing")))
    }

    pub fn axis(&self, rank: usize) -> Result<usize> {
        axis_attr(self.attrs, rank)
            .ok_or_else(|| self.invalid(format!("attribute axis is not within rank {rank}")))
    }

    /// An integer-list attribute that inference has checked.
    pub fn usizes(&self, name: &str) -> Vec<usize> {
        self.attrs.usizes(name).unwrap_or_default()
    }

    pub fn result_shape(&self) -> &Shape {
        &self.results[0].1
    }

    /// f64 values rounded into result 0.
    pub fn float_result(&self, v: &[f64]) -> Tensor {
        Tensor::from_f64s(self.results[0].0, self.results[0].1.clone(), v)
    }
}

fn axis_attr(attrs: &Attrs, rank: usize) -> Option<usize> {
    usize::try_from(attrs.int("axis", -1)).ok().filter(|a| *a < rank)
}
