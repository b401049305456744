//! Eight 4-bit weights in a word: byte i holds weight i in its low half and weight i + 4 in its
//! high half, each plus 8.

use super::search::{Q4, inverse, quantum};

/// Weights in a word.
pub const WORD: usize = 8;
/// A word of zeros.
const ZERO: u8 = 0x88;

/// Packs weights that share a scale; what is left of the last word is 0.
pub fn pack(w: &[f32], scale: f32, data: &mut [u8]) {
    let inverse = inverse(scale);
    data.fill(ZERO);
    for (w, word) in w.chunks(WORD).zip(data.chunks_exact_mut(4)) {
        let mut q = [8u8; WORD];
        for (q, w) in q.iter_mut().zip(w) {
            *q = (quantum(*w, inverse, &Q4) + 8.0) as u8;
        }
        for (i, byte) in word.iter_mut().enumerate() {
            *byte = q[i] | q[i + 4] << 4;
        }
    }
}

pub fn unpack(data: &[u8], scale: f32, w: &mut [f32]) {
    for (w, word) in w.chunks_mut(WORD).zip(data.chunks_exact(4)) {
        for (k, w) in w.iter_mut().enumerate() {
            let q = word[k % 4] >> (k / 4 * 4) & 15;
            *w = (f32::from(q) - 8.0) * scale;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_of_words_are_dot_operands() {
        let w: Vec<f32> = (-8..8).map(|q| q as f32).collect();
        let mut data = [0; 8];
        pack(&w, 1.0, &mut data);
        let word = u32::from_le_bytes([data[0], data[1], data[2], data[3]]);
        assert_eq!((word & 0x0f0f_0f0f).to_le_bytes(), [0, 1, 2, 3]);
        assert_eq!((word >> 4 & 0x0f0f_0f0f).to_le_bytes(), [4, 5, 6, 7]);
        let mut back = [0.0; 16];
        unpack(&data, 1.0, &mut back);
        assert_eq!(back.to_vec(), w);
    }
}
