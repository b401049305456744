//! What kernels compute with, and what memory holds.

use super::scalar_of;
use drift_ir::DType;
use drift_kernel::{BinaryOp, Builder, E, Scalar, TensorId};

/// Largest finite f16.
pub(super) const F16_MAX: f32 = 65504.0;

/// Keeps finite numbers finite in f16: an overflow (or a mask of -3.4e38) becomes the largest f16,
/// where an infinity would become NaN further on. Infinities and NaN stay what they are.
pub(super) fn saturated<'b>(b: &'b Builder, value: E<'b>) -> E<'b> {
    let over = value.gt(F16_MAX).and(value.le(f32::MAX));
    let under = value.lt(-F16_MAX).and(value.ge(f32::MIN));
    b.select(under, -F16_MAX, b.select(over, F16_MAX, value))
}

/// Zero in the lanes past the extent: padding is read along with whole slices and multiplied by
/// zero weights, so it must never be an infinity or NaN (1 / 0 of an unused lane, say).
pub(super) fn zero_padding<'b>(
    b: &'b Builder,
    t: TensorId,
    coords: &[E<'b>],
    axis: usize,
    value: E<'b>,
) -> E<'b> {
    let extent = b.shape(t)[axis];
    if extent.is_multiple_of(4) {
        return value;
    }
    let zero = b.lit_like(0.0, drift_kernel::Type::scalar(value.ty().vector().scalar));
    let lanes: Vec<E<'b>> = (0..4u32)
        .map(|i| {
            let inside = (coords[axis] + i).lt(extent as u32);
            b.select(inside, value.lane(i as u8), zero)
        })
        .collect();
    b.compose(&lanes)
}

/// What a kernel computes with, from what memory holds (bool lies as u32 0 / 1).
pub fn from_stored<'b>(_b: &'b Builder, raw: E<'b>, dtype: DType) -> E<'b> {
    match dtype {
        DType::Bool => raw.binary(BinaryOp::Ne, 0u32),
        _ => raw,
    }
}

/// The reverse of [`from_stored`], with the conversion to the dtype's scalar type.
pub fn to_stored<'b>(b: &'b Builder, value: E<'b>, dtype: DType) -> E<'b> {
    let v = super::steps::convert(b, value, scalar_of(dtype));
    match dtype {
        DType::Bool => super::steps::convert(b, v, Scalar::U32),
        _ => v,
    }
}
