//! Functions in front of a kernel, each there only when it is called.

use super::text::type_name;
use drift_kernel::{Scalar, Vector};
use std::collections::BTreeMap;

/// The functions that a kernel calls, by name.
#[derive(Default)]
pub struct Functions(BTreeMap<String, String>);

impl Functions {
    pub fn add(&mut self, name: String, body: impl FnOnce(&str) -> String) -> String {
        self.0.entry(name.clone()).or_insert_with_key(|name| body(name));
        name
    }

    /// All of them, in the order of their names.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.0.values().map(String::as_str)
    }

    /// `a * b + c`, fused where that is as fast.
    pub fn mul_add(&mut self) -> &'static str {
        self.add("MUL_ADD".to_owned(), |_| {
            "#ifdef FP_FAST_FMAF\n\
             #define MUL_ADD(a, b, c) fma(a, b, c)\n\
             #else\n\
             #define MUL_ADD(a, b, c) ((a) * (b) + (c))\n\
             #endif\n"
                .to_owned()
        });
        "MUL_ADD"
    }

    /// Component `i` of a vector.
    pub fn pick(&mut self, v: Vector) -> String {
        let vector = type_name(v, "half");
        let scalar = type_name(Vector { width: 1, ..v }, "half");
        // of a vector of bools: an int, for the caller to compare with 0
        let scalar = if v.scalar == Scalar::Bool { "int".to_owned() } else { scalar };
        self.add(format!("pick_{vector}"), |name| {
            let mut text =
                format!("static inline {scalar} {name}({vector} v, uint i)\n{{\n    return ");
            for lane in 0..v.width - 1 {
                let component = ['x', 'y', 'z'][usize::from(lane)];
                text.push_str(&format!("i == {lane}u ? v.{component} : "));
            }
            let last = ['x', 'y', 'z', 'w'][usize::from(v.width - 1)];
            text.push_str(&format!("v.{last};\n}}\n"));
            text
        })
    }

    /// Quotient (`/`) or remainder (`%`) of ints, on which no processor traps: lanes and branches
    /// whose result is not used may divide by zero, or the least int by -1.
    pub fn division(&mut self, sign: char, width: u8) -> String {
        let ty = type_name(Vector { scalar: Scalar::I32, width }, "half");
        let name = if sign == '/' { "quotient" } else { "remainder" };
        self.add(format!("{name}_{ty}"), |name| {
            let divisor = match width {
                1 => "b == 0 || (a == INT_MIN && b == -1) ? 1 : b".to_owned(),
                _ => format!("select(b, ({ty})(1), (b == 0) | ((a == INT_MIN) & (b == -1)))"),
            };
            format!(
                "static inline {ty} {name}({ty} a, {ty} b)\n{{\n    \
                 return a {sign} ({divisor});\n}}\n"
            )
        })
    }

    /// -1, 0 or 1 with the sign of zeros; NaN stays NaN.
    pub fn sign(&mut self, v: Vector) -> String {
        let ty = type_name(v, "half");
        self.add(format!("sign_{ty}"), |name| {
            let one = if v.scalar == Scalar::F16 { "1.0h" } else { "1.0f" };
            let body = match v.width {
                1 => format!("x == 0 || isnan(x) ? x : copysign(({ty}){one}, x)"),
                _ => format!("select(copysign(({ty})({one}), x), x, (x == 0) | isnan(x))"),
            };
            format!("static inline {ty} {name}({ty} x)\n{{\n    return {body};\n}}\n")
        })
    }

    /// Two f32 of the f16 in a word, the first in its low half.
    pub fn unpack_half2(&mut self) -> String {
        self.add("unpack_half2".to_owned(), |name| {
            format!(
                "static inline float2 {name}(uint word)\n{{\n    \
                 return vload_half2(0, (__private const half *)&word);\n}}\n"
            )
        })
    }

    /// The inverse; rounds to nearest, ties to even.
    pub fn pack_half2(&mut self) -> String {
        self.add("pack_half2".to_owned(), |name| {
            format!(
                "static inline uint {name}(float2 v)\n{{\n    uint word;\n    \
                 vstore_half2_rte(v, 0, (__private half *)&word);\n    return word;\n}}\n"
            )
        })
    }

    /// f32 rounded to the next f16, on devices that need not have the type.
    pub fn round_to_half(&mut self, width: u8) -> String {
        let ty = type_name(Vector { scalar: Scalar::F32, width }, "half");
        let n = if width == 1 { String::new() } else { width.to_string() };
        self.add(format!("round_to_half{n}"), |name| {
            // three halves take the place of three, not of four
            format!(
                "static inline {ty} {name}({ty} v)\n{{\n    ushort halves[{width}];\n    \
                 vstore_half{n}_rte(v, 0, (__private half *)halves);\n    \
                 return vload_half{n}(0, (__private const half *)halves);\n}}\n"
            )
        })
    }

    /// The bound of a loop with barriers, such that PoCL does not see that the loop may run once at
    /// most: it would make a branch of it, and lose what the last workgroups do there (PoCL 3.1, its
    /// work-group method `loopvec`, which peels the first invocation off such branches).
    pub fn loop_bound(&mut self) -> &'static str {
        self.add("loop_bound".to_owned(), |_| {
            "#ifdef POCL_DEVICE_ADDRESS_BITS\n\
             static inline uint loop_bound(uint n)\n{\n    \
             volatile uint hidden = n;\n    return hidden;\n}\n\
             #else\n\
             #define loop_bound(n) (n)\n\
             #endif\n"
                .to_owned()
        });
        "loop_bound"
    }

    /// `acc + dot(a, b)` of four packed bytes.
    pub fn dot4(&mut self, signed: bool) -> &'static str {
        let (name, int, byte, kind) = match signed {
            true => ("dot4_signed", "int", "char4", "ss_int"),
            false => ("dot4_unsigned", "uint", "uchar4", "uu_uint"),
        };
        self.add(name.to_owned(), |name| {
            let sum = match signed {
                true => {
                    "as_int(as_uint(acc) + as_uint(x.x * y.x + x.y * y.y + x.z * y.z + x.w * y.w))"
                }
                false => {
                    "acc + (uint)x.x * y.x + (uint)x.y * y.y + (uint)x.z * y.z + (uint)x.w * y.w"
                }
            };
            let add = match signed {
                true => format!("as_int(as_uint(acc) + as_uint(dot_4x8packed_{kind}(a, b)))"),
                false => format!("acc + dot_4x8packed_{kind}(a, b)"),
            };
            format!(
                "static inline {int} {name}(uint a, uint b, {int} acc)\n{{\n\
                 #ifdef __opencl_c_integer_dot_product_input_4x8bit_packed\n    \
                 return {add};\n\
                 #else\n    \
                 const {byte} x = as_{byte}(a);\n    \
                 const {byte} y = as_{byte}(b);\n    \
                 return {sum};\n\
                 #endif\n}}\n"
            )
        });
        name
    }
}
