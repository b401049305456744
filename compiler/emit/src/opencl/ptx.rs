//! Functions in front of a kernel that are PTX within, for NVIDIA's compiler: what OpenCL C has no words
//! for there (PTX ISA 8.0, for compute capability 8.0 and later; chapters 9.7.8 and 9.7.14).
//!
//! - **Halves** are bits: one is a `ushort`, two are a `uint`, the first in its low half, three or four a
//!   `uint2`.
//! - **Matrices** are what the lanes of a subgroup hold of them for `mma.sync`. Operands are a
//!   `uint4`, sums of 16 x 16 a `float8` or an `int8`, the left half of the columns in front. An
//!   operand is four blocks of eight lines of 16 bytes; lane `8 i + j` names line `j` of block `i`,
//!   and all lanes together load them (`ldmatrix`).
//!
//! All lanes of a subgroup take part in each of these: kernels use them in uniform control flow.

use super::functions::Functions;
use drift_kernel::{BinaryOp, MatrixRole, Scalar, SubgroupOp};

/// Lanes of a subgroup.
pub const SUBGROUP: u32 = 32;

/// Instructions of a function; `operands` as in GNU C.
fn assembly(instructions: &str, operands: &str) -> String {
    format!("    __asm__ volatile(\"{instructions}\"\n        {operands});\n")
}

/// The same, where only the result counts: what is not used is not computed.
fn pure(instructions: &str, operands: &str) -> String {
    format!("    __asm__(\"{instructions}\"\n        {operands});\n")
}

impl Functions {
    /// f32 of one, two or four halves.
    pub fn widen_half(&mut self, width: u8) -> &'static str {
        match width {
            1 => {
                self.add("from_half".to_owned(), |name| {
                    let code = pure("cvt.f32.f16 %0, %1;", ": \"=f\"(v) : \"h\"(h)");
                    format!(
                        "static inline float {name}(ushort h)\n{{\n    float v;\n{code}    return v;\n}}\n"
                    )
                });
                "from_half"
            }
            2 => {
                self.add("from_half2".to_owned(), |name| {
                    let code = pure(
                        "{.reg .b16 lo, hi; mov.b32 {lo, hi}, %2; cvt.f32.f16 %0, lo; cvt.f32.f16 %1, hi;}",
                        ": \"=f\"(x), \"=f\"(y) : \"r\"(h)",
                    );
                    format!(
                        "static inline float2 {name}(uint h)\n{{\n    float x, y;\n{code}    \
                         return (float2)(x, y);\n}}\n"
                    )
                });
                "from_half2"
            }
            _ => {
                // in front of this function by its name
                self.widen_half(2);
                self.add("from_half4".to_owned(), |name| {
                    format!(
                        "static inline float4 {name}(uint2 h)\n{{\n    \
                         return (float4)(from_half2(h.x), from_half2(h.y));\n}}\n"
                    )
                });
                "from_half4"
            }
        }
    }

    /// The inverse; rounds to nearest, ties to even.
    pub fn narrow_half(&mut self, width: u8) -> &'static str {
        match width {
            1 => {
                self.add("to_half".to_owned(), |name| {
                    let code = pure("cvt.rn.f16.f32 %0, %1;", ": \"=h\"(h) : \"f\"(v)");
                    format!(
                        "static inline ushort {name}(float v)\n{{\n    ushort h;\n{code}    return h;\n}}\n"
                    )
                });
                "to_half"
            }
            2 => {
                self.add("to_half2".to_owned(), |name| {
                    // the first operand is the high half
                    let code = pure(
                        "cvt.rn.f16x2.f32 %0, %1, %2;",
                        ": \"=r\"(h) : \"f\"(v.y), \"f\"(v.x)",
                    );
                    format!(
                        "static inline uint {name}(float2 v)\n{{\n    uint h;\n{code}    return h;\n}}\n"
                    )
                });
                "to_half2"
            }
            _ => {
                self.narrow_half(2);
                self.add("to_half4".to_owned(), |name| {
                    format!(
                        "static inline uint2 {name}(float4 v)\n{{\n    \
                         return (uint2)(to_half2(v.xy), to_half2(v.zw));\n}}\n"
                    )
                });
                "to_half4"
            }
        }
    }

    /// A sum, difference or product of two or four halves, in one rounding; `None`: others.
    pub fn of_halves(&mut self, op: BinaryOp, width: u8) -> Option<&'static str> {
        let (instruction, two, four) = match op {
            BinaryOp::Add => ("add", "add_half2", "add_half4"),
            BinaryOp::Sub => ("sub", "sub_half2", "sub_half4"),
            BinaryOp::Mul => ("mul", "mul_half2", "mul_half4"),
            _ => return None,
        };
        self.add(two.to_owned(), |name| {
            let code = pure(
                &format!("{instruction}.rn.f16x2 %0, %1, %2;"),
                ": \"=r\"(h) : \"r\"(a), \"r\"(b)",
            );
            format!(
                "static inline uint {name}(uint a, uint b)\n{{\n    uint h;\n{code}    return h;\n}}\n"
            )
        });
        if width == 2 {
            return Some(two);
        }
        self.add(four.to_owned(), |name| {
            format!(
                "static inline uint2 {name}(uint2 a, uint2 b)\n{{\n    \
                 return (uint2)({two}(a.x, b.x), {two}(a.y, b.y));\n}}\n"
            )
        });
        Some(four)
    }

    /// `a * b + c` of two or four halves, in one rounding.
    pub fn fma_halves(&mut self, width: u8) -> &'static str {
        self.add("fma_half2".to_owned(), |name| {
            let code =
                pure("fma.rn.f16x2 %0, %1, %2, %3;", ": \"=r\"(h) : \"r\"(a), \"r\"(b), \"r\"(c)");
            format!(
                "static inline uint {name}(uint a, uint b, uint c)\n{{\n    uint h;\n{code}    \
                 return h;\n}}\n"
            )
        });
        if width == 2 {
            return "fma_half2";
        }
        self.add("fma_half4".to_owned(), |name| {
            format!(
                "static inline uint2 {name}(uint2 a, uint2 b, uint2 c)\n{{\n    \
                 return (uint2)(fma_half2(a.x, b.x, c.x), fma_half2(a.y, b.y, c.y));\n}}\n"
            )
        });
        "fma_half4"
    }

    /// `acc + dot(a, b)` of four packed bytes.
    pub fn dot4_ptx(&mut self, signed: bool) -> &'static str {
        let (name, ty, kind) = match signed {
            true => ("dot4_signed", "int", "s32"),
            false => ("dot4_unsigned", "uint", "u32"),
        };
        self.add(name.to_owned(), |name| {
            let code = pure(
                &format!("dp4a.{kind}.{kind} %0, %1, %2, %3;"),
                ": \"=r\"(d) : \"r\"(a), \"r\"(b), \"r\"(acc)",
            );
            format!(
                "static inline {ty} {name}(uint a, uint b, {ty} acc)\n{{\n    {ty} d;\n{code}    \
                 return d;\n}}\n"
            )
        });
        name
    }

    /// The value of the lane that `how` chooses: `bfly` (xor) or `idx`. `scalar` has 32 bits.
    pub fn shuffle(&mut self, how: &str, scalar: Scalar) -> String {
        let (ty, letter) = register(scalar);
        self.add(format!("shuffle_{how}_{ty}"), |name| {
            let code = assembly(
                &format!("shfl.sync.{how}.b32 %0, %1, %2, 31, -1;"),
                &format!(": \"={letter}\"(v) : \"{letter}\"(x), \"r\"(lane)"),
            );
            format!(
                "static inline {ty} {name}({ty} x, uint lane)\n{{\n    {ty} v;\n{code}    return v;\n}}\n"
            )
        })
    }

    /// A reduction over the subgroup.
    pub fn reduce(&mut self, op: SubgroupOp, scalar: Scalar) -> String {
        let (ty, _) = register(scalar);
        let word = match op {
            SubgroupOp::Add => "add",
            SubgroupOp::Min => "min",
            SubgroupOp::Max => "max",
        };
        if scalar != Scalar::F32 {
            let kind = if scalar == Scalar::U32 { "u32" } else { "s32" };
            return self.add(format!("subgroup_{word}_{ty}"), |name| {
                let code = assembly(
                    &format!("redux.sync.{word}.{kind} %0, %1, -1;"),
                    ": \"=r\"(v) : \"r\"(x)",
                );
                format!(
                    "static inline {ty} {name}({ty} x)\n{{\n    {ty} v;\n{code}    return v;\n}}\n"
                )
            });
        }
        // its name sorts in front of this one's
        let shuffle = self.shuffle("bfly", scalar);
        let next = match op {
            SubgroupOp::Add => format!("x + {shuffle}(x, mask)"),
            SubgroupOp::Min => format!("fmin(x, {shuffle}(x, mask))"),
            SubgroupOp::Max => format!("fmax(x, {shuffle}(x, mask))"),
        };
        self.add(format!("subgroup_{word}_{ty}"), |name| {
            format!(
                "static inline {ty} {name}({ty} x)\n{{\n    #pragma unroll\n    \
                 for (uint mask = {}u; mask != 0u; mask /= 2u)\n        x = {next};\n    \
                 return x;\n}}\n",
                SUBGROUP / 2
            )
        })
    }

    /// An operand from workgroup memory: `(array, index, stride, lane)`, the index and the distance
    /// of lines in bytes. `along_k`: lines are contiguous along the depth of the product.
    pub fn load_operand(&mut self, role: MatrixRole, along_k: bool) -> &'static str {
        let left = role == MatrixRole::A;
        let name = match (left, along_k) {
            (true, true) => "load_left",
            (true, false) => "load_left_across",
            (false, true) => "load_right",
            (false, false) => "load_right_across",
        };
        self.add(name.to_owned(), |name| {
            // blocks 0 and 1 follow each other along the rows of the left operand, and along the depth of
            // the right one
            let place = match left == along_k {
                true => "lane % 16u * stride + lane / 16u * 16u",
                false => "(lane / 16u * 8u + lane % 8u) * stride + lane / 8u % 2u * 16u",
            };
            let turned = if along_k { "" } else { ".trans" };
            let code = assembly(
                &format!("ldmatrix.sync.aligned.m8n8.x4{turned}.shared.b16 {{%0, %1, %2, %3}}, [%4];"),
                ": \"=r\"(a), \"=r\"(b), \"=r\"(c), \"=r\"(d) : \"r\"(at) : \"memory\"",
            );
            format!(
                "static inline uint4 {name}(__local const void *array, uint index, uint stride, uint lane)\n\
                 {{\n    const uint at = (uint)(size_t)array + index + {place};\n    \
                 uint a, b, c, d;\n{code}    return (uint4)(a, b, c, d);\n}}\n"
            )
        });
        name
    }

    /// Sums from workgroup memory: `(first, stride, lane)`, by rows, in elements.
    pub fn load_sums(&mut self, scalar: Scalar) -> String {
        let (ty, _) = register(scalar);
        self.add(format!("load_sums_{ty}"), |name| {
            format!(
                "static inline {ty}8 {name}(__local const {ty} *first, uint stride, uint lane)\n{{\n    \
                 __local const {ty}2 *at = (__local const {ty}2 *)(first + lane / 4u * stride) + lane % 4u;\n    \
                 const uint below = 4u * stride;\n    \
                 return ({ty}8)(at[0], at[below], at[4], at[below + 4u]);\n}}\n"
            )
        })
    }

    /// The inverse: `(sums, first, stride, lane)`.
    pub fn store_sums(&mut self, scalar: Scalar) -> String {
        let (ty, _) = register(scalar);
        self.add(format!("store_sums_{ty}"), |name| {
            format!(
                "static inline void {name}({ty}8 sums, __local {ty} *first, uint stride, uint lane)\n{{\n    \
                 __local {ty}2 *at = (__local {ty}2 *)(first + lane / 4u * stride) + lane % 4u;\n    \
                 const uint below = 4u * stride;\n    \
                 at[0] = sums.s01;\n    at[below] = sums.s23;\n    at[4] = sums.s45;\n    \
                 at[below + 4u] = sums.s67;\n}}\n"
            )
        })
    }

    /// `a * b + c` of matrices with sums of `scalar`.
    pub fn multiply_matrices(&mut self, scalar: Scalar) -> &'static str {
        let (name, letter, shape) = match scalar {
            Scalar::F32 => ("multiply_halves", 'f', "m16n8k16.row.col.f32.f16.f16.f32"),
            _ => ("multiply_bytes", 'r', "m16n8k32.row.col.s32.s8.s8.s32"),
        };
        let (ty, _) = register(scalar);
        self.add(name.to_owned(), |name| {
            let half = |c: [char; 4], b: [char; 2]| {
                let sums: Vec<String> =
                    c.iter().map(|c| format!("\"+{letter}\"(c.s{c})")).collect();
                assembly(
                    &format!(
                        "mma.sync.aligned.{shape} {{%0, %1, %2, %3}}, {{%4, %5, %6, %7}}, {{%8, %9}}, \
                         {{%0, %1, %2, %3}};"
                    ),
                    &format!(
                        ": {} : \"r\"(a.x), \"r\"(a.y), \"r\"(a.z), \"r\"(a.w), \"r\"(b.{}), \"r\"(b.{})",
                        sums.join(", "),
                        b[0],
                        b[1]
                    ),
                )
            };
            let left = half(['0', '1', '2', '3'], ['x', 'y']);
            let right = half(['4', '5', '6', '7'], ['z', 'w']);
            format!(
                "static inline {ty}8 {name}(uint4 a, uint4 b, {ty}8 c)\n{{\n{left}{right}    \
                 return c;\n}}\n"
            )
        });
        name
    }
}

/// Type and register class of a scalar of 32 bits.
fn register(scalar: Scalar) -> (&'static str, char) {
    match scalar {
        Scalar::F32 | Scalar::F16 => ("float", 'f'),
        Scalar::U32 => ("uint", 'r'),
        Scalar::I32 | Scalar::Bool => ("int", 'r'),
    }
}
