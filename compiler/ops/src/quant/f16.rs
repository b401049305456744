//! Scheme `f16`: weights rounded to nearest even; what f16 cannot hold saturates.

use half::f16;

pub fn pack(row: &[f32], data: &mut [u8]) {
    let (low, high) = (f16::MIN.to_f32(), f16::MAX.to_f32());
    for (w, out) in row.iter().zip(data.chunks_exact_mut(2)) {
        out.copy_from_slice(&f16::from_f32(w.clamp(low, high)).to_le_bytes());
    }
}

pub fn unpack(data: &[u8], row: &mut [f32]) {
    for (w, from) in row.iter_mut().zip(data.chunks_exact(2)) {
        *w = f16::from_le_bytes([from[0], from[1]]).to_f32();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quant::{Scheme, source::tests::checked_round_trip};

    #[test]
    fn round_trip_errs_by_half_a_step() {
        for case in 0..20 {
            // 11 bits of mantissa; subnormals below 2^-14 have steps of 2^-24
            let bound = |w: &f32| (w.abs() / 2048.0).max(3e-8);
            checked_round_trip(Scheme::F16, case, |_, w| w.iter().map(bound).collect());
        }
    }

    #[test]
    fn large_weights_saturate() {
        let mut data = [0; 4];
        pack(&[1e6, -1e6], &mut data);
        let mut back = [0.0; 2];
        unpack(&data, &mut back);
        assert_eq!(back, [65504.0, -65504.0]);
    }
}
