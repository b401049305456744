//! Element-wise bodies as kernel expressions: the GPU side of `pointwise_eval`.

use super::args::scalar_of;
use drift_ir::{Arg, Body, DType, PointwiseOp};
use drift_kernel::{BinaryOp, Builder, E, Scalar, Type, UnaryOp};

/// Runs `body`; every value is `width` lanes wide. `load(i)` reads operand `i`.
pub fn run<'b>(
    b: &'b Builder,
    body: &Body,
    width: u8,
    acc: Option<E<'b>>,
    load: &dyn Fn(usize) -> E<'b>,
) -> Vec<E<'b>> {
    let mut loaded: Vec<(usize, E<'b>)> = Vec::new();
    let mut results: Vec<E<'b>> = Vec::new();
    let mut operand = |i: usize| match loaded.iter().find(|(n, _)| *n == i) {
        Some((_, e)) => *e,
        None => {
            let e = load(i);
            loaded.push((i, e));
            e
        }
    };
    for step in &body.steps {
        // constants take the type of their partners
        let like = step.args.iter().find_map(|a| match a {
            Arg::Acc => acc,
            Arg::Step(i) => Some(results[*i]),
            Arg::Operand(i) => Some(operand(*i)),
            Arg::Const(_) => None,
        });
        let args: Vec<E<'b>> = step
            .args
            .iter()
            .enumerate()
            .map(|(n, a)| match a {
                Arg::Acc => acc.expect("a body that reads acc belongs to a node that has one"),
                Arg::Step(i) => results[*i],
                Arg::Operand(i) => operand(*i),
                Arg::Const(v) => {
                    // a select's branches have the result's type, whatever its condition is
                    let scalar = match (step.op, like) {
                        (PointwiseOp::Where, _) if n > 0 => scalar_of(step.dtype),
                        (_, Some(e)) => e.ty().vector().scalar,
                        (_, None) => scalar_of(step.dtype),
                    };
                    b.lit_like(*v, Type::vec(scalar, width))
                }
            })
            .collect();
        results.push(apply(b, step.op, &args, step.dtype));
    }
    if body.results.is_empty() {
        return vec![acc.expect("a node without a body stores what it computed")];
    }
    body.results
        .iter()
        .map(|r| match r {
            Arg::Acc => acc.expect("a body that returns acc belongs to a node that has one"),
            Arg::Step(i) => results[*i],
            Arg::Operand(i) => operand(*i),
            Arg::Const(v) => b.lit_like(*v, Type::vec(Scalar::F32, width)),
        })
        .collect()
}

/// Numeric conversion; to bool it is `!= 0`, from bool 0 or 1.
pub fn convert<'b>(b: &'b Builder, e: E<'b>, to: Scalar) -> E<'b> {
    let v = e.ty().vector();
    if v.scalar == to {
        return e;
    }
    if to == Scalar::Bool {
        return e.binary(BinaryOp::Ne, 0.0f32);
    }
    if v.scalar == Scalar::Bool {
        let ty = Type::vec(to, v.width);
        return b.select(e, b.lit_like(1.0, ty), b.lit_like(0.0, ty));
    }
    e.cast(to)
}

/// e^x - 1 without cancellation near 0 (x <= 0 is what the activations need).
fn expm1<'b>(b: &'b Builder, x: E<'b>) -> E<'b> {
    // Taylor to x^6 below 0.25 in magnitude: relative error < 2e-8
    let t = x.fma(1.0 / 720.0, 1.0 / 120.0);
    let t = t.fma(x, 1.0 / 24.0).fma(x, 1.0 / 6.0).fma(x, 0.5).fma(x, 1.0) * x;
    b.select(x.abs().lt(0.25f32), t, x.exp() - 1.0f32)
}

/// ln(1 + x) for x >= 0 without cancellation (Kahan): log(u) * x / (u - 1) with u = 1 + x.
fn log1p<'b>(b: &'b Builder, x: E<'b>) -> E<'b> {
    let u = x + 1.0f32;
    let d = u - 1.0f32;
    let one = b.lit_like(1.0, x.ty());
    let safe = b.select(d.eq(0.0f32), one, d);
    b.select(d.eq(0.0f32), x, u.log() * (x / safe))
}

pub fn sigmoid<'b>(b: &'b Builder, x: E<'b>) -> E<'b> {
    // exp of a large positive number is inf, and 1 / inf = 0: no clamp needed
    b.lit_like(1.0, x.ty()) / ((-x).exp() + 1.0f32)
}

/// Error function to about 1e-7 absolute: the odd Taylor-like rational form of Abramowitz and
/// Stegun 7.1.26 has only 1.5e-7, so small arguments use the series instead.
pub fn erf<'b>(b: &'b Builder, x: E<'b>) -> E<'b> {
    let a = x.abs();
    let x2 = x * x;
    // |x| < 0.75: 2/sqrt(pi) * x * (1 - x^2/3 + x^4/10 - x^6/42 + x^8/216 - x^10/1320 + x^12/9360 - x^14/75600)
    let s = x2.fma(-1.0 / 75600.0, 1.0 / 9360.0);
    let s = s.fma(x2, -1.0 / 1320.0).fma(x2, 1.0 / 216.0).fma(x2, -1.0 / 42.0);
    let s = s.fma(x2, 0.1).fma(x2, -1.0 / 3.0).fma(x2, 1.0);
    let small = s * x * std::f32::consts::FRAC_2_SQRT_PI;
    // elsewhere: 1 - poly(t) * exp(-x^2), t = 1 / (1 + p|x|)
    let t = b.lit_like(1.0, x.ty()) / a.fma(0.327_591_1, 1.0);
    let p = t.fma(1.061_405_4, -1.453_152_1).fma(t, 1.421_413_8);
    let p = p.fma(t, -0.284_496_72).fma(t, 0.254_829_6) * t;
    let large = b.lit_like(1.0, x.ty()) - p * (-x2).exp();
    let large = b.select(x.lt(0.0f32), -large, large);
    b.select(a.lt(0.75f32), small, large)
}

fn tanh<'b>(x: E<'b>) -> E<'b> {
    // some drivers compute (e^2x - 1) / (e^2x + 1): keep e^2x finite
    x.clamp(-15.0f32, 15.0f32).tanh()
}

/// Through atan, which drivers compute well; SPIR-V allows asin and acos 4096 ulp of error.
fn asin<'b>(b: &'b Builder, x: E<'b>) -> E<'b> {
    let one = b.lit_like(1.0, x.ty());
    // at +-1 the root is infinite, and atan(inf) is pi / 2
    (x * ((one - x) * (x + 1.0f32)).rsqrt()).atan()
}

fn acos<'b>(b: &'b Builder, x: E<'b>) -> E<'b> {
    let one = b.lit_like(1.0, x.ty());
    ((one - x) / (x + 1.0f32)).sqrt().atan() * 2.0f32
}

fn softplus<'b>(b: &'b Builder, x: E<'b>) -> E<'b> {
    x.max(0.0f32) + log1p(b, (-x.abs()).exp())
}

fn pow<'b>(b: &'b Builder, x: E<'b>, y: E<'b>) -> E<'b> {
    // GPU pow is exp2(y * log2(x)): undefined for negative x. Sign and zero by hand.
    let magnitude = x.abs().pow(y);
    let even = (y * 0.5f32).floor().eq(y * 0.5f32);
    let whole = y.floor().eq(y);
    let nan = b.lit_like(f64::NAN, x.ty());
    let negative = b.select(whole, b.select(even, magnitude, -magnitude), nan);
    let r = b.select(x.lt(0.0f32), negative, magnitude);
    b.select(y.eq(0.0f32), b.lit_like(1.0, x.ty()), r)
}

fn floor_mod<'b>(b: &'b Builder, x: E<'b>, y: E<'b>) -> E<'b> {
    match x.ty().vector().scalar {
        Scalar::F32 | Scalar::F16 => x - (x / y).floor() * y,
        Scalar::U32 => x % y,
        _ => {
            let r = x % y;
            let zero = b.lit_like(0.0, x.ty());
            let wrong = r.ne(zero).and(r.lt(zero).ne(y.lt(zero)));
            b.select(wrong, r + y, r)
        }
    }
}

/// One element-wise operator on kernel expressions.
pub fn apply<'b>(b: &'b Builder, op: PointwiseOp, a: &[E<'b>], dtype: DType) -> E<'b> {
    use PointwiseOp as P;
    let x = a[0];
    let scalar = x.ty().vector().scalar;
    let one = || b.lit_like(1.0, x.ty());
    let zero = || b.lit_like(0.0, x.ty());
    match op {
        P::Add => x + a[1],
        P::Sub => x - a[1],
        P::Mul => x * a[1],
        P::Div => x / a[1],
        P::Pow => match (scalar.is_float(), a[1].as_f32()) {
            (true, Some(2.0)) => x * x,
            (true, Some(1.0)) => x,
            (true, Some(3.0)) => x * x * x,
            (true, Some(0.5)) => x.sqrt(),
            (true, Some(-1.0)) => one() / x,
            (true, Some(-0.5)) => x.rsqrt(),
            (true, _) => pow(b, x, convert(b, a[1], Scalar::F32)),
            (false, _) => {
                let r = pow(b, convert(b, x, Scalar::F32), convert(b, a[1], Scalar::F32));
                convert(b, r.round(), scalar)
            }
        },
        P::Min => x.min(a[1]),
        P::Max => x.max(a[1]),
        P::FloorMod => floor_mod(b, x, a[1]),
        P::TruncMod if scalar.is_float() => x - (x / a[1]).trunc() * a[1],
        P::TruncMod => x % a[1],
        P::Equal => x.eq(a[1]),
        P::Less => x.lt(a[1]),
        P::LessEqual => x.le(a[1]),
        P::Greater => x.gt(a[1]),
        P::GreaterEqual => x.ge(a[1]),
        P::And | P::BitAnd => x.and(a[1]),
        P::Or | P::BitOr => x.or(a[1]),
        P::Xor if scalar == Scalar::Bool => x.ne(a[1]),
        P::Xor | P::BitXor => x.xor(a[1]),
        P::Not | P::BitNot => !x,
        P::ShiftLeft => x.shl(a[1]),
        P::ShiftRight => x.shr(a[1]),
        P::Where => {
            let to = scalar_of(dtype);
            b.select(convert(b, x, Scalar::Bool), convert(b, a[1], to), convert(b, a[2], to))
        }
        P::Identity => x,
        P::Neg => -x,
        P::Abs => x.abs(),
        P::Sign => x.sign(),
        P::Reciprocal => one() / x,
        P::Floor => x.floor(),
        P::Ceil => x.ceil(),
        P::Round => x.round(),
        P::Sqrt => x.sqrt(),
        P::Rsqrt => x.rsqrt(),
        P::Exp => x.exp(),
        P::Log => x.log(),
        P::Sin => x.sin(),
        P::Cos => x.cos(),
        P::Tan => x.tan(),
        P::Asin => asin(b, x),
        P::Acos => acos(b, x),
        P::Atan => x.atan(),
        P::Sinh => (x.exp() - (-x).exp()) * 0.5f32,
        P::Cosh => (x.exp() + (-x).exp()) * 0.5f32,
        P::Asinh => {
            let r = log1p(b, x.abs() + x * x / ((x * x + 1.0f32).sqrt() + 1.0f32));
            b.select(x.lt(0.0f32), -r, r)
        }
        P::Acosh => x.unary(UnaryOp::Acosh),
        P::Atanh => x.unary(UnaryOp::Atanh),
        P::Tanh => tanh(x),
        P::Erf => erf(b, x),
        P::IsNan => x.is_nan(),
        P::IsInf => x.is_inf(),
        P::Relu => x.max(0.0f32),
        P::Sigmoid => sigmoid(b, x),
        P::Softplus => softplus(b, x),
        P::Softsign => x / (x.abs() + 1.0f32),
        P::Silu => x * sigmoid(b, x),
        P::QuickGelu => x * sigmoid(b, x * 1.702f32),
        P::Gelu => x * 0.5f32 * (erf(b, x * std::f32::consts::FRAC_1_SQRT_2) + 1.0f32),
        P::GeluTanh => {
            let inner = (x * x * x).fma(0.044_715, x) * 0.797_884_6f32;
            x * 0.5f32 * (tanh(inner) + 1.0f32)
        }
        P::HardSwish => x * (x + 3.0f32).clamp(0.0f32, 6.0f32) * (1.0f32 / 6.0),
        P::Mish => x * tanh(softplus(b, x)),
        P::Selu => {
            const ALPHA: f32 = 1.673_263_2;
            const GAMMA: f32 = 1.050_701;
            let neg = expm1(b, x.min(0.0f32)) * ALPHA;
            b.select(x.gt(0.0f32), x, neg) * GAMMA
        }
        P::LeakyRelu | P::PRelu => b.select(x.lt(0.0f32), x * a[1], x),
        P::Elu => b.select(x.lt(0.0f32), expm1(b, x.min(0.0f32)) * a[1], x),
        P::Celu => x.max(0.0f32) + (expm1(b, x.min(0.0f32) / a[1]) * a[1]).min(0.0f32),
        P::ThresholdedRelu => b.select(x.gt(a[1]), x, zero()),
        P::HardSigmoid => x.fma(a[1], a[2]).clamp(0.0f32, 1.0f32),
        P::Clip => x.max(a[1]).min(a[2]),
        P::Cast => cast(b, x, dtype),
    }
}

/// Conversion to a model dtype; narrow integers wrap as they do in memory.
fn cast<'b>(b: &'b Builder, x: E<'b>, to: DType) -> E<'b> {
    let from = x.ty().vector().scalar;
    let y = convert(b, x, scalar_of(to));
    if from == Scalar::Bool {
        return y;
    }
    let bits = match to {
        DType::I8 | DType::U8 => 8i32,
        DType::I16 | DType::U16 => 16,
        _ => return y,
    };
    let signed = matches!(to, DType::I8 | DType::I16);
    let low = y.binary(BinaryOp::And, (1 << bits) - 1);
    if !signed {
        return low;
    }
    let half = 1i32 << (bits - 1);
    b.select(low.ge(half), low - (half * 2), low)
}
