//! Subgroup operations and cooperative matrices. A subgroup is a run of consecutive invocations;
//! inactive ones take no part.

use super::code::*;
use super::machine::{Machine, Result2};
use super::memory::Bound;
use crate::ir::{Component, Scalar, SubgroupOp};
use half::f16;
use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;

fn combine(op: SubgroupOp, kind: Kind, x: u32, y: u32) -> u32 {
    let (a, b) = (f32::from_bits(x), f32::from_bits(y));
    match (kind, op) {
        (Kind::F, SubgroupOp::Add) => (a + b).to_bits(),
        (Kind::F, SubgroupOp::Min) => a.min(b).to_bits(),
        (Kind::F, SubgroupOp::Max) => a.max(b).to_bits(),
        (_, SubgroupOp::Add) => x.wrapping_add(y),
        (Kind::I, SubgroupOp::Min) => (x as i32).min(y as i32) as u32,
        (Kind::I, SubgroupOp::Max) => (x as i32).max(y as i32) as u32,
        (_, SubgroupOp::Min) => x.min(y),
        (_, SubgroupOp::Max) => x.max(y),
    }
}

impl Machine<'_> {
    fn active_lane(&self, lane: usize) -> bool {
        lane < self.invocations && self.mask[lane / W][lane % W] != 0
    }

    fn subgroups(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (n, size) = (self.invocations, self.p.subgroup_size as usize);
        (0..n).step_by(size).map(move |from| from..(from + size).min(n))
    }

    pub fn subgroup(&mut self, op: SubgroupOp, kind: Kind, d: Reg, a: Reg) {
        for group in self.subgroups() {
            let active = group.clone().filter(|&l| self.active_lane(l));
            let all = active.map(|l| self.file.lane(a, l));
            let Some(v) = all.reduce(|x, y| combine(op, kind, x, y)) else { continue };
            for l in group {
                self.file.set_lane(d, l, v);
            }
        }
    }

    /// An inactive or absent partner gives the invocation's own value.
    pub fn shuffle_xor(&mut self, d: Reg, a: Reg, mask: Reg) {
        for group in self.subgroups() {
            let values: Vec<u32> = group
                .clone()
                .map(|l| {
                    let other = (l - group.start) ^ self.file.lane(mask, l) as usize;
                    let other = group.start + other;
                    let from =
                        if group.contains(&other) && self.active_lane(other) { other } else { l };
                    self.file.lane(a, from)
                })
                .collect();
            for (l, v) in group.zip(values) {
                self.file.set_lane(d, l, v);
            }
        }
    }

    pub fn broadcast(&mut self, d: Reg, a: Reg, lane: Reg) {
        for group in self.subgroups() {
            let Some(first) = group.clone().find(|&l| self.active_lane(l)) else { continue };
            let from = group.start + self.file.lane(lane, first) as usize;
            let from = if group.contains(&from) { from } else { first };
            let v = self.file.lane(a, from);
            for l in group {
                self.file.set_lane(d, l, v);
            }
        }
    }

    // ---- matrices ----

    /// Subgroups that take part: all of their invocations do, or none.
    fn whole_subgroups(&self) -> Result2<Vec<(usize, usize)>> {
        let mut out = Vec::new();
        for (s, group) in self.subgroups().enumerate() {
            let n = group.clone().filter(|&l| self.active_lane(l)).count();
            if n == group.len() {
                out.push((s, group.start));
            } else if n > 0 {
                let what = "matrix operation with some invocations of the subgroup inactive";
                return self.fail(group.start, what);
            }
        }
        Ok(out)
    }

    fn element(&self, m: Mat, subgroup: usize, at: usize) -> u32 {
        let at = subgroup * (m.rows * m.cols) as usize + at;
        self.file.blocks[m.reg.at as usize + at / W][at % W]
    }

    fn set_element(&mut self, m: Mat, subgroup: usize, at: usize, bits: u32) {
        let at = subgroup * (m.rows * m.cols) as usize + at;
        self.file.blocks[m.reg.at as usize + at / W][at % W] = bits;
    }

    pub fn matrix_zero(&mut self, d: Mat) -> Result2<()> {
        for (s, _) in self.whole_subgroups()? {
            (0..(d.rows * d.cols) as usize).for_each(|i| self.set_element(d, s, i, 0));
        }
        Ok(())
    }

    pub fn matrix_copy(&mut self, d: Mat, a: Mat) -> Result2<()> {
        for (s, _) in self.whole_subgroups()? {
            for i in 0..(d.rows * d.cols) as usize {
                let v = self.element(a, s, i);
                self.set_element(d, s, i, v);
            }
        }
        Ok(())
    }

    pub fn matrix_mul_add(&mut self, d: Mat, a: Mat, b: Mat, c: Mat) -> Result2<()> {
        for (s, _) in self.whole_subgroups()? {
            let read = |m: Mat| -> Vec<u32> {
                (0..(m.rows * m.cols) as usize).map(|i| self.element(m, s, i)).collect()
            };
            let (x, y, z) = (read(a), read(b), read(c));
            let dims = [a.cols as usize, b.cols as usize];
            let sums: Vec<u32> = match d.component {
                Component::I32 | Component::I8 => {
                    let int = |v: Vec<u32>| v.into_iter().map(|w| w as i32).collect::<Vec<_>>();
                    let (x, y, mut z) = (int(x), int(y), int(z));
                    product(dims, &x, &y, &mut z, |o: i32, p, q| o.wrapping_add(p * q));
                    z.into_iter().map(|v| v as u32).collect()
                }
                Component::F32 | Component::F16 => {
                    let float = |v: Vec<u32>| v.into_iter().map(f32::from_bits).collect::<Vec<_>>();
                    let (x, y, mut z) = (float(x), float(y), float(z));
                    product(dims, &x, &y, &mut z, |o, p, q| o + p * q);
                    let half = d.component == Component::F16;
                    let round = |v: f32| if half { f16::from_f32(v).to_f32() } else { v };
                    z.into_iter().map(|v| round(v).to_bits()).collect()
                }
            };
            for (i, v) in sums.into_iter().enumerate() {
                self.set_element(d, s, i, v);
            }
        }
        Ok(())
    }

    pub fn matrix_scale_add(&mut self, d: Mat, product: Mat, scale: Mat, sum: Mat) -> Result2<()> {
        for (s, _) in self.whole_subgroups()? {
            for i in 0..(d.rows * d.cols) as usize {
                let p = self.element(product, s, i) as i32 as f32;
                let scaled = p * f32::from_bits(self.element(scale, s, i));
                let v = scaled + f32::from_bits(self.element(sum, s, i));
                self.set_element(d, s, i, v.to_bits());
            }
        }
        Ok(())
    }

    /// Elements of memory that hold a matrix, by its row-major index; `per` of them lie in one
    /// scalar of the array, which `index` and `stride` count.
    fn footprint(
        m: Mat,
        per: u32,
        index: u32,
        stride: u32,
        row_major: bool,
    ) -> impl Iterator<Item = u64> {
        let (index, stride) = (u64::from(index), u64::from(stride));
        (0..u64::from(m.rows * m.cols)).map(move |i| {
            let (r, c) = (i / u64::from(m.cols), i % u64::from(m.cols));
            let (slow, fast) = if row_major { (r, c) } else { (c, r) };
            (index + slow * stride) * u64::from(per) + fast
        })
    }

    /// Elements of `m` in one scalar of the array at `place`.
    fn per_scalar(&self, m: Mat, place: Place, lane: usize) -> Result2<u32> {
        let elem = match place {
            Place::Shared(shared) => self.p.kernel.shared[shared as usize].elem,
            Place::Buffer(binding) => match self.bound[binding as usize] {
                Bound::Buffer { elem, .. } => elem,
                Bound::Image { .. } => return self.fail(lane, "a matrix in an image"),
            },
        };
        match m.component.in_one(elem.scalar) {
            Some(per) => Ok(per),
            None => self.fail(lane, format!("a matrix of {:?} in {elem:?}", m.component)),
        }
    }

    pub fn matrix_load(
        &mut self,
        d: Mat,
        from: Place,
        index: Reg,
        stride: Reg,
        row_major: bool,
    ) -> Result2<()> {
        for (s, lane) in self.whole_subgroups()? {
            let per = self.per_scalar(d, from, lane)?;
            let (index, stride) = (self.file.lane(index, lane), self.file.lane(stride, lane));
            for (i, at) in Self::footprint(d, per, index, stride, row_major).enumerate() {
                let word = self.matrix_word(from, at / u64::from(per), lane)?;
                let part = (at % u64::from(per)) as u32;
                let bits = match d.component {
                    Component::I8 => (word >> (8 * part)) as i8 as i32 as u32,
                    Component::F16 if per == 2 => {
                        f16::from_bits((word >> (16 * part)) as u16).to_f32().to_bits()
                    }
                    // workgroup memory keeps halves as f32
                    Component::F16 => f16::from_f32(f32::from_bits(word)).to_f32().to_bits(),
                    Component::F32 | Component::I32 => word,
                };
                self.set_element(d, s, i, bits);
            }
        }
        Ok(())
    }

    /// The scalar `at` of an array, whatever the width of its elements; halves come as f32.
    fn matrix_word(&mut self, from: Place, at: u64, lane: usize) -> Result2<u32> {
        match from {
            Place::Shared(shared) => {
                let width = u64::from(self.p.kernel.shared[shared as usize].elem.width);
                let i = u32::try_from(at / width).unwrap_or(u32::MAX);
                self.read_shared(shared, i, (at % width) as usize, lane)
            }
            Place::Buffer(binding) => {
                let Bound::Buffer { words, elem, len } = self.bound[binding as usize] else {
                    return self.fail(lane, "a matrix is loaded from an image");
                };
                if at >= len * u64::from(elem.width) {
                    let name = &self.p.kernel.bindings[binding as usize].name;
                    return self.fail(lane, format!("matrix element {at} of binding `{name}`"));
                }
                let at = at as usize;
                Ok(match elem.scalar {
                    Scalar::F16 => {
                        let bits = words[at / 2].load(Relaxed) >> (16 * (at % 2));
                        f16::from_bits(bits as u16).to_f32().to_bits()
                    }
                    _ => words[at].load(Relaxed),
                })
            }
        }
    }

    pub fn matrix_store(
        &mut self,
        a: Mat,
        to: Place,
        index: Reg,
        stride: Reg,
        row_major: bool,
    ) -> Result2<()> {
        for (s, lane) in self.whole_subgroups()? {
            let per = self.per_scalar(a, to, lane)?;
            if per != 1 {
                return self.fail(lane, "a matrix is stored to packed words");
            }
            let (index, stride) = (self.file.lane(index, lane), self.file.lane(stride, lane));
            for (i, at) in Self::footprint(a, per, index, stride, row_major).enumerate() {
                let v = self.element(a, s, i);
                match to {
                    Place::Shared(shared) => {
                        let width = u64::from(self.p.kernel.shared[shared as usize].elem.width);
                        let e = u32::try_from(at / width).unwrap_or(u32::MAX);
                        self.write_shared(shared, e, (at % width) as usize, lane, v)?;
                    }
                    Place::Buffer(binding) => {
                        let Bound::Buffer { words, elem, len } = self.bound[binding as usize]
                        else {
                            return self.fail(lane, "a matrix is stored to an image");
                        };
                        if at >= len * u64::from(elem.width) {
                            let name = &self.p.kernel.bindings[binding as usize].name;
                            let what = format!("matrix element {at} of binding `{name}`");
                            return self.fail(lane, what);
                        }
                        let at = at as usize;
                        match elem.scalar {
                            Scalar::F16 => {
                                let half = f16::from_f32(f32::from_bits(v));
                                super::memory::store_half(words, at, half.to_bits());
                            }
                            _ => words[at].store(v, Relaxed),
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// `z[i, j] = add(z[i, j], x[i, k], y[k, j])` over all k; `dims`: columns of x and of y.
fn product<T: Copy>(
    [depth, columns]: [usize; 2],
    x: &[T],
    y: &[T],
    z: &mut [T],
    add: impl Fn(T, T, T) -> T,
) {
    for (row, out) in x.chunks_exact(depth).zip(z.chunks_exact_mut(columns)) {
        for (&p, line) in row.iter().zip(y.chunks_exact(columns)) {
            out.iter_mut().zip(line).for_each(|(o, &q)| *o = add(*o, p, q));
        }
    }
}
