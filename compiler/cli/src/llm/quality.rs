//! `driftc quality`: what quantization costs. The text is predicted token by token by every bundle
//! and by a reference; perplexity says how well, the Kullback-Leibler divergence how much the
//! predictions differ.

use super::bench::decode_rate;
use super::generate::rounded;
use super::model::Model;
use super::text::Text;
use crate::args::{Backend, CompileOptions, QualityArgs};
use crate::compile;
use crate::error::{CliError, Result};
use crate::runner::open_verified;
use crate::summary::bytes as human;
use drift_driver::Stage;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// A bundle to be judged, and the name it goes by in the table.
struct Candidate {
    name: String,
    path: PathBuf,
}

/// Sums over all predicted tokens.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    tokens: usize,
    /// Of -ln p(token), in nats.
    loss: f64,
    /// Of D(reference || this), in nats.
    divergence: f64,
    /// Positions whose likeliest token is the reference's.
    same_top: usize,
}

struct Row {
    name: String,
    bytes: u64,
    sums: Sums,
    decode: Option<f64>,
}

pub fn run(args: &QualityArgs) -> Result {
    let at = |e: std::io::Error| CliError::bad(format!("{}: {e}", args.text.display()));
    let raw = std::fs::read(&args.text).map_err(at)?;
    let source = String::from_utf8(raw)
        .map_err(|_| CliError::bad(format!("{}: the text is no UTF-8", args.text.display())))?;
    let folder = Scratch::new()?;
    let mut candidates = candidates(args, &folder.0)?;
    let reference = match &args.reference {
        Some(path) => Candidate { name: name_of(path), path: path.clone() },
        None => candidates.remove(0),
    };
    let judged = judge(args, &source, &reference, &candidates)?;
    print(args, &judged);
    Ok(())
}

/// A folder for bundles that nobody asked to keep.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Scratch> {
        let path = std::env::temp_dir().join(format!("driftc-quality-{}", std::process::id()));
        std::fs::create_dir_all(&path)
            .map_err(|e| CliError::bad(format!("{}: {e}", path.display())))?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // nothing can be done about a folder that cannot be removed
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn name_of(path: &Path) -> String {
    path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// The bundles given; of a folder one per scheme, compiled into `scratch`, f32 first.
fn candidates(args: &QualityArgs, scratch: &Path) -> Result<Vec<Candidate>> {
    let mut out = Vec::new();
    for path in &args.models {
        if !path.is_dir() {
            out.push(Candidate { name: name_of(path), path: path.clone() });
            continue;
        }
        if args.models.len() > 1 {
            return Err(CliError::bad("give one folder, or bundles"));
        }
        let f32 = "none".to_owned();
        let others = args.schemes.iter().filter(|s| *s != "none" && *s != "f32");
        for scheme in [&f32].into_iter().chain(others) {
            let name = if scheme == "none" { "f32" } else { scheme };
            eprintln!("compiling {name}");
            let file = scratch.join(format!("{}.drift", name.replace('/', "-")));
            compile_scheme(args, path, scheme, &file)?;
            out.push(Candidate { name: name.to_owned(), path: file });
        }
    }
    Ok(out)
}

fn compile_scheme(args: &QualityArgs, model: &Path, scheme: &str, file: &Path) -> Result {
    let mut targets = args.targets.clone();
    if targets.is_empty() {
        targets.push(match args.place.backend {
            Backend::Reference => "reference".to_owned(),
            Backend::Opencl => "opencl-generic".to_owned(),
            Backend::Webgpu => "webgpu-generic".to_owned(),
            _ => "vulkan-modern".to_owned(),
        });
    }
    let options = CompileOptions::of_model(model.to_owned(), scheme, targets, args.window);
    let driver = compile::options(&options, Stage::Package)?;
    let compiled = compile::compile(&options, &driver, args.json)?;
    let meta = compile::meta(&options, &driver);
    compile::write(&compiled, meta, file, args.json)?;
    Ok(())
}

/// Rows of the table, the reference first.
fn judge(
    args: &QualityArgs,
    source: &str,
    reference: &Candidate,
    others: &[Candidate],
) -> Result<Vec<Row>> {
    let bundle = open_verified(&reference.path)?;
    let text = Text::open(&bundle)?;
    let mut ids = text.tokenizer()?.encode(source, false)?;
    ids.truncate(args.tokens);
    let bos = text.tokenizer()?.prefix().to_vec();
    let mut model = Model::open(&bundle, &text, &args.place)?;
    let window = args.window.min(model.context());
    if window <= bos.len() + 1 || ids.len() < 2 {
        return Err(CliError::bad(format!(
            "{} tokens of text in windows of {window}: nothing to predict",
            ids.len()
        )));
    }
    let mut rows = Vec::new();
    let mut own = Sums::default();
    if others.is_empty() {
        for piece in ids.chunks(window - bos.len()) {
            let logits = predictions(&mut model, &bos, piece)?;
            own.add(&logits, &logits, piece, bos.len(), model.vocabulary());
        }
    }
    for other in others {
        let their_bundle = open_verified(&other.path)?;
        let their_text = Text::open(&their_bundle)?;
        let mut theirs = Model::open(&their_bundle, &their_text, &args.place)?;
        if theirs.vocabulary() != model.vocabulary() || theirs.context() < window {
            return Err(CliError::bad(format!(
                "{} and {} are not of one model: vocabularies of {} and {}, contexts of {} and {}",
                reference.name,
                other.name,
                model.vocabulary(),
                theirs.vocabulary(),
                model.context(),
                theirs.context()
            )));
        }
        let mut sums = Sums::default();
        own = Sums::default();
        for piece in ids.chunks(window - bos.len()) {
            let ours = predictions(&mut model, &bos, piece)?;
            let quantized = predictions(&mut theirs, &bos, piece)?;
            own.add(&ours, &ours, piece, bos.len(), model.vocabulary());
            sums.add(&ours, &quantized, piece, bos.len(), model.vocabulary());
        }
        rows.push(Row {
            name: other.name.clone(),
            bytes: their_bundle.bytes().len() as u64,
            sums,
            decode: decode_rate(&mut theirs, &ids)?,
        });
    }
    let first = Row {
        name: reference.name.clone(),
        bytes: bundle.bytes().len() as u64,
        sums: own,
        decode: decode_rate(&mut model, &ids)?,
    };
    rows.insert(0, first);
    Ok(rows)
}

/// Logits of a window, [bos + piece, vocabulary], each row from the tokens before it in the window.
fn predictions(model: &mut Model, bos: &[u32], piece: &[u32]) -> Result<Vec<f32>> {
    let ids: Vec<u32> = bos.iter().chain(piece).copied().collect();
    let mut out = Vec::with_capacity(ids.len() * model.vocabulary());
    model.all_logits(&ids, ids.len(), |_, logits| {
        out.extend_from_slice(logits);
        Ok(())
    })?;
    Ok(out)
}

impl Sums {
    /// Adds a window. Row i predicts the token behind it; the first token of a text without `bos` is
    /// predicted by nothing.
    fn add(&mut self, reference: &[f32], other: &[f32], piece: &[u32], bos: usize, vocab: usize) {
        let rows = reference.chunks_exact(vocab).zip(other.chunks_exact(vocab));
        let first = bos.saturating_sub(1);
        let targets = piece.iter().skip(if bos == 0 { 1 } else { 0 });
        for ((p, q), target) in rows.skip(first).zip(targets) {
            let (log_p, log_q) = (log_softmax(p), log_softmax(q));
            self.tokens += 1;
            self.loss -= log_q[*target as usize];
            self.divergence +=
                log_p.iter().zip(&log_q).map(|(p, q)| p.exp() * (p - q)).sum::<f64>();
            self.same_top += usize::from(top(p) == top(q));
        }
    }

    fn perplexity(&self) -> f64 {
        (self.loss / self.tokens.max(1) as f64).exp()
    }

    fn mean_divergence(&self) -> f64 {
        self.divergence / self.tokens.max(1) as f64
    }

    fn agreement(&self) -> f64 {
        self.same_top as f64 / self.tokens.max(1) as f64
    }
}

fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let most = logits.iter().fold(f64::NEG_INFINITY, |m, v| m.max(f64::from(*v)));
    let sum: f64 = logits.iter().map(|v| (f64::from(*v) - most).exp()).sum();
    let log = most + sum.ln();
    logits.iter().map(|v| f64::from(*v) - log).collect()
}

/// The likeliest token, the first of several.
fn top(logits: &[f32]) -> usize {
    let mut best = 0;
    for (i, v) in logits.iter().enumerate() {
        if *v > logits[best] {
            best = i;
        }
    }
    best
}

fn print(args: &QualityArgs, rows: &[Row]) {
    if args.json {
        let list: Vec<Value> = rows
            .iter()
            .map(|r| {
                json!({
                    "name": r.name, "bytes": r.bytes, "perplexity": r.sums.perplexity(),
                    "kl_divergence": r.sums.mean_divergence(), "same_top": r.sums.agreement(),
                    "decode_tokens_per_second": r.decode,
                })
            })
            .collect();
        let tokens = rows.first().map_or(0, |r| r.sums.tokens);
        println!("{:#}", json!({ "predicted_tokens": tokens, "rows": list }));
        return;
    }
    println!(
        "{:<16} {:>10} {:>11} {:>13} {:>9} {:>10}",
        "bundle", "size", "perplexity", "KL (nats)", "same top", "tokens/s"
    );
    for r in rows {
        println!(
            "{:<16} {:>10} {:>11.4} {:>13.6} {:>8.1}% {:>10}",
            r.name,
            human(r.bytes),
            r.sums.perplexity(),
            r.sums.mean_divergence(),
            100.0 * r.sums.agreement(),
            r.decode.map_or("-".to_owned(), rounded),
        );
    }
    let tokens = rows.first().map_or(0, |r| r.sums.tokens);
    println!("{tokens} tokens predicted; KL and same top are against {}", rows[0].name);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divergence_and_perplexity_of_two_small_distributions() {
        // two rows over a vocabulary of 2; row 0 predicts the token 1
        let p = [0.0f32, 3f32.ln(), 5.0, 5.0];
        let q = [0.0f32, 0.0, 9.0, 0.0];
        let mut sums = Sums::default();
        sums.add(&p, &q, &[1], 1, 2);
        assert_eq!((sums.tokens, sums.same_top), (1, 0));
        assert!((sums.perplexity() - 2.0).abs() < 1e-6);
        let want = 0.25 * (0.25f64 / 0.5).ln() + 0.75 * (0.75f64 / 0.5).ln();
        assert!((sums.mean_divergence() - want).abs() < 1e-7);
        // without a token in front, the first row predicts the second token
        let mut sums = Sums::default();
        sums.add(&p, &p, &[0, 1], 0, 2);
        assert_eq!((sums.tokens, sums.same_top), (1, 1));
        assert!((sums.perplexity() - 4.0 / 3.0).abs() < 1e-6);
        assert_eq!(sums.mean_divergence(), 0.0);
    }
}
