//! What each dialect can express, as data, and whether a kernel fits.
//!
//! `fits = needs ⊆ device capabilities ∩ dialect capabilities`. What a kernel needs is computed from
//! its IR ([`Needs::of`]), never declared.

use crate::EmitError;
use crate::needs::{Needs, uses};
use drift_bundle::caps::{Capabilities, Dialect, Features, MatrixElem, MatrixShape};
use drift_kernel::Kernel;
use std::fmt;

/// What can be said in a dialect (through the writers of this crate).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialectCaps {
    pub dialect: Dialect,
    /// `false`: no writer yet; everything else is empty then.
    pub has_writer: bool,
    pub features: Features,
    pub matrix_shapes: Vec<MatrixShape>,
    /// Bindings of one kernel: slots that the language can name.
    pub bindings: u32,
}

const SUBGROUPS: Features =
    Features::SUBGROUP_BASIC.union(Features::SUBGROUP_ARITHMETIC).union(Features::SUBGROUP_SHUFFLE);
const TEXTURES: Features =
    Features::TEXTURE_2D.union(Features::TEXTURE_2D_ARRAY).union(Features::TEXTURE_3D);
const COMMON: Features = Features::F16
    .union(Features::STORAGE_16BIT)
    .union(SUBGROUPS)
    .union(TEXTURES)
    .union(Features::DOT4)
    .union(Features::COOPERATIVE_MATRIX);

/// Element types of (A and B, accumulator) that naga has.
const MATRIX_ELEMS: [(MatrixElem, MatrixElem); 3] = [
    (MatrixElem::F16, MatrixElem::F16),
    (MatrixElem::F16, MatrixElem::F32),
    (MatrixElem::F32, MatrixElem::F32),
];

fn matrix_shapes(sides: &[u32]) -> Vec<MatrixShape> {
    let mut out = Vec::new();
    for &m in sides {
        for &n in sides {
            for &k in sides {
                out.extend(MATRIX_ELEMS.iter().map(|&(ab, acc)| MatrixShape { m, n, k, ab, acc }));
            }
        }
    }
    out
}

/// Products of int8 with int32 sums, which SPIR-V alone has.
fn integer_shapes() -> Vec<MatrixShape> {
    let mut out = Vec::new();
    for m in [8, 16] {
        for n in [8, 16] {
            out.extend([16, 32].map(|k| MatrixShape {
                m,
                n,
                k,
                ab: MatrixElem::S8,
                acc: MatrixElem::S32,
            }));
        }
    }
    out
}

/// Products that OpenCL C says in PTX.
const PTX_SHAPES: [MatrixShape; 2] = [
    MatrixShape { m: 16, n: 16, k: 16, ab: MatrixElem::F16, acc: MatrixElem::F32 },
    MatrixShape { m: 16, n: 16, k: 32, ab: MatrixElem::S8, acc: MatrixElem::S32 },
];

/// The limits of a dialect.
pub fn dialect_caps(dialect: Dialect) -> DialectCaps {
    match dialect {
        Dialect::SpirV => DialectCaps {
            dialect,
            has_writer: true,
            features: COMMON
                .union(Features::VULKAN_MEMORY_MODEL)
                .union(Features::SUBGROUP_SIZE_CONTROL)
                .union(Features::INT8)
                .union(Features::ORDERED_WORKGROUPS),
            matrix_shapes: [matrix_shapes(&[8, 16]), integer_shapes()].concat(),
            bindings: u32::MAX,
        },
        // simdgroup_matrix is 8x8 only; 31 buffer slots (Metal Feature Set Tables).
        Dialect::Msl => DialectCaps {
            dialect,
            has_writer: true,
            features: COMMON,
            matrix_shapes: matrix_shapes(&[8]),
            bindings: 31,
        },
        // Cooperative matrices are wgpu's extension and no part of WebGPU: a browser never reports
        // them among a device's capabilities.
        Dialect::Wgsl => DialectCaps {
            dialect,
            has_writer: true,
            features: COMMON,
            matrix_shapes: matrix_shapes(&[8, 16]),
            bindings: 1000,
        },
        // The number of arguments is the device's limit (CL_DEVICE_MAX_PARAMETER_SIZE).
        Dialect::OpenClC => DialectCaps {
            dialect,
            has_writer: true,
            features: COMMON
                .difference(Features::COOPERATIVE_MATRIX)
                .union(Features::TEXEL_BUFFER)
                .union(Features::INLINE_PTX),
            matrix_shapes: Vec::new(),
            bindings: u32::MAX,
        },
        Dialect::KernelIr => DialectCaps {
            dialect,
            has_writer: false,
            features: Features::default(),
            matrix_shapes: Vec::new(),
            bindings: 0,
        },
    }
}

/// One thing that a kernel needs and a device or dialect does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Who lacks it: `"SpirV"`, or the name of the device.
    pub from: String,
    /// What is needed and how much there is.
    pub what: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} has no {}", self.from, self.what)
    }
}

fn matrix_name(s: &MatrixShape) -> String {
    format!("{}x{}x{} {:?} to {:?} cooperative matrix", s.m, s.n, s.k, s.ab, s.acc)
}

fn missing_features(needs: Features, has: Features, from: &str, out: &mut Vec<Missing>) {
    out.extend(
        needs
            .difference(has)
            .names()
            .map(|n| Missing { from: from.to_owned(), what: n.to_owned() }),
    );
}

fn missing_shapes(needs: &Needs, has: &[MatrixShape], from: &str, out: &mut Vec<Missing>) {
    out.extend(
        needs
            .matrix_shapes
            .iter()
            .filter(|shape| !has.contains(shape))
            .map(|shape| Missing { from: from.to_owned(), what: matrix_name(shape) }),
    );
}

fn missing_in_dialect(needs: &Needs, dialect: &DialectCaps) -> Vec<Missing> {
    let from = format!("{:?}", dialect.dialect);
    let mut out = Vec::new();
    missing_features(needs.features, dialect.features, &from, &mut out);
    let ptx = needs.features.contains(Features::INLINE_PTX);
    let shapes = if ptx { &PTX_SHAPES[..] } else { &dialect.matrix_shapes };
    missing_shapes(needs, shapes, &from, &mut out);
    if needs.bindings > dialect.bindings {
        let what = format!("{} binding slots (it has {})", needs.bindings, dialect.bindings);
        out.push(Missing { from, what });
    }
    out
}

/// Everything that keeps a kernel with these needs from a device through a dialect; empty: it fits.
pub fn fits(needs: &Needs, device: &Capabilities, dialect: &DialectCaps) -> Vec<Missing> {
    let mut out = missing_in_dialect(needs, dialect);
    let from = device.device_name.as_str();
    // a device with one subgroup size need not be told
    let mut features = device.features;
    if device.subgroup_size_min == device.subgroup_size_max
        && device.subgroup_size_max == needs.subgroup_size
    {
        features = features.union(Features::SUBGROUP_SIZE_CONTROL);
    }
    missing_features(needs.features, features, from, &mut out);
    missing_shapes(needs, &device.matrix_shapes, from, &mut out);
    let mut limit = |what: &str, need: u64, has: u64| {
        if need > has {
            let what = format!("{what} of {need} (it allows {has})");
            out.push(Missing { from: from.to_owned(), what });
        }
    };
    let (n, h) = (&needs.limits, &device.limits);
    limit("workgroup memory in bytes", n.workgroup_memory_bytes, h.workgroup_memory_bytes);
    limit("invocations per workgroup", n.workgroup_invocations, h.workgroup_invocations);
    for axis in 0..3 {
        let name = ["x", "y", "z"][axis];
        limit(
            &format!("workgroup size along {name}"),
            n.workgroup_size[axis],
            h.workgroup_size[axis],
        );
        limit(
            &format!("workgroup count along {name}"),
            n.dispatch_workgroups[axis],
            h.dispatch_workgroups[axis],
        );
    }
    limit("storage range in bytes", n.storage_range_bytes, h.storage_range_bytes);
    limit("number of storage buffers", n.storage_buffers, h.storage_buffers);
    limit("number of images", n.images, h.images);
    limit("2D texture extent", n.texture_2d, h.texture_2d);
    limit("3D texture extent", n.texture_3d, h.texture_3d);
    limit("texture layer count", n.texture_layers, h.texture_layers);
    limit("texel buffer length", n.texel_buffer, h.texel_buffer);
    if needs.subgroup_size != 0
        && !(device.subgroup_size_min..=device.subgroup_size_max).contains(&needs.subgroup_size)
    {
        out.push(Missing {
            from: from.to_owned(),
            what: format!(
                "subgroup size {} (it has {} to {})",
                needs.subgroup_size, device.subgroup_size_min, device.subgroup_size_max
            ),
        });
    }
    out
}

/// Refuses what the dialect cannot say, whatever the device.
pub(crate) fn expressible(
    kernel: &Kernel,
    dialect: Dialect,
    options: &crate::DialectOptions,
) -> Result<(), EmitError> {
    let caps = dialect_caps(dialect);
    if !caps.has_writer {
        return Err(no_writer(kernel, dialect));
    }
    // Whether a subgroup size can be pinned is the API's affair, not the language's.
    let mut needs = Needs::of(kernel, dialect, options);
    needs.features = needs.features.difference(Features::SUBGROUP_SIZE_CONTROL);
    let missing = missing_in_dialect(&needs, &caps);
    let what = missing.iter().map(|m| m.what.as_str()).collect::<Vec<_>>().join(", no ");
    if what.is_empty() {
        return Ok(());
    }
    let help = match needs.matrix_shapes.is_empty() {
        true => "compile the kernel for a target whose dialect has it".to_owned(),
        false if caps.matrix_shapes.is_empty() => {
            "compile the kernel for a target whose dialect has cooperative matrices".to_owned()
        }
        false => {
            let mut sides: Vec<u32> = caps.matrix_shapes.iter().map(|s| s.m).collect();
            sides.dedup();
            format!("cooperative matrices there have sides of {sides:?}, in f16 and f32")
        }
    };
    Err(EmitError::Unsupported { kernel: kernel.name.clone(), dialect, what, help })
}

pub(crate) fn no_writer(kernel: &Kernel, dialect: Dialect) -> EmitError {
    let (what, help) = match dialect {
        Dialect::KernelIr => ("shader", "the interpreter takes the kernel as it is"),
        _ => ("writer in this version", "SPIR-V, MSL, WGSL and OpenCL C can be written"),
    };
    EmitError::Unsupported {
        kernel: kernel.name.clone(),
        dialect,
        what: what.to_owned(),
        help: help.to_owned(),
    }
}

pub(crate) fn uses_matrices(kernel: &Kernel) -> bool {
    uses(kernel).features.contains(Features::COOPERATIVE_MATRIX)
}

pub(crate) fn uses_subgroups(kernel: &Kernel) -> bool {
    uses(kernel).features.contains(Features::SUBGROUP_BASIC)
}
