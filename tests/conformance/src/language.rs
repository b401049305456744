//! Language models: folders with expected logits, compiled and run on the device by
//! [`drift_runtime::generate`], or evaluated by the reference.

use crate::network::{load, options, targets};
use crate::{Precision, shared};
use drift_driver::models::{Options, module};
use drift_driver::pipeline::Module;
use drift_driver::{Compiled, Stage, pipeline};
use drift_ir::Tensor;
use drift_ops::eval_graph;
use drift_runtime::{Device, generate::Generator};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Where the models made for these tests are (`data/llm/make.py`).
pub fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/llm")
}

/// A model of `data/llm`, or of `../shared/models`; `None` where that is absent.
pub fn folder(name: &str) -> Option<PathBuf> {
    let own = data().join(name);
    if own.is_dir() { Some(own) } else { Some(shared::folder()?.join(name)) }
}

pub fn json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Token ids of a list.
pub fn ids_of(list: &Value) -> Vec<u32> {
    let ids = list.as_array().unwrap_or_else(|| panic!("{list} is no list"));
    ids.iter().map(|v| v.as_u64().expect("a token id") as u32).collect()
}

/// Data of a `.npy` file of version 1.0 whose elements are `descr`.
fn npy(path: &Path, descr: &str) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00", "{}", path.display());
    let end = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = String::from_utf8_lossy(&bytes[10..end]);
    assert!(header.contains(descr) && header.contains("'fortran_order': False"), "{header}");
    bytes[end..].to_vec()
}

/// Token ids of an i64 file.
pub fn npy_ids(path: &Path) -> Vec<u32> {
    let words = npy(path, "<i8");
    words.as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b) as u32).collect()
}

/// Logits of an f32 file.
pub fn npy_logits(path: &Path) -> Vec<f32> {
    let words = npy(path, "<f4");
    words.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

/// The graphs of a model folder.
pub fn graphs(folder: &Path, o: &Options) -> Module {
    module(folder, o).unwrap_or_else(|e| panic!("{}: {e}: {:?}", folder.display(), e.help))
}

/// Compiles a model folder for a target.
pub fn compile(folder: &Path, o: &Options, target: &str) -> Compiled {
    let compile = options(Vec::new(), o.precision, targets(&[target]), Stage::Package);
    let start = Instant::now();
    pipeline::compile_module(graphs(folder, o), &compile, start, &mut |_, _, _| {})
        .unwrap_or_else(|e| panic!("{}: {e}: {:?}", folder.display(), e.help))
}

/// A compiled model on a device, with an empty cache.
pub fn generator(device: &Device, compiled: &Compiled) -> Generator {
    let session = load(device, compiled).unwrap_or_else(|e| panic!("{e}"));
    Generator::new(session).unwrap_or_else(|e| panic!("{e}"))
}

/// Empties the cache and tells how long the next text will be, on which rotations may depend.
pub fn begin(g: &mut Generator, length: usize) -> drift_runtime::Result<()> {
    g.truncate(0)?;
    g.announce(length);
    Ok(())
}

/// Logits at every position of `ids`: the first `prefilled` by prefill, the rest by decode steps.
/// The cache is empty before.
pub fn logits(g: &mut Generator, ids: &[u32], prefilled: usize) -> drift_runtime::Result<Vec<f32>> {
    begin(g, ids.len())?;
    let mut all = Vec::with_capacity(ids.len() * g.vocabulary());
    g.prefill_logits(&ids[..prefilled], |at, row| {
        assert_eq!(at * row.len(), all.len(), "positions come in order");
        all.extend_from_slice(row);
        Ok(())
    })?;
    for id in &ids[prefilled..] {
        g.prefill(&[*id])?;
        all.extend(g.logits()?);
    }
    Ok(all)
}

/// Largest difference as a share of the largest expected logit.
pub fn error(got: &[f32], want: &[f32]) -> f32 {
    assert_eq!(got.len(), want.len());
    let most = want.iter().fold(0f32, |m, v| m.max(v.abs()));
    assert!(got.iter().all(|v| v.is_finite()), "logits are not finite");
    got.iter().zip(want).fold(0f32, |m, (a, b)| m.max((a - b).abs())) / most
}

/// Evaluates a model's graphs by the operators' references (f64 inside of operators, their results
/// rounded to the values' types), states and all: what its kernels should give, whatever its
/// weights and cache are quantized to.
pub struct Reference {
    module: Module,
    states: BTreeMap<String, Tensor>,
}

impl Reference {
    pub fn new(folder: &Path, o: &Options) -> Reference {
        // f32 activations
        let module = graphs(folder, &Options { precision: Precision::F32, ..o.clone() });
        let mut states = BTreeMap::new();
        for (_, graph) in &module.entries {
            for id in &graph.inputs {
                let v = graph.value(*id);
                let zeros = vec![0.0; v.shape.elems()];
                states.insert(v.name.clone(), Tensor::from_f64s(v.dtype, v.shape.clone(), &zeros));
            }
        }
        Reference { module, states }
    }

    fn set(&mut self, state: &str, at: usize, values: &[f64]) {
        let old = &self.states[state];
        let mut v = old.to_f64s();
        v[at..at + values.len()].copy_from_slice(values);
        let new = Tensor::from_f64s(old.dtype, old.shape.clone(), &v);
        self.states.insert(state.to_owned(), new);
    }

    /// Logits at every position of `ids`, one decode step each.
    pub fn logits(&mut self, ids: &[u32]) -> Vec<f32> {
        let mut all = Vec::new();
        for (position, id) in ids.iter().enumerate() {
            self.set("tokens", position, &[f64::from(*id)]);
            self.set("params", 0, &[position as f64, 1.0]);
            let (_, graph) = self.module.entries.iter().find(|(n, _)| n == "decode").unwrap();
            let inputs: Vec<Tensor> =
                graph.inputs.iter().map(|i| self.states[&graph.value(*i).name].clone()).collect();
            let outputs = eval_graph(graph, &inputs).unwrap_or_else(|e| panic!("{e}"));
            for ((name, _), after) in graph.outputs.iter().zip(outputs) {
                self.states.insert(name.clone(), after);
            }
            all.extend(self.states["logits"].to_f64s().iter().map(|v| *v as f32));
        }
        all
    }
}
