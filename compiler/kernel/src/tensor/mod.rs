//! Virtual tensors (paper, sections 3.1 to 3.3): shape, view, layout and storage of one kernel
//! argument, each a separate, pure mapping.
//!
//! 1. **view**: what the kernel sees -> coordinates of the stored value ([`drift_ir::View`]);
//! 2. **layout**: coordinates -> slot: which element of which vec4 ([`Layout`]);
//! 3. **storage**: slot -> address in a buffer or texel in an image ([`Storage`]).

pub mod address;
pub mod layout;
mod pack;
pub mod storage;
pub mod view;

pub use layout::{Digit, DigitKind, LayoutError};
pub use pack::{pack, unpack};

use crate::ir::Access;
use drift_bundle::caps::ImageKind;
use drift_ir::{Shape, View};

/// Index into [`crate::Kernel::tensors`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct TensorId(pub u32);

/// Element type in GPU memory. Kernels compute floats in f32 (or f16 where they say so) and
/// integers in i32 / u32; loads and stores convert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Elem {
    F32,
    /// Native 16-bit storage.
    F16,
    /// Two f16 packed in a u32: for devices without 16-bit storage.
    F16Packed,
    I32,
    U32,
}

impl Elem {
    pub const fn bytes(self) -> u64 {
        match self {
            Elem::F16 | Elem::F16Packed => 2,
            _ => 4,
        }
    }
    pub const fn is_float(self) -> bool {
        matches!(self, Elem::F32 | Elem::F16 | Elem::F16Packed)
    }
}

/// Order and packing of elements. Every layout maps coordinates of the stored shape to
/// `(slot, lane)`: element `lane` (0..4) of vec4 number `slot`; or, without lanes, to an element
/// number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// Dense, last axis fastest. Element number = row-major index.
    RowMajor,
    /// Slices of 4: axis `channel` is cut into groups of four (zero-padded); the four are
    /// adjacent. `order` lists all axes, slowest first; the channel axis stands for its slice
    /// index. DSHWBC4 of an NCHW value is `order = [1 (slice), 2 (H), 3 (W), 0 (N)]`, channel 1;
    /// HSWBDC4 is `[2, 1, 3, 0]`; "NHWC4" is `[0, 2, 3, 1]`.
    Slices4 { channel: u8, order: Vec<u8> },
    /// Convolution weights `[O, I, spatial...]` as (G, S_O, O4, HWD, S_I, I4) (paper, 3.1): output slices in
    /// groups of `group` slices; `permutation` orders the six (slowest first) by index into
    /// (G, S_O, O4, HWD, S_I, I4). The last entry must be 2 (O4) or 5 (I4): the lanes.
    Weights { group: u32, permutation: [u8; 6] },
}

/// Which kind of GPU object holds a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Storage {
    Buffer,
    Image(ImageKind),
}

/// One argument of a kernel.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TensorArg {
    pub name: String,
    pub elem: Elem,
    /// Shape of the stored value.
    pub stored: Shape,
    /// From the stored value to what the kernel indexes. For a written tensor the same direction:
    /// kernel coordinates map to stored coordinates (Transpose and Reshape steps only).
    pub view: View,
    pub layout: Layout,
    pub storage: Storage,
    pub access: Access,
    /// First element of the layout inside its object, in elements (a multiple of 4 when lanes are
    /// used): lets concat and slice results live inside a bigger tensor.
    pub base_elems: u64,
    /// The most bytes one object may have (device limit); larger tensors are split.
    pub max_object_bytes: u64,
}

impl TensorArg {
    /// Shape as the kernel indexes it. Panics when the view does not apply (the verifier of the
    /// graph has checked it).
    pub fn shape(&self) -> Shape {
        self.view.apply(&self.stored).expect("view applies to the stored shape")
    }
}
