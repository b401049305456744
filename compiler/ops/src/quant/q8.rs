//! Scheme `q8`: signed bytes and one f32 scale per row.

use super::row_scale;
use super::search::{self, Q8};

pub fn search(row: &[f32], scales: &mut [u8]) {
    scales.copy_from_slice(&search::scale(row, &Q8, |s| s).to_le_bytes());
}

pub fn pack(row: &[f32], scales: &[u8], data: &mut [u8]) {
    data.fill(0);
    pack_bytes(row, row_scale(scales), data);
}

pub fn unpack(data: &[u8], scales: &[u8], row: &mut [f32]) {
    unpack_bytes(data, row_scale(scales), row);
}

/// Bytes of weights that share a scale; k ascending from the low byte of each word is the order
/// of bytes in memory.
pub fn pack_bytes(w: &[f32], scale: f32, data: &mut [u8]) {
    let inverse = search::inverse(scale);
    for (w, out) in w.iter().zip(data) {
        *out = search::quantum(*w, inverse, &Q8) as i8 as u8;
    }
}

pub fn unpack_bytes(data: &[u8], scale: f32, w: &mut [f32]) {
    for (w, q) in w.iter_mut().zip(data) {
        *w = f32::from(*q as i8) * scale;
    }
}

#[cfg(test)]
mod tests {
    use crate::quant::{Scheme, row_scale, source::tests::checked_round_trip};

    #[test]
    fn round_trip_errs_by_half_a_step() {
        for case in 0..40 {
            checked_round_trip(Scheme::Q8, case, |scales, w| {
                let s = row_scale(scales).abs();
                // clipped weights err by more, but never by more than themselves
                w.iter().map(|w| (s * 0.5).max(w.abs() - 127.0 * s) * 1.001).collect()
            });
        }
    }
}
