//! Element-wise bodies: what a fused epilogue (or a `pointwise` node) computes per element.

use std::fmt;

macro_rules! pointwise_ops {
    ($($name:ident $text:literal $arity:literal,)*) => {
        /// Element-wise operators. Comparison and logic results are bool; `Where` takes
        /// (condition, yes, no).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum PointwiseOp { $($name,)* }

        impl PointwiseOp {
            pub const ALL: &'static [PointwiseOp] = &[$(PointwiseOp::$name,)*];
            pub const fn name(self) -> &'static str { match self { $(PointwiseOp::$name => $text,)* } }
            pub const fn arity(self) -> usize { match self { $(PointwiseOp::$name => $arity,)* } }
            pub fn from_name(name: &str) -> Option<PointwiseOp> {
                PointwiseOp::ALL.iter().copied().find(|o| o.name() == name)
            }
        }
    };
}

pointwise_ops! {
    Add "add" 2, Sub "sub" 2, Mul "mul" 2, Div "div" 2, Pow "pow" 2, Min "min" 2, Max "max" 2,
    // remainder with the sign of the divisor (ONNX Mod fmod=0) and of the dividend (fmod=1)
    FloorMod "floor_mod" 2, TruncMod "trunc_mod" 2,
    Equal "equal" 2, Less "less" 2, LessEqual "less_equal" 2, Greater "greater" 2,
    GreaterEqual "greater_equal" 2,
    And "and" 2, Or "or" 2, Xor "xor" 2, Not "not" 1,
    BitAnd "bit_and" 2, BitOr "bit_or" 2, BitXor "bit_xor" 2, BitNot "bit_not" 1,
    ShiftLeft "shift_left" 2, ShiftRight "shift_right" 2,
    Where "where" 3,
    Identity "identity" 1, Neg "neg" 1, Abs "abs" 1, Sign "sign" 1, Reciprocal "reciprocal" 1,
    Floor "floor" 1, Ceil "ceil" 1, Round "round" 1,
    Sqrt "sqrt" 1, Rsqrt "rsqrt" 1, Exp "exp" 1, Log "log" 1,
    Sin "sin" 1, Cos "cos" 1, Tan "tan" 1, Asin "asin" 1, Acos "acos" 1, Atan "atan" 1,
    Sinh "sinh" 1, Cosh "cosh" 1, Asinh "asinh" 1, Acosh "acosh" 1, Atanh "atanh" 1,
    Tanh "tanh" 1, Erf "erf" 1,
    IsNan "is_nan" 1, IsInf "is_inf" 1,
    Relu "relu" 1, Sigmoid "sigmoid" 1, Softplus "softplus" 1, Softsign "softsign" 1,
    Silu "silu" 1, QuickGelu "quick_gelu" 1, Gelu "gelu" 1, GeluTanh "gelu_tanh" 1,
    HardSwish "hard_swish" 1, Mish "mish" 1, Selu "selu" 1,
    // parameters are further arguments (usually constants)
    LeakyRelu "leaky_relu" 2, Elu "elu" 2, Celu "celu" 2, ThresholdedRelu "thresholded_relu" 2,
    PRelu "prelu" 2, HardSigmoid "hard_sigmoid" 3, Clip "clip" 3,
    // conversions: to the dtype of the step's result
    Cast "cast" 1,
}

impl fmt::Display for PointwiseOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Argument of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Arg {
    /// What the node itself computed (the accumulator), before any step. Not used in a `pointwise`
    /// node, which has no main computation.
    Acc,
    /// Result of an earlier step of the body.
    Step(usize),
    /// Element of operand `n` of the node, at the coordinates of the element being stored.
    Operand(usize),
    Const(f64),
}

/// One element-wise operation, with the dtype of its result.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub op: PointwiseOp,
    pub args: Vec<Arg>,
    pub dtype: crate::DType,
}

/// A small straight-line program over one element. The node's stored results are `results`
/// (one per result value; a plain epilogue has exactly one).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Body {
    pub steps: Vec<Step>,
    pub results: Vec<Arg>,
}

impl Body {
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}
