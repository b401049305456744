//! Rotary position embedding: which frequencies a configuration asks for, and the tables.
//!
//! The scaling kinds and their formulas are those of `modeling_rope_utils.py` of transformers;
//! yarn is <https://arxiv.org/abs/2309.00071>, longrope <https://arxiv.org/abs/2402.13753>.
//! All is computed in f64 and rounded once.

use super::config::{Config, unsupported};
use crate::error::Result;
use drift_ir::LazyTensor;
use std::f64::consts::PI;
use std::io::{self, Write};

/// The rotation of q and k by position.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// Elements of a head that are rotated, the first ones; pairs are (i, i + dim/2).
    pub dim: usize,
    /// What exponents are shares of: `dim`, or one less where a part of a head is an odd number.
    pub span: usize,
    pub theta: f64,
    pub scaling: Scaling,
}

/// How the frequencies are changed for long contexts.
#[derive(Clone, Debug, PartialEq)]
pub enum Scaling {
    None,
    Linear {
        factor: f64,
    },
    /// Depends on the length of the text beyond `max` positions; below it there is no scaling.
    Dynamic {
        max: usize,
    },
    Yarn {
        factor: f64,
        original: f64,
        beta_fast: f64,
        beta_slow: f64,
        truncate: bool,
        /// What cos and sin are multiplied by.
        attention: f64,
    },
    /// One divisor per frequency: `short` up to `original` positions, `long` beyond.
    LongRope {
        short: Vec<f64>,
        long: Vec<f64>,
        original: usize,
        attention: f64,
    },
    Llama3 {
        factor: f64,
        low: f64,
        high: f64,
        original: f64,
    },
}

/// What is read besides the configuration's own keys.
#[derive(Clone, Copy, Debug)]
pub struct RopeDefaults<'a> {
    /// Key of `rope_parameters` when it has one object per kind of layer.
    pub layer_type: &'a str,
    pub theta: f64,
    pub head_dim: usize,
    pub max_positions: usize,
    /// `original_max_position_embeddings` where no key gives it.
    pub original: usize,
    /// "su" and "yarn" are old names of longrope in Phi-3.
    pub old_names: bool,
}

impl Rope {
    /// Reads `rope_theta`, `rope_scaling` and `partial_rotary_factor`, or `rope_parameters`, which
    /// has them all since transformers 5.
    pub fn read(cfg: &Config, d: &RopeDefaults) -> Result<Rope> {
        let mut parameters = cfg.section("rope_parameters")?;
        if let Some(p) = &parameters
            && let Some(nested) = p.section(d.layer_type)?
        {
            parameters = Some(nested);
        }
        match cfg.section("rope_scaling")?.or(parameters) {
            Some(parameters) => Rope::scaled(cfg, &parameters, d),
            None => Rope::plain(cfg, None, d),
        }
    }

    /// Reads one object of parameters; `cfg` is asked for what it lacks.
    pub fn scaled(cfg: &Config, scaling: &Config, d: &RopeDefaults) -> Result<Rope> {
        let mut rope = Rope::plain(cfg, Some(scaling), d)?;
        let kind = scaling.opt_str("rope_type")?.or(scaling.opt_str("type")?).unwrap_or("default");
        let kind = match kind {
            "su" | "yarn" if d.old_names => "longrope",
            "su" => "longrope",
            kind => kind,
        };
        rope.scaling = match kind {
            "default" => Scaling::None,
            "linear" => Scaling::Linear { factor: scaling.positive("factor")? },
            "dynamic" => Scaling::Dynamic { max: d.max_positions },
            "yarn" => yarn(cfg, scaling, d)?,
            "longrope" => longrope(cfg, scaling, d, rope.dim / 2)?,
            "llama3" => Scaling::Llama3 {
                factor: scaling.positive("factor")?,
                low: scaling.positive("low_freq_factor")?,
                high: scaling.positive("high_freq_factor")?,
                original: original(cfg, scaling, d)?,
            },
            other => {
                return Err(unsupported(format!(
                    "{}: rope type `{other}` is not supported",
                    cfg.path().display()
                ))
                .help("supported: default, linear, dynamic, yarn, longrope, llama3"));
            }
        };
        if let Scaling::Llama3 { low, high, .. } = rope.scaling
            && high <= low
        {
            return Err(scaling.error("high_freq_factor", "must be above low_freq_factor"));
        }
        Ok(rope)
    }

    /// Without scaling.
    fn plain(cfg: &Config, parameters: Option<&Config>, d: &RopeDefaults) -> Result<Rope> {
        let from = |key: &str| match parameters.map(|p| p.opt_positive(key)).transpose()? {
            Some(Some(v)) => Ok(Some(v)),
            _ => cfg.opt_positive(key),
        };
        let theta = from("rope_theta")?.unwrap_or(d.theta);
        let part = from("partial_rotary_factor")?.unwrap_or(1.0);
        if part > 1.0 {
            return Err(cfg.error("partial_rotary_factor", "is above 1"));
        }
        if theta <= 1.0 {
            return Err(cfg.error("rope_theta", "must be above 1"));
        }
        let span = (d.head_dim as f64 * part) as usize;
        let dim = span.next_multiple_of(2);
        if dim < 2 || dim > d.head_dim {
            let message = format!("({}) is too small to rotate pairs of elements", d.head_dim);
            return Err(cfg.error("head_dim", &message));
        }
        Ok(Rope { dim, span, theta, scaling: Scaling::None })
    }

    /// Longest text of the first set of angles; `None` where there is one set.
    pub fn switch(&self, context: usize) -> Option<usize> {
        match &self.scaling {
            Scaling::LongRope { original, .. } if context > *original => Some(*original),
            _ => None,
        }
    }

    /// Angle per position of each pair for a text of `text` tokens, and the factor of cos and sin.
    /// `Err` says why there is no fixed table.
    pub fn frequencies(&self, text: usize) -> Result<(Vec<f64>, f64), String> {
        let half = self.dim / 2;
        let power = |i: usize| self.theta.powf(2.0 * i as f64 / self.span as f64);
        let plain: Vec<f64> = (0..half).map(|i| 1.0 / power(i)).collect();
        Ok(match &self.scaling {
            Scaling::None => (plain, 1.0),
            Scaling::Linear { factor } => (plain.iter().map(|f| f / factor).collect(), 1.0),
            Scaling::Dynamic { max } => {
                if text > *max {
                    return Err(format!(
                        "the dynamic rope scaling of this model changes with the length of the \
                         text beyond {max} positions, which a compiled table cannot"
                    ));
                }
                (plain, 1.0)
            }
            Scaling::LongRope { short, long, original, attention } => {
                let divisors = if text > *original { long } else { short };
                (plain.iter().zip(divisors).map(|(f, d)| f / d).collect(), *attention)
            }
            Scaling::Yarn { factor, original, beta_fast, beta_slow, truncate, attention } => {
                // index of the frequency that turns `rotations` times within the original context
                let index = |rotations: f64| {
                    self.span as f64 * (original / (rotations * 2.0 * PI)).ln()
                        / (2.0 * self.theta.ln())
                };
                let (mut low, mut high) = (index(*beta_fast), index(*beta_slow));
                if *truncate {
                    (low, high) = (low.floor(), high.ceil());
                }
                low = low.max(0.0);
                high = high.min(self.span as f64 - 1.0);
                if low == high {
                    high += 0.001;
                }
                let scaled = plain.iter().enumerate().map(|(i, f)| {
                    let ramp = ((i as f64 - low) / (high - low)).clamp(0.0, 1.0);
                    f / factor * ramp + f * (1.0 - ramp)
                });
                (scaled.collect(), *attention)
            }
            Scaling::Llama3 { factor, low, high, original } => {
                let scaled = plain.iter().map(|f| {
                    let turns = original * f / (2.0 * PI);
                    if turns > *high {
                        return *f;
                    }
                    if turns < *low {
                        return f / factor;
                    }
                    let smooth = (turns - low) / (high - low);
                    (1.0 - smooth) * f / factor + smooth * f
                });
                (scaled.collect(), 1.0)
            }
        })
    }

    /// The tables cos and sin, f32 [context, dim/2]; with a [`Rope::switch`] twice as many rows,
    /// those of long texts below.
    pub fn tables(&self, context: usize) -> Result<[LazyTensor; 2], String> {
        let short = self.switch(context).map(|text| self.frequencies(text)).transpose()?;
        let sets: Vec<(Vec<f64>, f64)> =
            short.into_iter().chain([self.frequencies(context)?]).collect();
        let key = format!("rope {} {} {:?} {context}", self.span, self.theta, self.scaling);
        let table = |name: &str, f: fn(f64) -> f64| {
            let sets = sets.clone();
            LazyTensor::new(format!("{key} {name}"), move |out: &mut dyn Write| -> io::Result<()> {
                for (frequencies, factor) in &sets {
                    let mut row = Vec::with_capacity(4 * frequencies.len());
                    for p in 0..context {
                        row.clear();
                        for angle in frequencies {
                            let v = f(p as f64 * angle) * factor;
                            row.extend_from_slice(&(v as f32).to_le_bytes());
                        }
                        out.write_all(&row)?;
                    }
                }
                Ok(())
            })
        };
        Ok([table("cos", f64::cos), table("sin", f64::sin)])
    }
}

/// Positions the model was first trained for.
fn original(cfg: &Config, scaling: &Config, d: &RopeDefaults) -> Result<f64> {
    const KEY: &str = "original_max_position_embeddings";
    let n = match cfg.opt_size(KEY)? {
        Some(n) => n,
        None => scaling.size_or(KEY, d.original)?,
    };
    if n < 2 {
        return Err(cfg.error(KEY, "is less than 2"));
    }
    Ok(n as f64)
}

fn yarn(cfg: &Config, scaling: &Config, d: &RopeDefaults) -> Result<Scaling> {
    let original = original(cfg, scaling, d)?;
    let factor = match scaling.opt_positive("factor")? {
        Some(f) => f,
        None => d.max_positions as f64 / original,
    };
    let scale = |m: f64| if factor <= 1.0 { 1.0 } else { 0.1 * m * factor.ln() + 1.0 };
    let attention = match (
        scaling.opt_positive("attention_factor")?,
        scaling.opt_float("mscale")?.filter(|m| *m != 0.0),
        scaling.opt_float("mscale_all_dim")?.filter(|m| *m != 0.0),
    ) {
        (Some(a), _, _) => a,
        (None, Some(m), Some(all)) => scale(m) / scale(all),
        _ => scale(1.0),
    };
    Ok(Scaling::Yarn {
        factor,
        original,
        beta_fast: scaling.positive_or("beta_fast", 32.0)?,
        beta_slow: scaling.positive_or("beta_slow", 1.0)?,
        truncate: scaling.bool_or("truncate", true)?,
        attention,
    })
}

fn longrope(cfg: &Config, scaling: &Config, d: &RopeDefaults, pairs: usize) -> Result<Scaling> {
    let list = |key: &str| match scaling.opt_floats(key)? {
        Some(v) if v.len() == pairs => Ok(v),
        Some(v) => Err(scaling.error(
            key,
            &format!("has {} numbers, {pairs} pairs are rotated in each head", v.len()),
        )),
        None => Err(scaling.error(key, "is missing")),
    };
    let original = original(cfg, scaling, d)?;
    let factor = match scaling.opt_positive("factor")? {
        Some(f) => f,
        None => d.max_positions as f64 / original,
    };
    let attention = match scaling.opt_positive("attention_factor")? {
        Some(a) => a,
        None if factor <= 1.0 => 1.0,
        None => (1.0 + factor.ln() / original.ln()).sqrt(),
    };
    Ok(Scaling::LongRope {
        short: list("short_factor")?,
        long: list("long_factor")?,
        original: original as usize,
        attention,
    })
}
