//! What a plan says about a language model.

use crate::error::{Result, RuntimeError};
use drift_bundle::plan::{ElemType, Io, Plan};

/// Sizes of a language model, read off the entry points and states of its plan.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub context: usize,
    pub vocabulary: usize,
    /// Entry points that take tokens, by rows, ascending: `decode` is the first.
    pub steps: Vec<(usize, String)>,
    /// Rows of `hidden`, if rows can be asked for their logits.
    pub hidden_rows: Option<usize>,
    pub caches: Vec<Cache>,
}

/// A state that holds something of each position, or of the last ones.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    pub name: String,
    pub heads: u64,
    pub slots: u64,
    /// Of one head's slot.
    pub bytes: u64,
}

impl Layout {
    pub fn of(plan: &Plan) -> Result<Layout> {
        let state = |name: &str, elem: ElemType, rank: usize| -> Result<&Io> {
            let io = plan.states.iter().find(|s| s.name == name);
            io.filter(|s| s.device_elem == elem && s.shape.len() == rank).ok_or_else(|| {
                let what = match io {
                    Some(s) => format!("is {:?} {:?}", s.device_elem, s.shape),
                    None => "is missing".into(),
                };
                let message = format!("state {name:?} {what}: no bundle of a language model");
                RuntimeError::input("generate", message)
            })
        };
        let tokens = state("tokens", ElemType::I32, 1)?.shape[0] as usize;
        let vocabulary = state("logits", ElemType::F32, 2)?.shape[1] as usize;
        if state("params", ElemType::I32, 1)?.shape[0] < 5
            || state("sampling", ElemType::F32, 1)?.shape[0] < 8
            || tokens < 2
        {
            let message = "params, sampling or tokens are too short: no bundle of a language model";
            return Err(RuntimeError::input("generate", message));
        }
        let hidden = state("hidden", ElemType::F32, 2).ok().map(|s| s.shape[0] as usize);
        let has = |name: &str| plan.entry_points.iter().any(|e| e.name == name);
        if !has("decode") {
            let names: Vec<&str> = plan.entry_points.iter().map(|e| e.name.as_str()).collect();
            let message = format!("no entry point `decode`; there are: {}", names.join(", "));
            return Err(RuntimeError::input("generate", message));
        }
        let rows = |name: &str| match name {
            "decode" => Some(1),
            "prefill" => hidden,
            _ => name.strip_prefix("prefill_")?.parse().ok(),
        };
        let mut steps: Vec<(usize, String)> = plan
            .entry_points
            .iter()
            .filter_map(|e| Some((rows(&e.name).filter(|n| *n > 0)?, e.name.clone())))
            .collect();
        steps.sort();
        let context = tokens - 1;
        let caches: Vec<Cache> = plan.states.iter().filter_map(Cache::of).collect();
        let hidden_rows = hidden.filter(|_| has("head") && has("prefill"));
        Ok(Layout { context, vocabulary, steps, hidden_rows, caches })
    }

    /// Rows of the largest entry point.
    pub fn chunk(&self) -> usize {
        self.steps.last().map_or(1, |s| s.0)
    }

    /// Rows and name of the entry point for the next of `left` tokens: the largest, or the
    /// smallest that takes all of them.
    pub fn step_for(&self, left: usize) -> (usize, &str) {
        let fits = self.steps.iter().find(|(rows, _)| *rows >= left).or(self.steps.last());
        fits.map_or((1, "decode"), |(rows, name)| (*rows, name))
    }

    /// Slots of the smallest cache that does not hold the whole context.
    pub fn ring(&self) -> Option<usize> {
        let slots = self.caches.iter().map(|c| c.slots as usize);
        slots.filter(|n| *n < self.context).min()
    }
}

impl Cache {
    fn of(state: &Io) -> Option<Cache> {
        let (kind, layer) = state.name.split_once('.')?;
        if !["k", "v", "ks", "vs"].contains(&kind) || layer.parse::<u32>().is_err() {
            return None;
        }
        let [heads, slots, rest @ ..] = &state.shape[..] else { return None };
        let bytes = rest.iter().product::<u64>() * state.device_elem.bytes();
        Some(Cache { name: state.name.clone(), heads: *heads, slots: *slots, bytes })
    }
}
