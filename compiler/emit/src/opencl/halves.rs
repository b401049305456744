//! Halves that are bits: what moves them, converts them and computes with them two at a time. All else
//! is computed in f32.

use super::kernel::{Halves, Writer};
use super::text::{Binds, Text, call, literal};
use crate::EmitError;
use drift_kernel::{BinaryOp, Expr, ExprId, Lit, Packing, Scalar, Type, Vector};

impl Writer<'_> {
    /// Whether values of a type are halves as bits.
    pub fn is_bits(&self, ty: Type) -> bool {
        self.halves == Halves::Bits
            && matches!(ty, Type::Vector(Vector { scalar: Scalar::F16, .. }))
    }

    /// f32 of halves as bits.
    pub fn widened(&mut self, width: u8, bits: &Text) -> Text {
        let text = call(self.functions.widen_half(width), &[bits]);
        let halves = Some(Box::new(bits.clone()));
        match width {
            3 => Text::primary(format!("{}.xyz", text.text)),
            _ => Text { halves, ..text },
        }
    }

    /// Halves as bits of f32, rounded.
    pub fn narrowed(&mut self, width: u8, floats: &Text) -> Text {
        if let Some(bits) = &floats.halves {
            return (**bits).clone();
        }
        let name = self.functions.narrow_half(width);
        match width {
            3 => {
                call(name, &[&Text::new(format!("(float4)({}, 0.0f)", floats.text), Binds::Unary)])
            }
            _ => call(name, &[floats]),
        }
    }

    /// The value of an operand in arithmetic: f32 for halves as bits.
    pub fn operand(&mut self, id: ExprId, home: usize) -> Result<Text, EmitError> {
        if !self.is_bits(self.kernel.ty(id)) {
            return self.take(id, home);
        }
        let width = self.vector_of(id)?.width;
        if let Some(Lit::F16(bits)) = self.literal_of(id) {
            let float = Lit::F32(half::f16::from_bits(bits).to_f32().to_bits());
            return Ok(match width {
                1 => literal(float),
                _ => Text::new(format!("(float{width})({})", literal(float).text), Binds::Unary),
            });
        }
        let text = self.take(id, home)?;
        Ok(self.widened(width, &text))
    }

    /// A value to choose from. NVIDIA's compiler makes a branch of a choice that reads memory or runs
    /// PTX within, so there it is evaluated before.
    pub fn choice(&mut self, id: ExprId, home: usize) -> Result<Text, EmitError> {
        let text = self.take(id, home)?;
        let word = |c: char| c.is_ascii_alphanumeric() || "_.-()".contains(c);
        match self.ptx && !text.text.chars().all(word) && self.literal_of(id).is_none() {
            true => self.name_value(id, &text, home),
            false => Ok(text),
        }
    }

    /// An expression that bits of halves go into or come out of, where it can be said of bits; `None`:
    /// in f32.
    pub fn of_bits(&mut self, id: ExprId, home: usize) -> Result<Option<Text>, EmitError> {
        if self.halves != Halves::Bits {
            return Ok(None);
        }
        let expr = self.kernel.expr(id);
        let halves = self.is_bits(self.kernel.ty(id));
        let width = self.vector_of(id)?.width;
        let two_at_a_time = halves && matches!(width, 2 | 4);
        Ok(match *expr {
            Expr::Select { cond, yes, no } if halves && self.vector_of(cond)?.width == 1 => {
                let cond = self.take(cond, home)?;
                let (yes, no) = (self.choice(yes, home)?, self.choice(no, home)?);
                let [c, y, n] = [&cond, &yes, &no].map(|t| t.within(Binds::Sum));
                Some(Text::new(format!("{c} ? {y} : {n}"), Binds::Loosely))
            }
            Expr::Splat(_, a) if halves => {
                let a = self.take(a, home)?;
                Some(bits_of(width, &a.text))
            }
            Expr::Compose(ref parts) if halves => {
                let mut list = Vec::with_capacity(4);
                for &part in parts {
                    list.push(self.take(part, home)?.text);
                }
                if list.len() == 3 {
                    list.push("0".to_owned());
                }
                Some(bits_of(width, &list.join(", ")))
            }
            Expr::Extract(a, lane) if halves => {
                let of = self.vector_of(a)?.width;
                let a = self.take(a, home)?;
                let view = if of == 2 { "as_ushort2" } else { "as_ushort4" };
                let component = ['x', 'y', 'z', 'w'][usize::from(lane.min(3))];
                Some(Text::primary(format!("{}.{component}", call(view, &[&a]).text)))
            }
            Expr::Cast(Scalar::F16, a) if self.is_bits(self.kernel.ty(a)) => {
                Some(self.take(a, home)?)
            }
            Expr::Binary(op @ (BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul), x, y)
                if two_at_a_time =>
            {
                let (x, y) = (self.take(x, home)?, self.take(y, home)?);
                self.functions.of_halves(op, width).map(|name| call(name, &[&x, &y]))
            }
            Expr::Fma(a, b, c) if two_at_a_time => {
                let (a, b) = (self.take(a, home)?, self.take(b, home)?);
                let c = self.take(c, home)?;
                Some(call(self.functions.fma_halves(width), &[&a, &b, &c]))
            }
            Expr::Unpack(Packing::Half2, a) => {
                let a = self.take(a, home)?;
                Some(self.widened(2, &a))
            }
            Expr::Pack(Packing::Half2, a) => {
                let a = self.take(a, home)?;
                Some(self.narrowed(2, &a))
            }
            _ => None,
        })
    }

    /// A literal of halves as bits.
    pub fn half_literal(&self, bits: u16) -> Text {
        Text::new(format!("(ushort){bits}"), Binds::Unary)
    }

    /// The literal as often as `width` says.
    pub fn half_literals(&self, width: u8, lit: Lit) -> Option<Text> {
        let Lit::F16(bits) = lit else { return None };
        let word = format!("0x{:08x}u", u32::from(bits) * 0x1_0001);
        Some(match width {
            1 => self.half_literal(bits),
            2 => Text::primary(word),
            _ => Text::new(format!("(uint2)({word})"), Binds::Unary),
        })
    }
}

/// Several halves of `components`, or of one for all.
fn bits_of(width: u8, components: &str) -> Text {
    match width {
        2 => Text::primary(format!("as_uint((ushort2)({components}))")),
        _ => Text::primary(format!("as_uint2((ushort4)({components}))")),
    }
}
