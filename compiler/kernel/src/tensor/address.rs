//! Addresses of an access: view, layout and storage applied to its coordinates.
//!
//! Coordinates are inside the tensor's shape by contract, often more than the simplifier can see:
//! `i` of a guarded grid may reach 255 where the guard keeps it below 200. Stating the smaller
//! bound on `i` itself would be wrong (the guard would fold away), so addresses are computed on
//! stand-ins of the coordinates that carry the smaller bound, and the stand-ins are then replaced
//! by the originals. Two kinds of stand-in are tried, and the cheaper address wins:
//! a copy of a single term keeps its structure (so that `x / n * n + x % n` still joins); an opaque
//! `q` in `g * q + r` stands for a sum of terms (so that the sum has one bound).

use super::layout::LayoutError;
use super::{Layout, Storage, TensorArg, view};
use crate::builder::State;
use crate::ir::*;
use crate::simplify::{self, add, div_lit, mul_lit, rem_lit};
use std::collections::{HashMap, HashSet};

/// Where one element lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Texel of an image; the element number (with `base_elems`) of a buffer is `element`.
    pub texel: Vec<ExprId>,
    /// Buffers: element number. Images: unused (the lane).
    pub element: ExprId,
    /// vec4 number in a buffer; `element / 4`.
    pub slot: ExprId,
    /// Lane in the vec4.
    pub lane: ExprId,
    /// Coordinate along the layout's lane axis, for the padding of single-lane stores.
    pub channel: Option<ExprId>,
}

/// Where the elements of an access lie.
#[derive(Clone, Debug)]
pub struct Place {
    /// One per lane. Lanes that may be past the extent have clamped, valid addresses, unless
    /// `whole`.
    pub addresses: Vec<Address>,
    /// The four elements are one vec4, in order.
    pub whole: bool,
    /// Lanes may be past the kernel's extent without being padding: mask them.
    pub masked: bool,
}

/// Stand-ins and what they stand for.
#[derive(Debug, Default)]
struct StandIns {
    originals: HashMap<ExprId, ExprId>,
    /// Some coordinate is a sum that has no stand-in yet.
    sums: bool,
}

impl StandIns {
    /// A copy of `e` under another id.
    fn copy(&mut self, s: &mut State, e: ExprId, max: u64) -> ExprId {
        let id = s.push_copy(e, max);
        self.originals.insert(id, e);
        id
    }

    /// `coord` with its bound narrowed to `limit`. `opaque`: sums become one unknown.
    fn narrow(&mut self, s: &mut State, coord: ExprId, limit: u64, opaque: bool) -> ExprId {
        if s.max[coord.0 as usize].is_some_and(|m| m <= limit) {
            return coord;
        }
        let (terms, constant) = simplify::terms(s, coord);
        if let [(t, k)] = terms[..] {
            let Some(room) = limit.checked_sub(constant) else { return coord };
            let q = self.copy(s, t, room / k.max(1));
            let e = mul_lit(s, q, k as u32);
            let c = s.lit_u32(constant as u32);
            return add(s, e, c);
        }
        let g = terms.iter().fold(0, |g, &(_, k)| simplify::gcd(g, k));
        if !opaque || g == 0 {
            self.sums |= g > 0;
            return coord;
        }
        // coord = g * q + r
        let r = constant % g;
        let Some(room) = limit.checked_sub(r) else { return coord };
        let rest = s.lit_u32(r as u32);
        let whole = simplify::pure(s, Expr::Binary(BinaryOp::Sub, coord, rest), U32);
        let q = div_lit(s, whole, g as u32);
        let leaf = s.push_opaque(room / g);
        self.originals.insert(leaf, q);
        let e = mul_lit(s, leaf, g as u32);
        add(s, e, rest)
    }

    /// `e` with the originals back in place.
    fn resolve(&self, s: &mut State, e: ExprId, memo: &mut HashMap<ExprId, ExprId>) -> ExprId {
        if let Some(&o) = self.originals.get(&e) {
            return o;
        }
        if let Some(&r) = memo.get(&e) {
            return r;
        }
        let expr = s.kernel.expr(e).clone();
        let mut changed = false;
        let mapped = if expr.is_ordered() {
            expr
        } else {
            expr.map_operands(|o| {
                let n = self.resolve(s, o, memo);
                changed |= n != o;
                n
            })
        };
        let out = if changed {
            let max = simplify::natural_max(s, &mapped);
            let ty = s.kernel.ty(e);
            s.intern(mapped, ty, max)
        } else {
            e
        };
        memo.insert(e, out);
        out
    }
}

/// Arithmetic that an address costs: divisions count four.
fn cost(s: &State, roots: &[ExprId]) -> u32 {
    let mut seen = HashSet::new();
    let mut todo = roots.to_vec();
    let mut sum = 0;
    while let Some(e) = todo.pop() {
        if !seen.insert(e) {
            continue;
        }
        let expr = s.kernel.expr(e);
        if expr.is_ordered() {
            continue;
        }
        sum += match expr {
            Expr::Lit(_) | Expr::Builtin(_) | Expr::LoopIndex(_) => 0,
            Expr::Binary(BinaryOp::Div | BinaryOp::Rem, _, n) => match s.as_u32(*n) {
                Some(n) if n.is_power_of_two() => 1,
                _ => 4,
            },
            _ => 1,
        };
        expr.operands(|o| todo.push(o));
    }
    sum
}

/// Addresses of `lanes` (1 or 4) elements from `coords` on along `axis`.
pub fn place(
    s: &mut State,
    arg: &TensorArg,
    coords: &[ExprId],
    lanes: u8,
    axis: usize,
) -> Result<Place, LayoutError> {
    let shape = arg.shape();
    let mut best: Option<(bool, u32, Place)> = None;
    for opaque in [false, true] {
        let mut ins = StandIns::default();
        let narrowed: Vec<ExprId> = coords
            .iter()
            .zip(shape.iter())
            .map(|(&c, &d)| ins.narrow(s, c, (d as u64).saturating_sub(1), opaque))
            .collect();
        let mut p = attempt(s, arg, &narrowed, lanes, axis)?;
        let mut memo = HashMap::new();
        for a in &mut p.addresses {
            let fix = |s: &mut State, e: &mut ExprId, memo: &mut _| *e = ins.resolve(s, *e, memo);
            a.texel.iter_mut().for_each(|e| fix(s, e, &mut memo));
            fix(s, &mut a.element, &mut memo);
            fix(s, &mut a.slot, &mut memo);
            fix(s, &mut a.lane, &mut memo);
            if let Some(c) = &mut a.channel {
                fix(s, c, &mut memo);
            }
        }
        let used: Vec<ExprId> = match arg.storage {
            Storage::Buffer if p.whole => vec![p.addresses[0].slot],
            Storage::Buffer => p.addresses.iter().map(|a| a.element).collect(),
            Storage::Image(_) => p.addresses.iter().flat_map(|a| a.texel.clone()).collect(),
        };
        let price = cost(s, &used);
        let better = match &best {
            None => true,
            Some((whole, old, _)) => {
                (p.whole, std::cmp::Reverse(price)) > (*whole, std::cmp::Reverse(*old))
            }
        };
        if better {
            best = Some((p.whole, price, p));
        }
        if !ins.sums {
            break;
        }
    }
    best.map(|(_, _, p)| p).ok_or_else(|| LayoutError("no address".into()))
}

fn attempt(
    s: &mut State,
    arg: &TensorArg,
    coords: &[ExprId],
    lanes: u8,
    axis: usize,
) -> Result<Place, LayoutError> {
    let shape = arg.shape();
    if lanes == 1 {
        let (a, _) = address(s, arg, coords)?;
        return Ok(Place { addresses: vec![a], whole: false, masked: false });
    }
    let dim = shape[axis] as u64;
    let mut shifted = coords.to_vec();
    let mut open = Vec::new();
    let mut sources = Vec::new();
    let mut inside = true;
    for k in 0..4 {
        let k_lit = s.lit_u32(k);
        shifted[axis] = add(s, coords[axis], k_lit);
        inside &= s.max[shifted[axis].0 as usize].is_some_and(|m| m < dim);
        let (a, source) = address(s, arg, &shifted)?;
        open.push(a);
        sources.push(source);
    }
    let whole = slotted(arg)
        && open.iter().enumerate().all(|(k, a)| {
            a.texel == open[0].texel
                && (!a.texel.is_empty() || a.slot == open[0].slot)
                && s.as_u32(a.lane) == Some(k as u32)
        });
    if whole {
        let masked = !inside && !ends_in_padding(s, arg, dim, &sources);
        return Ok(Place { addresses: open, whole, masked });
    }
    if inside {
        return Ok(Place { addresses: open, whole, masked: false });
    }
    let mut addresses = Vec::new();
    for k in 0..4 {
        let k = s.lit_u32(k);
        let c = add(s, coords[axis], k);
        let last = s.lit_u32(dim.saturating_sub(1) as u32);
        shifted[axis] = simplify::pure(s, Expr::Binary(BinaryOp::Min, c, last), U32);
        addresses.push(address(s, arg, &shifted)?.0);
    }
    Ok(Place { addresses, whole, masked: true })
}

/// True when the object consists of vec4 slots.
pub fn slotted(arg: &TensorArg) -> bool {
    match arg.storage {
        Storage::Buffer => arg.extent_elems().is_multiple_of(4) && arg.base_elems.is_multiple_of(4),
        Storage::Image(_) => true,
    }
}

/// Lanes past the kernel's extent lie in the layout's own padding: the access runs along the
/// layout's lane axis from end to end.
fn ends_in_padding(s: &mut State, arg: &TensorArg, dim: u64, sources: &[Vec<ExprId>]) -> bool {
    let (Layout::Slices4 { .. } | Layout::Weights { .. }, Some(lane_axis)) =
        (&arg.layout, arg.layout.lanes(&arg.stored))
    else {
        return false;
    };
    arg.stored[lane_axis] as u64 == dim
        && sources.iter().enumerate().all(|(k, c)| {
            let k = s.lit_u32(k as u32);
            let want = add(s, sources[0][lane_axis], k);
            c[lane_axis] == want && (0..c.len()).all(|a| a == lane_axis || c[a] == sources[0][a])
        })
}

fn address(
    s: &mut State,
    arg: &TensorArg,
    coords: &[ExprId],
) -> Result<(Address, Vec<ExprId>), LayoutError> {
    let Some(source) = view::source(s, &arg.view, &arg.stored, coords) else {
        return Err(LayoutError(format!("view {} does not apply to {}", arg.view, arg.stored)));
    };
    let lanes = match arg.layout {
        Layout::RowMajor => None,
        _ => arg.layout.lanes(&arg.stored),
    };
    let channel = lanes.map(|a| source[a]);
    let zero = s.lit_u32(0);
    let a = match arg.storage {
        Storage::Image(kind) => {
            let (texel, lane) = arg.texel_expr(s, kind, &source)?;
            Address { texel, element: lane, slot: zero, lane, channel }
        }
        Storage::Buffer => {
            let e = arg.layout.element_expr(s, &arg.stored, &source);
            let base = s.lit_u32(arg.base_elems as u32);
            let element = add(s, e, base);
            let (slot, lane) = (div_lit(s, element, 4), rem_lit(s, element, 4));
            Address { texel: Vec::new(), element, slot, lane, channel }
        }
    };
    Ok((a, source))
}
