//! How the next token is chosen: what the state `sampling` holds.

use crate::args;
use crate::error::{CliError, Result};
use serde_json::{Value, json};

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// 0 is greedy.
    pub temperature: f32,
    /// 0 is off.
    pub top_k: u32,
    /// 1 is off.
    pub top_p: f32,
    /// 0 is off.
    pub min_p: f32,
    /// 1 is off.
    pub repetition_penalty: f32,
    pub seed: u32,
}

impl Sampling {
    pub const GREEDY: Sampling = Sampling {
        temperature: 0.0,
        top_k: 0,
        top_p: 1.0,
        min_p: 0.0,
        repetition_penalty: 1.0,
        seed: 0,
    };

    /// The model's own settings, as its authors recommend them (asset `chat.json`).
    pub fn of_model(settings: &Value) -> Sampling {
        let number = |key: &str, off: f32| settings[key].as_f64().map_or(off, |v| v as f32);
        let given = Sampling {
            temperature: number("temperature", 0.0),
            top_k: number("top_k", 0.0) as u32,
            top_p: number("top_p", 1.0),
            min_p: number("min_p", 0.0),
            repetition_penalty: number("repetition_penalty", 1.0),
            seed: 0,
        };
        given.checked().unwrap_or(Sampling::GREEDY)
    }

    /// `self` with what the command line says. A way of drawing without a temperature means to draw.
    pub fn with(mut self, args: &args::Sampling) -> Result<Sampling> {
        let draws = args.top_k.is_some() || args.top_p.is_some() || args.min_p.is_some();
        if draws && self.temperature == 0.0 {
            self.temperature = 1.0;
        }
        self.temperature = args.temperature.unwrap_or(self.temperature);
        self.top_k = args.top_k.unwrap_or(self.top_k);
        self.top_p = args.top_p.unwrap_or(self.top_p);
        self.min_p = args.min_p.unwrap_or(self.min_p);
        self.repetition_penalty = args.repetition_penalty.unwrap_or(self.repetition_penalty);
        self.seed = args.seed.unwrap_or_else(any_seed);
        self.checked()
    }

    fn checked(self) -> Result<Sampling> {
        let outside = |option: &str, v: f32, range: &str| {
            Err(CliError::bad(format!("--{option} {v}: expected {range}")))
        };
        if !(self.temperature.is_finite() && self.temperature >= 0.0) {
            return outside("temperature", self.temperature, "0 or more");
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return outside("top-p", self.top_p, "more than 0 and at most 1");
        }
        if !(0.0..1.0).contains(&self.min_p) {
            return outside("min-p", self.min_p, "at least 0 and less than 1");
        }
        let penalty = self.repetition_penalty;
        if !(penalty.is_finite() && penalty > 0.0) {
            return outside("repetition-penalty", penalty, "more than 0");
        }
        Ok(self)
    }

    /// The state `sampling`: f32\[8\]. The penalty looks at the whole text.
    pub fn state(&self) -> [f32; 8] {
        let Sampling { temperature, top_k, top_p, min_p, repetition_penalty, .. } = *self;
        [temperature, top_k as f32, top_p, repetition_penalty, min_p, 0.0, 0.0, 0.0]
    }

    pub fn json(&self) -> Value {
        json!({
            "temperature": self.temperature, "top_k": self.top_k, "top_p": self.top_p,
            "min_p": self.min_p, "repetition_penalty": self.repetition_penalty, "seed": self.seed,
        })
    }
}

/// Another seed each time.
fn any_seed() -> u32 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |t| t.subsec_nanos() ^ t.as_secs() as u32)
}
