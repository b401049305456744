//! The language model of `driftc demo`.
//!
//! It (examples/tales) tells short tales; it was trained by the script beside it on tales of a
//! grammar. What it says is compared with what PyTorch says in f64.

use super::Demo;
use crate::error::{CliError, Result, Status};
use crate::llm::generate::{self, Request};
use crate::llm::model::Model;
use crate::llm::{assets, text::Text};
use crate::summary;
use drift_driver::dims::DimBindings;
use drift_driver::models::{self, KvCache, Options};
use drift_driver::{Calibration, CompileOptions, Stage, package, pipeline, target};
use drift_runtime::Bundle;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The folder, as embedded.
static FILES: [(&str, &[u8]); 5] = [
    ("config.json", include_bytes!("../../../../examples/tales/config.json")),
    ("generation_config.json", include_bytes!("../../../../examples/tales/generation_config.json")),
    ("model.safetensors", include_bytes!("../../../../examples/tales/model.safetensors")),
    ("tokenizer.json", include_bytes!("../../../../examples/tales/tokenizer.json")),
    ("tokenizer_config.json", include_bytes!("../../../../examples/tales/tokenizer_config.json")),
];
static GREEDY: &str = include_str!("../../../../examples/tales/greedy_f64.json");

const CONTEXT: usize = 256;
/// Where PyTorch's two likeliest tokens are closer than this, f32 may take the other one.
const MARGIN: f64 = 1e-2;

/// The embedded folder on disk: checkpoints are mapped files. Removed when dropped.
struct Unpacked(PathBuf);

impl Unpacked {
    fn new() -> Result<Unpacked> {
        let folder = std::env::temp_dir().join(format!("driftc-demo-{}", std::process::id()));
        let write = || -> std::io::Result<()> {
            std::fs::create_dir_all(&folder)?;
            FILES.iter().try_for_each(|(name, bytes)| std::fs::write(folder.join(name), bytes))
        };
        write().map_err(|e| CliError::bad(format!("cannot write to {}: {e}", folder.display())))?;
        Ok(Unpacked(folder))
    }
}

impl Drop for Unpacked {
    fn drop(&mut self) {
        // it lies among temporary files: what cannot be removed is no failure
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn compile(
    folder: &Path,
    targets: Vec<target::TargetSpec>,
) -> Result<(Vec<u8>, pipeline::Compiled)> {
    let options = CompileOptions {
        bindings: DimBindings::default(),
        precision: target::Precision::F32,
        disabled: Vec::new(),
        bisect_limit: None,
        quantize: None,
        calibration: Calibration::None,
        memory: drift_driver::memory::Strategy::Best,
        targets,
        stop_after: Stage::Package,
    };
    let start = Instant::now();
    let model = Options {
        context: Some(CONTEXT),
        chunk: 64,
        kv_cache: KvCache::F32,
        precision: options.precision,
        ..Options::default()
    };
    let mut module = models::module(folder, &model)?;
    assets::add(folder, &mut module)?;
    let compiled = pipeline::compile_module(module, &options, start, &mut |_, _, _| {})?;
    let meta = drift_bundle::Meta::new("tales", "driftc", env!("CARGO_PKG_VERSION"));
    Ok((package::to_vec(&compiled, meta)?, compiled))
}

/// Compiles it and lets it tell a tale; gives what there is to say as JSON.
pub fn run(demo: &Demo) -> Result<Value> {
    let bytes: usize = FILES.iter().map(|f| f.1.len()).sum();
    demo.say(&format!(
        "model       examples/tales, {bytes} bytes of safetensors and tokenizer: a tale, please"
    ));
    let start = Instant::now();
    let (bundle, compiled) = compile(&Unpacked::new()?.0, target::resolve(&[])?)?;
    let compile_time = start.elapsed();
    let bundle = Bundle::from_vec(bundle)?;
    if !demo.json {
        summary::print(&compiled, None, None);
        demo.say(&format!("compiled in {:.0} ms", compile_time.as_secs_f64() * 1e3));
    }

    let since = Instant::now();
    let text = Text::open(&bundle)?;
    let mut model = Model::open(&bundle, &text, &demo.place)?;
    let expected: Value = serde_json::from_str(GREEDY)
        .map_err(|e| CliError::bad(format!("the embedded expectations: {e}")))?;
    let expected = &expected[0];
    let numbers = |key: &str| expected[key].as_array().into_iter().flatten();
    let prompt = text.prompt(expected["prompt"].as_str().unwrap_or_default())?;
    let want: Vec<u32> =
        numbers("greedy_ids").filter_map(|v| v.as_u64()?.try_into().ok()).collect();
    let sure: Vec<bool> = numbers("margins").map(|v| v.as_f64() > Some(MARGIN)).collect();

    let mut stream = text.tokenizer()?.stream(&[]);
    let mut told: String = prompt.iter().map(|id| stream.push(*id)).collect();
    let room = CONTEXT - prompt.len();
    let request =
        Request { prompt: &prompt, most: Some(want.len().min(room)), stop: &text.stop(), since };
    let (ids, _, timing) = generate::generate(&mut model, &request, |id| {
        told += &stream.push(id);
        Ok(())
    })?;
    told += &stream.finish();
    demo.say(&format!("running on  {}\n\n{told}\n", model.place()));

    // beyond a token that was nearly another one the tales may part
    let compared = sure.iter().position(|s| !s).unwrap_or(want.len()).min(ids.len());
    let same = ids.iter().zip(&want).take(compared).filter(|(a, b)| a == b).count();
    demo.say(&format!("{same} of {compared} tokens as PyTorch chooses them in f64"));
    if !demo.json {
        timing.print();
    }
    if same < compared {
        let m = format!("{} of {compared} tokens differ from PyTorch's", compared - same);
        return Err(CliError::new(Status::OutputsDiffer, m)
            .help("please report it with the output of `driftc devices`"));
    }
    Ok(json!({
        "device": model.place(), "text": told, "compared": compared, "same": same,
        "timing": timing.json(), "compile": summary::json(&compiled, Some(bundle.bytes().len() as u64)),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Backend, Place};
    use drift_bundle::caps::Features;
    use drift_driver::target::TargetSpec;

    /// The interpreter as a large device with subgroups, whose workgroups may wait for each other.
    fn large(chains: bool) -> TargetSpec {
        let mut spec = TargetSpec::reference();
        let subgroups = Features::SUBGROUP_BASIC
            .union(Features::SUBGROUP_ARITHMETIC)
            .union(Features::SUBGROUP_SHUFFLE);
        spec.caps.features = spec.caps.features.union(subgroups);
        let caps = &mut spec.caps;
        (caps.subgroup_size, caps.subgroup_size_min, caps.subgroup_size_max) = (32, 32, 32);
        spec.full_invocations = 128 << 10;
        spec.chains = chains;
        spec
    }

    /// Logits of a few tokens, and dispatches of a decode step.
    fn logits(folder: &Path, chains: bool) -> (Vec<f32>, usize) {
        let (bundle, compiled) = compile(folder, vec![large(chains)]).expect("compiles");
        let bundle = Bundle::from_vec(bundle).expect("a bundle");
        let text = Text::open(&bundle).expect("a language model");
        let place = Place { backend: Backend::Reference, device: None };
        let mut model = Model::open(&bundle, &text, &place).expect("opens");
        let ids: Vec<u32> = (3..12).collect();
        let mut out = Vec::new();
        let mut keep = |_: usize, logits: &[f32]| {
            out.extend_from_slice(logits);
            Ok(())
        };
        model.all_logits(&ids, 1, &mut keep).expect("logits");
        let plan = &compiled.variants[0].planned.as_ref().expect("planned").plan;
        let decode = plan.entry_points.iter().find(|e| e.name == "decode").expect("decode");
        let steps = decode.steps.iter();
        let dispatches = steps.filter(|s| matches!(s, drift_bundle::plan::Step::Dispatch { .. }));
        (out, dispatches.count())
    }

    #[test]
    fn chains_of_products_change_no_logit() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        // norms behind blocks, biases and the norms of heads, one product for gate and up
        let families = ["gemma2", "qwen2", "qwen3", "phi3"];
        let random = families.map(|f| root.join("tests/conformance/data/llm").join(f));
        for folder in [root.join("examples/tales")].iter().chain(&random) {
            let (alone, many) = logits(folder, false);
            let (chained, few) = logits(folder, true);
            let name = folder.display();
            assert!(few < many, "{name}: {few} dispatches instead of {many}");
            assert_eq!(alone.len(), chained.len());
            let most = alone.iter().fold(0f32, |m, x| m.max(x.abs()));
            // links are cut otherwise than products alone, so sums round otherwise
            for (a, b) in alone.iter().zip(&chained) {
                assert!((a - b).abs() <= 1e-5 * most, "{name}: {a} and {b} of {most}");
            }
        }
    }
}
