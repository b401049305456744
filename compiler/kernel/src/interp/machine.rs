//! One workgroup at a time: control flow with masks, and memory.

use super::InterpError;
use super::code::*;
use super::compile::Program;
use super::math::{File, widen};
use super::memory::{Bound, store_half};
use super::strict::Races;
use crate::ir::*;
use half::f16;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Bits that strict mode puts into uninitialized memory: a NaN, and a huge index.
const POISON: u32 = 0x7fc0_dead;

type Mask = Vec<Lanes>;
pub(super) type Result2<T> = Result<T, Box<InterpError>>;

/// Lanes to go on with when a branch or loop ends.
#[derive(Debug)]
struct Frame {
    mask: Mask,
    is_loop: bool,
}

#[derive(Debug)]
pub(super) struct Machine<'a> {
    pub p: &'a Program,
    pub bound: &'a [Bound<'a>],
    pub file: File,
    pub invocations: usize,
    /// All ones in active lanes.
    pub mask: Mask,
    pub active: usize,
    frames: Vec<Frame>,
    spare: Vec<Mask>,
    pub shared: Vec<u32>,
    races: Option<Races>,
    group: [u32; 3],
}

fn count(mask: &[Lanes]) -> usize {
    mask.iter().flatten().filter(|&&m| m != 0).count()
}

/// What one lane of a 16- or 32-bit buffer holds.
#[inline]
fn load_word(words: &[AtomicU32], scalar: Scalar, at: usize) -> u32 {
    match scalar {
        Scalar::F16 => widen(words[at / 2].load(Relaxed) >> (16 * (at % 2))),
        _ => words[at].load(Relaxed),
    }
}

#[inline]
fn store_word(words: &[AtomicU32], scalar: Scalar, at: usize, v: u32) {
    match scalar {
        Scalar::F16 => store_half(words, at, f16::from_f32(f32::from_bits(v)).to_bits()),
        _ => words[at].store(v, Relaxed),
    }
}

impl<'a> Machine<'a> {
    pub fn new(p: &'a Program, bound: &'a [Bound<'a>], strict: bool) -> Machine<'a> {
        let lane_blocks = p.invocations.div_ceil(W as u32);
        let file = File { blocks: vec![[0; W]; p.blocks as usize], lane_blocks };
        let mut m = Machine {
            p,
            bound,
            file,
            invocations: p.invocations as usize,
            mask: vec![[0; W]; lane_blocks as usize],
            active: 0,
            frames: Vec::new(),
            spare: Vec::new(),
            shared: vec![0; p.shared_words as usize],
            races: strict.then(|| Races::new(p.shared_words)),
            group: [0; 3],
        };
        for &(r, v) in &p.constants {
            m.file.splat(r, v);
        }
        let [sx, sy, _] = p.kernel.workgroup_size;
        for &(r, b) in &p.builtins {
            for i in 0..p.invocations {
                let local = [i % sx, i / sx % sy, i / sx / sy];
                let v = match b {
                    Builtin::LocalId(a) => local[usize::from(a).min(2)],
                    Builtin::LocalIndex => i,
                    Builtin::SubgroupId => i / p.subgroup_size,
                    Builtin::SubgroupInvocation => i % p.subgroup_size,
                    Builtin::SubgroupSize => p.subgroup_size,
                    Builtin::GlobalId(_) | Builtin::WorkgroupId(_) => 0,
                };
                if r.uniform {
                    m.file.splat(r, v);
                } else {
                    m.file.set_lane(r, i as usize, v);
                }
            }
        }
        m
    }

    /// Runs one workgroup.
    pub fn workgroup(&mut self, group: [u32; 3]) -> Result<(), InterpError> {
        self.group = group;
        let fill = if self.races.is_some() { POISON } else { 0 };
        self.shared.fill(fill);
        self.file.blocks[..self.p.var_blocks as usize].fill([fill; W]);
        if let Some(r) = &mut self.races {
            r.barrier();
        }
        for i in 0..self.mask.len() * W {
            self.mask[i / W][i % W] = if i < self.invocations { u32::MAX } else { 0 };
        }
        self.active = self.invocations;
        self.frames.clear();
        let size = self.p.kernel.workgroup_size;
        for &(r, b) in &self.p.builtins {
            match b {
                Builtin::WorkgroupId(a) => {
                    let v = group[usize::from(a).min(2)];
                    self.file.splat(r, v);
                }
                Builtin::GlobalId(a) => {
                    let a = usize::from(a).min(2);
                    for i in 0..self.p.invocations {
                        let local = [i % size[0], i / size[0] % size[1], i / size[0] / size[1]];
                        self.file.set_lane(r, i as usize, group[a] * size[a] + local[a]);
                    }
                }
                _ => {}
            }
        }
        let p = self.p;
        self.code(&p.code).map_err(|e| *e)
    }

    // ---- errors ----

    pub fn fail<T>(&self, lane: usize, what: impl std::fmt::Display) -> Result2<T> {
        let [x, y, z] = self.group;
        let what = format!("{what} (workgroup {x},{y},{z}, invocation {lane})");
        Err(Box::new(InterpError::new(&self.p.kernel, what)))
    }

    fn outside<T>(&self, lane: usize, what: &str, i: u32, len: u64) -> Result2<T> {
        self.fail(lane, format!("index {i} of {what}, which has {len} elements"))
    }

    fn raced<T>(&self, lane: usize, shared: u32, i: u32, other: u32) -> Result2<T> {
        let name = &self.p.kernel.shared[shared as usize].name;
        let who = match other {
            super::strict::MANY => "several invocations".to_owned(),
            n => format!("invocation {n}"),
        };
        self.fail(lane, format!("race with {who} on `{name}`[{i}]: a barrier is missing"))
    }

    // ---- control ----

    fn code(&mut self, code: &'a [Op]) -> Result2<()> {
        for op in code {
            self.op(op)?;
            if self.active == 0 {
                break;
            }
        }
        Ok(())
    }

    fn take_mask(&mut self) -> Mask {
        let mut m = self.spare.pop().unwrap_or_default();
        m.clear();
        m.extend_from_slice(&self.mask);
        m
    }

    fn push(&mut self, is_loop: bool) {
        let mask = self.take_mask();
        self.frames.push(Frame { mask, is_loop });
    }

    fn pop(&mut self) {
        if let Some(f) = self.frames.pop() {
            let old = std::mem::replace(&mut self.mask, f.mask);
            self.spare.push(old);
            self.active = count(&self.mask);
        }
    }

    /// Goes on with the lanes of the innermost frame for which `f` says so.
    fn narrow(&mut self, cond: impl Fn(&File, u32) -> Lanes) {
        let Some(frame) = self.frames.last() else { return };
        for k in 0..self.mask.len() {
            let c = cond(&self.file, k as u32);
            let lanes = self.mask[k].iter_mut().zip(&frame.mask[k]);
            for ((m, &open), c) in lanes.zip(c) {
                *m = if c != 0 { open } else { 0 };
            }
        }
        self.active = count(&self.mask);
    }

    fn branch(&mut self, cond: Reg, yes: &'a [Op], no: &'a [Op]) -> Result2<()> {
        if cond.uniform {
            return self.code(if self.file.lane(cond, 0) != 0 { yes } else { no });
        }
        self.push(false);
        let before = self.active;
        self.narrow(|f, k| f.get(cond, k));
        if self.active == before {
            self.code(yes)?;
        } else {
            if self.active > 0 {
                self.code(yes)?;
            }
            if !no.is_empty() {
                // `cond` keeps its value: temporaries live until the branch has ended
                self.narrow(|f, k| f.get(cond, k).map(|c| u32::from(c == 0)));
                if self.active > 0 {
                    self.code(no)?;
                }
            }
        }
        self.pop();
        Ok(())
    }

    fn looped(&mut self, op: &'a Op) -> Result2<()> {
        let &Op::For { counter, from, to, step, ref body, leaves } = op else { return Ok(()) };
        self.file.copy(counter, from);
        let straight = counter.uniform && to.uniform;
        if straight && !leaves {
            loop {
                let i = self.file.lane(counter, 0);
                if i >= self.file.lane(to, 0) {
                    return Ok(());
                }
                self.code(body)?;
                let Some(next) = i.checked_add(step) else { return Ok(()) };
                self.file.splat(counter, next);
            }
        }
        self.push(false);
        self.push(true);
        loop {
            self.narrow(|f, k| {
                let (i, n) = (f.get(counter, k), f.get(to, k));
                std::array::from_fn(|l| u32::from(i[l] < n[l]))
            });
            if self.active == 0 {
                break;
            }
            self.code(body)?;
            for k in 0..self.file.count(counter) {
                let block = &mut self.file.blocks[(counter.at + k) as usize];
                block.iter_mut().for_each(|i| *i = i.saturating_add(step));
            }
        }
        self.pop();
        self.pop();
        Ok(())
    }

    /// Takes the active lanes out of all frames up to the innermost loop's (or all frames).
    fn leave(&mut self, loop_only: bool) {
        for f in self.frames.iter_mut().rev() {
            for (m, now) in f.mask.iter_mut().zip(&self.mask) {
                for i in 0..W {
                    m[i] &= !now[i];
                }
            }
            if loop_only && f.is_loop {
                break;
            }
        }
        self.mask.iter_mut().for_each(|m| *m = [0; W]);
        self.active = 0;
    }

    fn op(&mut self, op: &'a Op) -> Result2<()> {
        let f = &mut self.file;
        match *op {
            Op::Copy { d, a } => f.copy(d, a),
            Op::Unary { op, kind, d, a } => f.unary(op, kind, d, a),
            Op::Binary { op, kind, d, a, b } => f.binary(op, kind, d, a, b),
            Op::Fma { d, a, b, c } => f.fma(d, a, b, c),
            Op::Select { d, cond, yes, no } => f.select(d, cond, yes, no),
            Op::Cast { from, to, d, a } => f.cast(from, to, d, a),
            Op::Round { d, a } => f.round(d, a),
            Op::Dot4 { signed, d, a, b, acc } => f.dot4(signed, d, a, b, acc),
            Op::Unpack { packing, d, a } => f.unpack(packing, d, a),
            Op::Pack { packing, d, a } => f.pack(packing, d, a),
            Op::Pick { d, parts, index } => f.pick(d, parts, index),
            Op::Set { d, a } => self.set(d, a),
            Op::Into { ref ops, d, temp } => {
                if self.active == self.invocations {
                    return self.op(&ops[0]);
                }
                self.op(&ops[1])?;
                self.set(d, temp);
            }
            Op::GetArray { array, len, var, d, index } => {
                return self.array(array, len, var, d, index, false);
            }
            Op::SetArray { array, len, var, a, index } => {
                return self.array(array, len, var, a, index, true);
            }
            Op::LoadBuffer { binding, d, index } => return self.load_buffer(binding, d, index),
            Op::StoreBuffer { binding, a, index } => return self.store_buffer(binding, a, index),
            Op::LoadImage { binding, d, coords } => return self.load_image(binding, d, coords),
            Op::StoreImage { binding, a, coords } => return self.store_image(binding, a, coords),
            Op::LoadShared { shared, d, index } => return self.load_shared(shared, d, index),
            Op::StoreShared { shared, a, index } => return self.store_shared(shared, a, index),
            Op::Subgroup { op, kind, d, a } => self.subgroup(op, kind, d, a),
            Op::ShuffleXor { d, a, mask } => self.shuffle_xor(d, a, mask),
            Op::Broadcast { d, a, lane } => self.broadcast(d, a, lane),
            Op::MatrixZero { d } => return self.matrix_zero(d),
            Op::MatrixCopy { d, a } => return self.matrix_copy(d, a),
            Op::MatrixLoad { d, from, index, stride, row_major } => {
                return self.matrix_load(d, from, index, stride, row_major);
            }
            Op::MatrixMulAdd { d, a, b, c } => return self.matrix_mul_add(d, a, b, c),
            Op::MatrixScaleAdd { d, product, scale, sum } => {
                return self.matrix_scale_add(d, product, scale, sum);
            }
            Op::MatrixStore { a, to, index, stride, row_major } => {
                return self.matrix_store(a, to, index, stride, row_major);
            }
            Op::If { cond, ref yes, ref no } => return self.branch(cond, yes, no),
            Op::For { .. } => return self.looped(op),
            Op::Break => self.leave(true),
            Op::Return => self.leave(false),
            Op::Barrier => {
                if self.active != self.invocations {
                    let n = self.invocations;
                    let what = format!("barrier reached by {} of {n} invocations", self.active);
                    return self.fail(0, what);
                }
                if let Some(r) = &mut self.races {
                    r.barrier();
                }
            }
        }
        Ok(())
    }

    // ---- memory ----

    fn set(&mut self, d: Reg, a: Reg) {
        if self.active == self.invocations {
            return self.file.copy(d, a);
        }
        for k in 0..self.mask.len() {
            let (m, x) = (self.mask[k], self.file.get(a, k as u32));
            let out = &mut self.file.blocks[d.at as usize + k];
            for i in 0..W {
                out[i] = m[i] & x[i] | !m[i] & out[i];
            }
        }
    }

    /// Calls `f(self, lane)` for every active lane.
    pub fn each(&mut self, mut f: impl FnMut(&mut Self, usize) -> Result2<()>) -> Result2<()> {
        for lane in 0..self.invocations {
            if self.mask[lane / W][lane % W] != 0 {
                f(self, lane)?;
            }
        }
        Ok(())
    }

    /// The first active lane.
    fn first(&self) -> usize {
        (0..self.invocations).find(|&l| self.mask[l / W][l % W] != 0).unwrap_or(0)
    }

    fn array(
        &mut self,
        array: Reg,
        len: u32,
        var: u32,
        v: Regs,
        index: Reg,
        set: bool,
    ) -> Result2<()> {
        let n = u32::from(v.n);
        let blocks = self.file.lane_blocks;
        let outside = |m: &Self, lane, i| {
            let what = format!("variable `{}`", m.p.kernel.vars[var as usize].name);
            m.outside(lane, &what, i, u64::from(len))
        };
        if index.uniform {
            let i = self.file.lane(index, 0);
            if i >= len {
                return outside(self, self.first(), i);
            }
            for (k, &r) in (0u32..).zip(v.as_slice()) {
                let e = Reg { at: array.at + (i * n + k) * blocks, uniform: false };
                if set { self.set(e, r) } else { self.file.copy(r, e) }
            }
            return Ok(());
        }
        self.each(|m, lane| {
            let i = m.file.lane(index, lane);
            if i >= len {
                return outside(m, lane, i);
            }
            for (k, &r) in (0u32..).zip(v.as_slice()) {
                let e = Reg { at: array.at + (i * n + k) * blocks, uniform: false };
                if set {
                    let x = m.file.lane(r, lane);
                    m.file.set_lane(e, lane, x);
                } else {
                    let x = m.file.lane(e, lane);
                    m.file.set_lane(r, lane, x);
                }
            }
            Ok(())
        })
    }

    fn buffer(&self, binding: u32) -> Result2<(&'a [AtomicU32], Vector, u64)> {
        match self.bound[binding as usize] {
            Bound::Buffer { words, elem, len } => Ok((words, elem, len)),
            Bound::Image { .. } => self.fail(0, "an image is used as a buffer"),
        }
    }

    fn outside_buffer<T>(&self, lane: usize, binding: u32, i: u32, len: u64) -> Result2<T> {
        let name = &self.p.kernel.bindings[binding as usize].name;
        self.outside(lane, &format!("binding {binding} `{name}`"), i, len)
    }

    fn load_buffer(&mut self, binding: u32, d: Regs, index: Reg) -> Result2<()> {
        let (words, elem, len) = self.buffer(binding)?;
        let n = usize::from(elem.width).min(4);
        if usize::from(d.n) != n {
            return self.fail(0, "a load of another width than its binding's");
        }
        if index.uniform {
            let i = self.file.lane(index, 0);
            if u64::from(i) >= len {
                return self.outside_buffer(self.first(), binding, i, len);
            }
            for (k, &r) in d.as_slice().iter().enumerate() {
                self.file.splat(r, load_word(words, elem.scalar, i as usize * n + k));
            }
            return Ok(());
        }
        for block in 0..self.mask.len() {
            let (mask, index) = (self.mask[block], self.file.get(index, block as u32));
            let mut out = [[0; W]; 4];
            for l in 0..W {
                if mask[l] == 0 {
                    continue;
                }
                let i = index[l];
                if u64::from(i) >= len {
                    return self.outside_buffer(block * W + l, binding, i, len);
                }
                let at = i as usize * n;
                if elem.scalar == Scalar::F16 {
                    match n {
                        2 | 4 => {
                            for (k, w) in words[at / 2..(at + n) / 2].iter().enumerate() {
                                let w = w.load(Relaxed);
                                out[2 * k][l] = widen(w);
                                out[2 * k + 1][l] = widen(w >> 16);
                            }
                        }
                        _ => {
                            for (k, out) in out.iter_mut().enumerate().take(n) {
                                out[l] = load_word(words, Scalar::F16, at + k);
                            }
                        }
                    }
                } else {
                    for (out, w) in out.iter_mut().zip(&words[at..at + n]) {
                        out[l] = w.load(Relaxed);
                    }
                }
            }
            for (r, out) in d.as_slice().iter().zip(out) {
                self.file.blocks[r.at as usize + block] = out;
            }
        }
        Ok(())
    }

    fn store_buffer(&mut self, binding: u32, a: Regs, index: Reg) -> Result2<()> {
        let (words, elem, len) = self.buffer(binding)?;
        let n = usize::from(elem.width);
        if usize::from(a.n) != n {
            return self.fail(0, "a store of another width than its binding's");
        }
        self.each(|m, lane| {
            let i = m.file.lane(index, lane);
            if u64::from(i) >= len {
                return m.outside_buffer(lane, binding, i, len);
            }
            for (k, &r) in a.as_slice().iter().enumerate() {
                store_word(words, elem.scalar, i as usize * n + k, m.file.lane(r, lane));
            }
            Ok(())
        })
    }

    /// First word of the texel that a lane names.
    fn texel(&self, binding: u32, coords: Regs, lane: usize) -> Result2<(&'a [AtomicU32], bool)> {
        let Bound::Image { words, extent, half } = self.bound[binding as usize] else {
            return self.fail(lane, "a buffer is used as an image");
        };
        let mut at = 0usize;
        for (k, &c) in coords.as_slice().iter().enumerate().rev() {
            let i = self.file.lane(c, lane);
            if i >= extent[k] {
                let name = &self.p.kernel.bindings[binding as usize].name;
                let axis = ["x", "y", "z"][k];
                let what = format!("axis {axis} of image {binding} `{name}`");
                return self.outside(lane, &what, i, u64::from(extent[k]));
            }
            at = at * extent[k] as usize + i as usize;
        }
        Ok((&words[at * 4..at * 4 + 4], half))
    }

    fn load_image(&mut self, binding: u32, d: Regs, coords: Regs) -> Result2<()> {
        if d.r[0].uniform {
            let (texel, _) = self.texel(binding, coords, self.first())?;
            for (&r, w) in d.as_slice().iter().zip(texel) {
                self.file.splat(r, w.load(Relaxed));
            }
            return Ok(());
        }
        self.each(|m, lane| {
            let (texel, _) = m.texel(binding, coords, lane)?;
            for (&r, w) in d.as_slice().iter().zip(texel) {
                m.file.set_lane(r, lane, w.load(Relaxed));
            }
            Ok(())
        })
    }

    fn store_image(&mut self, binding: u32, a: Regs, coords: Regs) -> Result2<()> {
        self.each(|m, lane| {
            let (texel, half) = m.texel(binding, coords, lane)?;
            for (&r, w) in a.as_slice().iter().zip(texel) {
                let v = m.file.lane(r, lane);
                let rounded = f16::from_f32(f32::from_bits(v)).to_f32().to_bits();
                w.store(if half { rounded } else { v }, Relaxed);
            }
            Ok(())
        })
    }

    /// First word of element `i` of a workgroup array.
    fn shared_word(&self, shared: u32, i: u32, lane: usize) -> Result2<usize> {
        let s = &self.p.kernel.shared[shared as usize];
        if i >= s.len {
            let what = format!("workgroup array `{}`", s.name);
            return self.outside(lane, &what, i, u64::from(s.len));
        }
        Ok(self.p.shared_at[shared as usize] as usize + i as usize * usize::from(s.elem.width))
    }

    /// Reads one word of element `i` of a workgroup array for `lane`.
    pub fn read_shared(&mut self, shared: u32, i: u32, k: usize, lane: usize) -> Result2<u32> {
        let at = self.shared_word(shared, i, lane)? + k;
        if let Some(other) = self.races.as_mut().and_then(|r| r.read(at, lane as u32)) {
            return self.raced(lane, shared, i, other);
        }
        Ok(self.shared[at])
    }

    /// Writes one word of element `i` of a workgroup array for `lane`.
    pub fn write_shared(
        &mut self,
        shared: u32,
        i: u32,
        k: usize,
        lane: usize,
        v: u32,
    ) -> Result2<()> {
        let at = self.shared_word(shared, i, lane)? + k;
        if let Some(other) = self.races.as_mut().and_then(|r| r.write(at, lane as u32)) {
            return self.raced(lane, shared, i, other);
        }
        let half = self.p.kernel.shared[shared as usize].elem.scalar == Scalar::F16;
        let rounded = f16::from_f32(f32::from_bits(v)).to_f32().to_bits();
        self.shared[at] = if half { rounded } else { v };
        Ok(())
    }

    fn load_shared(&mut self, shared: u32, d: Regs, index: Reg) -> Result2<()> {
        if index.uniform {
            let i = self.file.lane(index, 0);
            if self.races.is_some() {
                // every lane reads it
                let d0 = d;
                self.each(|m, lane| {
                    for k in 0..usize::from(d0.n) {
                        m.read_shared(shared, i, k, lane)?;
                    }
                    Ok(())
                })?;
            }
            let at = self.shared_word(shared, i, self.first())?;
            for (k, &r) in d.as_slice().iter().enumerate() {
                let v = self.shared[at + k];
                self.file.splat(r, v);
            }
            return Ok(());
        }
        if self.races.is_none() {
            let s = &self.p.kernel.shared[shared as usize];
            let (base, n) = (self.p.shared_at[shared as usize] as usize, usize::from(d.n));
            for block in 0..self.mask.len() {
                let (mask, index) = (self.mask[block], self.file.get(index, block as u32));
                let mut out = [[0; W]; 4];
                for l in 0..W {
                    if mask[l] == 0 {
                        continue;
                    }
                    if index[l] >= s.len {
                        self.shared_word(shared, index[l], block * W + l)?;
                    }
                    let at = base + index[l] as usize * n;
                    for (out, w) in out.iter_mut().zip(&self.shared[at..at + n]) {
                        out[l] = *w;
                    }
                }
                for (r, out) in d.as_slice().iter().zip(out) {
                    self.file.blocks[r.at as usize + block] = out;
                }
            }
            return Ok(());
        }
        self.each(|m, lane| {
            let i = m.file.lane(index, lane);
            for (k, &r) in d.as_slice().iter().enumerate() {
                let v = m.read_shared(shared, i, k, lane)?;
                m.file.set_lane(r, lane, v);
            }
            Ok(())
        })
    }

    fn store_shared(&mut self, shared: u32, a: Regs, index: Reg) -> Result2<()> {
        self.each(|m, lane| {
            let i = m.file.lane(index, lane);
            for (k, &r) in a.as_slice().iter().enumerate() {
                let v = m.file.lane(r, lane);
                m.write_shared(shared, i, k, lane, v)?;
            }
            Ok(())
        })
    }
}
