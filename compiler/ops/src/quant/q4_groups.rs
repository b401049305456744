//! Schemes `q4g32`, `q4g64`, `q4g128`: 4 bits, an f16 scale per group of weights along K.

use super::search::Q4;
use super::{group_scale, nibbles, search_groups};

pub fn search(row: &[f32], group: usize, scales: &mut [u8]) {
    search_groups(row, group, scales, &Q4);
}

pub fn pack(row: &[f32], group: usize, scales: &[u8], data: &mut [u8]) {
    for (i, (w, data)) in row.chunks(group).zip(data.chunks_mut(group / 2)).enumerate() {
        nibbles::pack(w, group_scale(scales, i), data);
    }
}

pub fn unpack(data: &[u8], group: usize, scales: &[u8], row: &mut [f32]) {
    for (i, (w, data)) in row.chunks_mut(group).zip(data.chunks(group / 2)).enumerate() {
        nibbles::unpack(data, group_scale(scales, i), w);
    }
}

#[cfg(test)]
mod tests {
    use crate::quant::{Group, Scheme, group_scale, source::tests::checked_round_trip};

    #[test]
    fn round_trip_errs_by_half_a_step() {
        for case in 0..40 {
            for g in [Group::G32, Group::G64, Group::G128] {
                checked_round_trip(Scheme::Q4Groups(g), case, |scales, w| {
                    let bound = |(k, w): (usize, &f32)| {
                        let s = group_scale(scales, k / g as usize).abs();
                        (s * 0.5).max(w.abs() - 7.0 * s) * 1.001
                    };
                    w.iter().enumerate().map(bound).collect()
                });
            }
        }
    }
}
