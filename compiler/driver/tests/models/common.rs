//! Runs a module's graphs on the reference evaluator, with the states threaded by hand.

use drift_driver::models::{KvCache, Options, module};
use drift_driver::pipeline::Module;
use drift_driver::target::Precision;
use drift_ir::{DType, Tensor};
use drift_ops::eval_graph;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Data that lies beside the repository; says so when it does not.
pub fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/models").join(name);
    if !path.exists() {
        println!("skipped: {} is not here", path.display());
        return None;
    }
    Some(path)
}

/// Elements of a `.npy` file of i64 or f32, and its shape.
pub fn npy(path: &Path) -> (Vec<f64>, Vec<usize>) {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00", "{}", path.display());
    let end = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = String::from_utf8_lossy(&bytes[10..end]).into_owned();
    let shape = header.split('(').nth(1).and_then(|s| s.split(')').next()).unwrap();
    let shape = shape.split(',').filter_map(|d| d.trim().parse().ok()).collect();
    let dtype = if header.contains("<f4") {
        DType::F32
    } else if header.contains("<i8") {
        DType::I64
    } else if header.contains("<i4") {
        DType::I32
    } else {
        assert!(header.contains("<f8"), "{header}");
        DType::F64
    };
    let data = bytes[end..].to_vec();
    let elems = data.len() / dtype.bytes();
    (Tensor::from_bytes(dtype, [elems], data.into()).unwrap().to_f64s(), shape)
}

pub fn ids(path: &Path) -> Vec<i64> {
    npy(path).0.iter().map(|v| *v as i64).collect()
}

/// f32 everywhere: differences are the builder's alone.
pub fn exact(context: usize, chunk: usize) -> Options {
    Options {
        context: Some(context),
        chunk,
        kv_cache: KvCache::F32,
        precision: Precision::F32,
        ..Options::default()
    }
}

/// A module with the states of a session.
pub struct Session {
    module: Module,
    pub states: BTreeMap<String, Tensor>,
    pub position: usize,
}

impl Session {
    pub fn open(folder: &Path, options: &Options) -> Session {
        let module = module(folder, options).unwrap_or_else(|e| panic!("{e}: {:?}", e.help));
        Session::of(module)
    }

    pub fn of(module: Module) -> Session {
        let mut states = BTreeMap::new();
        for (_, graph) in &module.entries {
            for id in &graph.inputs {
                let v = graph.value(*id);
                let zeros = vec![0.0; v.shape.elems()];
                states.insert(v.name.clone(), Tensor::from_f64s(v.dtype, v.shape.clone(), &zeros));
            }
            drift_ops::fuse::verify_graph(graph).unwrap();
        }
        Session { module, states, position: 0 }
    }

    fn set(&mut self, state: &str, at: usize, value: f64) {
        let old = &self.states[state];
        let mut v = old.to_f64s();
        v[at] = value;
        let new = Tensor::from_f64s(old.dtype, old.shape.clone(), &v);
        self.states.insert(state.to_owned(), new);
    }

    /// Tells how long the text will be.
    pub fn announce(&mut self, tokens: usize) {
        self.set("params", 4, tokens as f64);
    }

    /// Evaluates an entry point: states in, states out.
    pub fn run(&mut self, entry: &str) {
        let (_, graph) = self.module.entries.iter().find(|(name, _)| name == entry).unwrap();
        let inputs: Vec<Tensor> =
            graph.inputs.iter().map(|id| self.states[&graph.value(*id).name].clone()).collect();
        let outputs = eval_graph(graph, &inputs).unwrap_or_else(|e| panic!("{entry}: {e}"));
        for ((name, _), after) in graph.outputs.iter().zip(outputs) {
            let kept = match self.states.get(name) {
                // an entry point may write the first rows of a state only
                Some(old) if old.shape != after.shape => {
                    let mut v = old.to_f64s();
                    v[..after.elems()].copy_from_slice(&after.to_f64s());
                    Tensor::from_f64s(old.dtype, old.shape.clone(), &v)
                }
                _ => after,
            };
            self.states.insert(name.clone(), kept);
        }
    }

    pub fn logits(&self) -> Vec<f64> {
        self.states["logits"].to_f64s()
    }

    /// One step of `entry` over `ids`; logits of every row with `head`, of the last one without.
    pub fn step(&mut self, entry: &str, ids: &[i64], head: bool) -> Vec<Vec<f64>> {
        let rows = if entry == "decode" { 1 } else { self.states["hidden"].shape[0] };
        assert!(ids.len() <= rows && self.position + ids.len() < self.states["tokens"].elems());
        for (i, id) in ids.iter().enumerate() {
            self.set("tokens", self.position + i, *id as f64);
        }
        self.set("params", 0, self.position as f64);
        self.set("params", 1, ids.len() as f64);
        self.run(entry);
        let last = self.logits();
        self.position += ids.len();
        let params = self.states["params"].to_f64s();
        assert_eq!(params[..2], [self.position as f64, 1.0], "{entry}: params after the step");
        if !head {
            return vec![last];
        }
        let mut all = Vec::new();
        for row in 0..ids.len() {
            self.set("params", 2, row as f64);
            self.run("head");
            all.push(self.logits());
        }
        assert_eq!(all.last(), Some(&last), "head and {entry} differ");
        all
    }

    /// Token that was sampled after the last step.
    pub fn sampled(&self) -> i64 {
        self.states["tokens"].to_i64s()[self.position]
    }
}

/// Largest difference over the largest expected logit.
pub fn error(got: &[f64], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len());
    let most = want.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    let e = got.iter().zip(want).fold(0.0f64, |m, (a, b)| m.max((a - b).abs()));
    e / most
}
