//! The next token of a language model: penalty, temperature, truncation and draw.

use crate::Result;
use crate::data::sample;
use crate::def::{Accuracy, Case, InferCtx, OpDef, RefCtx};
use crate::ops::embedding::{check_params, params};
use drift_ir::{Attrs, DType, Shape, Tensor};

/// Operands: logits `[1, V]`; tokens I32 `[T]`, ids by position; params I32 `[16]`; sampling F32
/// `[8]`. Results: tokens and params, in the memory of the operands, where the token at position
/// q = params\[0\] + params\[1\] is the new one, params\[0\] is q and params\[1\] is 1. A position
/// beyond the end of tokens means the last one.
///
/// What happens to the logits, in this order; see [`Settings`] for where the settings lie:
///
/// 1. Numbers outside of +-3e38 become the nearer of the two, NaN becomes -3e38.
/// 2. *Repetition penalty* r (Keskar et al. 2019, section 4.1, with the sign as in transformers):
///    the logit of every id at positions q - window to q - 1 (all before q when the window is 0)
///    becomes l / r where l > 0, else l * r; once, however often it occurs.
/// 3. *Temperature* t: t <= 0 takes the largest logit, of equal ones the lowest id, and is done.
///    Else x = l / t.
/// 4. *top_k*: what is less than the k-th largest x drops out. Its equals stay.
/// 5. *top_p*: of what is left, the largest x stay whose weights exp(x) make up the share p of all
///    that is left; the equals of the least of them stay too.
/// 6. *min_p*: what is less than ln(min_p) below the largest x drops out.
/// 7. The first id, ascending, at which the sum of the weights exceeds u times the sum of all, with
///    u = [`uniform`] of seed (params\[3\]) and position q: a draw depends on nothing else.
///
/// Kernels work in f32: logits closer than about 1e-6 may count as equal, and those 90 below the
/// largest have no weight.
pub static OP: OpDef = OpDef {
    name: "sample",
    onnx: &[],
    import: |c| Err(c.unsupported("`sample` is made by model builders")),
    infer,
    reference,
    accuracy: Accuracy::EXACT,
    cases,
};

/// Operands by number.
pub const LOGITS: usize = 0;
pub const TOKENS: usize = 1;
pub const PARAMS: usize = 2;
pub const SAMPLING: usize = 3;

/// Elements of the state `sampling`.
pub const SAMPLING_LEN: usize = 8;

/// Logits are kept within this.
pub const LARGEST: f32 = 3e38;

/// Number of each setting in the state `sampling`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Setting {
    /// 0 = greedy.
    Temperature = 0,
    /// 0 = off.
    TopK = 1,
    /// 1 = off.
    TopP = 2,
    /// 1 = off (0 and less too).
    Penalty = 3,
    /// 0 = off.
    MinP = 4,
    /// Positions that the penalty looks back; 0 = all.
    Window = 5,
}

/// The state `sampling`: unused elements are 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings(pub [f32; SAMPLING_LEN]);

impl Settings {
    pub const GREEDY: Settings = Settings([0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]);

    #[must_use]
    pub fn with(mut self, setting: Setting, value: f32) -> Settings {
        self.0[setting as usize] = value;
        self
    }

    fn get(&self, setting: Setting) -> f64 {
        f64::from(self.0[setting as usize])
    }
}

/// A number in 0..1, a multiple of 2^-24: the upper bits of the integer hash "lowbias32" (Wellons,
/// 2018) of seed and position.
pub fn uniform(seed: u32, position: u32) -> f32 {
    let hash = |mut h: u32| {
        h ^= h >> 16;
        h = h.wrapping_mul(HASH[0]);
        h ^= h >> 15;
        h = h.wrapping_mul(HASH[1]);
        h ^ (h >> 16)
    };
    let h = hash(seed ^ hash(position.wrapping_add(HASH[2])));
    (h >> 8) as f32 / (1 << 24) as f32
}

/// The two factors of the hash and what is added to the position.
pub const HASH: [u32; 3] = [0x7feb_352d, 0x846c_a68b, 0x9e37_79b9];

fn infer(c: &InferCtx) -> Result<Vec<(DType, Shape)>> {
    let (dtype, logits) = (c.dtype(LOGITS)?, c.shape(LOGITS)?);
    if !dtype.is_float() || logits.rank() != 2 || logits[0] != 1 || logits[1] == 0 {
        return Err(c.invalid(format!("logits are {dtype}{logits}, not one row of floats")));
    }
    let (dtype, tokens) = (c.dtype(TOKENS)?, c.shape(TOKENS)?);
    if dtype != DType::I32 || tokens.rank() != 1 || tokens.elems() == 0 {
        return Err(c.invalid(format!("tokens are {dtype}{tokens}, not a list of i32")));
    }
    check_params(c, PARAMS)?;
    let (dtype, sampling) = (c.dtype(SAMPLING)?, c.shape(SAMPLING)?);
    if dtype != DType::F32 || **sampling != [SAMPLING_LEN] {
        let message = format!("sampling is {dtype}{sampling}, not f32[{SAMPLING_LEN}]");
        return Err(c.invalid(message));
    }
    let result = |i| Ok((c.dtype(i)?, c.shape(i)?.clone()));
    Ok(vec![result(TOKENS)?, result(PARAMS)?])
}

fn reference(c: &RefCtx) -> Result<Vec<Tensor>> {
    let (logits, tokens) = (c.tensor(LOGITS)?.to_f64s(), c.tensor(TOKENS)?);
    let (mut ids, mut state) = (tokens.to_i64s(), c.tensor(PARAMS)?.to_i64s());
    let settings = c.tensor(SAMPLING)?.to_f32s();
    let settings = Settings(std::array::from_fn(|i| settings[i]));
    let at = (state[0] + state[1]).clamp(0, ids.len() as i64 - 1) as usize;
    let u = uniform(state[3] as u32, at as u32);
    ids[at] = choose(&logits, &ids[..at], settings, f64::from(u)) as i64;
    (state[0], state[1]) = (at as i64, 1);
    let (t, p) = (tokens.shape.clone(), c.tensor(PARAMS)?.shape.clone());
    Ok(vec![Tensor::from_i64s(DType::I32, t, &ids), Tensor::from_i64s(DType::I32, p, &state)])
}

/// The next id after the ids `before`, for the draw `u`.
fn choose(logits: &[f64], before: &[i64], settings: Settings, u: f64) -> usize {
    let most = f64::from(LARGEST);
    let clamped = |l: f64| if l.is_nan() { -most } else { l.clamp(-most, most) };
    let mut x: Vec<f64> = logits.iter().copied().map(clamped).collect();
    let penalty = settings.get(Setting::Penalty);
    if penalty > 0.0 && penalty != 1.0 {
        let window = match settings.get(Setting::Window) as usize {
            0 => before.len(),
            n => n.min(before.len()),
        };
        let mut seen = before[before.len() - window..].to_vec();
        seen.sort_unstable();
        seen.dedup();
        for id in seen {
            if let Some(l) = usize::try_from(id).ok().and_then(|id| x.get_mut(id)) {
                *l = clamped(if *l > 0.0 { *l / penalty } else { *l * penalty });
            }
        }
    }
    let largest = x.iter().fold(f64::NEG_INFINITY, |m, l| m.max(*l));
    let temperature = settings.get(Setting::Temperature);
    if temperature <= 0.0 || temperature.is_nan() {
        return x.iter().position(|l| *l == largest).unwrap_or(0);
    }
    x.iter_mut().for_each(|l| *l = clamped(*l / temperature));
    let largest = clamped(largest / temperature);

    let mut order = x.clone();
    order.sort_by(|a, b| b.total_cmp(a));
    let mut least = f64::NEG_INFINITY;
    let k = settings.get(Setting::TopK) as usize;
    if (1..order.len()).contains(&k) {
        least = order[k - 1];
    }
    let weight = |l: f64| (l - largest).exp();
    let top_p = settings.get(Setting::TopP);
    if top_p < 1.0 {
        let left = &order[..order.iter().filter(|l| **l >= least).count()];
        let share = top_p * left.iter().map(|l| weight(*l)).sum::<f64>();
        let mut sum = 0.0;
        least = largest;
        for l in left {
            if sum >= share {
                break;
            }
            sum += weight(*l);
            least = *l;
        }
    }
    let min_p = settings.get(Setting::MinP);
    if min_p > 0.0 {
        least = least.max(largest + min_p.ln()).min(largest);
    }
    let kept: Vec<f64> = x.iter().map(|l| if *l >= least { weight(*l) } else { 0.0 }).collect();
    let target = u * kept.iter().sum::<f64>();
    let mut sum = 0.0;
    let mut last = 0;
    for (id, w) in kept.iter().enumerate().filter(|(_, w)| **w > 0.0) {
        sum += w;
        last = id;
        if sum > target {
            break;
        }
    }
    last
}

/// Room for tokens in all cases: every other shape is another kernel to compile.
const ROOM: usize = 710;

/// A case of given logits, tokens before and seed.
fn case(name: &str, logits: Tensor, before: &[i64], settings: Settings, seed: i64) -> Case {
    let mut ids = before.to_vec();
    ids.resize(ROOM, -1);
    let mut state = params(before.len() as i64 - 1, 1, 0).to_i64s();
    state[3] = seed;
    let operands = vec![
        logits,
        Tensor::from_i64s(DType::I32, [ids.len()], &ids),
        Tensor::from_i64s(DType::I32, [state.len()], &state),
        Tensor::from_f32([SAMPLING_LEN], &settings.0),
    ];
    Case::new(name, Attrs::new(), operands)
}

fn cases() -> Vec<Case> {
    use Setting::*;
    const MASKED: f32 = f32::NEG_INFINITY;
    // the ids beyond `v` are masked
    let row = |vocabulary: usize, v: &[f32]| {
        let mut v = v.to_vec();
        v.resize(vocabulary, MASKED);
        Tensor::from_f32([1, vocabulary], &v)
    };
    let few = |v: &[f32]| row(300, v);
    // -8..8: from dozens of candidates to a handful
    let wide = |seed: u64, v: usize| {
        let t = sample(seed, DType::F32, [1, v]);
        let scaled: Vec<f32> = t.to_f32s().iter().map(|x| x * 4.0).collect();
        row(v, &scaled)
    };
    let greedy = Settings::GREEDY;
    let warm = greedy.with(Temperature, 0.8);
    let strict = greedy.with(Penalty, 1.5);
    let hot = greedy.with(Temperature, 5.0);
    let many: Vec<i64> = (0..700).map(|i| (i * 37) % 3000).collect();
    let all = Settings([0.7, 40.0, 0.95, 1.1, 0.02, 64.0, 0.0, 0.0]);
    let mut cases = vec![
        case("greedy", wide(1, 300), &[5, 6], greedy, 0),
        case("greedy of one", row(1, &[-3.0]), &[0], greedy, 0),
        case("greedy ties", few(&[1.0, 7.0, 2.0, 7.0, 7.0]), &[1], greedy, 0),
        case("greedy far ties", row(3000, &[[0.5; 1400], [2.5; 1400]].concat()), &[1], greedy, 0),
        case("greedy NaN", few(&[f32::NAN, -1.0, f32::NAN, 0.5]), &[1], greedy, 0),
        case("greedy masked", few(&[]), &[1], greedy, 0),
        case("greedy infinite", few(&[1.0, f32::INFINITY, 3.4e38]), &[1], greedy, 0),
        case("penalty", few(&[4.0, 3.9, -0.5, 3.5]), &[0, 1, 0, 9, 0], strict, 0),
        case("penalty below 0", few(&[-2.0, -2.6, -2.1]), &[0, 2], strict, 0),
        case("penalty window", few(&[4.0, 3.9, 3.5]), &[0, 0, 2, 1], strict.with(Window, 2.0), 0),
        case("penalty of many", wide(2, 3000), &many, strict.with(Window, 650.0), 0),
        case("top_k 1", wide(4, 300), &[1], warm.with(TopK, 1.0), 5),
        case("top_k beyond", wide(4, 300), &[1], warm.with(TopK, 300.0), 5),
        case("top_k of many", wide(5, 3000), &[1], hot.with(TopK, 400.0), 5),
        case("top_p 0", wide(6, 300), &[1], warm.with(TopP, 0.0), 8),
        case("min_p 1", wide(6, 300), &[1], warm.with(MinP, 1.0), 8),
        case("flat", row(3000, &[0.25; 900]), &[1], warm.with(TopP, 0.5), 7),
        case("all masked", few(&[]), &[1], warm, 7),
        case("cold", wide(7, 300), &[1], greedy.with(Temperature, 0.01).with(TopP, 0.95), 9),
        case("all settings", wide(8, 3000), &many[..300], all, 77),
        case("full", wide(9, 300), &[1], warm, 6),
        case("large", wide(10, 70_001), &[3], greedy, 0),
        case("large draw", wide(11, 70_001), &[3], warm.with(TopP, 0.9).with(TopK, 64.0), 21),
    ];
    for seed in 1..4 {
        let name = |what: &str| format!("{what}, seed {seed}");
        cases.push(case(&name("temperature"), wide(20, 3000), &[2], warm, seed));
        cases.push(case(&name("top_k"), wide(21, 3000), &[2], warm.with(TopK, 20.0), seed));
        cases.push(case(&name("top_p"), wide(22, 3000), &[2], warm.with(TopP, 0.8), seed));
        cases.push(case(&name("min_p"), wide(23, 300), &[2], warm.with(MinP, 0.05), seed));
    }
    // no room left: the position stays at the end
    let full = cases.iter_mut().find(|c| c.name == "full").and_then(|c| c.operands[2].as_mut());
    if let Some(p) = full {
        *p = params(ROOM as i64 - 3, 7, 0);
    }
    cases
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kernels compute in f32: a case that lies on an edge would test luck.
    #[test]
    fn cases_keep_away_from_edges() {
        for case in cases() {
            let t = |i: usize| case.operands[i].as_ref().unwrap();
            let (logits, ids, state) = (t(0).to_f64s(), t(1).to_i64s(), t(2).to_i64s());
            let v = t(3).to_f32s();
            let settings = Settings(std::array::from_fn(|i| v[i]));
            let at = (state[0] + state[1]).min(ids.len() as i64 - 1) as usize;
            let u = f64::from(uniform(state[3] as u32, at as u32));
            let want = choose(&logits, &ids[..at], settings, u);
            for du in [-1e-4, 0.0, 1e-4] {
                for dp in [-1e-4, 0.0, 1e-4] {
                    let mut near = settings;
                    for s in [Setting::TopP, Setting::MinP] {
                        let old = &mut near.0[s as usize];
                        *old *= if *old < 1.0 { 1.0 + dp } else { 1.0 };
                    }
                    let got = choose(&logits, &ids[..at], near, (u + du).clamp(0.0, 1.0));
                    assert_eq!(got, want, "{}: u {du}, p {dp}", case.name);
                }
            }
        }
    }

    /// Known sets, computed by hand: weights 0.4, 0.3, 0.2, 0.1 of ids 3, 0, 2, 1.
    #[test]
    fn truncation_keeps_the_right_ids() {
        let logits: Vec<f64> = [0.3, 0.1, 0.2, 0.4f64].map(f64::ln).to_vec();
        let on = Settings::GREEDY.with(Setting::Temperature, 1.0);
        // every id that some u in 0..1 gives
        let reachable = |settings: Settings| {
            let mut ids: Vec<usize> =
                (0..1000).map(|i| choose(&logits, &[], settings, f64::from(i) / 1000.0)).collect();
            ids.dedup();
            ids
        };
        assert_eq!(reachable(on), [0, 1, 2, 3]);
        assert_eq!(reachable(on.with(Setting::TopK, 2.0)), [0, 3]);
        assert_eq!(reachable(on.with(Setting::TopP, 0.69)), [0, 3]);
        assert_eq!(reachable(on.with(Setting::TopP, 0.71)), [0, 2, 3]);
        // of ids 3 and 0, id 3 has 0.4 / 0.7
        assert_eq!(reachable(on.with(Setting::TopK, 2.0).with(Setting::TopP, 0.56)), [3]);
        assert_eq!(reachable(on.with(Setting::MinP, 0.45)), [0, 2, 3]);
        assert_eq!(reachable(on.with(Setting::MinP, 0.55)), [0, 3]);
        assert_eq!(reachable(Settings::GREEDY), [3]);
        let share = |id| {
            let ids = (0..1000).map(|i| choose(&logits, &[], on, f64::from(i) / 1000.0));
            ids.filter(|i| *i == id).count()
        };
        assert_eq!([0, 1, 2, 3].map(share), [300, 100, 200, 400]);
    }

    #[test]
    fn draws_are_even_and_fixed() {
        // the hash is part of what a bundle means: these must never change
        assert_eq!(uniform(0, 0).to_bits(), 0x3f2e_6f80);
        assert_eq!(uniform(7, 1000).to_bits(), 0x3f79d67e);
        let n = 20_000u32;
        for seed in [0, 1, u32::MAX] {
            let mut bins = [0u32; 10];
            (0..n).for_each(|p| bins[(uniform(seed, p) * 10.0) as usize] += 1);
            // 5 sigma of a binomial distribution is 212
            assert!(bins.iter().all(|b| b.abs_diff(n / 10) < 212), "{bins:?}");
        }
    }
}
