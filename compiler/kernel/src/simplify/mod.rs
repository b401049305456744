//! Simplification while building: constant folding and the integer identities that make views
//! free (a division by 4 of `4 * q + k`, a reshape that splits what another joined).
//!
//! Integer facts come from upper bounds of u32 expressions (`State::max`): grid sizes, loop
//! bounds, remainders. Index arithmetic is assumed not to wrap (tensors have < 2^32 elements per
//! object), which is what lets `(4q + k) / 4` become `q`.

mod float;

use crate::builder::State;
use crate::ir::*;

/// Adds a pure expression in its simplest known form.
pub fn pure(s: &mut State, expr: Expr, ty: Type) -> ExprId {
    match expr {
        Expr::Binary(op, a, b) if ty == U32 => u32_binary(s, op, a, b),
        Expr::Binary(op, a, b) if s.kernel.ty(a) == U32 && ty == BOOL => u32_compare(s, op, a, b),
        Expr::Binary(op, a, b) => other_binary(s, op, a, b, ty),
        Expr::Fma(a, b, c) if ty == U32 => {
            let m = u32_binary(s, BinaryOp::Mul, a, b);
            u32_binary(s, BinaryOp::Add, m, c)
        }
        Expr::Select { cond, yes, no } => match s.kernel.expr(cond) {
            Expr::Lit(Lit::Bool(true)) => yes,
            Expr::Lit(Lit::Bool(false)) => no,
            _ if yes == no => yes,
            _ => {
                let max = match (s.max[yes.0 as usize], s.max[no.0 as usize]) {
                    (Some(a), Some(b)) => Some(a.max(b)),
                    _ => None,
                };
                s.intern(expr, ty, max)
            }
        },
        Expr::Extract(v, lane) => match s.kernel.expr(v) {
            Expr::Compose(parts) => parts[lane as usize],
            Expr::Splat(_, x) => *x,
            _ => s.intern(expr, ty, None),
        },
        Expr::ExtractDynamic(v, lane) => match (s.as_u32(lane), s.kernel.expr(v)) {
            (_, Expr::Splat(_, x)) => *x,
            (Some(k), _) if k < u32::from(s.kernel.ty(v).vector().width) => {
                pure(s, Expr::Extract(v, k as u8), ty)
            }
            _ => s.intern(expr, ty, None),
        },
        Expr::Compose(ref parts) => match compose(s, parts) {
            Some(e) => e,
            None => s.intern(expr, ty, None),
        },
        Expr::Fma(a, b, c) => float::fma(s, a, b, c, ty),
        Expr::Unary(op, a) if op != UnaryOp::Not => float::unary(s, op, a, ty),
        Expr::Cast(Scalar::I32, a) => match s.as_u32(a) {
            Some(v) if v <= i32::MAX as u32 => s.intern(Expr::Lit(Lit::I32(v as i32)), I32, None),
            _ => s.intern(expr, ty, None),
        },
        Expr::Cast(Scalar::U32, a) => match s.kernel.expr(a) {
            Expr::Lit(Lit::I32(v)) if *v >= 0 => {
                let v = *v as u32;
                s.lit_u32(v)
            }
            _ => s.intern(expr, ty, None),
        },
        Expr::Unary(UnaryOp::Not, a) => match s.kernel.expr(a) {
            Expr::Lit(Lit::Bool(v)) => {
                let v = !*v;
                s.intern(Expr::Lit(Lit::Bool(v)), BOOL, None)
            }
            _ => s.intern(expr, ty, None),
        },
        Expr::Lit(Lit::U32(v)) => s.lit_u32(v),
        _ => s.intern(expr, ty, None),
    }
}

/// All lanes of one vector in order are that vector; one value four times is a splat.
fn compose(s: &mut State, parts: &[ExprId]) -> Option<ExprId> {
    let width = parts.len() as u8;
    if let Expr::Extract(v, 0) = *s.kernel.expr(parts[0])
        && s.kernel.ty(v).vector().width == width
        && (0..width).zip(parts).all(|(k, &p)| *s.kernel.expr(p) == Expr::Extract(v, k))
    {
        return Some(v);
    }
    let scalar = s.kernel.ty(parts[0]).vector().scalar;
    parts
        .iter()
        .all(|p| *p == parts[0])
        .then(|| s.intern(Expr::Splat(width, parts[0]), Type::vec(scalar, width), None))
}

fn max_of(s: &State, a: ExprId) -> Option<u64> {
    s.max[a.0 as usize]
}

fn other_binary(s: &mut State, op: BinaryOp, a: ExprId, b: ExprId, ty: Type) -> ExprId {
    if let (BinaryOp::And | BinaryOp::Or, Type::Vector(Vector { scalar: Scalar::Bool, width: 1 })) =
        (op, ty)
    {
        let lit = |s: &State, e: ExprId| match s.kernel.expr(e) {
            Expr::Lit(Lit::Bool(v)) => Some(*v),
            _ => None,
        };
        match (op, lit(s, a), lit(s, b)) {
            (BinaryOp::And, Some(true), _) | (BinaryOp::Or, Some(false), _) => return b,
            (BinaryOp::And, _, Some(true)) | (BinaryOp::Or, _, Some(false)) => return a,
            (BinaryOp::And, Some(false), _) | (BinaryOp::Or, Some(true), _) => return a,
            (BinaryOp::And, _, Some(false)) | (BinaryOp::Or, _, Some(true)) => return b,
            _ => {}
        }
    }
    float::binary(s, op, a, b, ty)
}

fn u32_compare(s: &mut State, op: BinaryOp, a: ExprId, b: ExprId) -> ExprId {
    let known = match (s.as_u32(a), s.as_u32(b)) {
        (Some(x), Some(y)) => Some(match op {
            BinaryOp::Eq => x == y,
            BinaryOp::Ne => x != y,
            BinaryOp::Lt => x < y,
            BinaryOp::Le => x <= y,
            BinaryOp::Gt => x > y,
            _ => x >= y,
        }),
        (None, Some(y)) => below(op, max_of(s, a), u64::from(y)),
        (Some(x), None) => below(mirrored(op), max_of(s, b), u64::from(x)),
        _ => None,
    };
    // the same on both sides
    let known = known
        .or_else(|| (a == b).then_some(matches!(op, BinaryOp::Eq | BinaryOp::Le | BinaryOp::Ge)));
    match known {
        Some(v) => s.intern(Expr::Lit(Lit::Bool(v)), BOOL, None),
        None => s.intern(Expr::Binary(op, a, b), BOOL, None),
    }
}

/// What `x op y` is for all x up to `max`, where it is the same for all.
fn below(op: BinaryOp, max: Option<u64>, y: u64) -> Option<bool> {
    let under = max.is_some_and(|m| m < y);
    match op {
        BinaryOp::Lt if under => Some(true),
        BinaryOp::Lt if y == 0 => Some(false),
        BinaryOp::Le if under || max == Some(y) => Some(true),
        BinaryOp::Ge if under => Some(false),
        BinaryOp::Ge if y == 0 => Some(true),
        BinaryOp::Gt if under || max == Some(y) => Some(false),
        BinaryOp::Eq if under => Some(false),
        BinaryOp::Ne if under => Some(true),
        _ => None,
    }
}

/// `a op b` as `b mirrored(op) a`.
fn mirrored(op: BinaryOp) -> BinaryOp {
    match op {
        BinaryOp::Lt => BinaryOp::Gt,
        BinaryOp::Le => BinaryOp::Ge,
        BinaryOp::Gt => BinaryOp::Lt,
        BinaryOp::Ge => BinaryOp::Le,
        op => op,
    }
}

/// A linear form: sum of `coefficient * term` plus a constant. Terms are not sums, products by a
/// literal, or literals.
#[derive(Clone, Debug, Default)]
struct Linear {
    terms: Vec<(ExprId, u64)>,
    constant: u64,
}

impl Linear {
    fn add_term(&mut self, term: ExprId, k: u64) {
        match self.terms.iter_mut().find(|(t, _)| *t == term) {
            Some((_, c)) => *c += k,
            None => self.terms.push((term, k)),
        }
    }

    /// Largest value, where every term's bound is known.
    fn max(&self, s: &State) -> Option<u64> {
        self.terms
            .iter()
            .try_fold(self.constant, |sum, &(t, k)| sum.checked_add(max_of(s, t)?.checked_mul(k)?))
    }
}

fn linear(s: &State, e: ExprId) -> Linear {
    let mut out = Linear::default();
    collect(s, e, 1, &mut out);
    // x / n * n + x % n = x
    'again: loop {
        for i in 0..out.terms.len() {
            let (t, k) = out.terms[i];
            if let Expr::Binary(BinaryOp::Rem, x, n) = *s.kernel.expr(t)
                && let Some(n) = s.as_u32(n)
            {
                let whole = out.terms.iter().position(|&(u, c)| {
                    c == k * u64::from(n)
                        && matches!(*s.kernel.expr(u), Expr::Binary(BinaryOp::Div, y, m)
                            if y == x && s.as_u32(m) == Some(n))
                });
                if let Some(j) = whole {
                    let (hi, lo) = (i.max(j), i.min(j));
                    out.terms.remove(hi);
                    out.terms.remove(lo);
                    collect(s, x, k, &mut out);
                    continue 'again;
                }
            }
        }
        return out;
    }
}

fn collect(s: &State, e: ExprId, k: u64, out: &mut Linear) {
    match *s.kernel.expr(e) {
        Expr::Lit(Lit::U32(v)) => {
            out.constant = out.constant.saturating_add(u64::from(v).saturating_mul(k))
        }
        Expr::Binary(BinaryOp::Add, a, b) => {
            collect(s, a, k, out);
            collect(s, b, k, out);
        }
        Expr::Binary(BinaryOp::Mul, a, b) => match (s.as_u32(a), s.as_u32(b)) {
            (_, Some(c)) => collect(s, a, k.saturating_mul(u64::from(c)), out),
            (Some(c), _) => collect(s, b, k.saturating_mul(u64::from(c)), out),
            _ => out.add_term(e, k),
        },
        _ => out.add_term(e, k),
    }
}

fn raw(s: &mut State, op: BinaryOp, a: ExprId, b: ExprId, max: Option<u64>) -> ExprId {
    s.intern(Expr::Binary(op, a, b), U32, max)
}

fn rebuild(s: &mut State, l: &Linear) -> ExprId {
    let mut terms = l.terms.clone();
    // a fixed order, so that equal sums become equal expressions
    terms.sort_by_key(|&(t, k)| (std::cmp::Reverse(k), t));
    let mut acc: Option<ExprId> = None;
    for (t, k) in terms {
        if k == 0 {
            continue;
        }
        let term = if k == 1 {
            t
        } else {
            let m = max_of(s, t).and_then(|m| m.checked_mul(k));
            let k = s.lit_u32(k as u32);
            raw(s, BinaryOp::Mul, t, k, m)
        };
        acc = Some(match acc {
            None => term,
            Some(a) => {
                let m = max_of(s, a).zip(max_of(s, term)).and_then(|(x, y)| x.checked_add(y));
                raw(s, BinaryOp::Add, a, term, m)
            }
        });
    }
    match acc {
        None => s.lit_u32(l.constant as u32),
        Some(a) if l.constant == 0 => a,
        Some(a) => {
            let m = max_of(s, a).and_then(|x| x.checked_add(l.constant));
            let c = s.lit_u32(l.constant as u32);
            raw(s, BinaryOp::Add, a, c, m)
        }
    }
}

fn fits(l: &Linear) -> bool {
    l.constant <= u64::from(u32::MAX) && l.terms.iter().all(|&(_, k)| k <= u64::from(u32::MAX))
}

fn u32_binary(s: &mut State, op: BinaryOp, a: ExprId, b: ExprId) -> ExprId {
    let (ca, cb) = (s.as_u32(a), s.as_u32(b));
    if let (Some(x), Some(y)) = (ca, cb) {
        let v = match op {
            BinaryOp::Add => Some(x.wrapping_add(y)),
            BinaryOp::Sub => Some(x.wrapping_sub(y)),
            BinaryOp::Mul => Some(x.wrapping_mul(y)),
            BinaryOp::Div => x.checked_div(y),
            BinaryOp::Rem => x.checked_rem(y),
            BinaryOp::Min => Some(x.min(y)),
            BinaryOp::Max => Some(x.max(y)),
            BinaryOp::And => Some(x & y),
            BinaryOp::Or => Some(x | y),
            BinaryOp::Xor => Some(x ^ y),
            BinaryOp::Shl => x.checked_shl(y),
            BinaryOp::Shr => x.checked_shr(y),
            _ => None,
        };
        if let Some(v) = v {
            return s.lit_u32(v);
        }
    }
    match op {
        BinaryOp::Add => {
            let mut l = linear(s, a);
            let m = linear(s, b);
            l.constant += m.constant;
            m.terms.iter().for_each(|&(t, k)| l.add_term(t, k));
            if !fits(&l) {
                return raw(s, op, a, b, None);
            }
            let e = rebuild(s, &l);
            // joining may have completed an `x / n * n + x % n`
            let again = linear(s, e);
            if again.terms.len() < l.terms.len() { rebuild(s, &again) } else { e }
        }
        BinaryOp::Mul => {
            let (x, c) = match (ca, cb) {
                (_, Some(c)) => (a, c),
                (Some(c), _) => (b, c),
                _ => {
                    let m = max_of(s, a).zip(max_of(s, b)).and_then(|(x, y)| x.checked_mul(y));
                    return raw(s, op, a, b, m);
                }
            };
            let mut l = linear(s, x);
            l.constant *= u64::from(c);
            l.terms.iter_mut().for_each(|(_, k)| *k *= u64::from(c));
            if c == 0 {
                return s.lit_u32(0);
            }
            if fits(&l) { rebuild(s, &l) } else { raw(s, op, a, b, None) }
        }
        BinaryOp::Sub if cb == Some(0) => a,
        BinaryOp::Sub if a == b => s.lit_u32(0),
        BinaryOp::Sub => subtract(s, a, b),
        BinaryOp::Div => match cb {
            Some(n) if n > 0 => divide(s, a, u64::from(n)),
            _ => raw(s, op, a, b, max_of(s, a)),
        },
        BinaryOp::Rem => match cb {
            Some(n) if n > 0 => remainder(s, a, u64::from(n)),
            _ => raw(s, op, a, b, max_of(s, b).map(|m| m.saturating_sub(1))),
        },
        BinaryOp::Min => {
            let m = match (max_of(s, a), max_of(s, b)) {
                (Some(x), Some(y)) => Some(x.min(y)),
                (x, y) => x.or(y),
            };
            if let (Some(c), Some(x)) = (cb, max_of(s, a))
                && x <= u64::from(c)
            {
                return a;
            }
            raw(s, op, a, b, m)
        }
        BinaryOp::Max => {
            let m = max_of(s, a).zip(max_of(s, b)).map(|(x, y)| x.max(y));
            match (ca, cb) {
                (_, Some(0)) => return a,
                (Some(0), _) => return b,
                (_, Some(c)) if max_of(s, a).is_some_and(|m| m <= u64::from(c)) => return b,
                _ => {}
            }
            raw(s, op, a, b, m)
        }
        BinaryOp::And if cb.is_some_and(|m| m != u32::MAX && (m + 1).is_power_of_two()) => {
            remainder(s, a, u64::from(cb.unwrap_or(0)) + 1)
        }
        BinaryOp::Shl if cb.is_some_and(|n| n < 32) => {
            let k = s.lit_u32(1 << cb.unwrap_or(0));
            u32_binary(s, BinaryOp::Mul, a, k)
        }
        BinaryOp::Shr if cb.is_some_and(|n| n < 32) => divide(s, a, 1 << cb.unwrap_or(0)),
        BinaryOp::And => {
            let m = max_of(s, a).into_iter().chain(max_of(s, b)).min();
            raw(s, op, a, b, m)
        }
        _ => raw(s, op, a, b, None),
    }
}

/// `a - b`. Exact where every term of `b` is part of `a`. Otherwise nothing is known of the result:
/// kernels test `i - 1 < n` for both ends at once, and rely on the wrap below zero.
fn subtract(s: &mut State, a: ExprId, b: ExprId) -> ExprId {
    let (mut l, m) = (linear(s, a), linear(s, b));
    let mut part = l.constant >= m.constant;
    for &(t, k) in &m.terms {
        match l.terms.iter_mut().find(|(u, c)| *u == t && *c >= k) {
            Some((_, c)) => *c -= k,
            None => part = false,
        }
    }
    if part {
        l.constant -= m.constant;
        l.terms.retain(|&(_, k)| k > 0);
        return rebuild(s, &l);
    }
    let max = natural_max(s, &Expr::Binary(BinaryOp::Sub, a, b));
    raw(s, BinaryOp::Sub, a, b, max)
}

/// Splits `x` into a part divisible by `n` and a rest; `None` when the rest may reach `n`.
fn split(s: &State, x: ExprId, n: u64) -> Option<(Linear, Linear)> {
    let l = linear(s, x);
    let mut whole = Linear::default();
    let mut rest = Linear { terms: Vec::new(), constant: l.constant % n };
    whole.constant = l.constant / n;
    for &(t, k) in &l.terms {
        if k % n == 0 { whole.terms.push((t, k / n)) } else { rest.terms.push((t, k)) }
    }
    (rest.max(s)? < n).then_some((whole, rest))
}

/// Writes `l = g*y + r` with `g` a divisor of `n` (1 < g < n) and r < g: `(y, r, g)`, with the
/// largest such `g` that some term offers.
fn factor(s: &State, l: &Linear, n: u64) -> Option<(Linear, Linear, u64)> {
    let mut offers: Vec<u64> = l.terms.iter().map(|&(_, k)| gcd(k, n)).collect();
    // what all terms share
    offers.push(l.terms.iter().fold(n, |g, &(_, k)| gcd(g, k)));
    offers.sort_unstable();
    offers.dedup();
    for g in offers.into_iter().rev().filter(|&g| g > 1 && g < n) {
        let (mut y, mut r) = (Linear::default(), Linear::default());
        (y.constant, r.constant) = (l.constant / g, l.constant % g);
        for &(t, k) in &l.terms {
            if k % g == 0 { y.terms.push((t, k / g)) } else { r.terms.push((t, k)) }
        }
        if r.max(s).is_some_and(|m| m < g) {
            return Some((y, r, g));
        }
    }
    None
}

fn divide(s: &mut State, x: ExprId, n: u64) -> ExprId {
    if n == 1 {
        return x;
    }
    if let Some((whole, _)) = split(s, x, n) {
        return rebuild(s, &whole);
    }
    // a common factor: (g*y + r) / (g*m) = y / m, where r < g
    let l = linear(s, x);
    if let Some((y, _, g)) = factor(s, &l, n) {
        let y = rebuild(s, &y);
        return divide(s, y, n / g);
    }
    // pull out what divides exactly: (n*a + r) / n = a + r / n
    if l.terms.iter().any(|&(_, k)| k % n == 0) || l.constant >= n {
        let (mut whole, mut rest) = (Linear::default(), Linear::default());
        whole.constant = l.constant / n;
        rest.constant = l.constant % n;
        for &(t, k) in &l.terms {
            if k % n == 0 { whole.terms.push((t, k / n)) } else { rest.terms.push((t, k)) }
        }
        let r = rebuild(s, &rest);
        let q = divide(s, r, n);
        whole.add_term(q, 1);
        return rebuild(s, &whole);
    }
    match *s.kernel.expr(x) {
        // (y / m) / n = y / (m * n)
        Expr::Binary(BinaryOp::Div, y, m) if s.as_u32(m).is_some() => {
            let m = u64::from(s.as_u32(m).unwrap_or(1));
            if m * n <= u64::from(u32::MAX) {
                return divide(s, y, m * n);
            }
        }
        // (y % m) / n = (y / n) % (m / n) where n divides m
        Expr::Binary(BinaryOp::Rem, y, m) if s.as_u32(m).is_some_and(|m| u64::from(m) % n == 0) => {
            let m = u64::from(s.as_u32(m).unwrap_or(1));
            let q = divide(s, y, n);
            return remainder(s, q, m / n);
        }
        _ => {}
    }
    let max = max_of(s, x).map(|m| m / n);
    let n = s.lit_u32(n as u32);
    raw(s, BinaryOp::Div, x, n, max)
}

fn remainder(s: &mut State, x: ExprId, n: u64) -> ExprId {
    if n == 1 {
        return s.lit_u32(0);
    }
    if let Some((_, rest)) = split(s, x, n) {
        return rebuild(s, &rest);
    }
    let l = linear(s, x);
    // drop what divides exactly
    if l.terms.iter().any(|&(_, k)| k % n == 0) || l.constant >= n {
        let rest = Linear {
            terms: l.terms.iter().copied().filter(|&(_, k)| k % n != 0).collect(),
            constant: l.constant % n,
        };
        let r = rebuild(s, &rest);
        return remainder(s, r, n);
    }
    // a common factor: (g*y + r) % (g*m) = g * (y % m) + r, where r < g
    if let Some((y, r, g)) = factor(s, &l, n) {
        let y = rebuild(s, &y);
        let y = remainder(s, y, n / g);
        let y = mul_lit(s, y, g as u32);
        let r = rebuild(s, &r);
        return add(s, y, r);
    }
    if let Expr::Binary(BinaryOp::Rem, y, m) = *s.kernel.expr(x)
        && let Some(m) = s.as_u32(m)
        && u64::from(m) % n == 0
    {
        return remainder(s, y, n);
    }
    let nn = s.lit_u32(n as u32);
    raw(s, BinaryOp::Rem, x, nn, Some(n - 1))
}

pub(crate) fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// `a + b` of u32.
pub fn add(s: &mut State, a: ExprId, b: ExprId) -> ExprId {
    u32_binary(s, BinaryOp::Add, a, b)
}

/// `a * k` of u32.
pub fn mul_lit(s: &mut State, a: ExprId, k: u32) -> ExprId {
    let k = s.lit_u32(k);
    u32_binary(s, BinaryOp::Mul, a, k)
}

/// `a / k` of u32; `k` > 0.
pub fn div_lit(s: &mut State, a: ExprId, k: u32) -> ExprId {
    let k = s.lit_u32(k);
    u32_binary(s, BinaryOp::Div, a, k)
}

/// `a % k` of u32; `k` > 0.
pub fn rem_lit(s: &mut State, a: ExprId, k: u32) -> ExprId {
    let k = s.lit_u32(k);
    u32_binary(s, BinaryOp::Rem, a, k)
}

/// `e` as a sum: terms with their factors, and a constant.
pub(crate) fn terms(s: &State, e: ExprId) -> (Vec<(ExprId, u64)>, u64) {
    let l = linear(s, e);
    (l.terms, l.constant)
}

/// The bound that the operands of `expr` give it.
pub(crate) fn natural_max(s: &State, expr: &Expr) -> Option<u64> {
    match *expr {
        Expr::Lit(Lit::U32(v)) => Some(u64::from(v)),
        Expr::Binary(op, a, b) => {
            let (x, y) = (max_of(s, a), max_of(s, b));
            match op {
                BinaryOp::Add => x?.checked_add(y?),
                BinaryOp::Mul => x?.checked_mul(y?),
                BinaryOp::Div => Some(x? / u64::from(s.as_u32(b)?).max(1)),
                BinaryOp::Rem => match (x, y) {
                    (Some(x), Some(y)) => Some(x.min(y.saturating_sub(1))),
                    (x, y) => x.or(y.map(|y| y.saturating_sub(1))),
                },
                BinaryOp::Min | BinaryOp::And => x.into_iter().chain(y).min(),
                BinaryOp::Max => Some(x?.max(y?)),
                BinaryOp::Shr => x,
                // no wrap where the largest b is not above the literal a
                BinaryOp::Sub => s.as_u32(a).map(u64::from).filter(|&a| y.is_some_and(|y| y <= a)),
                _ => None,
            }
        }
        Expr::Select { yes, no, .. } => Some(max_of(s, yes)?.max(max_of(s, no)?)),
        _ => None,
    }
}
