//! Scheme `f32`: weights as they are.

pub fn pack(row: &[f32], data: &mut [u8]) {
    for (w, out) in row.iter().zip(data.chunks_exact_mut(4)) {
        out.copy_from_slice(&w.to_le_bytes());
    }
}

pub fn unpack(data: &[u8], row: &mut [f32]) {
    for (w, from) in row.iter_mut().zip(data.chunks_exact(4)) {
        *w = f32::from_le_bytes([from[0], from[1], from[2], from[3]]);
    }
}

#[cfg(test)]
mod tests {
    use crate::quant::{Scheme, source::tests::checked_round_trip};

    #[test]
    fn round_trip_is_exact() {
        for case in 0..20 {
            checked_round_trip(Scheme::F32, case, |_, w| w.iter().map(|_| 0.0).collect());
        }
    }
}
