//! The keys of a device file, as data.

use crate::api_name;
use drift_bundle::caps::{Features, Limits};

/// What a key holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Flag,
    /// An integer from 0 to 2^64 - 1.
    Count,
    /// This many integers.
    Counts(usize),
    /// A positive number, whole or not.
    Real,
    /// One of these words.
    Word(&'static [&'static str]),
    Text,
    /// A list of texts.
    Texts,
}

/// What a table may hold at a path.
pub(crate) enum Place {
    Leaf(Kind),
    Table(Vec<&'static str>),
    /// Any name, each a text.
    AnyName,
    Unknown,
}

/// A scalar limit: its key and its field.
pub(crate) struct LimitKey {
    pub name: &'static str,
    pub field: fn(&mut Limits) -> &mut u64,
}

pub(crate) static LIMITS: &[LimitKey] = &[
    LimitKey { name: "workgroup-memory-bytes", field: |l| &mut l.workgroup_memory_bytes },
    LimitKey { name: "workgroup-invocations", field: |l| &mut l.workgroup_invocations },
    LimitKey { name: "storage-range-bytes", field: |l| &mut l.storage_range_bytes },
    LimitKey { name: "buffer-bytes", field: |l| &mut l.buffer_bytes },
    LimitKey { name: "storage-buffers", field: |l| &mut l.storage_buffers },
    LimitKey { name: "images", field: |l| &mut l.images },
    LimitKey { name: "texture-2d", field: |l| &mut l.texture_2d },
    LimitKey { name: "texture-3d", field: |l| &mut l.texture_3d },
    LimitKey { name: "texture-layers", field: |l| &mut l.texture_layers },
    LimitKey { name: "texel-buffer", field: |l| &mut l.texel_buffer },
];

/// A limit per axis: its key and its field.
pub(crate) struct AxisLimitKey {
    pub name: &'static str,
    pub field: fn(&mut Limits) -> &mut [u64; 3],
}

pub(crate) static AXIS_LIMITS: &[AxisLimitKey] = &[
    AxisLimitKey { name: "workgroup-size", field: |l| &mut l.workgroup_size },
    AxisLimitKey { name: "dispatch-workgroups", field: |l| &mut l.dispatch_workgroups },
];

pub(crate) const STORAGE_OFFSET_ALIGNMENT: &str = "storage-offset-alignment";

pub(crate) const STORAGES: &[&str] =
    &["buffer", "texel-buffer", "texture-2d", "texture-2d-array", "texture-3d"];
pub(crate) const LAYOUTS: &[&str] = &["row-major", "slices-of-4"];
pub(crate) const PRECISIONS: &[&str] = &["f32", "mixed"];

/// Keys of `prefer` and `api.*.prefer`.
static PREFER: &[(&str, Kind)] = &[
    ("activation-storage", Kind::Word(STORAGES)),
    ("weight-storage", Kind::Word(STORAGES)),
    ("weight-objects", Kind::Count),
    ("layout", Kind::Word(LAYOUTS)),
    ("precision", Kind::Word(PRECISIONS)),
    ("workgroup", Kind::Counts(3)),
    ("conv-block", Kind::Counts(4)),
    ("matmul-tile", Kind::Counts(3)),
    ("subgroup-size", Kind::Count),
    ("chains", Kind::Flag),
];

/// Keys of `facts`.
pub(crate) static FACTS: &[&str] = &[
    "peak-memory-gb-per-s",
    "measured-copy-gb-per-s",
    "measured-read-gb-per-s",
    "measured-tflops",
    "f32-tflops",
    "f16-tflops",
    "f16-matrix-tflops",
    "int8-matrix-tops",
    "compute-units",
    "memory-gib",
    "empty-dispatch-us",
];

static API_KEYS: &[(&str, Kind)] = &[
    ("vendor-id", Kind::Count),
    ("device-id", Kind::Count),
    ("name-contains", Kind::Texts),
    ("matrix-shapes", Kind::Texts),
];

static SUBGROUP: &[&str] = &["size", "min", "max"];

/// Keys of a file's top that are about the file and need no source.
pub(crate) static HEAD: &[(&str, Kind)] = &[
    ("name", Kind::Text),
    ("vendor", Kind::Text),
    ("rank", Kind::Count),
    ("inherits", Kind::Texts),
];

/// What may stand at `path`.
pub(crate) fn place(path: &[&str]) -> Place {
    let leaf_in = |keys: &[(&str, Kind)], name: &str| {
        let found = keys.iter().find(|(key, _)| *key == name);
        found.map_or(Place::Unknown, |&(_, kind)| Place::Leaf(kind))
    };
    let names = |keys: &'static [(&'static str, Kind)]| keys.iter().map(|(key, _)| *key);
    let apis = || crate::APIS.iter().map(|&api| api_name(api));
    match path {
        [] => Place::Table(names(HEAD).chain(["api", "prefer", "facts", "quirks"]).collect()),
        ["api"] => Place::Table(apis().collect()),
        ["prefer"] | ["api", _, "prefer"] => Place::Table(names(PREFER).collect()),
        ["prefer", name] | ["api", _, "prefer", name] => leaf_in(PREFER, name),
        ["facts"] => Place::Table(FACTS.to_vec()),
        ["facts", name] if FACTS.contains(name) => Place::Leaf(Kind::Real),
        ["quirks"] => Place::AnyName,
        ["quirks", _] => Place::Leaf(Kind::Text),
        ["api", api, ..] if !apis().any(|known| known == *api) => Place::Unknown,
        ["api", _] => {
            let tables = ["features", "limits", "subgroup", "prefer"];
            Place::Table(names(API_KEYS).chain(tables).collect())
        }
        ["api", _, "features"] => Place::Table(Features::NAMES.iter().map(|(_, n)| *n).collect()),
        ["api", _, "features", name] => {
            Features::from_name(name).map_or(Place::Unknown, |_| Place::Leaf(Kind::Flag))
        }
        ["api", _, "limits"] => Place::Table(
            LIMITS
                .iter()
                .map(|k| k.name)
                .chain(AXIS_LIMITS.iter().map(|k| k.name))
                .chain([STORAGE_OFFSET_ALIGNMENT])
                .collect(),
        ),
        ["api", _, "limits", name] => {
            if *name == STORAGE_OFFSET_ALIGNMENT || LIMITS.iter().any(|k| k.name == *name) {
                Place::Leaf(Kind::Count)
            } else if AXIS_LIMITS.iter().any(|k| k.name == *name) {
                Place::Leaf(Kind::Counts(3))
            } else {
                Place::Unknown
            }
        }
        ["api", _, "subgroup"] => Place::Table(SUBGROUP.to_vec()),
        ["api", _, "subgroup", name] if SUBGROUP.contains(name) => Place::Leaf(Kind::Count),
        ["api", _, name] => leaf_in(API_KEYS, name),
        [name] => leaf_in(HEAD, name),
        _ => Place::Unknown,
    }
}

/// Whether a value passes from a device to those that inherit it. What a chip measures and what it
/// is called is its own.
pub(crate) fn is_inherited(path: &str) -> bool {
    !(path.starts_with("facts.")
        || path.ends_with(".name-contains")
        || path.ends_with(".device-id")
        || HEAD.iter().any(|(key, _)| *key == path && *key != "vendor"))
}
