//! Puts true cooperative-matrix types in the place of their stand-ins (see [`crate::stand_in`]), and
//! makes conversions between words and pairs of halves what they are: the same bits.

use super::{Facts, instruction, op};
use crate::stand_in::StandIn;
use drift_kernel::{Component, MatrixRole, Scalar};
use std::collections::{HashMap, HashSet};

const CAPABILITY_FLOAT16: u32 = 9;
const CAPABILITY_INT8: u32 = 39;
const GLSL_PACK_HALF: u32 = 58;
const GLSL_UNPACK_HALF: u32 = 62;
/// All operands and the result are signed.
const SIGNED_COMPONENTS: u32 = 1 | 2 | 4 | 8;

/// Types and constants by what they are, as far as the module has come.
#[derive(Default)]
pub struct Matrices {
    stand_ins: Vec<StandIn>,
    /// Halves may be taken apart and put together, not only converted.
    computes_f16: bool,
    /// Ids of scalar types: (opcode, width) -> id. Those of the whole module: one that a matrix
    /// needs early is moved up.
    scalars: HashMap<(u32, u32), u32>,
    declared: HashSet<u32>,
    moved: HashSet<u32>,
    constants: HashMap<u32, u32>,
    /// 32-bit unsigned constants of the module: id -> value.
    values: HashMap<u32, u32>,
    /// Matrix types with i32 sums.
    sums: HashSet<u32>,
    /// Products in i32 are scaled: they are followed from their operands, in this type, from this
    /// zero on.
    scales: bool,
    followed: Option<(u32, u32)>,
    /// Matrices of int8, and products followed so far.
    operands: HashSet<u32>,
    products: HashSet<u32>,
    int8: HashSet<u32>,
    /// Vectors of two halves or floats, and u32: what conversions of pairs are between.
    halves: Option<u32>,
    /// Result of `UnpackHalf2x16` -> its word; result of a widening of two halves -> the halves.
    words: HashMap<u32, u32>,
    pairs: HashMap<u32, u32>,
}

impl Matrices {
    pub fn new(facts: &Facts, all: &[&[u32]]) -> Matrices {
        let mut out = Matrices {
            stand_ins: facts.stand_ins.clone(),
            computes_f16: facts.computes_f16,
            scales: facts.scales,
            ..Matrices::default()
        };
        for i in all {
            match (super::opcode(i), &i[1..]) {
                (op::TYPE_FLOAT, [id, width]) => {
                    out.scalars.insert((op::TYPE_FLOAT, *width), *id);
                }
                // signed integers only; unsigned 32-bit ones are keyed by opcode 0
                (op::TYPE_INT, [id, width, 1]) => {
                    out.scalars.insert((op::TYPE_INT, *width), *id);
                }
                (op::TYPE_INT, [id, 32, 0]) => {
                    out.scalars.insert((0, 32), *id);
                }
                (op::CONSTANT, [_, id, value]) => {
                    out.values.insert(*id, *value);
                }
                _ => {}
            }
        }
        out
    }

    /// Capabilities that the true types need and naga did not see; first of all in the module.
    pub fn capabilities(&self, all: &[&[u32]], out: &mut Vec<u32>) {
        let has = |c: u32| all.iter().any(|i| super::opcode(i) == op::CAPABILITY && i[1] == c);
        let uses = |c: Component| self.stand_ins.iter().any(|s| s.matrix.component == c);
        let wanted = [(Component::F16, CAPABILITY_FLOAT16), (Component::I8, CAPABILITY_INT8)];
        for (component, capability) in wanted {
            if uses(component) && !has(capability) {
                instruction(op::CAPABILITY, &[capability], out);
            }
        }
    }

    /// Writes the instruction in its true form; `false`: it stays as it is.
    pub fn rewrite(&mut self, i: &[u32], out: &mut Vec<u32>) -> bool {
        match (super::opcode(i), &i[1..]) {
            (op::TYPE_FLOAT | op::TYPE_INT, [id, ..]) => {
                self.declared.insert(*id);
                self.moved.contains(id)
            }
            (op::TYPE_VECTOR, [id, of, 2]) => {
                if self.computes_f16 && self.scalars.get(&(op::TYPE_FLOAT, 16)) == Some(of) {
                    self.halves = Some(*id);
                }
                false
            }
            (op::TYPE_COOPERATIVE_MATRIX, &[id, of, scope, rows, cols, role]) => {
                let Some(s) = self.stand_in(of, rows, cols, role) else {
                    if self.scales && self.is_sum(of, role) {
                        // beside the f32 sums, the products
                        out.extend_from_slice(i);
                        let int = self.component(Component::I32, out);
                        let (ty, zero) = (fresh(out), fresh(out));
                        let words = [ty, int, scope, rows, cols, role];
                        instruction(op::TYPE_COOPERATIVE_MATRIX, &words, out);
                        instruction(op::CONSTANT_NULL, &[ty, zero], out);
                        self.followed = Some((ty, zero));
                        return true;
                    }
                    return false;
                };
                let (component, rows, cols) = (s.matrix.component, s.matrix.rows, s.matrix.cols);
                let of = self.component(component, out);
                let (rows, cols) = (self.constant(rows, out), self.constant(cols, out));
                match component {
                    Component::I32 => _ = self.sums.insert(id),
                    Component::I8 => _ = self.int8.insert(id),
                    Component::F32 | Component::F16 => {}
                }
                instruction(op::TYPE_COOPERATIVE_MATRIX, &[id, of, scope, rows, cols, role], out);
                true
            }
            (op::COOPERATIVE_MATRIX_MUL_ADD, &[ty, id, a, b, c]) if self.sums.contains(&ty) => {
                let operands = [ty, id, a, b, c, SIGNED_COMPONENTS];
                instruction(op::COOPERATIVE_MATRIX_MUL_ADD, &operands, out);
                true
            }
            (op::COOPERATIVE_MATRIX_LOAD, [ty, id, ..]) if self.int8.contains(ty) => {
                self.operands.insert(*id);
                false
            }
            (op::COOPERATIVE_MATRIX_MUL_ADD, &[_, id, a, b, c]) if self.operands.contains(&a) => {
                let Some((ty, zero)) = self.followed else { return false };
                // what is no product yet is the zero that the first one starts from
                let c = if self.products.contains(&c) { c } else { zero };
                self.products.insert(id);
                let words = [ty, id, a, b, c, SIGNED_COMPONENTS];
                instruction(op::COOPERATIVE_MATRIX_MUL_ADD, &words, out);
                true
            }
            (op::F_SUB, &[ty, id, product, scale]) if self.products.contains(&product) => {
                let float = fresh(out);
                instruction(op::CONVERT_S_TO_F, &[ty, float, product], out);
                instruction(op::F_MUL, &[ty, id, float, scale], out);
                true
            }
            (op::EXT_INST, [_, id, _, GLSL_UNPACK_HALF, word]) => {
                self.words.insert(*id, *word);
                false
            }
            // f16(unpack(word)) is the word
            (op::F_CONVERT, &[ty, id, of]) if self.halves == Some(ty) => {
                let Some(&word) = self.words.get(&of) else { return false };
                instruction(op::BITCAST, &[ty, id, word], out);
                true
            }
            (op::F_CONVERT, [_, id, of]) if self.computes_f16 => {
                self.pairs.insert(*id, *of);
                false
            }
            // pack(f32(halves)) are the halves
            (op::EXT_INST, &[ty, id, _, GLSL_PACK_HALF, of]) => {
                let Some(&halves) = self.pairs.get(&of) else { return false };
                instruction(op::BITCAST, &[ty, id, halves], out);
                true
            }
            _ => false,
        }
    }

    /// Whether a type of matrices of component `of` and role `role` is that of f32 sums.
    fn is_sum(&self, of: u32, role: u32) -> bool {
        self.scalars.get(&(op::TYPE_FLOAT, 32)) == Some(&of) && self.values.get(&role) == Some(&2)
    }

    fn stand_in(&self, of: u32, rows: u32, cols: u32, role: u32) -> Option<StandIn> {
        let value = |id| self.values.get(&id).copied();
        let scalar = |id| {
            let known = [
                ((0, 32), Scalar::U32),
                ((op::TYPE_FLOAT, 32), Scalar::F32),
                ((op::TYPE_FLOAT, 16), Scalar::F16),
            ];
            known.into_iter().find(|(key, _)| self.scalars.get(key) == Some(&id)).map(|(_, s)| s)
        };
        let role = match value(role)? {
            0 => MatrixRole::A,
            1 => MatrixRole::B,
            _ => MatrixRole::C,
        };
        let shown = crate::stand_in::Shown {
            rows: value(rows)?,
            cols: value(cols)?,
            scalar: scalar(of)?,
            role,
        };
        self.stand_ins.iter().copied().find(|s| s.shown == shown)
    }

    /// Id of the type of a component, declared here or before.
    fn component(&mut self, c: Component, out: &mut Vec<u32>) -> u32 {
        let (code, width) = match c {
            Component::F32 => (op::TYPE_FLOAT, 32),
            Component::F16 => (op::TYPE_FLOAT, 16),
            Component::I8 => (op::TYPE_INT, 8),
            Component::I32 => (op::TYPE_INT, 32),
        };
        let known = self.scalars.get(&(code, width)).copied();
        if let Some(id) = known.filter(|id| self.declared.contains(id)) {
            return id;
        }
        let id = known.unwrap_or_else(|| fresh(out));
        self.scalars.insert((code, width), id);
        self.declared.insert(id);
        self.moved.insert(id);
        match code {
            op::TYPE_INT => instruction(code, &[id, width, 1], out),
            _ => instruction(code, &[id, width], out),
        }
        id
    }

    fn constant(&mut self, value: u32, out: &mut Vec<u32>) -> u32 {
        if let Some(&id) = self.constants.get(&value) {
            return id;
        }
        let ty = self.scalars[&(0, 32)];
        let id = fresh(out);
        instruction(op::CONSTANT, &[ty, id, value], out);
        self.constants.insert(value, id);
        id
    }
}

/// The header's bound: one more than the largest id.
fn fresh(out: &mut [u32]) -> u32 {
    let id = out[3];
    out[3] += 1;
    id
}
