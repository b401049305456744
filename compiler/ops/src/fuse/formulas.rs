//! Reading bodies as formulas: products, polynomials, clamps. The activation rules are written with
//! these, so that the order in which an exporter multiplies or adds does not matter.

use super::bodies::{BodyBuilder, with_body};
use super::rewrite::{Ctx, Patch};
use drift_ir::{Arg, Body, DType, NodeId, PointwiseOp as P, Step};

/// Relative tolerance for the constants of formulas: models carry them rounded to f16 (2.4e-4), or
/// as people type them.
const TOLERANCE: f64 = 5e-4;

pub fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= TOLERANCE * b.abs().max(1e-3)
}

/// A body being read.
#[derive(Clone, Copy, Debug)]
pub struct Formula<'b> {
    pub body: &'b Body,
}

/// `constant · factor · factor …`
#[derive(Clone, Debug)]
pub struct Product {
    pub constant: f64,
    pub factors: Vec<Arg>,
}

impl Product {
    /// Without the first factor that `is` accepts; what it made of the factor.
    pub fn take<T>(&self, is: impl Fn(Arg) -> Option<T>) -> Option<(T, Product)> {
        let (i, found) = self.factors.iter().enumerate().find_map(|(i, f)| Some((i, is(*f)?)))?;
        let mut rest = self.clone();
        rest.factors.remove(i);
        Some((found, rest))
    }

    pub fn without(&self, x: Arg) -> Option<Product> {
        self.take(|f| (f == x).then_some(())).map(|(_, rest)| rest)
    }
}

impl<'b> Formula<'b> {
    pub fn step(self, arg: Arg) -> Option<&'b Step> {
        match arg {
            Arg::Step(i) => self.body.steps.get(i),
            _ => None,
        }
    }

    pub fn op(self, arg: Arg, op: P) -> Option<&'b [Arg]> {
        self.step(arg).filter(|s| s.op == op).map(|s| &s.args[..])
    }

    pub fn unary(self, arg: Arg, op: P) -> Option<Arg> {
        self.op(arg, op).map(|a| a[0])
    }

    pub fn constant(self, arg: Arg) -> Option<f64> {
        match arg {
            Arg::Const(v) => Some(v),
            _ => None,
        }
    }

    /// Both argument orders of a commutative step.
    pub fn both(self, arg: Arg, op: P) -> impl Iterator<Item = (Arg, Arg)> {
        self.op(arg, op).into_iter().flat_map(|a| [(a[0], a[1]), (a[1], a[0])])
    }

    /// `arg` without a constant summand of `value`: `y` for `y + value`.
    pub fn minus_const(self, arg: Arg, value: f64) -> Option<Arg> {
        self.both(arg, P::Add)
            .find(|(_, c)| self.constant(*c).is_some_and(|c| near(c, value)))
            .map(|(y, _)| y)
    }

    /// Multiplications, divisions by constants and negations of `arg` taken apart; `stop` is left
    /// whole.
    pub fn product(self, arg: Arg, stop: Arg) -> Product {
        let mut product = Product { constant: 1.0, factors: Vec::new() };
        let mut stack = vec![arg];
        while let Some(a) = stack.pop() {
            if a == stop {
                product.factors.push(a);
                continue;
            }
            if let Arg::Const(c) = a {
                product.constant *= c;
                continue;
            }
            match self.step(a) {
                Some(s) if s.op == P::Mul => stack.extend([s.args[1], s.args[0]]),
                Some(s) if s.op == P::Neg => {
                    product.constant = -product.constant;
                    stack.push(s.args[0]);
                }
                Some(Step { op: P::Div, args, .. })
                    if self.constant(args[1]).is_some_and(|c| c != 0.0) =>
                {
                    product.constant /= self.constant(args[1]).unwrap_or(1.0);
                    stack.push(args[0]);
                }
                _ => product.factors.push(a),
            }
        }
        product
    }

    /// Coefficients of `arg` as a polynomial of degree <= 3 in `x`.
    pub fn polynomial(self, arg: Arg, x: Arg) -> Option<[f64; 4]> {
        self.polynomial_at(arg, x, 24)
    }

    fn polynomial_at(self, arg: Arg, x: Arg, depth: usize) -> Option<[f64; 4]> {
        let depth = depth.checked_sub(1)?;
        if arg == x {
            return Some([0.0, 1.0, 0.0, 0.0]);
        }
        if let Arg::Const(c) = arg {
            return Some([c, 0.0, 0.0, 0.0]);
        }
        let step = self.step(arg)?;
        let of = |i: usize| self.polynomial_at(step.args[i], x, depth);
        let scaled = |p: [f64; 4], c: f64| p.map(|v| v * c);
        let sum = |a: [f64; 4], b: [f64; 4]| std::array::from_fn(|i| a[i] + b[i]);
        match step.op {
            P::Neg => Some(scaled(of(0)?, -1.0)),
            P::Identity => of(0),
            P::Add => Some(sum(of(0)?, of(1)?)),
            P::Sub => Some(sum(of(0)?, scaled(of(1)?, -1.0))),
            P::Div => {
                Some(scaled(of(0)?, 1.0 / self.constant(step.args[1]).filter(|c| *c != 0.0)?))
            }
            P::Mul => times(of(0)?, of(1)?),
            P::Pow => {
                let base = of(0)?;
                match self.constant(step.args[1])? {
                    2.0 => times(base, base),
                    3.0 => times(times(base, base)?, base),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// `arg = scale · inner + offset`; constants peeled as far as they go, but not through `stop`.
    pub fn affine(self, arg: Arg, stop: Option<Arg>) -> (f64, Arg, f64) {
        let (mut scale, mut at, mut offset) = (1.0, arg, 0.0);
        // arg = scale * at + offset
        while Some(at) != stop {
            let Some(step) = self.step(at) else { break };
            let c = |i: usize| self.constant(step.args[i]);
            match step.op {
                P::Neg => (scale, at) = (-scale, step.args[0]),
                P::Add => match (c(0), c(1)) {
                    (None, Some(k)) => (offset, at) = (offset + scale * k, step.args[0]),
                    (Some(k), None) => (offset, at) = (offset + scale * k, step.args[1]),
                    _ => break,
                },
                P::Sub => match (c(0), c(1)) {
                    (None, Some(k)) => (offset, at) = (offset - scale * k, step.args[0]),
                    (Some(k), None) => {
                        (scale, offset, at) = (-scale, offset + scale * k, step.args[1]);
                    }
                    _ => break,
                },
                P::Mul => match (c(0), c(1)) {
                    (None, Some(k)) => (scale, at) = (scale * k, step.args[0]),
                    (Some(k), None) => (scale, at) = (scale * k, step.args[1]),
                    _ => break,
                },
                P::Div => match c(1) {
                    Some(k) if k != 0.0 => (scale, at) = (scale / k, step.args[0]),
                    _ => break,
                },
                _ => break,
            }
        }
        (scale, at, offset)
    }

    /// `min(max(inner, lo), hi)` in any spelling.
    pub fn clamp(self, arg: Arg) -> Option<(Arg, f64, f64)> {
        let step = self.step(arg)?;
        let c = |i: usize| self.constant(step.args[i]);
        match step.op {
            P::Clip => Some((step.args[0], c(1)?, c(2)?)),
            P::Relu => Some((step.args[0], 0.0, f64::INFINITY)),
            P::Min | P::Max => {
                let (inner, k) = match (c(0), c(1)) {
                    (None, Some(k)) => (step.args[0], k),
                    (Some(k), None) => (step.args[1], k),
                    _ => return None,
                };
                let (base, lo, hi) =
                    self.clamp(inner).unwrap_or((inner, f64::NEG_INFINITY, f64::INFINITY));
                let (lo, hi) = match step.op {
                    P::Min => (lo, hi.min(k)),
                    _ => (lo.max(k), hi),
                };
                (lo <= hi).then_some((base, lo, hi))
            }
            _ => None,
        }
    }

    /// `y` when `arg` is `1 + exp(-y)`.
    pub fn one_plus_exp_neg(self, arg: Arg) -> Option<Negated> {
        let exp = self.minus_const(arg, 1.0)?;
        let inner = self.unary(exp, P::Exp)?;
        if let Some(y) = self.unary(inner, P::Neg) {
            return Some(Negated::Is(y));
        }
        let by_minus_one = self
            .both(inner, P::Mul)
            .find(|(_, c)| self.constant(*c).is_some_and(|c| near(c, -1.0)))
            .map(|(y, _)| Negated::Is(y));
        Some(by_minus_one.unwrap_or(Negated::Of(inner)))
    }
}

/// An argument known with or without its sign.
#[derive(Clone, Copy, Debug)]
pub enum Negated {
    /// The argument itself.
    Is(Arg),
    /// Minus the argument.
    Of(Arg),
}

fn times(a: [f64; 4], b: [f64; 4]) -> Option<[f64; 4]> {
    let mut out = [0.0; 4];
    for (i, x) in a.iter().enumerate() {
        for (j, y) in b.iter().enumerate() {
            let v = x * y;
            if v != 0.0 {
                *out.get_mut(i + j)? += v;
            }
        }
    }
    Some(out)
}

/// Whether the polynomial is `want` up to rounding.
pub fn is_polynomial(p: [f64; 4], want: [f64; 4]) -> bool {
    p.iter().zip(want).all(|(a, b)| if b == 0.0 { a.abs() < 1e-6 } else { near(*a, b) })
}

/// Every argument whose product with `f(argument)` an activation is made of: for each step of kind
/// `op`, the candidates for its variable (the argument itself and what its affine form is made of).
pub fn variables(formula: Formula, op: P) -> Vec<Arg> {
    let mut out = Vec::new();
    for step in formula.body.steps.iter().filter(|s| s.op == op) {
        out.push(step.args[0]);
        out.push(formula.affine(step.args[0], None).1);
        // the variable of a polynomial is a leaf of it
        let mut stack = vec![step.args[0]];
        for _ in 0..24 {
            let Some(arg) = stack.pop() else { break };
            out.push(arg);
            if let Some(s) = formula.step(arg)
                && matches!(s.op, P::Add | P::Sub | P::Mul | P::Div | P::Pow | P::Neg)
            {
                stack.extend(s.args.iter().filter(|a| !matches!(a, Arg::Const(_))));
            }
        }
    }
    let mut unique: Vec<Arg> = Vec::new();
    for a in out {
        if !matches!(a, Arg::Const(_)) && !unique.contains(&a) {
            unique.push(a);
        }
    }
    unique
}

/// `body` with step `at` computed by `make` instead (which reads earlier steps through the given
/// map from old to new arguments). Steps that nothing reads afterwards are left for pruning.
pub fn replace_step(
    body: &Body,
    at: usize,
    make: impl FnOnce(&mut BodyBuilder, &dyn Fn(Arg) -> Arg) -> Arg,
) -> Body {
    let mut b = BodyBuilder::new(&[]);
    let mut map: Vec<Arg> = Vec::with_capacity(body.steps.len());
    let mut make = Some(make);
    for (i, step) in body.steps.iter().enumerate() {
        let lookup = |a: Arg| match a {
            Arg::Step(s) => map[s],
            other => other,
        };
        let arg = match make.take_if(|_| i == at) {
            Some(make) => make(&mut b, &lookup),
            None => b.step(step.op, step.args.iter().map(|a| lookup(*a)).collect(), step.dtype),
        };
        map.push(arg);
    }
    let results = body
        .results
        .iter()
        .map(|a| match *a {
            Arg::Step(s) => map[s],
            other => other,
        })
        .collect();
    Body { steps: b.steps, results }
}

/// Writes a product of `first` and what is left of the other factors.
pub fn emit_product(
    b: &mut BodyBuilder,
    first: Arg,
    rest: &Product,
    constant: f64,
    dtype: DType,
    map: &dyn Fn(Arg) -> Arg,
) -> Arg {
    let mut out = first;
    for f in &rest.factors {
        out = b.step(P::Mul, vec![out, map(*f)], dtype);
    }
    // a factor that is one but for the rounding of the model's constants in f32 is none
    if (constant - 1.0).abs() > 1e-6 {
        out = b.step(P::Mul, vec![out, Arg::Const(constant)], dtype);
    }
    out
}

/// Runs a rule on the body of a node: `find` returns the changed body.
pub fn on_body(
    ctx: &Ctx,
    id: NodeId,
    find: impl Fn(Formula, usize, &Step) -> Option<Body>,
) -> Option<Patch> {
    let node = ctx.node(id);
    if node.epilogue.steps.is_empty() {
        return None;
    }
    let formula = Formula { body: &node.epilogue };
    // the last step first: the outermost product has all factors
    for (i, step) in node.epilogue.steps.iter().enumerate().rev() {
        if let Some(body) = find(formula, i, step) {
            let changed = with_body(node, &body);
            return Some(Patch::new(ctx).set_node(id, changed));
        }
    }
    None
}

/// Runs a rule that finds an activation `op(x)` (times a constant) among the factors of a product.
///
/// `factor(formula, f, x)`: `f` together with one factor `x` makes `constant · op(x)`.
pub fn on_product(
    ctx: &Ctx,
    id: NodeId,
    op: P,
    inner: &[P],
    factor: impl Fn(Formula, Arg, Arg) -> Option<f64>,
) -> Option<Patch> {
    on_body(ctx, id, |formula, i, step| {
        if !step.dtype.is_float() || !matches!(step.op, P::Mul | P::Div) {
            return None;
        }
        let root = Arg::Step(i);
        for x in inner.iter().flat_map(|op| variables(formula, *op)) {
            let product = formula.product(root, x);
            let Some(rest) = product.without(x) else { continue };
            let Some((made, rest)) = rest.take(|f| factor(formula, f, x)) else { continue };
            let constant = rest.constant * made;
            return Some(replace_step(formula.body, i, |b, map| {
                let first = b.step(op, vec![map(x)], step.dtype);
                emit_product(b, first, &rest, constant, step.dtype, map)
            }));
        }
        None
    })
}
