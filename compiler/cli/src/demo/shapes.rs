//! The vision model of `driftc demo`, stage by stage.
//!
//! It (examples/shapes) tells eight drawn shapes apart; it was trained by the script beside it on
//! pictures that the script draws.

use super::Demo;
use crate::array::Array;
use crate::error::{CliError, Result, Status};
use crate::runner::Runner;
use crate::summary;
use drift_bundle::plan::ElemType;
use drift_driver::dims::DimBindings;
use drift_driver::pipeline::Compiled;
use drift_driver::{Calibration, CompileOptions, Stage, package, pipeline, target};
use drift_runtime::Bundle;
use serde_json::{Value, json};
use std::time::Instant;

static MODEL: &[u8] = include_bytes!("../../../../examples/shapes/shapes.onnx");
static PICTURES: &[u8] = include_bytes!("../../../../examples/shapes/pictures.npy");
static LABELS: &[u8] = include_bytes!("../../../../examples/shapes/labels.npy");
static LOGITS: &[u8] = include_bytes!("../../../../examples/shapes/logits.npy");

const CLASSES: [&str; 8] =
    ["circle", "ring", "square", "triangle", "cross", "star", "stripes", "dots"];
const SIDE: usize = 32;
const PIXELS: usize = SIDE * SIDE;
/// Largest difference of a logit from PyTorch's, in f32: reordered sums stay far below.
const TOLERANCE: f32 = 1e-3;

/// The data of an embedded npy file: what follows the header.
fn npy_data(bytes: &'static [u8]) -> &'static [u8] {
    let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    &bytes[10 + length..]
}

/// Compiles and runs it; gives what there is to say as JSON.
pub fn run(demo: &Demo) -> Result<Value> {
    let say = |text: String| demo.say(&text);
    say(format!(
        "model       examples/shapes, {} bytes of ONNX: which shape is drawn?",
        MODEL.len()
    ));
    let options = CompileOptions {
        bindings: DimBindings::default(),
        precision: target::Precision::F32,
        disabled: Vec::new(),
        bisect_limit: None,
        quantize: None,
        calibration: Calibration::None,
        memory: drift_driver::memory::Strategy::Best,
        targets: target::resolve(&[])?,
        stop_after: Stage::Package,
    };
    let start = Instant::now();
    let model = drift_onnx::Model::from_bytes(MODEL, None)
        .map_err(|e| drift_driver::StageError::onnx("read", &e))?;
    let compiled = pipeline::compile(&model, &options, &mut |_, _, _| {})?;
    let meta = drift_bundle::Meta::new("shapes", "driftc", env!("CARGO_PKG_VERSION"));
    let bytes = package::to_vec(&compiled, meta)?;
    let compile_time = start.elapsed();
    if !demo.json {
        print_stages(&compiled, &bytes);
    }
    say(format!("compiled in {:.0} ms", compile_time.as_secs_f64() * 1e3));

    let bundle = Bundle::from_vec(bytes)?;
    let start = Instant::now();
    let mut runner = Runner::load(&bundle, &demo.place)?;
    say(format!(
        "running on  {} (loaded in {:.0} ms)",
        runner.place(),
        start.elapsed().as_secs_f64() * 1e3
    ));
    let (pictures, labels) = (npy_data(PICTURES), npy_data(LABELS));
    let expected: Vec<f32> = npy_data(LOGITS)
        .chunks_exact(4)
        .map(|c| f32::from_le_bytes([c[0], c[1], c[2], c[3]]))
        .collect();
    let (mut right, mut worst, mut rows) = (0, 0f32, Vec::new());
    for (i, &label) in labels.iter().enumerate() {
        let picture = &pictures[i * PIXELS..][..PIXELS];
        let floats = picture.iter().flat_map(|&p| f32::from(p).to_le_bytes()).collect();
        let shape = vec![1, 1, SIDE as u64, SIDE as u64];
        let input = Array { elem: ElemType::F32, shape, bytes: floats };
        let outputs = runner.run(&[("picture".to_owned(), input)])?;
        let logits = outputs.get("logits").map(|t| t.to_f32()).unwrap_or_default();
        let want = &expected[i * CLASSES.len()..][..CLASSES.len()];
        let difference = logits.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
        let answer = argmax(&logits);
        right += usize::from(answer == usize::from(label));
        worst = worst.max(difference);
        if i == 0 || i == 9 {
            say(thumbnail(picture));
        }
        say(format!(
            "  picture {i:>2}: {:<9} expected {:<9} logit {:>7.3} (PyTorch {:>7.3})",
            CLASSES[answer],
            CLASSES[usize::from(label)],
            logits[answer],
            want[answer],
        ));
        rows.push(json!({ "answer": CLASSES[answer], "expected": CLASSES[usize::from(label)] }));
    }
    say(format!("{right} of {} right; largest difference from PyTorch {worst:.2e}", labels.len()));
    if right == labels.len() && worst <= TOLERANCE {
        let bytes = Some(bundle.bytes().len() as u64);
        Ok(json!({
            "device": runner.place(), "right": right, "pictures": rows, "max_abs_error": worst,
            "compile": summary::json(&compiled, bytes),
        }))
    } else {
        Err(CliError::new(
            Status::OutputsDiffer,
            format!("the answers differ from PyTorch's by up to {worst} (allowed {TOLERANCE})"),
        )
        .help("please report it with the output of `driftc devices`"))
    }
}

fn argmax(v: &[f32]) -> usize {
    (0..v.len()).max_by(|&a, &b| v[a].total_cmp(&v[b])).unwrap_or(0)
}

/// What each stage did, and what came of it.
fn print_stages(c: &Compiled, bundle: &[u8]) {
    println!("stages");
    for s in c.stats.iter().filter(|s| s.target.is_empty() || s.target == "vulkan-modern") {
        let what = if s.stage < Stage::Lower { "nodes" } else { "steps" };
        println!(
            "  {:<14} {:>4} {what:<6} {:>6.1} ms  {}",
            s.stage.name(),
            s.nodes,
            s.time.as_secs_f64() * 1e3,
            s.stage.description(),
        );
    }
    summary::print(c, None, None);
    println!(
        "bundle      {} for {} targets: {}",
        summary::bytes(bundle.len() as u64),
        c.variants.len(),
        c.variants.iter().map(|v| v.spec.id.as_str()).collect::<Vec<_>>().join(", "),
    );
}

/// A picture in half-size block characters.
fn thumbnail(picture: &[u8]) -> String {
    const SHADES: [char; 5] = [' ', '░', '▒', '▓', '█'];
    let mut out = String::new();
    for y in (0..SIDE).step_by(2) {
        out.push_str("    ");
        for x in 0..SIDE {
            let v =
                (usize::from(picture[y * SIDE + x]) + usize::from(picture[(y + 1) * SIDE + x])) / 2;
            out.push(SHADES[v * (SHADES.len() - 1) / 255]);
        }
        out.push('\n');
    }
    out.pop();
    out
}
