//! Pieces of text: expressions with their precedence, and types.

use drift_kernel::{Lit, Scalar, Vector};

/// How tightly the outermost operator of a text binds. Only arithmetic goes without brackets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Binds {
    /// Names, calls, literals, anything in brackets.
    Primary,
    /// Signs, casts and vector literals.
    Unary,
    Product,
    Sum,
    /// Whatever is put in brackets as an operand.
    Loosely,
}

/// An expression as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    pub text: String,
    pub binds: Binds,
    /// The same bits as an unsigned integer, where the text is a conversion from one.
    pub unsigned: Option<Box<Text>>,
    /// The same values as bits of halves, where the text is a conversion from these.
    pub halves: Option<Box<Text>>,
}

impl Text {
    pub fn new(text: impl Into<String>, binds: Binds) -> Text {
        Text { text: text.into(), binds, unsigned: None, halves: None }
    }

    pub fn primary(text: impl Into<String>) -> Text {
        Text::new(text, Binds::Primary)
    }

    /// The text as an operand of an operator that binds like this.
    pub fn within(&self, binds: Binds) -> String {
        if self.binds <= binds { self.text.clone() } else { format!("({})", self.text) }
    }

    /// The text in front of `.x`, `[i]` or behind a sign.
    pub fn tight(&self) -> String {
        self.within(Binds::Primary)
    }
}

/// `name(argument, ...)`.
pub fn call(name: &str, arguments: &[&Text]) -> Text {
    let list: Vec<&str> = arguments.iter().map(|a| a.text.as_str()).collect();
    Text::primary(format!("{name}({})", list.join(", ")))
}

/// `a op b` for an operator that never goes without brackets beside others.
pub fn infix(a: &Text, op: &str, b: &Text) -> Text {
    Text::new(format!("{} {op} {}", a.within(Binds::Unary), b.within(Binds::Unary)), Binds::Loosely)
}

/// `a * b`, `a / b` or `a % b`.
pub fn product(a: &Text, op: char, b: &Text) -> Text {
    // a remainder or a quotient would hide in a row of products
    let left =
        if op == '*' && !a.text.contains(['/', '%']) { Binds::Product } else { Binds::Unary };
    Text::new(format!("{} {op} {}", a.within(left), b.within(Binds::Unary)), Binds::Product)
}

/// `a + b` or `a - b`.
pub fn sum(a: &Text, op: char, b: &Text) -> Text {
    Text::new(format!("{} {op} {}", a.within(Binds::Sum), b.within(Binds::Product)), Binds::Sum)
}

/// Name of a type. `half` is the name of f16 where it is a type of its own.
pub fn type_name(v: Vector, half: &str) -> String {
    let scalar = match v.scalar {
        Scalar::F32 => "float",
        Scalar::F16 => half,
        Scalar::I32 => "int",
        Scalar::U32 => "uint",
        Scalar::Bool if v.width == 1 => "bool",
        Scalar::Bool => "int",
    };
    match v.width {
        1 => scalar.to_owned(),
        width => format!("{scalar}{width}"),
    }
}

/// A literal. Floats are the shortest decimals that read back as the same bits.
pub fn literal(lit: Lit) -> Text {
    let float = |v: f32, suffix: char| {
        if v.is_nan() {
            Text::primary(format!("as_float(0x{:08x}u)", v.to_bits()))
        } else if v.is_infinite() {
            let sign = if v < 0.0 { "-" } else { "" };
            Text::new(
                format!("{sign}INFINITY"),
                if v < 0.0 { Binds::Unary } else { Binds::Primary },
            )
        } else {
            let binds = if v.is_sign_negative() { Binds::Unary } else { Binds::Primary };
            Text::new(format!("{v:?}{suffix}"), binds)
        }
    };
    match lit {
        Lit::F32(bits) => float(f32::from_bits(bits), 'f'),
        Lit::F16(bits) => {
            let v = half::f16::from_bits(bits).to_f32();
            match v.is_finite() {
                true => float(v, 'h'),
                false => call("convert_half", &[&float(v, 'f')]),
            }
        }
        // the literal 2147483648 is no int
        Lit::I32(i32::MIN) => Text::new("-2147483647 - 1", Binds::Sum),
        Lit::I32(v) => {
            let binds = if v < 0 { Binds::Unary } else { Binds::Primary };
            let unsigned = (v >= 0).then(|| Box::new(Text::primary(format!("{v}u"))));
            Text { text: v.to_string(), binds, unsigned, halves: None }
        }
        Lit::U32(v) => Text::primary(format!("{v}u")),
        Lit::Bool(v) => Text::primary(if v { "true" } else { "false" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_read_back() {
        let shown = |lit| literal(lit).text;
        assert_eq!(shown(Lit::F32(1.0f32.to_bits())), "1.0f");
        assert_eq!(shown(Lit::F32((-0.0f32).to_bits())), "-0.0f");
        assert_eq!(shown(Lit::F32(1e-7f32.to_bits())), "1e-7f");
        assert_eq!(shown(Lit::F32(f32::MAX.to_bits())), "3.4028235e38f");
        assert_eq!(shown(Lit::F32(0x7fc0_0001)), "as_float(0x7fc00001u)");
        assert_eq!(shown(Lit::F32(f32::NEG_INFINITY.to_bits())), "-INFINITY");
        assert_eq!(shown(Lit::I32(i32::MIN)), "-2147483647 - 1");
        assert_eq!(shown(Lit::U32(u32::MAX)), "4294967295u");
        assert_eq!(shown(Lit::F16(0x3c00)), "1.0h");
    }

    #[test]
    fn brackets_stand_where_the_meaning_needs_them() {
        let [a, b, c] = ["a", "b", "c"].map(Text::primary);
        assert_eq!(sum(&product(&a, '*', &b), '+', &c).text, "a * b + c");
        assert_eq!(sum(&a, '-', &sum(&b, '-', &c)).text, "a - (b - c)");
        assert_eq!(sum(&sum(&a, '-', &b), '-', &c).text, "a - b - c");
        assert_eq!(product(&product(&a, '/', &b), '*', &c).text, "(a / b) * c");
        assert_eq!(product(&a, '*', &product(&b, '*', &c)).text, "a * (b * c)");
        assert_eq!(product(&sum(&a, '+', &b), '*', &c).text, "(a + b) * c");
        assert_eq!(infix(&sum(&a, '+', &b), "<", &c).text, "(a + b) < c");
        assert_eq!(sum(&infix(&a, "<<", &b), '+', &c).text, "(a << b) + c");
    }
}
