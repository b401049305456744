//! Storages: from layout digits to addresses in buffers and texels in images, and how one logical
//! tensor is cut into several objects.
//!
//! | storage | texel of a Slices4 value ordered `[H, slice, W, B]` (typically) |
//! |---|---|
//! | buffer, texel buffer | linear slot |
//! | 2D texture | (x*B + b, y*S + s): fast digits are x, slow ones y, cut near the square |
//! | texture array, 3D texture | (x*B + b, y, s): the slice digit is the layer |

use super::layout::{Digit, DigitKind, LayoutError, number};
use super::{Elem, Layout, Storage, TensorArg};
use crate::builder::State;
use crate::ir::*;
use crate::simplify::{div_lit, rem_lit};
use drift_bundle::caps::ImageKind;

/// Texels per axis of a 2D texture that tensors are laid out for. Vulkan, Metal, OpenCL and
/// WebGPU devices offer 8192 and more.
pub const TEXTURE_2D_LIMIT: u64 = 8192;
/// Texels per axis of a 3D texture, and layers of an array.
pub const TEXTURE_3D_LIMIT: u64 = 2048;
/// Texels of a texel buffer.
pub const TEXEL_BUFFER_LIMIT: u64 = 1 << 27;

/// How the digits of a layout (its lane digit apart) are dealt to the axes of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Deal {
    /// Digits of x, y, z; each a number of its own.
    Axes(Vec<Vec<Digit>>),
    /// All digits are one number, folded into rows of `width`.
    Folded { digits: Vec<Digit>, width: u64, height: u64 },
}

fn product(digits: &[Digit]) -> u64 {
    digits.iter().fold(1u64, |n, d| n.saturating_mul(d.size)).max(1)
}

/// Cuts digits (slowest first) into (slow, fast) halves that both fit `limit`, where the larger
/// half is smallest.
fn halves(digits: &[Digit], limit: u64) -> Option<(Vec<Digit>, Vec<Digit>)> {
    let cut = |p: usize| (digits[..p].to_vec(), digits[p..].to_vec());
    let larger = |p: usize| product(&digits[..p]).max(product(&digits[p..]));
    let best = (0..=digits.len()).min_by_key(|&p| larger(p))?;
    (larger(best) <= limit).then(|| cut(best))
}

impl Layout {
    /// Digits of the vec4 slots, slowest first, without the lane digit. `None` when the layout
    /// does not cut the value into slots.
    pub fn slot_digits(&self, shape: &drift_ir::Shape) -> Option<Vec<Digit>> {
        let mut digits = self.digits(shape);
        let last = digits.pop()?;
        match (self, last.kind) {
            (_, DigitKind::Lane) => Some(digits),
            (Layout::RowMajor, _) if last.size > 0 && last.size % 4 == 0 => {
                let kind = DigitKind::Slice;
                digits.push(Digit { div: 4, size: last.size / 4, wraps: false, kind, ..last });
                Some(digits)
            }
            _ => None,
        }
    }
}

impl TensorArg {
    fn fail<T>(&self, why: impl std::fmt::Display) -> Result<T, LayoutError> {
        Err(LayoutError(format!("tensor `{}` {} ({}): {why}", self.name, self.stored, self.layout)))
    }

    /// Elements of the layout, padding included, without `base_elems`.
    pub fn extent_elems(&self) -> u64 {
        self.layout.extent_elems(&self.stored)
    }

    /// Bytes of the value in a buffer, padding included, without `base_elems`.
    pub fn extent_bytes(&self) -> u64 {
        self.elem.extent_bytes(self.extent_elems())
    }

    /// Elements in each buffer object of the tensor: one entry, or several when the tensor is
    /// larger than `max_object_bytes`. All but the last hold the same power of two.
    pub fn object_elems(&self) -> Vec<u64> {
        let total = self.base_elems.saturating_add(self.extent_elems());
        if self.storage != Storage::Buffer || self.elem.extent_bytes(total) <= self.max_object_bytes
        {
            return vec![total];
        }
        let most = (self.max_object_bytes / self.elem.bytes()).max(4);
        let each = 1u64 << most.ilog2();
        let full = total / each;
        let mut out = vec![each; full as usize];
        if !total.is_multiple_of(each) {
            out.push(total % each);
        }
        out
    }

    fn deal(&self, kind: ImageKind) -> Result<Deal, LayoutError> {
        if !self.elem.is_float() {
            return self.fail("images hold f16 or f32; keep integers in buffers");
        }
        if self.base_elems != 0 {
            return self.fail("a value inside a larger one must live in a buffer");
        }
        let Some(mut digits) = self.layout.slot_digits(&self.stored) else {
            return self.fail(
                "images hold vec4 texels; use a sliced layout, or a last dim divisible by 4",
            );
        };
        match kind {
            ImageKind::TexelBuffer if product(&digits) <= TEXEL_BUFFER_LIMIT => {
                Ok(Deal::Axes(vec![digits]))
            }
            ImageKind::TexelBuffer => self.fail("too many texels for a texel buffer"),
            ImageKind::Texture2d => match halves(&digits, TEXTURE_2D_LIMIT) {
                Some((y, x)) => Ok(Deal::Axes(vec![x, y])),
                None => {
                    let slots = product(&digits);
                    let height = slots.div_ceil(TEXTURE_2D_LIMIT);
                    if height > TEXTURE_2D_LIMIT {
                        return self.fail("too many texels for a 2D texture");
                    }
                    Ok(Deal::Folded { digits, width: TEXTURE_2D_LIMIT, height })
                }
            },
            ImageKind::Texture2dArray | ImageKind::Texture3d => {
                let limit = match kind {
                    ImageKind::Texture3d => TEXTURE_3D_LIMIT,
                    _ => TEXTURE_2D_LIMIT,
                };
                let z: Vec<Digit> = match digits.iter().position(|d| d.kind == DigitKind::Slice) {
                    Some(p) => vec![digits.remove(p)],
                    None => vec![],
                };
                match halves(&digits, limit) {
                    Some((y, x)) if product(&z) <= TEXTURE_3D_LIMIT => {
                        Ok(Deal::Axes(vec![x, y, z]))
                    }
                    _ => self.fail("too many texels along an axis of the texture"),
                }
            }
        }
    }

    /// Texels per axis of the image that holds this tensor; the memory planner's and the
    /// kernels' one source. Errors when the tensor's storage is no image or cannot be this one.
    pub fn image_extent(&self) -> Result<[u32; 3], LayoutError> {
        let Storage::Image(kind) = self.storage else {
            return self.fail("is stored in a buffer");
        };
        Ok(match self.deal(kind)? {
            Deal::Axes(axes) => {
                let size = |k: usize| axes.get(k).map_or(1, |d| product(d) as u32);
                [size(0), size(1), size(2)]
            }
            Deal::Folded { width, height, .. } => [width as u32, height as u32, 1],
        })
    }

    /// Texel (1 to 3 coordinates) and lane of one element, as expressions.
    pub fn texel_expr(
        &self,
        s: &mut State,
        kind: ImageKind,
        coord: &[ExprId],
    ) -> Result<(Vec<ExprId>, ExprId), LayoutError> {
        let texel = match self.deal(kind)? {
            Deal::Axes(axes) => axes.iter().map(|d| number(s, d, coord)).collect(),
            Deal::Folded { digits, width, .. } => {
                let slot = number(s, &digits, coord);
                vec![rem_lit(s, slot, width as u32), div_lit(s, slot, width as u32)]
            }
        };
        let lane_axis = self.layout.lanes(&self.stored).unwrap_or(0);
        Ok((texel, rem_lit(s, coord[lane_axis], 4)))
    }
}

impl Elem {
    /// Type that kernels compute with.
    pub const fn scalar(self) -> Scalar {
        match self {
            Elem::F32 | Elem::F16 | Elem::F16Packed => Scalar::F32,
            Elem::I32 => Scalar::I32,
            Elem::U32 => Scalar::U32,
        }
    }

    /// Type in memory of `lanes` (1 or 4) elements, in a binding's units. Packed halves come in
    /// words: one for a pair, two for four.
    pub const fn stored(self, lanes: u8) -> Vector {
        match self {
            Elem::F16 => Vector { scalar: Scalar::F16, width: lanes },
            Elem::F16Packed => {
                Vector { scalar: Scalar::U32, width: if lanes == 4 { 2 } else { 1 } }
            }
            e => Vector { scalar: e.scalar(), width: lanes },
        }
    }
}
