//! A loaded language model: prompt in, tokens out, over the states of its bundle.
//!
//! | state | type | meaning |
//! |---|---|---|
//! | `params` | i32\[16\] | position, active rows, row that `head` reads, seed |
//! | `tokens` | i32\[context + 1\] | token ids by position |
//! | `sampling` | f32\[8\] | how to choose |
//! | `logits` | f32\[1, vocabulary\] | of the last active row, or the row that `head` was asked for |

use super::sampling::Sampling;
use super::text::Text;
use crate::args::Place;
use crate::error::{CliError, Result};
use crate::runner::{Fetch, Runner};
use drift_bundle::plan::Plan;
use drift_runtime::Bundle;
use std::collections::VecDeque;

/// Decode steps that are started before the first of them is read: the device is never idle.
const IN_FLIGHT: usize = 4;

pub struct Model {
    pub runner: Runner,
    context: usize,
    vocab: usize,
    /// Entry points that take several tokens, by rows, ascending.
    prefills: Vec<(usize, String)>,
    ring: Option<usize>,
    /// Tokens whose keys and values are in the cache.
    cached: Vec<u32>,
    /// The most tokens that were ever cached since the start: rings hold the last of these.
    reach: usize,
    seed: u32,
}

impl Model {
    /// Loads a bundle where `place` says; an error if it is of no language model.
    pub fn open(bundle: &Bundle, text: &Text, place: &Place) -> Result<Model> {
        let runner = Runner::load(bundle, place)?;
        let shape = Shape::of(runner.plan())?;
        let Shape { context, vocab, prefills } = shape;
        let ring = text.ring();
        Ok(Model { runner, context, vocab, prefills, ring, cached: Vec::new(), reach: 0, seed: 0 })
    }

    /// Tokens that fit into the cache.
    pub fn context(&self) -> usize {
        self.context
    }

    pub fn vocab(&self) -> usize {
        self.vocab
    }

    /// Rows of the largest prefill.
    pub fn chunk(&self) -> usize {
        self.prefills.last().map_or(1, |p| p.0)
    }

    pub fn cached(&self) -> &[u32] {
        &self.cached
    }

    pub fn set_sampling(&mut self, sampling: &Sampling) -> Result {
        let bytes: Vec<u8> = sampling.state().iter().flat_map(|v| v.to_le_bytes()).collect();
        self.seed = sampling.seed;
        self.runner.write_state("sampling", 0, &bytes)
    }

    /// Forgets all tokens behind the first `length`. `false`, and nothing is done, if rings have
    /// overwritten what these need.
    pub fn truncate(&mut self, length: usize) -> bool {
        let length = length.min(self.cached.len());
        if length > 0 && self.ring.is_some_and(|ring| self.reach - length > ring) {
            return false;
        }
        self.cached.truncate(length);
        if length == 0 {
            self.reach = 0;
        }
        true
    }

    /// Puts `ids` behind what is cached. The token after them has been chosen then.
    pub fn prefill(&mut self, ids: &[u32]) -> Result {
        let mut rest = ids;
        while !rest.is_empty() {
            let n = rest.len().min(self.chunk());
            self.prefill_chunk(&rest[..n])?;
            rest = &rest[n..];
        }
        Ok(())
    }

    /// One run of a prefill; `ids` are at most [`Model::chunk`].
    pub fn prefill_chunk(&mut self, ids: &[u32]) -> Result {
        self.check(ids)?;
        let fits = self.prefills.iter().find(|(rows, _)| *rows >= ids.len());
        let entry = fits.map_or_else(|| "decode".to_owned(), |(_, name)| name.clone());
        self.feed(ids)?;
        self.runner.submit(&entry, 1)?;
        self.advance(ids);
        Ok(())
    }

    /// One decode step with a given token instead of the chosen one.
    pub fn decode_given(&mut self, id: u32) -> Result {
        self.check(&[id])?;
        self.feed(&[id])?;
        self.runner.submit("decode", 1)?;
        self.advance(&[id]);
        Ok(())
    }

    fn advance(&mut self, ids: &[u32]) {
        self.cached.extend(ids);
        self.reach = self.reach.max(self.cached.len());
    }

    /// Writes tokens and position for the next run.
    fn feed(&mut self, ids: &[u32]) -> Result {
        let at = self.cached.len();
        let bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
        self.runner.write_state("tokens", 4 * at as u64, &bytes)?;
        self.set_params(at, ids.len(), 0)
    }

    fn set_params(&mut self, position: usize, rows: usize, head_row: usize) -> Result {
        let params = [position as u32, rows as u32, head_row as u32, self.seed];
        let bytes: Vec<u8> = params.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.runner.write_state("params", 0, &bytes)
    }

    fn check(&self, ids: &[u32]) -> Result {
        if let Some(id) = ids.iter().find(|id| **id as usize >= self.vocab) {
            return Err(CliError::bad(format!(
                "token id {id} is outside of the vocabulary of {} tokens",
                self.vocab
            )));
        }
        let total = self.cached.len() + ids.len();
        if total > self.context {
            return Err(CliError::bad(format!(
                "{total} tokens do not fit into the context of {} tokens",
                self.context
            ))
            .help("compile with a larger --context"));
        }
        Ok(())
    }

    /// Tokens that follow, one by one, until `take` says that it was the last, `most` were given, or
    /// the context is full. The first was chosen by the prefill; each of the others costs a decode
    /// step, several of which are in flight. Gives how many there were.
    pub fn generate(
        &mut self,
        most: usize,
        mut take: impl FnMut(u32) -> Result<bool>,
    ) -> Result<usize> {
        let start = self.cached.len();
        // position i + 1 is written by the step at i; there is one at each position below the context
        let end = start.saturating_add(most).min(self.context + 1);
        if start == 0 || end == start {
            return Ok(0);
        }
        let mut first = [0; 4];
        self.runner.read_state("tokens", 4 * start as u64, &mut first)?;
        let mut next = u32::from_le_bytes(first);
        let (mut count, mut started) = (0, start);
        let mut flying: VecDeque<Fetch> = VecDeque::new();
        loop {
            // `next` is the token at position start + count, not yet given
            while flying.len() < IN_FLIGHT && started + 1 < end {
                let offset = 4 * (started as u64 + 1);
                flying.push_back(self.runner.submit_fetch("decode", 1, "tokens", offset, 4)?);
                started += 1;
            }
            count += 1;
            let more = take(next)?;
            let Some(fetch) = flying.pop_front().filter(|_| more) else { break };
            self.cached.push(next);
            let bytes = self.runner.fetched(fetch)?;
            next = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        // steps beyond the last token wrote keys of tokens that nobody has seen: they are overwritten
        self.reach = self.reach.max(started);
        self.runner.wait()?;
        Ok(count)
    }

    /// Logits of the last run's last row: f32\[vocabulary\].
    pub fn logits(&mut self, out: &mut [f32]) -> Result {
        let mut bytes = vec![0; 4 * self.vocab];
        self.runner.read_state("logits", 0, &mut bytes)?;
        for (v, c) in out.iter_mut().zip(bytes.chunks_exact(4)) {
            *v = f32::from_le_bytes([c[0], c[1], c[2], c[3]]);
        }
        Ok(())
    }

    /// Logits of one row of the last prefill.
    pub fn logits_of_row(&mut self, row: usize, out: &mut [f32]) -> Result {
        self.set_params(self.cached.len(), 1, row)?;
        self.runner.submit("head", 1)?;
        self.logits(out)
    }

    /// Logits at every position of `ids`, put behind what is cached: `each` gets the position (of
    /// `ids`) and the logits. The first `prefill` by prefills, the rest by decode steps.
    pub fn all_logits(
        &mut self,
        ids: &[u32],
        prefill: usize,
        mut each: impl FnMut(usize, &[f32]) -> Result,
    ) -> Result {
        self.check(ids)?;
        let mut logits = vec![0.0; self.vocab];
        let (head, tail) = ids.split_at(prefill.min(ids.len()));
        // `hidden` has the rows of `prefill` only, so short pieces go through that one as well
        let largest = self.prefills.last().cloned();
        let mut at = 0;
        for chunk in head.chunks(self.chunk()) {
            match &largest {
                Some((_, entry)) => {
                    self.feed(chunk)?;
                    self.runner.submit(entry, 1)?;
                    self.advance(chunk);
                    for row in 0..chunk.len() {
                        self.logits_of_row(row, &mut logits)?;
                        each(at + row, &logits)?;
                    }
                }
                None => {
                    self.decode_given(chunk[0])?;
                    self.logits(&mut logits)?;
                    each(at, &logits)?;
                }
            }
            at += chunk.len();
        }
        for id in tail {
            self.decode_given(*id)?;
            self.logits(&mut logits)?;
            each(at, &logits)?;
            at += 1;
        }
        Ok(())
    }
}

/// Sizes of a language model, read off the plan.
struct Shape {
    context: usize,
    vocab: usize,
    prefills: Vec<(usize, String)>,
}

impl Shape {
    fn of(plan: &Plan) -> Result<Shape> {
        let size = |name: &str, axis: usize| {
            let state = plan.states.iter().find(|s| s.name == name)?;
            state.shape.get(axis).and_then(|n| usize::try_from(*n).ok())
        };
        let names: Vec<&str> = plan.entry_points.iter().map(|e| e.name.as_str()).collect();
        let complete = ["decode", "head"].iter().all(|n| names.contains(n))
            && ["params", "sampling"].iter().all(|s| size(s, 0).is_some());
        let (Some(tokens), Some(vocab), true) = (size("tokens", 0), size("logits", 1), complete)
        else {
            return Err(CliError::bad(format!(
                "the bundle is of no language model (its entry points: {})",
                names.join(", ")
            ))
            .help("`driftc run` runs other models; `driftc compile FOLDER` makes a language model's bundle"));
        };
        let chunk = size("hidden", 0).unwrap_or(1);
        let rows = |name: &str| match name.strip_prefix("prefill")? {
            "" => Some(chunk),
            rest => rest.strip_prefix('_')?.parse().ok(),
        };
        let mut prefills: Vec<(usize, String)> =
            names.iter().filter_map(|n| Some((rows(n)?, (*n).to_owned()))).collect();
        prefills.sort();
        Ok(Shape { context: tokens.saturating_sub(1), vocab, prefills })
    }
}
