//! Does a device satisfy a variant's requirements, and if not, which field does not?

use crate::caps::{
    Api, Capabilities, Dialect, Features, ImageKind, Limits, MatrixShape, Requirements,
};
use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;

/// One requirement that a device does not meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmet {
    /// Field name as in [`Requirements`], `limits.buffer_bytes` for example.
    pub field: String,
    pub need: String,
    pub have: String,
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: needs {}, device has {}", self.field, self.need, self.have)
    }
}

/// A variant that a device cannot run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Position of the variant in the bundle.
    pub variant: usize,
    pub target: String,
    pub unmet: Vec<Unmet>,
}

/// Result of [`select`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Position of the fitting variant with the highest rank; the first one among equals.
    pub best: Option<usize>,
    pub rejected: Vec<Rejected>,
}

/// Picks the best variant for a device.
pub fn select<'a>(
    variants: impl IntoIterator<Item = &'a Requirements>,
    caps: &Capabilities,
) -> Selection {
    let mut selection = Selection::default();
    let mut best_rank = 0;
    for (variant, requirements) in variants.into_iter().enumerate() {
        let unmet = requirements.unmet(caps);
        if !unmet.is_empty() {
            selection.rejected.push(Rejected {
                variant,
                target: requirements.target.clone(),
                unmet,
            });
        } else if selection.best.is_none() || requirements.rank > best_rank {
            selection.best = Some(variant);
            best_rank = requirements.rank;
        }
    }
    selection
}

impl Requirements {
    /// Every requirement that `caps` does not meet, in field order; empty when the variant runs there.
    pub fn unmet(&self, caps: &Capabilities) -> Vec<Unmet> {
        let mut unmet = Vec::new();
        let mut miss = |field: &str, need: String, have: String| {
            unmet.push(Unmet { field: field.into(), need, have });
        };
        if self.api != caps.api {
            miss("api", self.api.to_string(), caps.api.to_string());
        }
        let missing = self.features.difference(caps.features);
        for name in missing.names() {
            miss("features", name.into(), format!("no {name}"));
        }
        let unknown = Features::NAMES.iter().fold(missing, |m, (f, _)| m.difference(*f));
        if unknown.0 != 0 {
            miss(
                "features",
                format!("unknown bits {:#x}", unknown.0),
                "none (newer bundle?)".into(),
            );
        }
        limits_unmet(&self.limits, &caps.limits, &mut miss);
        let (need, have) = (self.storage_offset_alignment, caps.storage_offset_alignment);
        if have == 0 || need % have != 0 {
            let need = format!("offsets at multiples of {need} to be enough");
            miss("storage_offset_alignment", need, format!("alignment {have}"));
        }
        for size in &self.subgroup_sizes {
            let controlled = caps.features.contains(Features::SUBGROUP_SIZE_CONTROL)
                || caps.subgroup_size_min == caps.subgroup_size_max;
            let range = caps.subgroup_size_min..=caps.subgroup_size_max;
            if !range.contains(size) || !(controlled || *size == caps.subgroup_size) {
                let have = match (range.start(), range.end()) {
                    (a, b) if a == b => format!("{a}"),
                    (a, b) if controlled => format!("{a} to {b}"),
                    (a, b) => format!("{a} to {b} without control over it"),
                };
                miss("subgroup_sizes", format!("{size}"), have);
            }
        }
        for shape in &self.matrix_shapes {
            if !caps.matrix_shapes.contains(shape) {
                let have: Vec<String> =
                    caps.matrix_shapes.iter().map(MatrixShape::to_string).collect();
                let have = if have.is_empty() { "none".into() } else { have.join(", ") };
                miss("matrix_shapes", shape.to_string(), have);
            }
        }
        unmet
    }
}

/// Calls `miss(field, need, have)` for each limit in `need` that exceeds the one in `have`.
pub(crate) fn limits_unmet(
    need: &Limits,
    have: &Limits,
    miss: &mut dyn FnMut(&str, String, String),
) {
    // The exhaustive pattern makes a new limit a compile error here.
    let Limits {
        workgroup_memory_bytes,
        workgroup_invocations,
        workgroup_size,
        dispatch_workgroups,
        storage_range_bytes,
        buffer_bytes,
        storage_buffers,
        images,
        texture_2d,
        texture_3d,
        texture_layers,
        texel_buffer,
    } = *need;
    let rows = [
        ("limits.workgroup_memory_bytes", workgroup_memory_bytes, have.workgroup_memory_bytes),
        ("limits.workgroup_invocations", workgroup_invocations, have.workgroup_invocations),
        ("limits.workgroup_size[0]", workgroup_size[0], have.workgroup_size[0]),
        ("limits.workgroup_size[1]", workgroup_size[1], have.workgroup_size[1]),
        ("limits.workgroup_size[2]", workgroup_size[2], have.workgroup_size[2]),
        ("limits.dispatch_workgroups[0]", dispatch_workgroups[0], have.dispatch_workgroups[0]),
        ("limits.dispatch_workgroups[1]", dispatch_workgroups[1], have.dispatch_workgroups[1]),
        ("limits.dispatch_workgroups[2]", dispatch_workgroups[2], have.dispatch_workgroups[2]),
        ("limits.storage_range_bytes", storage_range_bytes, have.storage_range_bytes),
        ("limits.buffer_bytes", buffer_bytes, have.buffer_bytes),
        ("limits.storage_buffers", storage_buffers, have.storage_buffers),
        ("limits.images", images, have.images),
        ("limits.texture_2d", texture_2d, have.texture_2d),
        ("limits.texture_3d", texture_3d, have.texture_3d),
        ("limits.texture_layers", texture_layers, have.texture_layers),
        ("limits.texel_buffer", texel_buffer, have.texel_buffer),
    ];
    for (field, need, have) in rows {
        if need > have {
            miss(field, need.to_string(), have.to_string());
        }
    }
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Api::Vulkan => "vulkan",
            Api::Metal => "metal",
            Api::OpenCl => "opencl",
            Api::WebGpu => "webgpu",
            Api::Reference => "reference",
        })
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Dialect::SpirV => "spirv",
            Dialect::Msl => "msl",
            Dialect::OpenClC => "opencl-c",
            Dialect::Wgsl => "wgsl",
            Dialect::KernelIr => "kernel-ir",
        })
    }
}

impl fmt::Display for ImageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ImageKind::TexelBuffer => "texel buffer",
            ImageKind::Texture2d => "2D texture",
            ImageKind::Texture2dArray => "2D texture array",
            ImageKind::Texture3d => "3D texture",
        })
    }
}

impl fmt::Display for MatrixShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MatrixShape { m, n, k, ab, acc } = self;
        write!(f, "{m}x{n}x{k} {ab:?} -> {acc:?}")
    }
}
