//! Layouts as functions: coordinates of the stored shape -> element number.
//!
//! Every layout is a list of [`Digit`]s, slowest first. A digit is a piece `(coord / div) % size`
//! of one coordinate; the element number reads the digits as one mixed-radix number. The extent,
//! the host packer, symbolic addresses and image coordinates are all computed from that one list,
//! so they cannot disagree.

use super::{Elem, Layout};
use crate::builder::State;
use crate::ir::*;
use crate::simplify;
use drift_ir::Shape;
use std::fmt;

/// A piece of one coordinate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digit {
    /// Axis of the stored shape.
    pub axis: usize,
    /// The digit is `(coord / div) % size`.
    pub div: u64,
    pub size: u64,
    /// False for the most significant piece of a coordinate, which needs no `% size`.
    pub wraps: bool,
    /// What the digit is for; lets storages put slices where the hardware wants them.
    pub kind: DigitKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigitKind {
    /// A whole coordinate, or a piece that is nothing special.
    Plain,
    /// Number of the slice (group of 4).
    Slice,
    /// One of the four lanes; always the fastest digit.
    Lane,
}

/// Why a layout does not apply to a shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayoutError(pub String);

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl std::error::Error for LayoutError {}

fn plain(axis: usize, size: usize) -> Digit {
    Digit { axis, div: 1, size: size as u64, wraps: false, kind: DigitKind::Plain }
}

fn slice_digit(axis: usize, dim: usize) -> Digit {
    let size = (dim as u64).div_ceil(4);
    Digit { axis, div: 4, size, wraps: false, kind: DigitKind::Slice }
}

fn lane_digit(axis: usize) -> Digit {
    Digit { axis, div: 1, size: 4, wraps: true, kind: DigitKind::Lane }
}

impl Layout {
    /// Tells whether the layout can hold a value of this shape, with fewer than 2^32 elements.
    pub fn check(&self, shape: &Shape) -> Result<(), LayoutError> {
        let rank = shape.rank();
        let fail = |why: String| Err(LayoutError(format!("layout {self} on shape {shape}: {why}")));
        match self {
            Layout::RowMajor => {}
            Layout::Slices4 { channel, order } => {
                let mut seen = vec![false; rank];
                for &a in order {
                    match seen.get_mut(usize::from(a)) {
                        Some(s) if !*s => *s = true,
                        _ => return fail(format!("`order` does not list each axis once ({a})")),
                    }
                }
                if order.len() != rank || usize::from(*channel) >= rank {
                    return fail(format!("`order` and `channel` are for another rank than {rank}"));
                }
            }
            Layout::Weights { group, permutation } => {
                let mut sorted = *permutation;
                sorted.sort_unstable();
                if sorted != [0, 1, 2, 3, 4, 5] {
                    return fail("`permutation` does not list 0 to 5 once each".into());
                }
                if !matches!(permutation[5], 2 | 5) {
                    return fail("the last of `permutation` must be 2 (O4) or 5 (I4)".into());
                }
                if *group == 0 || rank < 2 {
                    return fail("weights are [O, I, spatial...] in groups of 1 or more".into());
                }
            }
        }
        let elems = self
            .digits(shape)
            .iter()
            .try_fold(1u64, |n, d| n.checked_mul(d.size))
            .filter(|&n| n <= u64::from(u32::MAX));
        match elems {
            Some(_) => Ok(()),
            None => fail("2^32 elements or more; split the value".into()),
        }
    }

    /// The digits of the element number, slowest first.
    pub fn digits(&self, shape: &Shape) -> Vec<Digit> {
        match self {
            Layout::RowMajor => (0..shape.rank()).map(|a| plain(a, shape[a])).collect(),
            Layout::Slices4 { channel, order } => {
                let channel = usize::from(*channel);
                let piece = |&a: &u8| match usize::from(a) {
                    a if a == channel => slice_digit(a, shape[a]),
                    a => plain(a, shape[a]),
                };
                order.iter().map(piece).chain([lane_digit(channel)]).collect()
            }
            Layout::Weights { group, permutation } => {
                let group = u64::from((*group).max(1));
                let slices = (shape[0] as u64).div_ceil(4);
                let mut out = Vec::with_capacity(6 + shape.rank());
                for (k, &p) in permutation.iter().enumerate() {
                    // in the last place the four are the lanes; elsewhere O4 or I4 is an
                    // ordinary digit
                    let four = |axis| match k {
                        5 => lane_digit(axis),
                        _ => Digit { kind: DigitKind::Plain, ..lane_digit(axis) },
                    };
                    match p {
                        0 => out.push(Digit {
                            axis: 0,
                            div: 4 * group,
                            size: slices.div_ceil(group),
                            wraps: false,
                            kind: DigitKind::Plain,
                        }),
                        1 => out.push(Digit {
                            axis: 0,
                            div: 4,
                            size: group,
                            wraps: true,
                            kind: DigitKind::Slice,
                        }),
                        2 => out.push(four(0)),
                        3 => out.extend((2..shape.rank()).map(|a| plain(a, shape[a]))),
                        4 => out.push(slice_digit(1, shape[1])),
                        _ => out.push(four(1)),
                    }
                }
                out
            }
        }
    }

    /// Elements from the first to the end, zero padding of channels included. Never 0, so that
    /// every value has an object.
    pub fn extent_elems(&self, shape: &Shape) -> u64 {
        self.digits(shape).iter().fold(1u64, |n, d| n.saturating_mul(d.size)).max(1)
    }

    /// Axis of the stored shape along which four elements are adjacent and aligned.
    pub fn lanes(&self, shape: &Shape) -> Option<usize> {
        match self {
            Layout::RowMajor => {
                let last = shape.rank().checked_sub(1)?;
                shape[last].is_multiple_of(4).then_some(last)
            }
            Layout::Slices4 { channel, .. } => Some(usize::from(*channel)),
            Layout::Weights { permutation, .. } => Some(usize::from(permutation[5] == 5)),
        }
    }

    /// True when the layout pads `axis` (its four lanes) with elements that no coordinate names.
    pub fn pads(&self, shape: &Shape) -> bool {
        match self {
            Layout::RowMajor => false,
            Layout::Slices4 { channel, .. } => !shape[usize::from(*channel)].is_multiple_of(4),
            Layout::Weights { group, .. } => {
                !shape[1].is_multiple_of(4)
                    || !(shape[0] as u64).is_multiple_of(4 * u64::from((*group).max(1)))
            }
        }
    }

    /// Element number of one coordinate.
    pub fn element(&self, shape: &Shape, coord: &[usize]) -> u64 {
        self.digits(shape).iter().fold(0, |n, d| {
            let c = coord[d.axis] as u64 / d.div;
            n * d.size + if d.wraps { c % d.size } else { c }
        })
    }

    /// Element number as an expression of u32 coordinates; the twin of [`Layout::element`].
    pub fn element_expr(&self, s: &mut State, shape: &Shape, coord: &[ExprId]) -> ExprId {
        number(s, &self.digits(shape), coord)
    }

    /// Per axis, the share of each coordinate in the element number: `element = sum of
    /// table[axis][coord]`.
    fn tables(&self, shape: &Shape) -> Vec<Vec<u64>> {
        let mut tables: Vec<Vec<u64>> = shape.iter().map(|&d| vec![0; d]).collect();
        let mut stride = 1u64;
        for d in self.digits(shape).iter().rev() {
            for (c, slot) in tables[d.axis].iter_mut().enumerate() {
                let v = c as u64 / d.div;
                *slot += stride * if d.wraps { v % d.size } else { v };
            }
            stride *= d.size;
        }
        tables
    }

    /// Calls `f(row_major_index, element)` for all coordinates.
    pub fn for_each(&self, shape: &Shape, mut f: impl FnMut(usize, u64)) {
        if shape.elems() == 0 {
            return;
        }
        let tables = self.tables(shape);
        let Some((last, outer)) = tables.split_last() else { return f(0, 0) };
        let mut coord = vec![0usize; outer.len()];
        let mut row = 0;
        loop {
            let base: u64 = outer.iter().zip(&coord).map(|(t, &c)| t[c]).sum();
            for (i, &t) in last.iter().enumerate() {
                f(row + i, base + t);
            }
            row += last.len();
            let mut axis = outer.len();
            loop {
                if axis == 0 {
                    return;
                }
                axis -= 1;
                coord[axis] += 1;
                if coord[axis] < outer[axis].len() {
                    break;
                }
                coord[axis] = 0;
            }
        }
    }
}

/// Reads digits as one number: the fold of [`Layout::element`] on expressions.
pub fn number(s: &mut State, digits: &[Digit], coord: &[ExprId]) -> ExprId {
    let mut acc = s.lit_u32(0);
    let mut stride = 1u64;
    for d in digits.iter().rev() {
        // strides beyond 2^32 only occur where the digit is always 0
        let v = digit(s, d, coord[d.axis]);
        let v = simplify::mul_lit(s, v, stride.min(u64::from(u32::MAX)) as u32);
        acc = simplify::add(s, acc, v);
        stride = stride.saturating_mul(d.size.max(1));
    }
    acc
}

fn digit(s: &mut State, d: &Digit, coord: ExprId) -> ExprId {
    let v = simplify::div_lit(s, coord, d.div as u32);
    if d.wraps { simplify::rem_lit(s, v, d.size as u32) } else { v }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Layout::RowMajor => f.write_str("row-major"),
            Layout::Slices4 { channel, order } => {
                write!(f, "slices4(channel {channel}, order {order:?})")
            }
            Layout::Weights { group, permutation } => {
                write!(f, "weights(group {group}, permutation {permutation:?})")
            }
        }
    }
}

impl Elem {
    /// Bytes of `elems` elements as an object: packed halves come in whole words.
    pub const fn extent_bytes(self, elems: u64) -> u64 {
        match self {
            Elem::F16Packed => elems.saturating_add(1) / 2 * 4,
            _ => elems.saturating_mul(self.bytes()),
        }
    }
}
