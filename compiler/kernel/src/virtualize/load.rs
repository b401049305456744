//! Loads: single elements, whole slots, and four lanes put together.

use super::{Form, Pass, Result2};
use crate::ir::*;
use crate::simplify::{add, div_lit, mul_lit, rem_lit};
use crate::tensor::address::{Address, place};
use crate::tensor::{Elem, TensorId};
use std::collections::HashMap;

impl Pass<'_> {
    pub(super) fn load(
        &mut self,
        t: TensorId,
        coords: &[ExprId],
        lanes: u8,
        axis: usize,
    ) -> Result2<ExprId> {
        let old = self.old;
        let arg = &old.tensors[t.0 as usize];
        let place = place(&mut self.s, arg, coords, lanes, axis)?;
        self.note(t, &place);
        // vec4s that single lanes of this access share
        let mut cache: HashMap<Vec<ExprId>, ExprId> = HashMap::new();
        if lanes == 1 {
            return Ok(self.load_lane(t, &place.addresses[0], &mut cache));
        }
        let scalar = arg.elem.scalar();
        let ty = Type::vec(scalar, 4);
        let dim = arg.shape()[axis] as u32;
        if place.whole {
            let v = self.load_whole(t, &place.addresses[0]);
            if !place.masked {
                return Ok(v);
            }
            let parts = (0..4)
                .map(|k| {
                    let lane = self.s.lit_u32(k);
                    let x = self.lane(v, lane);
                    self.masked(coords[axis], k, dim, x, scalar)
                })
                .collect();
            return Ok(self.pure(Expr::Compose(parts), ty));
        }
        let mut parts = Vec::new();
        for (k, a) in (0u32..).zip(&place.addresses) {
            let inside = self.inside(coords[axis], k, dim);
            if place.masked && self.known(inside) == Some(false) {
                parts.push(self.zero(scalar));
                continue;
            }
            let x = self.load_lane(t, a, &mut cache);
            parts.push(match place.masked {
                true => self.masked(coords[axis], k, dim, x, scalar),
                false => x,
            });
        }
        Ok(self.pure(Expr::Compose(parts), ty))
    }

    fn masked(&mut self, c: ExprId, k: u32, dim: u32, x: ExprId, scalar: Scalar) -> ExprId {
        // the first element is inside by contract
        if k == 0 {
            return x;
        }
        let cond = self.inside(c, k, dim);
        let no = self.zero(scalar);
        self.pure(Expr::Select { cond, yes: x, no }, Type::scalar(scalar))
    }

    fn texel(&mut self, t: TensorId, texel: &[ExprId]) -> ExprId {
        let binding = self.first[t.0 as usize].0;
        self.let_(Expr::Image { binding, coords: texel.to_vec() }, F32X4, None)
    }

    fn load_whole(&mut self, t: TensorId, a: &Address) -> ExprId {
        let elem = self.old.tensors[t.0 as usize].elem;
        let scalar = elem.scalar();
        match (self.forms[t.0 as usize], elem) {
            (Form::Image(_), _) => self.texel(t, &a.texel),
            (Form::Quads, Elem::F16Packed) => {
                let words = self.buffer(t, a.slot, 4);
                let halves = [0, 1].map(|k| {
                    let k = self.s.lit_u32(k);
                    self.lane(words, k)
                });
                self.unpack4(halves)
            }
            (Form::Quads, _) => {
                let v = self.buffer(t, a.slot, 4);
                self.cast(scalar, v)
            }
            (Form::Scalars, Elem::F16Packed) => {
                let at = mul_lit(&mut self.s, a.slot, 2);
                let halves = [0, 1].map(|k| {
                    let k = self.s.lit_u32(k);
                    let at = add(&mut self.s, at, k);
                    self.buffer(t, at, 2)
                });
                self.unpack4(halves)
            }
            (Form::Scalars, _) => {
                let at = mul_lit(&mut self.s, a.slot, 4);
                let parts = (0..4)
                    .map(|k| {
                        let k = self.s.lit_u32(k);
                        let at = add(&mut self.s, at, k);
                        let x = self.buffer(t, at, 1);
                        self.cast(scalar, x)
                    })
                    .collect();
                self.pure(Expr::Compose(parts), Type::vec(scalar, 4))
            }
        }
    }

    /// Four f32 of two words.
    fn unpack4(&mut self, words: [ExprId; 2]) -> ExprId {
        let mut parts = Vec::new();
        for w in words {
            let pair = self.pure(Expr::Unpack(Packing::Half2, w), Type::vec(Scalar::F32, 2));
            parts.extend([0, 1].map(|k| self.pure(Expr::Extract(pair, k), F32)));
        }
        self.pure(Expr::Compose(parts), F32X4)
    }

    fn load_lane(
        &mut self,
        t: TensorId,
        a: &Address,
        cache: &mut HashMap<Vec<ExprId>, ExprId>,
    ) -> ExprId {
        let elem = self.old.tensors[t.0 as usize].elem;
        let scalar = elem.scalar();
        let form = self.forms[t.0 as usize];
        let (key, lane) = match (form, elem) {
            (Form::Image(_), _) => (a.texel.clone(), a.lane),
            (Form::Quads, _) => (vec![a.slot], a.lane),
            (Form::Scalars, Elem::F16Packed) => {
                let word = div_lit(&mut self.s, a.element, 2);
                (vec![word], rem_lit(&mut self.s, a.element, 2))
            }
            (Form::Scalars, _) => {
                let x = self.buffer(t, a.element, 1);
                return self.cast(scalar, x);
            }
        };
        let unit = match cache.get(&key) {
            Some(&v) => v,
            None => {
                let v = match form {
                    Form::Image(_) => self.texel(t, &key),
                    Form::Quads => self.buffer(t, key[0], 4),
                    Form::Scalars => self.buffer(t, key[0], 2),
                };
                cache.insert(key, v);
                v
            }
        };
        if elem == Elem::F16Packed && !matches!(form, Form::Image(_)) {
            let (word, half) = match form {
                Form::Quads => {
                    let (w, h) = (div_lit(&mut self.s, lane, 2), rem_lit(&mut self.s, lane, 2));
                    (self.lane(unit, w), h)
                }
                _ => (unit, lane),
            };
            let pair = self.pure(Expr::Unpack(Packing::Half2, word), Type::vec(Scalar::F32, 2));
            return self.lane(pair, half);
        }
        // halves are converted whole: taking them apart would be f16 arithmetic to some devices
        let unit = self.cast(scalar, unit);
        self.lane(unit, lane)
    }
}
