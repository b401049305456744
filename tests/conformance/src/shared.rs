//! The networks of `../shared/models`, outside the repository, and what they should give.

use crate::{Array, Precision, Tolerance};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// One ONNX network of the manifest.
#[derive(Clone, Debug)]
pub struct Network {
    pub name: String,
    folder: PathBuf,
    entry: Value,
}

/// Inputs and expected outputs.
#[derive(Clone, Debug)]
pub struct Case {
    pub description: String,
    pub inputs: Vec<(String, Array)>,
    pub outputs: Vec<(String, Array)>,
}

/// `../shared/models` beside the repository, or `$DRIFT_SHARED/models`; `None`, and a visible line,
/// where it is absent.
pub fn folder() -> Option<PathBuf> {
    let shared = match std::env::var_os("DRIFT_SHARED") {
        Some(path) => PathBuf::from(path),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
    };
    let models = shared.join("models");
    if models.join("MANIFEST.json").is_file() {
        return Some(models);
    }
    println!("skipped: ../shared/models not present");
    None
}

/// All ONNX networks of the manifest; `None` where the folder is absent.
pub fn networks() -> Option<Vec<Network>> {
    let models = folder()?;
    let path = models.join("MANIFEST.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let manifest: Value =
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let entries = manifest["models"].as_array().cloned().unwrap_or_default();
    let network = |entry: Value| {
        let name = entry["name"].as_str()?.to_owned();
        entry["model"].as_str()?;
        Some(Network { folder: models.join(&name), name, entry })
    };
    Some(entries.into_iter().filter_map(network).collect())
}

/// One network by name; `None` where the folder is absent.
pub fn network(name: &str) -> Option<Network> {
    let found = networks()?.into_iter().find(|n| n.name == name);
    Some(found.unwrap_or_else(|| panic!("the manifest has no network {name}")))
}

impl Network {
    pub fn model_path(&self) -> PathBuf {
        self.folder.join(self.entry["model"].as_str().unwrap_or("model.onnx"))
    }

    pub fn task(&self) -> &str {
        self.entry["task"].as_str().unwrap_or_default()
    }

    pub fn case_count(&self) -> usize {
        self.entry["cases"].as_array().map_or(0, Vec::len)
    }

    pub fn case(&self, index: usize) -> Case {
        let case = &self.entry["cases"][index];
        let arrays = |part: &str| {
            let map = case[part].as_object().cloned().unwrap_or_default();
            map.into_iter().map(|(name, v)| (name, self.array(&v))).collect()
        };
        Case {
            description: case["desc"].as_str().unwrap_or_default().to_owned(),
            inputs: arrays("inputs"),
            outputs: arrays("outputs"),
        }
    }

    fn array(&self, v: &Value) -> Array {
        let shape: Vec<u64> =
            v["shape"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
        let file = v["file"].as_str().unwrap_or_default();
        Array::read(&self.folder.join(file), v["dtype"].as_str().unwrap_or_default(), &shape)
    }

    /// Shapes of a case's inputs.
    pub fn input_shapes(&self, index: usize) -> Vec<(String, Vec<usize>)> {
        let map = self.entry["cases"][index]["inputs"].as_object().cloned().unwrap_or_default();
        let dims = |v: &Value| {
            let dims = v["shape"].as_array().into_iter().flatten().filter_map(Value::as_u64);
            dims.map(|d| d as usize).collect()
        };
        map.iter().map(|(name, v)| (name.clone(), dims(v))).collect()
    }

    /// The bounds of an output: `relative` to its scale, and the manifest's own, which are
    /// `atol_fp32` or `atol_fp16` per output, and for f32 an `atol` and `rtol` of the network.
    pub fn tolerance(&self, output: &str, precision: Precision) -> Tolerance {
        let all = &self.entry["tolerance"];
        let number = |v: &Value| v.as_f64().unwrap_or(0.0);
        let output = &all["per_output"][output];
        match precision {
            Precision::F32 => Tolerance {
                relative: 1e-3,
                absolute: number(&output["atol_fp32"]),
                atol: number(&all["atol"]),
                rtol: number(&all["rtol"]),
            },
            Precision::Mixed | Precision::F16 => Tolerance {
                relative: 2e-2,
                absolute: number(&output["atol_fp16"]),
                ..Tolerance::default()
            },
        }
    }
}
