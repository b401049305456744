use drift_bundle::caps::{Api, Capabilities, Features, ImageKind, Limits};

/// A GPU, or a class of GPUs, as the compiler sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Device {
    /// The file's name without `.toml`.
    pub id: String,
    pub name: String,
    pub vendor: String,
    /// Higher is better when several variants of a bundle fit a device.
    pub rank: u32,
    /// The devices whose values this one takes over, nearest last.
    pub inherits: Vec<String>,
    pub profiles: Vec<ApiProfile>,
    pub facts: HardwareFacts,
    pub quirks: Vec<Quirk>,
    /// Every value with its source, by path: what `driftc devices --show` prints.
    pub fact_lines: Vec<FactLine>,
}

impl Device {
    /// The profile for an API, if the device has that API.
    pub fn profile(&self, api: Api) -> Option<&ApiProfile> {
        self.profiles.iter().find(|p| p.capabilities.api == api)
    }

    /// What the compiler may use through an API.
    pub fn capabilities(&self, api: Api) -> Option<&Capabilities> {
        self.profile(api).map(|p| &p.capabilities)
    }

    /// What the compiler should use through an API, where it has a choice.
    pub fn preferences(&self, api: Api) -> Option<&Preferences> {
        self.profile(api).map(|p| &p.preferences)
    }

    pub fn apis(&self) -> impl Iterator<Item = Api> {
        self.profiles.iter().map(|p| p.capabilities.api)
    }
}

/// A device through one API.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiProfile {
    pub capabilities: Capabilities,
    /// Always possible with `capabilities`: what a file asks for beyond them is lowered.
    pub preferences: Preferences,
    /// Parts of the name that the driver reports for this device; empty for classes of devices.
    pub name_contains: Vec<String>,
}

/// Choices that are free on the device, and what is best there.
#[derive(Clone, Debug, PartialEq)]
pub struct Preferences {
    pub activation_storage: Storage,
    pub weight_storage: Storage,
    /// Over how many GPU objects one weight is spread, as for Adreno's four-texture reads.
    pub weight_objects: u32,
    pub layout: Layout,
    pub precision: Precision,
    /// Invocations per workgroup and axis, for kernels without a better idea.
    pub workgroup: [u32; 3],
    /// Results of one invocation of a convolution: width, height, depth, slices of 4 channels.
    pub conv_block: [u32; 4],
    /// Results of one workgroup of a matmul: rows, columns, and the depth of one step.
    pub matmul_tile: [u32; 3],
    /// Subgroup size to pin kernels to; 0 leaves it to the driver.
    pub subgroup_size: u32,
    /// Workgroups start in the order of their numbers, so that later ones may wait for earlier ones.
    pub chains: bool,
}

impl Preferences {
    /// The same, lowered to what the capabilities allow.
    #[must_use]
    pub fn fitted(&self, caps: &Capabilities) -> Preferences {
        let mut fitted = self.clone();
        let storage = |wish: Storage| {
            if caps.features.contains(wish.feature()) { wish } else { Storage::Buffer }
        };
        fitted.activation_storage = storage(self.activation_storage);
        fitted.weight_storage = storage(self.weight_storage);
        fitted.weight_objects = self.weight_objects.max(1);
        if !caps.features.contains(Features::F16)
            && !caps.features.contains(Features::STORAGE_16BIT)
        {
            fitted.precision = Precision::F32;
        }
        fitted.workgroup = fit_workgroup(self.workgroup, &caps.limits);
        let pinned = self.subgroup_size;
        let possible = caps.features.contains(Features::SUBGROUP_SIZE_CONTROL)
            && (caps.subgroup_size_min..=caps.subgroup_size_max).contains(&pinned);
        if !possible {
            fitted.subgroup_size = 0;
        }
        fitted
    }
}

/// Halves the longest axis until the workgroup is allowed; the shape is kept as far as possible.
fn fit_workgroup(wish: [u32; 3], limits: &Limits) -> [u32; 3] {
    let mut size = [0, 1, 2].map(|axis| {
        let most = u32::try_from(limits.workgroup_size[axis]).unwrap_or(u32::MAX);
        wish[axis].clamp(1, most.max(1))
    });
    let product = |s: [u32; 3]| s.iter().map(|&n| u128::from(n)).product::<u128>();
    while product(size) > u128::from(limits.workgroup_invocations.max(1)) {
        let longest = if size[0] >= size[1] && size[0] >= size[2] {
            0
        } else if size[1] >= size[2] {
            1
        } else {
            2
        };
        size[longest] = (size[longest] / 2).max(1);
    }
    size
}

/// GPU object that holds a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Storage {
    Buffer,
    TexelBuffer,
    Texture2d,
    Texture2dArray,
    Texture3d,
}

impl Storage {
    /// The kind of image; `None` for a buffer.
    pub const fn image(self) -> Option<ImageKind> {
        match self {
            Self::Buffer => None,
            Self::TexelBuffer => Some(ImageKind::TexelBuffer),
            Self::Texture2d => Some(ImageKind::Texture2d),
            Self::Texture2dArray => Some(ImageKind::Texture2dArray),
            Self::Texture3d => Some(ImageKind::Texture3d),
        }
    }

    /// The feature that a device needs for it.
    pub const fn feature(self) -> Features {
        match self {
            Self::Buffer => Features(0),
            Self::TexelBuffer => Features::TEXEL_BUFFER,
            Self::Texture2d => Features::TEXTURE_2D,
            Self::Texture2dArray => Features::TEXTURE_2D_ARRAY,
            Self::Texture3d => Features::TEXTURE_3D,
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "buffer" => Self::Buffer,
            "texel-buffer" => Self::TexelBuffer,
            "texture-2d" => Self::Texture2d,
            "texture-2d-array" => Self::Texture2dArray,
            "texture-3d" => Self::Texture3d,
            _ => return None,
        })
    }
}

/// Order and packing of activations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    RowMajor,
    /// Four channels side by side, DSHWBC4.
    SlicesOf4,
}

impl Layout {
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "row-major" => Self::RowMajor,
            "slices-of-4" => Self::SlicesOf4,
            _ => return None,
        })
    }
}

/// Number format of activations, when the user does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Precision {
    F32,
    /// f16 in memory, f32 in sums.
    Mixed,
}

impl Precision {
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "f32" => Self::F32,
            "mixed" => Self::Mixed,
            _ => return None,
        })
    }
}

/// What the hardware can do at best, for cost models and for the floor beside a measurement.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HardwareFacts {
    /// 10^9 bytes per second between GPU and memory, by data sheet.
    pub peak_memory_gb_per_s: Option<f64>,
    /// 10^9 bytes per second of a device-to-device copy, reads and writes counted, as measured.
    pub measured_copy_gb_per_s: Option<f64>,
    /// 10^9 bytes per second that a memory-bound kernel was seen to read.
    pub measured_read_gb_per_s: Option<f64>,
    /// 10^12 operations per second that a compute-bound model was seen to reach.
    pub measured_tflops: Option<f64>,
    /// 10^12 operations per second; a fused multiply-add is two.
    pub f32_tflops: Option<f64>,
    pub f16_tflops: Option<f64>,
    /// On the matrix units, dense, f32 accumulators where they are offered.
    pub f16_matrix_tflops: Option<f64>,
    pub int8_matrix_tops: Option<f64>,
    /// Shader cores, in the vendor's way of counting.
    pub compute_units: Option<f64>,
    pub memory_gib: Option<f64>,
    /// Microseconds of a dispatch that does nothing and waits for the one before.
    pub empty_dispatch_us: Option<f64>,
}

/// Something a device does that its capabilities do not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quirk {
    pub id: String,
    pub text: String,
    pub source: Source,
}

/// Where a fact comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// Nobody checked.
    Unverified,
    /// The document, table or measurement.
    Cited(String),
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unverified => f.write_str("unverified"),
            Self::Cited(text) => f.write_str(text),
        }
    }
}

/// One value of a device file, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FactLine {
    /// `api.vulkan.limits.images`
    pub path: String,
    pub value: String,
    pub source: Source,
    /// Id of the device whose file says so; another one's when inherited.
    pub device: String,
    pub line: u32,
}
