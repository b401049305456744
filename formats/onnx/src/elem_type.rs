//! Element types of tensors.

use core::fmt;

macro_rules! elem_types {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $name:literal, $bits:literal;)*) => {
        /// Element type of a tensor, `TensorProto.DataType` in the format.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum ElemType { $($(#[$doc])* $variant,)* }

        impl ElemType {
            /// All types, in the order of their codes.
            pub const ALL: &'static [ElemType] = &[$(ElemType::$variant),*];

            /// The type with this `TensorProto.DataType` number; `None` for 0 and unknown numbers.
            pub fn from_code(code: i32) -> Option<ElemType> {
                match code { $($code => Some(ElemType::$variant),)* _ => None }
            }

            /// The `TensorProto.DataType` number.
            pub fn code(self) -> i32 {
                match self { $(ElemType::$variant => $code,)* }
            }

            /// Short name, `f32`, `i4`, `bool` …
            pub fn name(self) -> &'static str {
                match self { $(ElemType::$variant => $name,)* }
            }

            /// Bits per element in packed raw data; 0 for strings, which have no fixed size.
            pub fn bits(self) -> u32 {
                match self { $(ElemType::$variant => $bits,)* }
            }
        }
    };
}

elem_types! {
    F32 = 1, "f32", 32;
    U8 = 2, "u8", 8;
    I8 = 3, "i8", 8;
    U16 = 4, "u16", 16;
    I16 = 5, "i16", 16;
    I32 = 6, "i32", 32;
    I64 = 7, "i64", 64;
    /// Byte strings of any length; kept in [`Tensor::strings`](crate::Tensor::strings).
    String = 8, "string", 0;
    /// One byte per element, 0 or 1.
    Bool = 9, "bool", 8;
    F16 = 10, "f16", 16;
    F64 = 11, "f64", 64;
    U32 = 12, "u32", 32;
    U64 = 13, "u64", 64;
    Complex64 = 14, "complex64", 64;
    Complex128 = 15, "complex128", 128;
    BF16 = 16, "bf16", 16;
    F8E4M3FN = 17, "f8e4m3fn", 8;
    F8E4M3FNUZ = 18, "f8e4m3fnuz", 8;
    F8E5M2 = 19, "f8e5m2", 8;
    F8E5M2FNUZ = 20, "f8e5m2fnuz", 8;
    /// Two elements per byte, the first in the low half.
    U4 = 21, "u4", 4;
    /// Two elements per byte, the first in the low half, two's complement.
    I4 = 22, "i4", 4;
    F4E2M1 = 23, "f4e2m1", 4;
    F8E8M0 = 24, "f8e8m0", 8;
    /// Four elements per byte, the first in the low bits.
    U2 = 25, "u2", 2;
    /// Four elements per byte, the first in the low bits, two's complement.
    I2 = 26, "i2", 2;
}

impl ElemType {
    /// Bytes that `elems` elements take when packed; `None` on overflow and for strings.
    pub fn packed_bytes(self, elems: u64) -> Option<u64> {
        match self.bits() {
            0 => None,
            bits @ (2 | 4) => Some(elems.div_ceil(u64::from(8 / bits))),
            bits => elems.checked_mul(u64::from(bits / 8)),
        }
    }
}

impl fmt::Display for ElemType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
