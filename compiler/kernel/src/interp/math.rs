//! Arithmetic on blocks of lanes. Loops over [`Lanes`] are plain, so that the compiler turns them
//! into vector instructions.

use super::code::*;
use crate::ir::{BinaryOp, Packing, UnaryOp};
use half::f16;

/// f32 bits of the f16 in the low half of a word. Without branches: the exponent is shifted into
/// place and corrected by a multiplication, which also makes subnormals right.
#[inline(always)]
pub(super) fn widen(half: u32) -> u32 {
    const SCALE: f32 = f32::from_bits((127 + 127 - 15) << 23);
    let magnitude = (f32::from_bits((half & 0x7fff) << 13) * SCALE).to_bits();
    let special = if half & 0x7c00 == 0x7c00 { 0x7f80_0000 } else { 0 };
    magnitude | special | (half & 0x8000) << 16
}

/// The register file, with the block arithmetic on it.
#[derive(Debug)]
pub(super) struct File {
    pub blocks: Vec<Lanes>,
    pub lane_blocks: u32,
}

impl File {
    pub fn get(&self, r: Reg, block: u32) -> Lanes {
        self.blocks[(r.at + if r.uniform { 0 } else { block }) as usize]
    }

    pub fn lane(&self, r: Reg, lane: usize) -> u32 {
        if r.uniform {
            self.blocks[r.at as usize][0]
        } else {
            self.blocks[r.at as usize + lane / W][lane % W]
        }
    }

    pub fn set_lane(&mut self, r: Reg, lane: usize, v: u32) {
        self.blocks[r.at as usize + lane / W][lane % W] = v;
    }

    pub fn splat(&mut self, r: Reg, v: u32) {
        let n = self.count(r);
        self.blocks[r.at as usize..][..n as usize].fill([v; W]);
    }

    pub fn count(&self, d: Reg) -> u32 {
        if d.uniform { 1 } else { self.lane_blocks }
    }

    #[inline(always)]
    fn map1(&mut self, d: Reg, a: Reg, f: impl Fn(u32) -> u32) {
        for k in 0..self.count(d) {
            let x = self.get(a, k);
            let mut out = [0; W];
            for i in 0..W {
                out[i] = f(x[i]);
            }
            self.blocks[(d.at + k) as usize] = out;
        }
    }

    #[inline(always)]
    fn map2(&mut self, d: Reg, a: Reg, b: Reg, f: impl Fn(u32, u32) -> u32) {
        for k in 0..self.count(d) {
            let (x, y) = (self.get(a, k), self.get(b, k));
            let mut out = [0; W];
            for i in 0..W {
                out[i] = f(x[i], y[i]);
            }
            self.blocks[(d.at + k) as usize] = out;
        }
    }

    #[inline(always)]
    fn map3(&mut self, d: Reg, a: Reg, b: Reg, c: Reg, f: impl Fn(u32, u32, u32) -> u32) {
        for k in 0..self.count(d) {
            let (x, y, z) = (self.get(a, k), self.get(b, k), self.get(c, k));
            let mut out = [0; W];
            for i in 0..W {
                out[i] = f(x[i], y[i], z[i]);
            }
            self.blocks[(d.at + k) as usize] = out;
        }
    }

    #[inline(always)]
    fn float1(&mut self, d: Reg, a: Reg, f: impl Fn(f32) -> f32) {
        self.map1(d, a, |x| f(f32::from_bits(x)).to_bits());
    }

    #[inline(always)]
    fn float2(&mut self, d: Reg, a: Reg, b: Reg, f: impl Fn(f32, f32) -> f32) {
        self.map2(d, a, b, |x, y| f(f32::from_bits(x), f32::from_bits(y)).to_bits());
    }

    #[inline(always)]
    fn test2(&mut self, d: Reg, a: Reg, b: Reg, f: impl Fn(f32, f32) -> bool) {
        self.map2(d, a, b, |x, y| u32::from(f(f32::from_bits(x), f32::from_bits(y))));
    }

    #[inline(always)]
    fn int2(&mut self, d: Reg, a: Reg, b: Reg, f: impl Fn(i32, i32) -> i32) {
        self.map2(d, a, b, |x, y| f(x as i32, y as i32) as u32);
    }

    pub fn copy(&mut self, d: Reg, a: Reg) {
        if d.uniform == a.uniform {
            let from = a.at as usize..(a.at + self.count(d)) as usize;
            self.blocks.copy_within(from, d.at as usize);
        } else {
            self.map1(d, a, |x| x);
        }
    }

    pub fn fma(&mut self, d: Reg, a: Reg, b: Reg, c: Reg) {
        self.map3(d, a, b, c, |x, y, z| {
            (f32::from_bits(x) * f32::from_bits(y) + f32::from_bits(z)).to_bits()
        });
    }

    pub fn select(&mut self, d: Reg, cond: Reg, yes: Reg, no: Reg) {
        self.map3(d, cond, yes, no, |c, y, n| if c != 0 { y } else { n });
    }

    pub fn round(&mut self, d: Reg, a: Reg) {
        self.float1(d, a, |x| f16::from_f32(x).to_f32());
    }

    pub fn dot4(&mut self, signed: bool, d: Reg, a: Reg, b: Reg, acc: Reg) {
        self.map3(d, a, b, acc, |x, y, c| {
            let pairs = x.to_le_bytes().into_iter().zip(y.to_le_bytes());
            pairs.fold(c, |c, (p, q)| {
                c.wrapping_add(match signed {
                    true => (i32::from(p as i8) * i32::from(q as i8)) as u32,
                    false => u32::from(p) * u32::from(q),
                })
            })
        });
    }

    pub fn unpack(&mut self, packing: Packing, d: Regs, a: Reg) {
        for (k, &d) in d.as_slice().iter().enumerate() {
            match packing {
                Packing::Half2 => self.map1(d, a, |x| widen(x >> (16 * k))),
                Packing::I8x4 => self.map1(d, a, |x| i32::from((x >> (8 * k)) as i8) as u32),
                Packing::U8x4 => self.map1(d, a, |x| x >> (8 * k) & 0xff),
            }
        }
    }

    pub fn pack(&mut self, packing: Packing, d: Reg, a: Regs) {
        let n = a.as_slice().len();
        for k in 0..self.count(d) {
            let mut out = [0; W];
            for (p, &a) in a.as_slice().iter().enumerate() {
                let x = self.get(a, k);
                for i in 0..W {
                    out[i] |= match packing {
                        Packing::Half2 => {
                            u32::from(f16::from_f32(f32::from_bits(x[i])).to_bits()) << (16 * p)
                        }
                        _ => (x[i] & 0xff) << (8 * p),
                    };
                }
            }
            debug_assert!(n <= 4);
            self.blocks[(d.at + k) as usize] = out;
        }
    }

    pub fn pick(&mut self, d: Reg, parts: Regs, index: Reg) {
        for k in 0..self.count(d) {
            let which = self.get(index, k);
            let mut out = [0; W];
            for (p, &part) in parts.as_slice().iter().enumerate() {
                let x = self.get(part, k);
                for i in 0..W {
                    out[i] = if which[i] == p as u32 { x[i] } else { out[i] };
                }
            }
            self.blocks[(d.at + k) as usize] = out;
        }
    }

    pub fn cast(&mut self, from: Kind, to: Kind, d: Reg, a: Reg) {
        match (from, to) {
            (Kind::F, Kind::I) => self.map1(d, a, |x| f32::from_bits(x) as i32 as u32),
            (Kind::F, Kind::U) => self.map1(d, a, |x| f32::from_bits(x) as u32),
            (Kind::F, Kind::B) => self.map1(d, a, |x| u32::from(f32::from_bits(x) != 0.0)),
            (Kind::I, Kind::F) => self.map1(d, a, |x| (x as i32 as f32).to_bits()),
            (Kind::U | Kind::B, Kind::F) => self.map1(d, a, |x| (x as f32).to_bits()),
            (Kind::I | Kind::U, Kind::B) => self.map1(d, a, |x| u32::from(x != 0)),
            _ => self.copy(d, a),
        }
    }

    pub fn unary(&mut self, op: UnaryOp, kind: Kind, d: Reg, a: Reg) {
        use UnaryOp as U;
        match (kind, op) {
            (Kind::B, U::Not) => self.map1(d, a, |x| x ^ 1),
            (Kind::F, _) => self.unary_float(op, d, a),
            (_, U::Not) => self.map1(d, a, |x| !x),
            (_, U::Neg) => self.map1(d, a, u32::wrapping_neg),
            (Kind::I, U::Abs) => self.map1(d, a, |x| (x as i32).unsigned_abs()),
            (Kind::I, U::Sign) => self.map1(d, a, |x| (x as i32).signum() as u32),
            (_, U::Sign) => self.map1(d, a, |x| x.min(1)),
            // rounding and such leave integers as they are; classification is never true
            (_, U::IsNan | U::IsInf) => self.map1(d, a, |_| 0),
            _ => self.copy(d, a),
        }
    }

    fn unary_float(&mut self, op: UnaryOp, d: Reg, a: Reg) {
        use UnaryOp as U;
        match op {
            U::Neg => self.float1(d, a, |x| -x),
            U::Not => self.copy(d, a),
            U::Abs => self.float1(d, a, f32::abs),
            U::Sign => self.float1(d, a, |x| if x == 0.0 || x.is_nan() { x } else { x.signum() }),
            U::Floor => self.float1(d, a, f32::floor),
            U::Ceil => self.float1(d, a, f32::ceil),
            U::Round => self.float1(d, a, f32::round_ties_even),
            U::Trunc => self.float1(d, a, f32::trunc),
            U::Sqrt => self.float1(d, a, f32::sqrt),
            U::Rsqrt => self.float1(d, a, |x| 1.0 / x.sqrt()),
            U::Exp => self.float1(d, a, f32::exp),
            U::Exp2 => self.float1(d, a, f32::exp2),
            U::Log => self.float1(d, a, f32::ln),
            U::Log2 => self.float1(d, a, f32::log2),
            U::Sin => self.float1(d, a, f32::sin),
            U::Cos => self.float1(d, a, f32::cos),
            U::Tan => self.float1(d, a, f32::tan),
            U::Asin => self.float1(d, a, f32::asin),
            U::Acos => self.float1(d, a, f32::acos),
            U::Atan => self.float1(d, a, f32::atan),
            U::Sinh => self.float1(d, a, f32::sinh),
            U::Cosh => self.float1(d, a, f32::cosh),
            U::Tanh => self.float1(d, a, f32::tanh),
            U::Asinh => self.float1(d, a, f32::asinh),
            U::Acosh => self.float1(d, a, f32::acosh),
            U::Atanh => self.float1(d, a, f32::atanh),
            U::IsNan => self.map1(d, a, |x| u32::from(f32::from_bits(x).is_nan())),
            U::IsInf => self.map1(d, a, |x| u32::from(f32::from_bits(x).is_infinite())),
        }
    }

    pub fn binary(&mut self, op: BinaryOp, kind: Kind, d: Reg, a: Reg, b: Reg) {
        match kind {
            Kind::F => self.binary_float(op, d, a, b),
            Kind::I => self.binary_int(op, d, a, b),
            Kind::U | Kind::B => self.binary_unsigned(op, d, a, b),
        }
    }

    fn binary_float(&mut self, op: BinaryOp, d: Reg, a: Reg, b: Reg) {
        use BinaryOp as B;
        match op {
            B::Add => self.float2(d, a, b, |x, y| x + y),
            B::Sub => self.float2(d, a, b, |x, y| x - y),
            B::Mul => self.float2(d, a, b, |x, y| x * y),
            B::Div => self.float2(d, a, b, |x, y| x / y),
            B::Rem => self.float2(d, a, b, |x, y| x % y),
            B::Min => self.float2(d, a, b, f32::min),
            B::Max => self.float2(d, a, b, f32::max),
            B::Pow => self.float2(d, a, b, f32::powf),
            B::Eq => self.test2(d, a, b, |x, y| x == y),
            B::Ne => self.test2(d, a, b, |x, y| x != y),
            B::Lt => self.test2(d, a, b, |x, y| x < y),
            B::Le => self.test2(d, a, b, |x, y| x <= y),
            B::Gt => self.test2(d, a, b, |x, y| x > y),
            B::Ge => self.test2(d, a, b, |x, y| x >= y),
            // the validator refuses bit operations on floats
            B::And | B::Or | B::Xor | B::Shl | B::Shr => self.copy(d, a),
        }
    }

    fn binary_int(&mut self, op: BinaryOp, d: Reg, a: Reg, b: Reg) {
        use BinaryOp as B;
        match op {
            B::Div => self.int2(d, a, b, |x, y| if y == 0 { 0 } else { x.wrapping_div(y) }),
            B::Rem => self.int2(d, a, b, |x, y| if y == 0 { 0 } else { x.wrapping_rem(y) }),
            B::Min => self.int2(d, a, b, i32::min),
            B::Max => self.int2(d, a, b, i32::max),
            B::Pow => self.int2(d, a, b, |x, y| x.wrapping_pow(y.max(0) as u32)),
            B::Shr => self.int2(d, a, b, |x, y| x.wrapping_shr(y as u32)),
            B::Lt => self.int2(d, a, b, |x, y| i32::from(x < y)),
            B::Le => self.int2(d, a, b, |x, y| i32::from(x <= y)),
            B::Gt => self.int2(d, a, b, |x, y| i32::from(x > y)),
            B::Ge => self.int2(d, a, b, |x, y| i32::from(x >= y)),
            _ => self.binary_unsigned(op, d, a, b),
        }
    }

    fn binary_unsigned(&mut self, op: BinaryOp, d: Reg, a: Reg, b: Reg) {
        use BinaryOp as B;
        match op {
            B::Add => self.map2(d, a, b, u32::wrapping_add),
            B::Sub => self.map2(d, a, b, u32::wrapping_sub),
            B::Mul => self.map2(d, a, b, u32::wrapping_mul),
            // lanes that are not active may divide by anything
            B::Div => self.divide(d, a, b, |x, y| x / y),
            B::Rem => self.divide(d, a, b, |x, y| x % y),
            B::Min => self.map2(d, a, b, u32::min),
            B::Max => self.map2(d, a, b, u32::max),
            B::Pow => self.map2(d, a, b, u32::wrapping_pow),
            B::And => self.map2(d, a, b, |x, y| x & y),
            B::Or => self.map2(d, a, b, |x, y| x | y),
            B::Xor => self.map2(d, a, b, |x, y| x ^ y),
            B::Shl => self.map2(d, a, b, u32::wrapping_shl),
            B::Shr => self.map2(d, a, b, u32::wrapping_shr),
            B::Eq => self.map2(d, a, b, |x, y| u32::from(x == y)),
            B::Ne => self.map2(d, a, b, |x, y| u32::from(x != y)),
            B::Lt => self.map2(d, a, b, |x, y| u32::from(x < y)),
            B::Le => self.map2(d, a, b, |x, y| u32::from(x <= y)),
            B::Gt => self.map2(d, a, b, |x, y| u32::from(x > y)),
            B::Ge => self.map2(d, a, b, |x, y| u32::from(x >= y)),
        }
    }

    #[inline(always)]
    fn divide(&mut self, d: Reg, a: Reg, b: Reg, f: impl Fn(u32, u32) -> u32) {
        self.map2(d, a, b, |x, y| if y == 0 { 0 } else { f(x, y) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widening_is_exact_for_all_halves() {
        for bits in 0..=u16::MAX {
            let want = f16::from_bits(bits).to_f32();
            let got = f32::from_bits(widen(u32::from(bits) | 0xabcd_0000));
            assert!(
                got == want && got.is_sign_negative() == want.is_sign_negative()
                    || got.is_nan() && want.is_nan(),
                "{bits:#x}"
            );
        }
    }
}
