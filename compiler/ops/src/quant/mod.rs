//! Weight quantization: how a matrix `W [N, K]` (N outputs, K inputs) lies in few bits.
//!
//! A matrix is up to two operands of a node: *data*, one row of words per output, and *scales*.
//! Every scheme is symmetric, `w = q * s`, and treats each row by itself, so matrices of any size
//! are quantized in blocks of rows ([`parts`]). Of integer schemes K is padded with zeros to
//! `Kp`, the next multiple of 32, so that rows are whole 16-byte loads.
//!
//! | scheme | data | scales |
//! |---|---|---|
//! | `f32`, `f16` | F32 / F16 `[N, K]` | none |
//! | `q8` | U32 `[N, Kp/4]`: four signed bytes, k ascending from the low one; q in -127..=127 | F32 `[N]` |
//! | `q8g32`, `q8g64`, `q8g128` | the same | U32 `[N, ceil(ceil(Kp/g)/2)]`: f16 pairs, low half = even group |
//! | `q4` | U32 `[N, Kp/8]`: byte i = (q\[i\]+8) \| (q\[i+4\]+8) << 4; q in -8..=7 | F32 `[N]` |
//! | `q4g32`, `q4g64`, `q4g128` | the same | as `q8g*` |
//!
//! Nibbles are dealt so that `word & 0x0f0f0f0f` and `word >> 4 & 0x0f0f0f0f` each are the operand
//! of one 4 x 8-bit dot product. Scales are searched by squared error ([`search`]); they may be
//! negative, since -8 reaches further than 7.

mod f16;
mod f32;
pub mod host;
mod nibbles;
pub mod parts;
mod q4;
mod q4_groups;
mod q8;
mod q8_groups;
pub mod search;
pub mod source;

pub use parts::{Part, Parts, parts};
pub use source::{Dense, Interleaved, RowSource, Stacked};

use drift_ir::{DType, Shape};
use std::fmt;

/// Columns of integer schemes come in multiples of this many.
pub const K_MULTIPLE: usize = 32;

/// Weights along K that share a scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    G32 = 32,
    G64 = 64,
    G128 = 128,
}

/// How a weight matrix is stored. See the module for the formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    F32,
    F16,
    /// 8 bits, one f32 scale per row (output channel).
    Q8,
    Q8Groups(Group),
    /// 4 bits, one f32 scale per row (output channel).
    Q4,
    Q4Groups(Group),
}

impl Scheme {
    pub const ALL: [Scheme; 10] = [
        Scheme::F32,
        Scheme::F16,
        Scheme::Q8,
        Scheme::Q8Groups(Group::G32),
        Scheme::Q8Groups(Group::G64),
        Scheme::Q8Groups(Group::G128),
        Scheme::Q4,
        Scheme::Q4Groups(Group::G32),
        Scheme::Q4Groups(Group::G64),
        Scheme::Q4Groups(Group::G128),
    ];

    /// The attribute `scheme` of nodes.
    pub const fn name(self) -> &'static str {
        match self {
            Scheme::F32 => "f32",
            Scheme::F16 => "f16",
            Scheme::Q8 => "q8",
            Scheme::Q8Groups(Group::G32) => "q8g32",
            Scheme::Q8Groups(Group::G64) => "q8g64",
            Scheme::Q8Groups(Group::G128) => "q8g128",
            Scheme::Q4 => "q4",
            Scheme::Q4Groups(Group::G32) => "q4g32",
            Scheme::Q4Groups(Group::G64) => "q4g64",
            Scheme::Q4Groups(Group::G128) => "q4g128",
        }
    }

    pub fn parse(name: &str) -> Option<Scheme> {
        Scheme::ALL.into_iter().find(|s| s.name() == name)
    }

    /// Bits of one weight, scales apart.
    pub const fn bits(self) -> usize {
        match self {
            Scheme::F32 => 32,
            Scheme::F16 => 16,
            Scheme::Q8 | Scheme::Q8Groups(_) => 8,
            Scheme::Q4 | Scheme::Q4Groups(_) => 4,
        }
    }

    pub const fn is_float(self) -> bool {
        matches!(self, Scheme::F32 | Scheme::F16)
    }

    /// Weights along K that share a scale, where that is not the whole row.
    pub const fn group(self) -> Option<usize> {
        match self {
            Scheme::Q8Groups(g) | Scheme::Q4Groups(g) => Some(g as usize),
            _ => None,
        }
    }

    /// Weights per 32-bit word of an integer scheme.
    pub const fn per_word(self) -> usize {
        32 / self.bits()
    }

    /// Columns with their padding.
    pub const fn padded_k(self, k: usize) -> usize {
        if self.is_float() { k } else { k.next_multiple_of(K_MULTIPLE) }
    }

    /// Type of the operand *data* of a matrix of `n` rows and `k` columns.
    pub fn data_type(self, n: usize, k: usize) -> (DType, Shape) {
        match self {
            Scheme::F32 => (DType::F32, [n, k].into()),
            Scheme::F16 => (DType::F16, [n, k].into()),
            _ => (DType::U32, [n, self.padded_k(k) / self.per_word()].into()),
        }
    }

    /// Type of the operand *scales*, if there is one.
    pub fn scales_type(self, n: usize, k: usize) -> Option<(DType, Shape)> {
        match (self, self.group()) {
            (_, Some(g)) => {
                let groups = self.padded_k(k).div_ceil(g);
                Some((DType::U32, [n, groups.div_ceil(2)].into()))
            }
            (Scheme::Q8 | Scheme::Q4, None) => Some((DType::F32, [n].into())),
            _ => None,
        }
    }

    /// Bytes of one row of *data*.
    pub fn data_row_bytes(self, k: usize) -> usize {
        self.padded_k(k) * self.bits() / 8
    }

    /// Bytes of the scales of one row.
    pub fn scales_row_bytes(self, k: usize) -> usize {
        match (self, self.group()) {
            (_, Some(g)) => 4 * self.padded_k(k).div_ceil(g).div_ceil(2),
            (Scheme::Q8 | Scheme::Q4, None) => 4,
            _ => 0,
        }
    }

    /// Searches the scales of one row.
    pub fn search_row(self, row: &[f32], scales: &mut [u8]) {
        match self {
            Scheme::F32 | Scheme::F16 => {}
            Scheme::Q8 => q8::search(row, scales),
            Scheme::Q8Groups(g) => q8_groups::search(row, g as usize, scales),
            Scheme::Q4 => q4::search(row, scales),
            Scheme::Q4Groups(g) => q4_groups::search(row, g as usize, scales),
        }
    }

    /// Rounds one row to the scales that [`Scheme::search_row`] found.
    pub fn pack_row(self, row: &[f32], scales: &[u8], data: &mut [u8]) {
        match self {
            Scheme::F32 => f32::pack(row, data),
            Scheme::F16 => f16::pack(row, data),
            Scheme::Q8 => q8::pack(row, scales, data),
            Scheme::Q8Groups(g) => q8_groups::pack(row, g as usize, scales, data),
            Scheme::Q4 => q4::pack(row, scales, data),
            Scheme::Q4Groups(g) => q4_groups::pack(row, g as usize, scales, data),
        }
    }

    /// The weights that one row stands for; `row.len()` is K without padding.
    pub fn unpack_row(self, data: &[u8], scales: &[u8], row: &mut [f32]) {
        match self {
            Scheme::F32 => f32::unpack(data, row),
            Scheme::F16 => f16::unpack(data, row),
            Scheme::Q8 => q8::unpack(data, scales, row),
            Scheme::Q8Groups(g) => q8_groups::unpack(data, g as usize, scales, row),
            Scheme::Q4 => q4::unpack(data, scales, row),
            Scheme::Q4Groups(g) => q4_groups::unpack(data, g as usize, scales, row),
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The f32 scale of a row.
fn row_scale(scales: &[u8]) -> f32 {
    f32::from_le_bytes([scales[0], scales[1], scales[2], scales[3]])
}

/// The f16 scale of group `i`: the pairs of a row lie like an array of f16.
fn group_scale(scales: &[u8], i: usize) -> f32 {
    half::f16::from_le_bytes([scales[2 * i], scales[2 * i + 1]]).to_f32()
}

/// Searches the scale of every group of a row; an odd pair ends with 0.
fn search_groups(row: &[f32], group: usize, scales: &mut [u8], range: &search::Range) {
    scales.fill(0);
    for (w, out) in row.chunks(group).zip(scales.chunks_exact_mut(2)) {
        let s = search::scale(w, range, search::to_f16);
        out.copy_from_slice(&half::f16::from_f32(s).to_le_bytes());
    }
}
