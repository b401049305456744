//! Names of things in the text.

use std::collections::HashSet;

/// Words that the language, its library as far as it is called here, or this writer uses.
const TAKEN: &[&str] = &[
    "abs",
    "acos",
    "acosh",
    "as_float",
    "as_int",
    "as_uint",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "auto",
    "barrier",
    "bool",
    "break",
    "case",
    "ceil",
    "char",
    "const",
    "constant",
    "continue",
    "copysign",
    "cos",
    "cosh",
    "default",
    "do",
    "dot",
    "double",
    "else",
    "enum",
    "exp",
    "exp2",
    "extern",
    "fabs",
    "false",
    "float",
    "floor",
    "fma",
    "fmax",
    "fmin",
    "fmod",
    "for",
    "global",
    "goto",
    "half",
    "if",
    "image1d_buffer_t",
    "image2d_array_t",
    "image2d_t",
    "image3d_t",
    "inline",
    "int",
    "isinf",
    "isnan",
    "kernel",
    "local",
    "log",
    "log2",
    "long",
    "mad",
    "max",
    "min",
    "pow",
    "private",
    "read_imagef",
    "read_only",
    "read_write",
    "register",
    "restrict",
    "return",
    "rint",
    "rsqrt",
    "sampler_t",
    "select",
    "short",
    "sign",
    "signed",
    "sin",
    "sinh",
    "size_t",
    "sizeof",
    "sqrt",
    "static",
    "step",
    "struct",
    "switch",
    "tan",
    "tanh",
    "true",
    "trunc",
    "typedef",
    "uchar",
    "uint",
    "ulong",
    "union",
    "unsigned",
    "ushort",
    "void",
    "volatile",
    "while",
    "write_imagef",
    "write_only",
];

/// Hands out names, each once.
#[derive(Default)]
pub struct Names {
    used: HashSet<String>,
    temporaries: u32,
}

impl Names {
    /// `wanted` as an identifier, with a number where it is in use already.
    pub fn unique(&mut self, wanted: &str) -> String {
        let mut base: String =
            wanted.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        if !base.starts_with(|c: char| c.is_ascii_alphabetic()) {
            base.insert(0, 'v');
        }
        // vector types and their conversions: float4, convert_int4
        let stem = base.trim_end_matches(|c: char| c.is_ascii_digit());
        // prefixes of the library's names and of our own functions
        let foreign = [
            "convert_",
            "get_",
            "sub_group_",
            "vload",
            "vstore",
            "cl_",
            "CL",
            "M_",
            "MUL_ADD",
            "add_half",
            "fma_half",
            "from_half",
            "load_",
            "mul_half",
            "multiply_",
            "shuffle_",
            "store_sums",
            "sub_half",
            "to_half",
            "dot4_",
            "loop_bound",
            "pack_half2",
            "pick_",
            "quotient_",
            "remainder_",
            "round_to_half",
            "sign_",
            "unpack_half2",
        ];
        if TAKEN.contains(&base.as_str())
            || TAKEN.contains(&stem)
            || foreign.iter().any(|f| base.starts_with(f))
        {
            base.push('_');
        }
        let mut name = base.clone();
        let mut number = 1;
        while !self.used.insert(name.clone()) {
            number += 1;
            name = format!("{base}_{number}");
        }
        name
    }

    /// A name for a value: t1, t2, ...
    pub fn temporary(&mut self) -> String {
        loop {
            self.temporaries += 1;
            let name = format!("t{}", self.temporaries);
            if self.used.insert(name.clone()) {
                return name;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_identifiers_and_differ() {
        let mut names = Names::default();
        assert_eq!(names.unique("x0"), "x0");
        assert_eq!(names.unique("x0"), "x0_2");
        assert_eq!(names.unique("max"), "max_");
        assert_eq!(names.unique("float4"), "float4_");
        assert_eq!(names.unique("a.b c"), "a_b_c");
        assert_eq!(names.unique("7"), "v7");
        assert_eq!(names.unique("_x"), "v_x");
        assert_eq!(names.unique("t2"), "t2");
        assert_eq!([names.temporary(), names.temporary()], ["t1", "t3"]);
    }

    #[test]
    fn the_list_is_sorted() {
        assert!(TAKEN.is_sorted());
    }
}
