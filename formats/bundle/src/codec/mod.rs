//! The one encoder and decoder of META, REQUIREMENTS and PLAN.
//!
//! Unsigned integers are LEB128, shortest form only; enums are one byte (or a tagged union); text is
//! a length and UTF-8; lists are a count and their elements. Every value has exactly one encoding,
//! so equal plans give equal bytes. A count is believed only when that many elements of the smallest
//! possible size fit in the bytes that are left, and even then memory is reserved step by step:
//! a lying file cannot make the decoder allocate more than a small multiple of the file's own size.
//! Why not bincode: docs/decisions/0001-bundle-codec.md.

mod vocabulary;

use alloc::{boxed::Box, format, string::String, vec::Vec};

/// Most elements reserved before any of them has been decoded.
const RESERVE_ELEMS: usize = 256;

/// Boxed, so that results of the many small decoders fit in registers.
pub(crate) type CodecError = Box<Problem>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Field path from the root value, outermost first.
    pub path: String,
    /// Byte offset inside the section.
    pub offset: usize,
    pub message: String,
}

/// Adds a step of the path to an error on its way out.
trait Within {
    fn field(self, name: &str) -> Self;
    fn index(self, i: usize) -> Self;
}

impl Within for CodecError {
    #[cold]
    #[inline(never)]
    fn field(mut self, name: &str) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{name}{dot}{}", self.path);
        self
    }
    #[cold]
    #[inline(never)]
    fn index(mut self, i: usize) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("[{i}]{dot}{}", self.path);
        self
    }
}

pub(crate) struct Decoder<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Decoder<'a> {
    #[cold]
    #[inline(never)]
    fn fail(&self, message: String) -> CodecError {
        Box::new(Problem { path: String::new(), offset: self.offset, message })
    }

    fn error(&self, message: impl Into<String>) -> CodecError {
        self.fail(message.into())
    }

    fn remaining(&self) -> usize {
        self.bytes.len() - self.offset
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], CodecError> {
        if n > self.remaining() {
            return Err(self.error(format!("{n} bytes expected, {} left", self.remaining())));
        }
        let out = &self.bytes[self.offset..self.offset + n];
        self.offset += n;
        Ok(out)
    }

    fn byte(&mut self) -> Result<u8, CodecError> {
        Ok(self.take(1)?[0])
    }

    fn varint(&mut self) -> Result<u64, CodecError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(self.error("integer exceeds 64 bits"));
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift != 0 {
                    return Err(self.error("integer is not in its shortest form"));
                }
                return Ok(value);
            }
        }
        Err(self.error("integer exceeds 64 bits"))
    }

    /// A count of elements that each take at least `min_bytes`.
    fn count(&mut self, min_bytes: usize) -> Result<usize, CodecError> {
        let count = self.varint()?;
        let most = self.remaining() / min_bytes.max(1);
        match usize::try_from(count) {
            Ok(n) if n <= most => Ok(n),
            _ => Err(self.error(format!(
                "count {count} does not fit in the {} bytes left",
                self.remaining()
            ))),
        }
    }
}

/// A value with exactly one encoding.
pub(crate) trait Wire: Sized {
    /// Bytes of the smallest encoding.
    const MIN_BYTES: usize = 1;
    fn put(&self, out: &mut Vec<u8>);
    fn get(d: &mut Decoder<'_>) -> Result<Self, CodecError>;
}

#[cfg(feature = "write")]
pub(crate) fn encode<T: Wire>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    value.put(&mut out);
    out
}

/// Decodes one value that must take up all of `bytes`.
pub(crate) fn decode<T: Wire>(bytes: &[u8]) -> Result<T, CodecError> {
    let mut d = Decoder { bytes, offset: 0 };
    let value = T::get(&mut d)?;
    if d.remaining() != 0 {
        return Err(d.error(format!("{} bytes left over", d.remaining())));
    }
    Ok(value)
}

fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

impl Wire for u64 {
    fn put(&self, out: &mut Vec<u8>) {
        put_varint(*self, out);
    }
    fn get(d: &mut Decoder<'_>) -> Result<Self, CodecError> {
        d.varint()
    }
}

impl Wire for u32 {
    fn put(&self, out: &mut Vec<u8>) {
        put_varint(u64::from(*self), out);
    }
    fn get(d: &mut Decoder<'_>) -> Result<Self, CodecError> {
        let value = d.varint()?;
        u32::try_from(value).map_err(|_| d.error(format!("{value} exceeds 32 bits")))
    }
}

impl Wire for String {
    fn put(&self, out: &mut Vec<u8>) {
        put_varint(self.len() as u64, out);
        out.extend_from_slice(self.as_bytes());
    }
    fn get(d: &mut Decoder<'_>) -> Result<Self, CodecError> {
        let n = d.count(1)?;
        let bytes = d.take(n)?;
        match core::str::from_utf8(bytes) {
            Ok(text) => Ok(text.into()),
            Err(_) => Err(d.error("text is not UTF-8")),
        }
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        put_varint(self.len() as u64, out);
        for item in self {
            item.put(out);
        }
    }
    fn get(d: &mut Decoder<'_>) -> Result<Self, CodecError> {
        let n = d.count(T::MIN_BYTES)?;
        let mut items = Vec::with_capacity(n.min(RESERVE_ELEMS));
        for i in 0..n {
            items.push(T::get(d).map_err(|e| e.index(i))?);
        }
        Ok(items)
    }
}

impl<T: Wire + Copy + Default, const N: usize> Wire for [T; N] {
    const MIN_BYTES: usize = T::MIN_BYTES * N;
    fn put(&self, out: &mut Vec<u8>) {
        for item in self {
            item.put(out);
        }
    }
    fn get(d: &mut Decoder<'_>) -> Result<Self, CodecError> {
        let mut items = [T::default(); N];
        for (i, item) in items.iter_mut().enumerate() {
            *item = T::get(d).map_err(|e| e.index(i))?;
        }
        Ok(items)
    }
}

impl<A: Wire, B: Wire> Wire for (A, B) {
    const MIN_BYTES: usize = A::MIN_BYTES + B::MIN_BYTES;
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
    }
    fn get(d: &mut Decoder<'_>) -> Result<Self, CodecError> {
        Ok((A::get(d)?, B::get(d)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varint_edges_round_trip_and_have_one_form() {
        for value in [0, 1, 127, 128, 16383, 16384, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut out = Vec::new();
            put_varint(value, &mut out);
            assert_eq!(decode::<u64>(&out).unwrap(), value);
        }
        assert!(decode::<u64>(&[0x80, 0x00]).unwrap_err().message.contains("shortest"));
        assert!(decode::<u64>(&[0xff; 10]).unwrap_err().message.contains("64 bits"));
        assert!(
            decode::<u64>(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]).is_err()
        );
        assert!(
            decode::<u32>(&[0xff, 0xff, 0xff, 0xff, 0x1f]).unwrap_err().message.contains("32 bits")
        );
    }

    #[test]
    fn counts_are_bounded_by_the_bytes_left() {
        let mut lie = Vec::new();
        put_varint(u64::MAX / 2, &mut lie);
        let e = decode::<Vec<u64>>(&lie).unwrap_err();
        assert!(e.message.contains("does not fit"), "{}", e.message);
        assert!(decode::<String>(&[5, b'a']).is_err());
        // 12 bytes left hold at most four triples, although a count of 12 would pass for bytes.
        let mut triples = alloc::vec![5u8];
        triples.extend([1u8; 12]);
        assert!(decode::<Vec<[u64; 3]>>(&triples).is_err());
    }
}
