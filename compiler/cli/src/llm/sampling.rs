//! How the next token is chosen, by the command line and by the model's authors.

use crate::args;
use crate::error::{CliError, Result};
pub use drift_runtime::generate::Sampling;
use serde_json::{Value, json};

/// The model's own settings, as its authors recommend them (asset `chat.json`).
pub fn of_model(settings: &Value) -> Sampling {
    let number = |key: &str, off: f32| settings[key].as_f64().map_or(off, |v| v as f32);
    let given = Sampling {
        temperature: number("temperature", 0.0),
        top_k: number("top_k", 0.0) as u32,
        top_p: number("top_p", 1.0),
        min_p: number("min_p", 0.0),
        repetition_penalty: number("repetition_penalty", 1.0),
        ..Sampling::GREEDY
    };
    checked(given).unwrap_or(Sampling::GREEDY)
}

/// `base` with what the command line says. A way of drawing without a temperature means to draw.
pub fn with(base: Sampling, args: &args::Sampling) -> Result<Sampling> {
    let draws = args.top_k.is_some() || args.top_p.is_some() || args.min_p.is_some();
    let base_temperature = if draws && base.temperature == 0.0 { 1.0 } else { base.temperature };
    checked(Sampling {
        temperature: args.temperature.unwrap_or(base_temperature),
        top_k: args.top_k.unwrap_or(base.top_k),
        top_p: args.top_p.unwrap_or(base.top_p),
        min_p: args.min_p.unwrap_or(base.min_p),
        repetition_penalty: args.repetition_penalty.unwrap_or(base.repetition_penalty),
        seed: args.seed.unwrap_or_else(any_seed),
        ..base
    })
}

/// Before a bundle is loaded: the message names the option.
fn checked(s: Sampling) -> Result<Sampling> {
    let outside = |option: &str, v: f32, range: &str| {
        Err(CliError::bad(format!("--{option} {v}: expected {range}")))
    };
    if !(s.temperature.is_finite() && s.temperature >= 0.0) {
        return outside("temperature", s.temperature, "0 or more");
    }
    if !(s.top_p > 0.0 && s.top_p <= 1.0) {
        return outside("top-p", s.top_p, "more than 0 and at most 1");
    }
    if !(0.0..=1.0).contains(&s.min_p) {
        return outside("min-p", s.min_p, "0 to 1");
    }
    let penalty = s.repetition_penalty;
    if !(penalty.is_finite() && penalty > 0.0) {
        return outside("repetition-penalty", penalty, "more than 0");
    }
    Ok(s)
}

pub fn to_json(s: &Sampling) -> Value {
    json!({
        "temperature": s.temperature, "top_k": s.top_k, "top_p": s.top_p, "min_p": s.min_p,
        "repetition_penalty": s.repetition_penalty, "seed": s.seed,
    })
}

/// Another seed each time.
fn any_seed() -> u32 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |t| t.subsec_nanos() ^ t.as_secs() as u32)
}
