//! From merged entries to a [`Device`].

use crate::api_name;
use crate::device::{
    ApiProfile, Device, FactLine, HardwareFacts, Layout, Precision, Preferences, Quirk, Source,
    Storage,
};
use crate::document::{Document, Entry, Value};
use crate::error::TargetError;
use crate::schema::{self, AXIS_LIMITS, LIMITS, STORAGE_OFFSET_ALIGNMENT};
use drift_bundle::caps::{Api, Capabilities, Features, Limits, MatrixElem, MatrixShape};
use std::collections::BTreeMap;

/// Longest chain of `inherits`.
const MAX_DEPTH: usize = 16;

type Entries = BTreeMap<String, Entry>;

/// Builds device `id` from its file's text. `text_of` gives the text of a device by id.
pub(crate) fn device(
    id: &str,
    place: &str,
    text: &str,
    text_of: &dyn Fn(&str) -> Option<&'static str>,
) -> Result<Device, TargetError> {
    let document = Document::parse(id, place, text)?;
    let mut inherits = Vec::new();
    let mut entries = merged(place, &document, text_of, &mut vec![id.to_owned()], &mut inherits)?;
    entries.retain(|path, entry| schema::is_inherited(path) || entry.device == id);
    Assembly { id, place, entries: &entries }.device(inherits)
}

/// The entries of a document over those that it inherits.
fn merged(
    place: &str,
    document: &Document,
    text_of: &dyn Fn(&str) -> Option<&'static str>,
    chain: &mut Vec<String>,
    inherits: &mut Vec<String>,
) -> Result<Entries, TargetError> {
    let mut entries = Entries::new();
    if let Some(Entry { value: Value::Texts(parents), line, .. }) = document.entries.get("inherits")
    {
        for parent in parents {
            let at = format!("{place}:{line}");
            if chain.contains(parent) {
                let what = format!("`{parent}` inherits itself through {}", chain.join(" <- "));
                return Err(TargetError::new(at, what));
            }
            if chain.len() >= MAX_DEPTH {
                return Err(TargetError::new(
                    at,
                    format!("`inherits` goes deeper than {MAX_DEPTH}"),
                ));
            }
            let Some(text) = text_of(parent) else {
                return Err(crate::lookup::unknown(&at, parent));
            };
            let parent_place = crate::lookup::place_of(parent);
            let parent_document = Document::parse(parent, &parent_place, text)?;
            chain.push(parent.clone());
            let inherited = merged(&parent_place, &parent_document, text_of, chain, inherits)?;
            chain.pop();
            overlay(&mut entries, &inherited);
            if !inherits.contains(parent) {
                inherits.push(parent.clone());
            }
        }
    }
    overlay(&mut entries, &document.entries);
    Ok(entries)
}

/// Puts `over` on top. A preference for the whole device replaces inherited ones for single APIs.
fn overlay(entries: &mut Entries, over: &Entries) {
    for path in over.keys() {
        if let Some(key) = path.strip_prefix("prefer.") {
            for api in crate::APIS {
                let single = format!("api.{}.prefer.{key}", api_name(api));
                if !over.contains_key(&single) {
                    entries.remove(&single);
                }
            }
        }
    }
    entries.extend(over.iter().map(|(path, entry)| (path.clone(), entry.clone())));
}

struct Assembly<'a> {
    id: &'a str,
    place: &'a str,
    entries: &'a Entries,
}

impl Assembly<'_> {
    fn device(&self, inherits: Vec<String>) -> Result<Device, TargetError> {
        let apis: Vec<Api> = crate::APIS
            .into_iter()
            .filter(|&api| {
                let prefix = format!("api.{}.", api_name(api));
                self.entries.keys().any(|path| path.starts_with(&prefix))
            })
            .collect();
        if apis.is_empty() {
            return Err(TargetError::new(self.place, "the device has no API")
                .with_help("inherit one, as in `inherits = [\"vulkan-modern\"]`"));
        }
        let name = self.text("name")?;
        let rank = self.count("rank")?;
        let profiles =
            apis.into_iter().map(|api| self.profile(api, &name)).collect::<Result<_, _>>()?;
        let fact = |key: &str| match self.entries.get(&format!("facts.{key}")) {
            Some(Entry { value: Value::Real(real), .. }) => Some(*real),
            _ => None,
        };
        Ok(Device {
            id: self.id.to_owned(),
            vendor: self.text("vendor")?,
            rank: self.small("rank", rank)?,
            inherits,
            profiles,
            facts: HardwareFacts {
                peak_memory_gb_per_s: fact("peak-memory-gb-per-s"),
                measured_copy_gb_per_s: fact("measured-copy-gb-per-s"),
                measured_read_gb_per_s: fact("measured-read-gb-per-s"),
                measured_tflops: fact("measured-tflops"),
                f32_tflops: fact("f32-tflops"),
                f16_tflops: fact("f16-tflops"),
                f16_matrix_tflops: fact("f16-matrix-tflops"),
                int8_matrix_tops: fact("int8-matrix-tops"),
                compute_units: fact("compute-units"),
                memory_gib: fact("memory-gib"),
                empty_dispatch_us: fact("empty-dispatch-us"),
            },
            quirks: self.quirks(),
            fact_lines: self.fact_lines(),
            name,
        })
    }

    fn profile(&self, api: Api, name: &str) -> Result<ApiProfile, TargetError> {
        let key = |rest: &str| format!("api.{}.{rest}", api_name(api));
        let mut features = Features::default();
        for &(feature, name) in Features::NAMES {
            // What no file in the chain mentions is not there.
            if let Some(Entry { value: Value::Flag(true), .. }) =
                self.entries.get(&key(&format!("features.{name}")))
            {
                features = features.union(feature);
            }
        }
        let mut limits = Limits::default();
        for limit in LIMITS {
            *(limit.field)(&mut limits) = self.count(&key(&format!("limits.{}", limit.name)))?;
        }
        for limit in AXIS_LIMITS {
            *(limit.field)(&mut limits) = self.counts(&key(&format!("limits.{}", limit.name)))?;
        }
        let small = |rest: &str| {
            let path = key(rest);
            self.small(&path, self.count(&path)?)
        };
        let optional = |rest: &str| {
            if self.entries.contains_key(&key(rest)) { small(rest) } else { Ok(0) }
        };
        let capabilities = Capabilities {
            api,
            device_name: name.to_owned(),
            vendor_id: optional("vendor-id")?,
            device_id: optional("device-id")?,
            features,
            limits,
            storage_offset_alignment: self
                .count(&key(&format!("limits.{STORAGE_OFFSET_ALIGNMENT}")))?,
            subgroup_size: small("subgroup.size")?,
            subgroup_size_min: small("subgroup.min")?,
            subgroup_size_max: small("subgroup.max")?,
            matrix_shapes: self.matrix_shapes(&key("matrix-shapes"))?,
        };
        self.check(&capabilities)?;
        let preferences = self.preferences(api)?.fitted(&capabilities);
        let name_contains = match self.entries.get(&key("name-contains")) {
            Some(Entry { value: Value::Texts(texts), .. }) => texts.clone(),
            _ => Vec::new(),
        };
        Ok(ApiProfile { capabilities, preferences, name_contains })
    }

    /// What contradicts itself whatever the driver.
    fn check(&self, caps: &Capabilities) -> Result<(), TargetError> {
        let api = api_name(caps.api);
        let wrong = |what: String| Err(TargetError::new(self.place, format!("api.{api}: {what}")));
        if caps.features.contains(Features::COOPERATIVE_MATRIX) && caps.matrix_shapes.is_empty() {
            return wrong("`cooperative-matrix` is set, but `matrix-shapes` is missing".into());
        }
        if !caps.features.contains(Features::COOPERATIVE_MATRIX) && !caps.matrix_shapes.is_empty() {
            return wrong("there are `matrix-shapes`, but `cooperative-matrix` is not set".into());
        }
        if caps.storage_offset_alignment == 0 {
            return wrong(format!("`limits.{STORAGE_OFFSET_ALIGNMENT}` is 0; it is at least 1"));
        }
        if caps.features.contains(Features::SUBGROUP_BASIC) && caps.subgroup_size == 0 {
            return wrong("`subgroup-basic` is set, but `subgroup.size` is 0".into());
        }
        if caps.subgroup_size_min > caps.subgroup_size_max {
            return wrong("`subgroup.min` is larger than `subgroup.max`".into());
        }
        if caps.limits.workgroup_invocations == 0 || caps.limits.workgroup_size.contains(&0) {
            return wrong("a workgroup has at least one invocation on each axis".into());
        }
        Ok(())
    }

    fn preferences(&self, api: Api) -> Result<Preferences, TargetError> {
        let path = |key: &str| {
            let single = format!("api.{}.prefer.{key}", api_name(api));
            if self.entries.contains_key(&single) { single } else { format!("prefer.{key}") }
        };
        // The schema let only these words through, so the parsers below cannot fail on present ones.
        let word = |key: &str| self.text(&path(key));
        let missing = |key: &str| self.missing(&path(key));
        let sizes = |key: &str| -> Result<Vec<u32>, TargetError> {
            let path = path(key);
            match self.entries.get(&path) {
                Some(Entry { value: Value::Counts(list), .. }) => {
                    list.iter().map(|&n| self.small(&path, n.max(1))).collect()
                }
                _ => Err(self.missing(&path)),
            }
        };
        let three = |key: &str| sizes(key)?.try_into().map_err(|_| missing(key));
        let number = |key: &str| {
            let path = path(key);
            self.small(&path, self.count(&path)?)
        };
        Ok(Preferences {
            activation_storage: Storage::from_name(&word("activation-storage")?)
                .ok_or_else(|| missing("activation-storage"))?,
            weight_storage: Storage::from_name(&word("weight-storage")?)
                .ok_or_else(|| missing("weight-storage"))?,
            weight_objects: number("weight-objects")?,
            layout: Layout::from_name(&word("layout")?).ok_or_else(|| missing("layout"))?,
            precision: Precision::from_name(&word("precision")?)
                .ok_or_else(|| missing("precision"))?,
            workgroup: three("workgroup")?,
            conv_block: sizes("conv-block")?.try_into().map_err(|_| missing("conv-block"))?,
            matmul_tile: three("matmul-tile")?,
            subgroup_size: number("subgroup-size")?,
            chains: self.flag(&path("chains")),
        })
    }

    fn matrix_shapes(&self, path: &str) -> Result<Vec<MatrixShape>, TargetError> {
        let Some(Entry { value: Value::Texts(texts), .. }) = self.entries.get(path) else {
            return Ok(Vec::new());
        };
        texts
            .iter()
            .map(|text| {
                parse_matrix_shape(text).ok_or_else(|| {
                    self.wrong(path, &format!("`{text}` is no matrix shape"))
                        .with_help("write `MxNxK elements -> accumulator`: `16x16x16 f16 -> f32`")
                })
            })
            .collect()
    }

    fn quirks(&self) -> Vec<Quirk> {
        self.entries
            .iter()
            .filter_map(|(path, entry)| {
                let Value::Text(text) = &entry.value else { return None };
                Some(Quirk {
                    id: path.strip_prefix("quirks.")?.to_owned(),
                    text: text.clone(),
                    source: entry.source.clone().unwrap_or(Source::Unverified),
                })
            })
            .collect()
    }

    fn fact_lines(&self) -> Vec<FactLine> {
        self.entries
            .iter()
            .filter_map(|(path, entry)| {
                Some(FactLine {
                    path: path.clone(),
                    value: entry.value.to_string(),
                    source: entry.source.clone()?,
                    device: entry.device.clone(),
                    line: entry.line,
                })
            })
            .collect()
    }

    fn missing(&self, path: &str) -> TargetError {
        TargetError::new(self.place, format!("`{path}` is missing"))
            .with_help("give it, or inherit a device that has it")
    }

    fn wrong(&self, path: &str, what: &str) -> TargetError {
        let place = match self.entries.get(path) {
            Some(entry) if entry.device != self.id => {
                format!("{}:{}", crate::lookup::place_of(&entry.device), entry.line)
            }
            Some(entry) => format!("{}:{}", self.place, entry.line),
            None => self.place.to_owned(),
        };
        TargetError::new(place, format!("`{path}`: {what}"))
    }

    fn text(&self, path: &str) -> Result<String, TargetError> {
        match self.entries.get(path) {
            Some(Entry { value: Value::Text(text), .. }) => Ok(text.clone()),
            _ => Err(self.missing(path)),
        }
    }

    /// Off where nothing is said.
    fn flag(&self, path: &str) -> bool {
        matches!(self.entries.get(path), Some(Entry { value: Value::Flag(true), .. }))
    }

    fn count(&self, path: &str) -> Result<u64, TargetError> {
        match self.entries.get(path) {
            Some(Entry { value: Value::Count(count), .. }) => Ok(*count),
            _ => Err(self.missing(path)),
        }
    }

    fn counts(&self, path: &str) -> Result<[u64; 3], TargetError> {
        match self.entries.get(path) {
            Some(Entry { value: Value::Counts(list), .. }) => {
                list.as_slice().try_into().map_err(|_| self.missing(path))
            }
            _ => Err(self.missing(path)),
        }
    }

    fn small(&self, path: &str, count: u64) -> Result<u32, TargetError> {
        u32::try_from(count).map_err(|_| self.wrong(path, &format!("{count} is over 2^32 - 1")))
    }
}

const ELEMS: &[(MatrixElem, &str)] = &[
    (MatrixElem::F16, "f16"),
    (MatrixElem::F32, "f32"),
    (MatrixElem::BF16, "bf16"),
    (MatrixElem::S8, "s8"),
    (MatrixElem::U8, "u8"),
    (MatrixElem::S32, "s32"),
];

/// `16x8x32 s8 -> s32`
pub(crate) fn matrix_shape_text(shape: &MatrixShape) -> String {
    let name =
        |elem: MatrixElem| ELEMS.iter().find(|(e, _)| *e == elem).map_or("f32", |(_, name)| *name);
    format!("{}x{}x{} {} -> {}", shape.m, shape.n, shape.k, name(shape.ab), name(shape.acc))
}

fn parse_matrix_shape(text: &str) -> Option<MatrixShape> {
    let elem = |name: &str| ELEMS.iter().find(|(_, n)| *n == name).map(|(e, _)| *e);
    let (left, acc) = text.split_once("->")?;
    let (extents, ab) = left.trim().split_once(' ')?;
    let mut extents = extents.split('x').map(|n| n.parse::<u32>().ok().filter(|&n| n > 0));
    let mut next = || extents.next()?;
    let (m, n, k) = (next()?, next()?, next()?);
    if extents.next().is_some() {
        return None;
    }
    Some(MatrixShape { m, n, k, ab: elem(ab.trim())?, acc: elem(acc.trim())? })
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::Flag(flag) => write!(f, "{flag}"),
            Value::Count(count) => write!(f, "{count}"),
            Value::Counts(list) => write!(f, "{list:?}"),
            Value::Real(real) => write!(f, "{real}"),
            Value::Text(text) => f.write_str(text),
            Value::Texts(texts) => f.write_str(&texts.join(", ")),
        }
    }
}
