//! The alphabet of byte-level vocabularies (GPT-2): every byte is written as a printable character.

/// Character that stands for a byte: itself where it is printable in Latin-1, else U+0100 and up in
/// the order of bytes.
pub fn char_of(byte: u8) -> char {
    TABLE[usize::from(byte)]
}

/// Byte that a character stands for.
pub fn byte_of(c: char) -> Option<u8> {
    let c = u32::from(c);
    if c >= 0x100 {
        return SHIFTED.get(c as usize - 0x100).copied();
    }
    printable(c as u8).then_some(c as u8)
}

/// Bytes written in the alphabet.
pub fn to_text(bytes: &[u8]) -> String {
    bytes.iter().map(|b| char_of(*b)).collect()
}

const fn printable(b: u8) -> bool {
    matches!(b, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff)
}

/// Bytes 0..=32, 127..=160 and 173: those without a printable character of their own.
const SHIFTED: [u8; 68] = {
    let (mut out, mut n, mut b) = ([0; 68], 0, 0);
    while b < 256 {
        if !printable(b as u8) {
            out[n] = b as u8;
            n += 1;
        }
        b += 1;
    }
    out
};

const TABLE: [char; 256] = {
    let (mut out, mut n, mut b) = (['\0'; 256], 0, 0);
    while b < 256 {
        if printable(b as u8) {
            out[b] = b as u8 as char;
        } else if let Some(c) = char::from_u32(0x100 + n) {
            out[b] = c;
            n += 1;
        }
        b += 1;
    }
    out
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_a_character_of_its_own() {
        for b in 0..=255u8 {
            assert_eq!(byte_of(char_of(b)), Some(b));
        }
        assert_eq!((char_of(b' '), char_of(b'\n'), char_of(b'a')), ('Ġ', 'Ċ', 'a'));
        assert_eq!((byte_of(' '), byte_of('\u{ad}'), byte_of('€')), (None, None, None));
    }
}
