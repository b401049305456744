//! Stores: single elements, whole slots, and four lanes guarded one by one.

use super::{Form, Pass, Result2};
use crate::ir::*;
use crate::simplify::{add, mul_lit};
use crate::tensor::address::{Address, place};
use crate::tensor::{Elem, LayoutError, TensorId};

impl Pass<'_> {
    pub(super) fn store(
        &mut self,
        t: TensorId,
        coords: &[ExprId],
        lanes: u8,
        axis: usize,
        value: ExprId,
    ) -> Result2<()> {
        let old = self.old;
        let arg = &old.tensors[t.0 as usize];
        let mut place = place(&mut self.s, arg, coords, lanes, axis)?;
        // a vec4 whose tail belongs to other elements is written lane by lane
        place.whole &= !place.masked;
        self.note(t, &place);
        if lanes == 1 {
            return self.store_lane(t, &place.addresses[0], value);
        }
        if place.whole {
            return self.store_whole(t, &place.addresses[0], value);
        }
        let dim = arg.shape()[axis] as u32;
        for (k, a) in (0u32..).zip(&place.addresses) {
            let lane = self.s.lit_u32(k);
            let x = self.lane(value, lane);
            let inside = self.inside(coords[axis], k, dim);
            let open = k == 0 || !place.masked || self.known(inside) == Some(true);
            if open {
                self.store_lane(t, a, x)?;
            } else if self.known(inside).is_none() {
                self.blocks.push(Block::new());
                self.store_lane(t, a, x)?;
                let yes = self.blocks.pop().unwrap_or_default();
                self.push(Stmt::If { cond: inside, yes, no: Block::new() });
            }
        }
        Ok(())
    }

    /// `value` in the tensor's memory type; not for packed halves.
    fn stored(&mut self, elem: Elem, value: ExprId) -> ExprId {
        self.cast(elem.stored(1).scalar, value)
    }

    fn store_whole(&mut self, t: TensorId, a: &Address, value: ExprId) -> Result2<()> {
        let elem = self.old.tensors[t.0 as usize].elem;
        match (self.forms[t.0 as usize], elem) {
            (Form::Image(_), _) => {
                let binding = self.first[t.0 as usize].0;
                let coords = a.texel.clone();
                self.push(Stmt::StoreImage { binding, coords, value });
            }
            (form, Elem::F16Packed) => {
                let words = [0, 2].map(|k| {
                    let pair = [k, k + 1].map(|k| self.pure(Expr::Extract(value, k), F32));
                    let pair = self.pure(Expr::Compose(pair.to_vec()), Type::vec(Scalar::F32, 2));
                    self.pure(Expr::Pack(Packing::Half2, pair), U32)
                });
                if form == Form::Quads {
                    let v = self.pure(Expr::Compose(words.to_vec()), Type::vec(Scalar::U32, 2));
                    self.set_buffer(t, a.slot, 4, v);
                } else {
                    let at = mul_lit(&mut self.s, a.slot, 2);
                    for (k, w) in (0u32..).zip(words) {
                        let k = self.s.lit_u32(k);
                        let at = add(&mut self.s, at, k);
                        self.set_buffer(t, at, 2, w);
                    }
                }
            }
            (Form::Quads, _) => {
                let v = self.stored(elem, value);
                self.set_buffer(t, a.slot, 4, v);
            }
            (Form::Scalars, _) => {
                let at = mul_lit(&mut self.s, a.slot, 4);
                for k in 0..4 {
                    let lane = self.s.lit_u32(k);
                    let x = self.lane(value, lane);
                    let x = self.stored(elem, x);
                    let at = add(&mut self.s, at, lane);
                    self.set_buffer(t, at, 1, x);
                }
            }
        }
        Ok(())
    }

    fn store_lane(&mut self, t: TensorId, a: &Address, value: ExprId) -> Result2<()> {
        let old = self.old;
        let arg = &old.tensors[t.0 as usize];
        let what = match (self.forms[t.0 as usize], arg.elem) {
            (Form::Image(_), _) => Some("an image is written whole texels at a time"),
            (_, Elem::F16Packed) => Some("packed halves are written four at a time"),
            _ => None,
        };
        if let Some(what) = what {
            return Err(LayoutError(format!(
                "tensor `{}` {} ({}): {what}, and this store is of single elements; store four \
                 along the lanes of the layout, or keep the tensor in a buffer of f32 or f16",
                arg.name, arg.stored, arg.layout
            )));
        }
        // the first pass tries vec4 bindings; the second knows better
        if self.forms[t.0 as usize] == Form::Quads {
            return Ok(());
        }
        let x = self.stored(arg.elem, value);
        self.set_buffer(t, a.element, 1, x);
        // who writes the last channel zeroes the padding behind it
        let (Some(channel), Some(axis)) = (a.channel, arg.layout.lanes(&arg.stored)) else {
            return Ok(());
        };
        let dim = arg.stored[axis];
        if dim.is_multiple_of(4) {
            return Ok(());
        }
        let last = self.compare(BinaryOp::Eq, channel, dim as u32 - 1);
        self.blocks.push(Block::new());
        let zero = self.zero(arg.elem.stored(1).scalar);
        for k in 1..=(4 - dim % 4) as u32 {
            let k = self.s.lit_u32(k);
            let at = add(&mut self.s, a.element, k);
            self.set_buffer(t, at, 1, zero);
        }
        let yes = self.blocks.pop().unwrap_or_default();
        match self.known(last) {
            Some(true) => yes.into_iter().for_each(|s| self.push(s)),
            Some(false) => {}
            None => self.push(Stmt::If { cond: last, yes, no: Block::new() }),
        }
        Ok(())
    }
}
