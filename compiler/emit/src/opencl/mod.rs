//! OpenCL C 1.2: our own writer, for naga has none.
//!
//! A buffer binding is two arguments, a pointer to the object's first byte and an offset in bytes:
//! sub-buffers would have to start at multiples of `CL_DEVICE_MEM_BASE_ADDR_ALIGN`, which is more on
//! some devices than plans keep to. An image is one argument. So arguments follow the order of
//! [`Kernel::bindings`], and their numbers follow from the kinds of the bindings.
//!
//! ```c
//! __kernel __attribute__((reqd_work_group_size(64, 1, 1)))
//! void kernel_main(
//!     __global const uchar *x0_bytes, const ulong x0_offset,
//!     __write_only image2d_t y0)
//! ```
//!
//! - **f16.** Halves that are only moved are f32 all along, loaded by `vload_half` and stored by
//!   `vstore_half`, which every device has. A kernel that computes in f16 asks for `cl_khr_fp16`, or,
//!   for a device without, computes in f32 and rounds each result.
//! - **PTX** (`inline_ptx`): for NVIDIA's compiler, which has neither halves nor subgroups nor matrices
//!   in its language. There, halves are bits in integers all along, so that loads and stores move as
//!   many as a kernel asks for; the functions in `ptx` do the rest.
//! - **Vectors of bools** are what comparisons of vectors give: ints of 0 and -1.
//! - **Integers wrap.** Signed sums are computed as unsigned ones, which C lets overflow.
//! - Text depends on the device in few places only, through macros that its own compiler defines:
//!   fused multiplication, packed dot products, pinned subgroup sizes, and loops with barriers, for
//!   PoCL's sake.

mod expr;
mod functions;
mod halves;
mod kernel;
mod matrices;
mod names;
mod ptx;
mod scope;
mod stmt;
mod text;

pub use kernel::{Halves, write};
