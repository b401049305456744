//! Schemes `q8g32`, `q8g64`, `q8g128`: signed bytes, an f16 scale per group of weights along K.

use super::q8::{pack_bytes, unpack_bytes};
use super::search::Q8;
use super::{group_scale, search_groups};

pub fn search(row: &[f32], group: usize, scales: &mut [u8]) {
    search_groups(row, group, scales, &Q8);
}

pub fn pack(row: &[f32], group: usize, scales: &[u8], data: &mut [u8]) {
    data.fill(0);
    for (i, (w, data)) in row.chunks(group).zip(data.chunks_mut(group)).enumerate() {
        pack_bytes(w, group_scale(scales, i), data);
    }
}

pub fn unpack(data: &[u8], group: usize, scales: &[u8], row: &mut [f32]) {
    for (i, (w, data)) in row.chunks_mut(group).zip(data.chunks(group)).enumerate() {
        unpack_bytes(data, group_scale(scales, i), w);
    }
}

#[cfg(test)]
mod tests {
    use crate::quant::{Group, Scheme, group_scale, source::tests::checked_round_trip};

    #[test]
    fn round_trip_errs_by_half_a_step() {
        for case in 0..40 {
            for g in [Group::G32, Group::G64, Group::G128] {
                checked_round_trip(Scheme::Q8Groups(g), case, |scales, w| {
                    let bound = |(k, w): (usize, &f32)| {
                        let s = group_scale(scales, k / g as usize).abs();
                        (s * 0.5).max(w.abs() - 127.0 * s) * 1.001
                    };
                    w.iter().enumerate().map(bound).collect()
                });
            }
        }
    }
}
