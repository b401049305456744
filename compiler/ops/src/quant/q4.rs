//! Scheme `q4`: 4 bits and one f32 scale per row.

use super::search::{self, Q4};
use super::{nibbles, row_scale};

pub fn search(row: &[f32], scales: &mut [u8]) {
    scales.copy_from_slice(&search::scale(row, &Q4, |s| s).to_le_bytes());
}

pub fn pack(row: &[f32], scales: &[u8], data: &mut [u8]) {
    nibbles::pack(row, row_scale(scales), data);
}

pub fn unpack(data: &[u8], scales: &[u8], row: &mut [f32]) {
    nibbles::unpack(data, row_scale(scales), row);
}

#[cfg(test)]
mod tests {
    use crate::quant::{Scheme, row_scale, source::tests::checked_round_trip};

    #[test]
    fn round_trip_errs_by_half_a_step() {
        for case in 0..40 {
            checked_round_trip(Scheme::Q4, case, |scales, w| {
                let s = row_scale(scales).abs();
                w.iter().map(|w| (s * 0.5).max(w.abs() - 7.0 * s) * 1.001).collect()
            });
        }
    }
}
