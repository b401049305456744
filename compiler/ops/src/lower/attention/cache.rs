//! The cache of keys and values inside a kernel: floats, or bytes with a scale per token.

use crate::lower::{KernelArgs, Lowering};
use crate::ops::cached_attention::CachedAttention;
use drift_ir::View;
use drift_kernel::tensor::Elem;
use drift_kernel::{Access, Builder, E, Packing, Scalar, TensorId};

/// The updated states of a `cached_attention` node as arguments of a kernel.
#[derive(Clone, Copy, Debug)]
pub struct Cache {
    k: Option<TensorId>,
    v: Option<TensorId>,
    k_scales: Option<TensorId>,
    v_scales: Option<TensorId>,
    context: u32,
    /// Positions may exceed the slots.
    wraps: bool,
}

impl Cache {
    /// Binds keys and / or values. Kernels see the updated states only: they lie where the old ones do.
    pub fn bind(
        l: &Lowering<'_>,
        k: &KernelArgs,
        a: &CachedAttention,
        keys: bool,
        values: bool,
        access: Access,
    ) -> Cache {
        let arg = |on: bool, i: usize| on.then(|| l.result_arg(k, i, access, View::identity()));
        Cache {
            k: arg(keys, 1),
            v: arg(values, 2),
            k_scales: arg(keys && a.int8, 3),
            v_scales: arg(values && a.int8, 4),
            context: a.context as u32,
            wraps: a.window > 0,
        }
    }

    /// Slot of position `t`.
    pub fn slot<'b>(&self, t: E<'b>) -> E<'b> {
        if self.wraps { t % self.context } else { t.min(self.context - 1) }
    }

    fn quad<'b>(
        b: &'b Builder,
        t: Option<TensorId>,
        scales: Option<TensorId>,
        [head, slot, d]: [E<'b>; 3],
    ) -> E<'b> {
        let t = t.expect("bound");
        match scales {
            None => b.load4(t, &[head, slot, d], 2),
            Some(_) => b.load(t, &[head, slot, d / 4u32]).unpack(Packing::I8x4).cast(Scalar::F32),
        }
    }

    /// Elements `d .. d + 4` of a key, before its scale.
    pub fn key<'b>(&self, b: &'b Builder, at: [E<'b>; 3]) -> E<'b> {
        Cache::quad(b, self.k, self.k_scales, at)
    }

    pub fn value<'b>(&self, b: &'b Builder, at: [E<'b>; 3]) -> E<'b> {
        Cache::quad(b, self.v, self.v_scales, at)
    }

    /// Scales of key and value in a slot of an int8 cache.
    pub fn scales<'b>(&self, b: &'b Builder, head: E<'b>, slot: E<'b>) -> Option<[E<'b>; 2]> {
        let (k, v) = (self.k_scales?, self.v_scales?);
        Some([k, v].map(|t| b.load(t, &[head, slot])))
    }

    /// Stores four elements of a key; for int8 caches whole multiples of `scale`.
    pub fn store_key<'b>(&self, b: &'b Builder, at: [E<'b>; 3], x: E<'b>, scale: Option<E<'b>>) {
        Cache::store(b, self.k, self.k_scales, at, x, scale);
    }

    pub fn store_value<'b>(&self, b: &'b Builder, at: [E<'b>; 3], x: E<'b>, scale: Option<E<'b>>) {
        Cache::store(b, self.v, self.v_scales, at, x, scale);
    }

    fn store<'b>(
        b: &'b Builder,
        t: Option<TensorId>,
        scales: Option<TensorId>,
        [head, slot, d]: [E<'b>; 3],
        x: E<'b>,
        scale: Option<E<'b>>,
    ) {
        let t = t.expect("bound");
        let (Some(scales), Some(scale)) = (scales, scale) else {
            let half = matches!(b.elem(t), Elem::F16 | Elem::F16Packed);
            // an infinity would become NaN where its weight is 0
            let x = if half { x.clamp(-65504.0f32, 65504.0f32) } else { x };
            return b.store4(t, &[head, slot, d], 2, x);
        };
        b.store(t, &[head, slot, d / 4u32], x.cast(Scalar::I32).pack(Packing::I8x4));
        b.if_(d.eq(0u32), || b.store(scales, &[head, slot], scale));
    }
}

/// Four elements in units of `scale`, -127 to 127, rounded but still floats.
pub fn quantized<'b>(b: &'b Builder, x: E<'b>, scale: E<'b>) -> E<'b> {
    let zero = scale.le(0.0);
    let scale = b.select(zero, 1.0, scale);
    (x / scale.splat(4)).round().clamp(-127.0, 127.0)
}
