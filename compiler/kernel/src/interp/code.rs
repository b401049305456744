//! The interpreter's code: typed operations on registers of many lanes.
//!
//! All invocations of a workgroup run in lockstep. A register holds one 32-bit value per
//! invocation, in blocks of [`W`] lanes; a *uniform* register (the same value for all invocations)
//! is a single block, and an operation on uniform registers only runs once.

use crate::ir::{BinaryOp, Component, Packing, SubgroupOp, UnaryOp};

/// Lanes of a block.
pub(super) const W: usize = 16;
pub(super) type Lanes = [u32; W];

/// A register: `at` is its first block; uniform ones have one block, others one per W invocations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reg {
    pub at: u32,
    pub uniform: bool,
}

/// Up to four registers: the components of a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Regs {
    pub r: [Reg; 4],
    pub n: u8,
}

impl Regs {
    pub fn new(v: &[Reg]) -> Regs {
        let mut r = [Reg { at: 0, uniform: true }; 4];
        r[..v.len()].copy_from_slice(v);
        Regs { r, n: v.len() as u8 }
    }
    pub fn as_slice(&self) -> &[Reg] {
        &self.r[..usize::from(self.n)]
    }
    fn as_mut_slice(&mut self) -> &mut [Reg] {
        &mut self.r[..usize::from(self.n)]
    }
}

/// How the 32 bits of a lane are read. f16 values are kept as f32, rounded after each operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    F,
    I,
    U,
    B,
}

/// A matrix register: per subgroup, rows x cols words in row-major order, each an f32 or, with
/// integer components, an i32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mat {
    pub reg: Reg,
    pub rows: u32,
    pub cols: u32,
    pub component: Component,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Shared(u32),
    Buffer(u32),
}

#[derive(Clone, Debug)]
pub(super) enum Op {
    Copy {
        d: Reg,
        a: Reg,
    },
    Unary {
        op: UnaryOp,
        kind: Kind,
        d: Reg,
        a: Reg,
    },
    Binary {
        op: BinaryOp,
        kind: Kind,
        d: Reg,
        a: Reg,
        b: Reg,
    },
    /// Float `a * b + c`.
    Fma {
        d: Reg,
        a: Reg,
        b: Reg,
        c: Reg,
    },
    Select {
        d: Reg,
        cond: Reg,
        yes: Reg,
        no: Reg,
    },
    Cast {
        from: Kind,
        to: Kind,
        d: Reg,
        a: Reg,
    },
    /// Rounds an f32 to the nearest f16.
    Round {
        d: Reg,
        a: Reg,
    },
    Dot4 {
        signed: bool,
        d: Reg,
        a: Reg,
        b: Reg,
        acc: Reg,
    },
    Unpack {
        packing: Packing,
        d: Regs,
        a: Reg,
    },
    Pack {
        packing: Packing,
        d: Reg,
        a: Regs,
    },
    Pick {
        d: Reg,
        parts: Regs,
        index: Reg,
    },

    /// Writes the active lanes of `d`; `a` may be uniform.
    Set {
        d: Reg,
        a: Reg,
    },
    /// Computes into a variable: `ops[0]` writes `d` itself, `ops[1]` writes `temp`, of which the
    /// active lanes are then set.
    Into {
        ops: Box<[Op; 2]>,
        d: Reg,
        temp: Reg,
    },
    /// `array`: first register of `len` elements of `d.n` components.
    GetArray {
        array: Reg,
        len: u32,
        var: u32,
        d: Regs,
        index: Reg,
    },
    SetArray {
        array: Reg,
        len: u32,
        var: u32,
        a: Regs,
        index: Reg,
    },
    LoadBuffer {
        binding: u32,
        d: Regs,
        index: Reg,
    },
    StoreBuffer {
        binding: u32,
        a: Regs,
        index: Reg,
    },
    LoadImage {
        binding: u32,
        d: Regs,
        coords: Regs,
    },
    StoreImage {
        binding: u32,
        a: Regs,
        coords: Regs,
    },
    LoadShared {
        shared: u32,
        d: Regs,
        index: Reg,
    },
    StoreShared {
        shared: u32,
        a: Regs,
        index: Reg,
    },

    Subgroup {
        op: SubgroupOp,
        kind: Kind,
        d: Reg,
        a: Reg,
    },
    ShuffleXor {
        d: Reg,
        a: Reg,
        mask: Reg,
    },
    Broadcast {
        d: Reg,
        a: Reg,
        lane: Reg,
    },
    /// Sets all of a matrix to zero.
    MatrixZero {
        d: Mat,
    },
    MatrixCopy {
        d: Mat,
        a: Mat,
    },
    MatrixLoad {
        d: Mat,
        from: Place,
        index: Reg,
        stride: Reg,
        row_major: bool,
    },
    MatrixMulAdd {
        d: Mat,
        a: Mat,
        b: Mat,
        c: Mat,
    },
    MatrixScaleAdd {
        d: Mat,
        product: Mat,
        scale: Mat,
        sum: Mat,
    },
    MatrixStore {
        a: Mat,
        to: Place,
        index: Reg,
        stride: Reg,
        row_major: bool,
    },

    If {
        cond: Reg,
        yes: Vec<Op>,
        no: Vec<Op>,
    },
    /// `leaves`: the body contains Break or Return.
    For {
        counter: Reg,
        from: Reg,
        to: Reg,
        step: u32,
        body: Vec<Op>,
        leaves: bool,
    },
    Break,
    Return,
    Barrier,
}

impl Op {
    /// Calls `f(register, is_written)` on every register, those of nested code not included.
    /// Array registers are not named: they never move.
    pub fn regs(&mut self, mut f: impl FnMut(&mut Reg, bool)) {
        self.visit(&mut f);
    }

    fn visit(&mut self, f: &mut dyn FnMut(&mut Reg, bool)) {
        let many = |v: &mut Regs, w: bool, f: &mut dyn FnMut(&mut Reg, bool)| {
            v.as_mut_slice().iter_mut().for_each(|r| f(r, w));
        };
        match self {
            Op::Copy { d, a }
            | Op::Unary { d, a, .. }
            | Op::Cast { d, a, .. }
            | Op::Round { d, a }
            | Op::Set { d, a }
            | Op::Subgroup { d, a, .. } => {
                f(a, false);
                f(d, true);
            }
            Op::Binary { d, a, b, .. }
            | Op::ShuffleXor { d, a, mask: b }
            | Op::Broadcast { d, a, lane: b } => {
                f(a, false);
                f(b, false);
                f(d, true);
            }
            Op::Fma { d, a, b, c }
            | Op::Select { d, cond: a, yes: b, no: c }
            | Op::Dot4 { d, a, b, acc: c, .. } => {
                f(a, false);
                f(b, false);
                f(c, false);
                f(d, true);
            }
            Op::Unpack { d, a, .. } => {
                f(a, false);
                many(d, true, f);
            }
            Op::Pack { d, a, .. } => {
                many(a, false, f);
                f(d, true);
            }
            Op::Pick { d, parts, index } => {
                many(parts, false, f);
                f(index, false);
                f(d, true);
            }
            Op::GetArray { d, index, .. }
            | Op::LoadBuffer { d, index, .. }
            | Op::LoadShared { d, index, .. } => {
                f(index, false);
                many(d, true, f);
            }
            Op::SetArray { a, index, .. }
            | Op::StoreBuffer { a, index, .. }
            | Op::StoreShared { a, index, .. } => {
                f(index, false);
                many(a, false, f);
            }
            Op::LoadImage { d, coords, .. } => {
                many(coords, false, f);
                many(d, true, f);
            }
            Op::StoreImage { a, coords, .. } => {
                many(coords, false, f);
                many(a, false, f);
            }
            Op::MatrixZero { d } => f(&mut d.reg, true),
            Op::MatrixCopy { d, a } => {
                f(&mut a.reg, false);
                f(&mut d.reg, true);
            }
            Op::MatrixLoad { d, index, stride, .. } => {
                f(index, false);
                f(stride, false);
                f(&mut d.reg, true);
            }
            Op::MatrixMulAdd { d, a, b, c, .. } => {
                f(&mut a.reg, false);
                f(&mut b.reg, false);
                f(&mut c.reg, false);
                f(&mut d.reg, true);
            }
            Op::MatrixScaleAdd { d, product, scale, sum } => {
                f(&mut product.reg, false);
                f(&mut scale.reg, false);
                f(&mut sum.reg, false);
                f(&mut d.reg, true);
            }
            Op::MatrixStore { a, index, stride, .. } => {
                f(&mut a.reg, false);
                f(index, false);
                f(stride, false);
            }
            Op::Into { ops, d, temp } => {
                ops.iter_mut().for_each(|op| op.visit(f));
                f(d, true);
                f(temp, true);
            }
            Op::If { cond, .. } => f(cond, false),
            Op::For { counter, from, to, .. } => {
                f(from, false);
                f(to, false);
                f(counter, true);
            }
            Op::Break | Op::Return | Op::Barrier => {}
        }
    }
}
