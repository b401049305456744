//! What the compiler specializes for: one variant of the bundle per target.

use crate::error::{ErrorKind, Result, StageError};
use drift_bundle::caps::{Api, Capabilities, Dialect, Features, ImageKind, Limits};
use drift_kernel::tensor::{Elem, Storage};
use drift_targets::Device;

/// Invocations that keep a device of unknown size busy: a small GPU.
const GENERIC_INVOCATIONS: u64 = 8 * 1024;

/// A device through one API, as the compiler sees it.
#[derive(Clone, Debug)]
pub struct TargetSpec {
    /// "vulkan-baseline", "nvidia-h200", ... ; recorded in the bundle.
    pub id: String,
    pub dialect: Dialect,
    pub caps: Capabilities,
    /// Where intermediates live.
    pub storage: Storage,
    /// Axes of an NCHW intermediate from slowest to fastest (see `LayoutChoice::slices`).
    pub slices: [u8; 4],
    /// Invocations that keep the device busy.
    pub full_invocations: u64,
    /// Workgroups start in the order of their numbers, so that they may wait for earlier ones.
    pub chains: bool,
    /// Among variants that fit a device, the highest rank wins.
    pub rank: u32,
    /// Asked for by name: a model that cannot run on it is an error. A default target that a model
    /// does not fit is left out of the bundle, with a note.
    pub required: bool,
}

impl TargetSpec {
    /// Whether f16 may be stored natively.
    pub fn stores_f16(&self) -> bool {
        let f = self.caps.features;
        f.contains(Features::STORAGE_16BIT)
            || (self.caps.api != Api::Vulkan && f.contains(Features::F16))
    }

    /// Whether products of int8 with int8 are much faster than those of floats here.
    pub fn gains_by_int8(&self) -> bool {
        self.caps.features.contains(Features::DOT4) && self.caps.api != Api::Reference
    }

    /// The interpreter: everything is possible, nothing is fast.
    pub fn reference() -> TargetSpec {
        let caps = Capabilities {
            api: Api::Reference,
            device_name: "reference interpreter".into(),
            vendor_id: 0,
            device_id: 0,
            features: Features::F16.union(Features::STORAGE_16BIT).union(Features::TEXTURE_2D),
            limits: Limits {
                workgroup_memory_bytes: 1 << 20,
                workgroup_invocations: 1024,
                workgroup_size: [1024; 3],
                dispatch_workgroups: [65_535; 3],
                storage_range_bytes: 1 << 40,
                buffer_bytes: 1 << 40,
                storage_buffers: 64,
                images: 64,
                texture_2d: 16_384,
                texture_3d: 2048,
                texture_layers: 2048,
                texel_buffer: 1 << 27,
            },
            storage_offset_alignment: 16,
            subgroup_size: 0,
            subgroup_size_min: 0,
            subgroup_size_max: 0,
            matrix_shapes: Vec::new(),
        };
        TargetSpec {
            id: "reference".into(),
            dialect: Dialect::KernelIr,
            caps,
            storage: Storage::Buffer,
            slices: [1, 2, 3, 0],
            // as the generic GPU profiles, so that the packed weights are the same bytes
            full_invocations: GENERIC_INVOCATIONS,
            chains: false,
            rank: 0,
            required: true,
        }
    }

    /// A device through one of its APIs; `None` when the device lacks the API.
    pub fn of(device: &Device, api: Api) -> Option<TargetSpec> {
        let profile = device.profile(api)?;
        let has = drift_emit::dialect_caps(dialect_of(api)).features;
        let storage = match profile.preferences.activation_storage.image() {
            // only OpenCL C has a writer of texel buffers
            Some(ImageKind::TexelBuffer) if !has.contains(Features::TEXEL_BUFFER) => {
                Storage::Buffer
            }
            Some(kind) => Storage::Image(kind),
            None => Storage::Buffer,
        };
        // invocations that fill the device: 1024 per compute unit
        let units = device.facts.compute_units.map(|units| (units * 1024.0) as u64);
        // a processor's threads, each of which runs whole workgroups
        let on_cpu = ["lavapipe", "webgpu-lavapipe", "pocl", "swiftshader", "webgpu-swiftshader"]
            .contains(&device.id.as_str());
        Some(TargetSpec {
            id: device.id.clone(),
            dialect: dialect_of(api),
            caps: profile.capabilities.clone(),
            storage,
            slices: [1, 2, 3, 0],
            full_invocations: match units {
                _ if on_cpu => 64,
                Some(n) => n,
                None => GENERIC_INVOCATIONS,
            },
            chains: profile.preferences.chains,
            rank: device.rank,
            required: true,
        })
    }
}

/// Shader language of an API.
pub const fn dialect_of(api: Api) -> Dialect {
    match api {
        Api::Vulkan => Dialect::SpirV,
        Api::Metal => Dialect::Msl,
        Api::OpenCl => Dialect::OpenClC,
        Api::WebGpu => Dialect::Wgsl,
        Api::Reference => Dialect::KernelIr,
    }
}

/// Targets without `--target`: every generic profile whose dialect has a writer, and the
/// interpreter.
pub const DEFAULT_TARGETS: [&str; 5] =
    ["vulkan-modern", "vulkan-baseline", "opencl-generic", "webgpu-generic", "metal-generic"];

/// Resolves `--target` arguments: ids, files, `reference`; none = [`DEFAULT_TARGETS`] and the
/// interpreter. `ID:API` picks one API of a device that has several.
pub fn resolve(targets: &[String]) -> Result<Vec<TargetSpec>> {
    let defaults: Vec<String> = DEFAULT_TARGETS.iter().map(|t| (*t).to_owned()).collect();
    let names = if targets.is_empty() { &defaults } else { targets };
    let mut out: Vec<TargetSpec> = Vec::new();
    for name in names {
        if name == "reference" {
            out.push(TargetSpec::reference());
            continue;
        }
        let (id, only) = match name.rsplit_once(':') {
            Some((id, api))
                if drift_targets::APIS.iter().any(|a| drift_targets::api_name(*a) == api) =>
            {
                (id, Some(api))
            }
            _ => (name.as_str(), None),
        };
        let device = drift_targets::resolve(id).map_err(|e| {
            StageError::invalid("targets", format!("{}: {}", e.place, e.what)).help(e.help)
        })?;
        let before = out.len();
        let mut without_writer = Vec::new();
        for api in device.apis() {
            if only.is_some_and(|o| o != drift_targets::api_name(api)) {
                continue;
            }
            if !drift_emit::dialect_caps(dialect_of(api)).has_writer {
                without_writer.push(drift_targets::api_name(api));
                continue;
            }
            out.extend(TargetSpec::of(&device, api));
        }
        if out.len() == before {
            let what = match without_writer.is_empty() {
                true => format!("{name} has no such API"),
                false => format!("shaders for {} are not written yet", without_writer.join(", ")),
            };
            return Err(StageError::new(
                "targets",
                ErrorKind::Unsupported,
                format!("{name}: {what}"),
            )
            .help("`driftc devices` lists targets and their APIs"));
        }
    }
    if targets.is_empty() {
        out.iter_mut().for_each(|t| t.required = false);
        out.push(TargetSpec { required: false, ..TargetSpec::reference() });
    }
    Ok(out)
}

/// Element type of float intermediates and weights at a precision, on a target.
pub fn float_elem(spec: &TargetSpec, precision: Precision) -> Elem {
    match precision {
        Precision::F32 => Elem::F32,
        Precision::Mixed | Precision::F16 if spec.stores_f16() => Elem::F16,
        Precision::Mixed | Precision::F16 => Elem::F16Packed,
    }
}

/// `--precision`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    #[default]
    F32,
    /// f16 storage of every large value, f32 arithmetic: `Mixed` without its exceptions.
    F16,
    /// f16 storage, f32 arithmetic and accumulation; f32 storage where noise is amplified
    /// (`layouts::wide_nodes`).
    Mixed,
}

impl std::str::FromStr for Precision {
    type Err = String;
    fn from_str(s: &str) -> Result<Precision, String> {
        match s {
            "f32" => Ok(Precision::F32),
            "f16" => Ok(Precision::F16),
            "mixed" => Ok(Precision::Mixed),
            _ => Err(format!("`{s}` is not a precision; choose f32, f16 or mixed")),
        }
    }
}

impl std::fmt::Display for Precision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Precision::F32 => "f32",
            Precision::F16 => "f16",
            Precision::Mixed => "mixed",
        })
    }
}
