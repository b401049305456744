//! `driftc bench --llm`: prefill and decode rates, time to first token, memory.

use super::generate::{rate, rounded};
use super::memory::{Host, device_bytes};
use super::model::Model;
use super::sampling::Sampling;
use super::text::Text;
use crate::args::BenchArgs;
use crate::error::{CliError, Result};
use crate::runner::open;
use crate::summary::bytes as human;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Timed repetitions of the prefill and of the decode; the median is reported.
const REPEATS: usize = 5;

/// Token ids that look like nothing in particular, the same each time.
fn some_ids(count: usize, vocab: usize) -> Vec<u32> {
    let mut x = 0x2545_f491_u32;
    let mut next = || {
        // xorshift32
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        x
    };
    (0..count).map(|_| next() % vocab.max(1) as u32).collect()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Time from a prompt to the first token after it; the cache is empty before.
fn time_prefill(model: &mut Model, prompt: &[u32]) -> Result<Duration> {
    model.reset()?;
    let start = Instant::now();
    model.prefill(prompt)?;
    let mut time = Duration::ZERO;
    model.decode(1, |_| {
        time = start.elapsed();
        Ok(true)
    })?;
    Ok(time)
}

/// Tokens per second of decode steps behind some text; `None` where the context has no room.
pub fn decode_rate(model: &mut Model, ids: &[u32]) -> Result<Option<f64>> {
    const STEPS: usize = 32;
    let Some(room) = model.context().checked_sub(STEPS).filter(|n| *n > 0) else {
        return Ok(None);
    };
    time_prefill(model, &ids[..ids.len().min(room)])?;
    let mut start = None;
    let count = model.decode(STEPS + 1, |_| {
        start.get_or_insert_with(Instant::now);
        Ok(true)
    })?;
    Ok(rate(count - 1, start.map_or(Duration::ZERO, |t| t.elapsed())))
}

pub fn run(args: &BenchArgs) -> Result {
    let since = Instant::now();
    let bundle = open(&args.bundle)?;
    let text = Text::open(&bundle)?;
    let mut model = Model::open(&bundle, &text, &args.place)?;
    model.set_sampling(&Sampling::GREEDY)?;
    // the first token of a text needs the tokenizer, if there is one
    text.maybe_tokenizer();
    let loaded = since.elapsed();
    let (prefill, decode) = (args.prefill, args.decode);
    if prefill == 0 || decode == 0 {
        return Err(CliError::bad("--prefill and --decode must be at least 1"));
    }
    if prefill + decode > model.context() {
        return Err(CliError::bad(format!(
            "{prefill} + {decode} tokens do not fit into the context of {} tokens",
            model.context()
        ))
        .help("compile with a larger --context, or give smaller --prefill and --decode"));
    }
    let prompt = some_ids(prefill, model.vocabulary());
    time_prefill(&mut model, &prompt)?;
    let first = since.elapsed();

    let mut prefills = Vec::new();
    for _ in 0..REPEATS {
        prefills.push(time_prefill(&mut model, &prompt)?);
    }
    // the first token comes from the prefill: one more than the steps that are timed
    let mut decodes = Vec::new();
    for _ in 0..REPEATS {
        time_prefill(&mut model, &prompt)?;
        let mut start = None;
        model.decode(decode + 1, |_| {
            start.get_or_insert_with(Instant::now);
            Ok(true)
        })?;
        decodes.push(start.map_or(Duration::ZERO, |t| t.elapsed()));
    }
    let (prefill_time, decode_time) = (median(prefills), median(decodes));
    let host = Host::now();
    let (device, states) = device_bytes(model.plan());
    let file = bundle.bytes().len() as u64;
    if args.json {
        let result: Value = json!({
            "device": model.place(), "model": bundle.meta().model(),
            "prefill_tokens": prefill, "prefill_seconds": prefill_time.as_secs_f64(),
            "prefill_tokens_per_second": rate(prefill, prefill_time),
            "decode_tokens": decode, "decode_seconds": decode_time.as_secs_f64(),
            "decode_tokens_per_second": rate(decode, decode_time),
            "load_seconds": loaded.as_secs_f64(), "first_token_seconds": first.as_secs_f64(),
            "bundle_bytes": file, "device_bytes": device, "state_bytes": states,
            "host": host.json(),
        });
        println!("{result:#}");
        return Ok(());
    }
    let per_second = |n, t| rate(n, t).map_or("-".to_owned(), rounded);
    println!("{} on {}", bundle.meta().model(), model.place());
    println!(
        "prefill      {prefill} tokens in {:.2} ms: {} tokens/s",
        prefill_time.as_secs_f64() * 1e3,
        per_second(prefill, prefill_time)
    );
    println!(
        "decode       {decode} tokens behind them in {:.2} ms: {} tokens/s, {:.3} ms each",
        decode_time.as_secs_f64() * 1e3,
        per_second(decode, decode_time),
        decode_time.as_secs_f64() * 1e3 / decode as f64
    );
    println!(
        "first token  {:.1} ms after opening the bundle, of which loading {:.1} ms",
        first.as_secs_f64() * 1e3,
        loaded.as_secs_f64() * 1e3
    );
    println!(
        "device       {} in objects, of these {} of states; bundle {}",
        human(device),
        human(states),
        human(file)
    );
    if let (Some(peak), Some(own), Some(mapped)) = (host.peak, host.anonymous, host.file) {
        println!(
            "host         {} at most; now {} of its own, {} of mapped files",
            human(peak),
            human(own),
            human(mapped)
        );
    }
    Ok(())
}
