//! A loaded language model.

use super::sampling::Sampling;
use super::text::Text;
use crate::args::Place;
use crate::error::{CliError, Result};
use crate::runner::{Fetch, Runner};
use drift_bundle::plan::Plan;
use drift_runtime::generate::{Generator, Replays};
use drift_runtime::{Bundle, RuntimeError};
use std::ops::ControlFlow;

/// A generator where the command line wants it, on a GPU or on the interpreter.
pub struct Model {
    generator: Generator<Runner>,
    rope_switch: Option<usize>,
}

impl Model {
    /// Loads a bundle where `place` says; an error if it is of no language model.
    pub fn open(bundle: &Bundle, text: &Text, place: &Place) -> Result<Model> {
        let runner = Runner::load(bundle, place)?;
        let names: Vec<&str> = runner.plan().entry_points.iter().map(|e| e.name.as_str()).collect();
        if !names.contains(&"decode") {
            let names = names.join(", ");
            let what = format!("the bundle is of no language model (its entry points: {names})");
            return Err(CliError::bad(what).help(
                "`driftc compile FOLDER` makes a language model's bundle; `driftc run` runs others",
            ));
        }
        Ok(Model { generator: Generator::new(runner)?, rope_switch: text.rope_switch() })
    }

    /// Device and variant, for people.
    pub fn place(&self) -> String {
        self.generator.session().place()
    }

    pub fn plan(&self) -> &Plan {
        self.generator.session().plan()
    }

    /// Tokens that fit into the cache.
    pub fn context(&self) -> usize {
        self.generator.context()
    }

    pub fn vocabulary(&self) -> usize {
        self.generator.vocabulary()
    }

    pub fn set_sampling(&mut self, sampling: &Sampling) -> Result {
        Ok(self.generator.set_sampling(sampling)?)
    }

    /// Forgets everything.
    pub fn reset(&mut self) -> Result {
        Ok(self.generator.truncate(0)?)
    }

    /// Makes the sequence begin as `ids` do, all but the last of them at most, and gives how many it
    /// holds then: they need not be computed again.
    pub fn keep_prefix(&mut self, ids: &[u32]) -> Result<usize> {
        let have = self.generator.tokens();
        let same = ids.iter().zip(have).take_while(|(a, b)| a == b).count();
        let same = same.min(ids.len().saturating_sub(1));
        // beyond the switch all angles are others, also those of the tokens that are there
        let long = |n: usize| self.rope_switch.is_some_and(|switch| n > switch);
        let turned = long(ids.len()) != long(have.len());
        // sliding windows hold the last tokens only: where they cannot go back, all is computed anew
        if turned || self.generator.truncate(same).is_err() {
            self.reset()?;
        }
        Ok(self.generator.position())
    }

    /// Puts `ids` behind the sequence.
    pub fn prefill(&mut self, ids: &[u32]) -> Result {
        Ok(self.generator.prefill(ids)?)
    }

    /// Tokens that follow, one by one, until `each` says that it was the last (`false`), `most` were
    /// given, or the context is full. Gives how many there were.
    pub fn decode(
        &mut self,
        most: usize,
        mut each: impl FnMut(u32) -> Result<bool>,
    ) -> Result<usize> {
        let most = most.min(self.generator.room());
        let mut failed = None;
        let count = self.generator.decode_with(most, |id| match each(id) {
            Ok(true) => ControlFlow::Continue(()),
            Ok(false) => ControlFlow::Break(()),
            Err(e) => {
                failed = Some(e);
                ControlFlow::Break(())
            }
        })?;
        failed.map_or(Ok(count), Err)
    }

    /// Logits at every position of `ids`, from an empty sequence: `each` gets the position and the
    /// logits. The first `prefill` by prefill, the rest by decode steps.
    pub fn all_logits(
        &mut self,
        ids: &[u32],
        prefill: usize,
        mut each: impl FnMut(usize, &[f32]) -> Result,
    ) -> Result {
        self.reset()?;
        if ids.len() > self.context() {
            let (have, context) = (ids.len(), self.context());
            return Err(CliError::bad(format!(
                "{have} tokens do not fit into the context of {context} tokens"
            ))
            .help("compile with a larger --context"));
        }
        // a whole text, whatever part of it a run sees
        self.generator.announce(ids.len());
        let mut failed = None;
        let mut tell = |position: usize, logits: &[f32]| {
            each(position, logits).map_err(|e| {
                let message = e.message.clone();
                failed = Some(e);
                self::failed("logits", message)
            })
        };
        let (head, tail) = ids.split_at(prefill.min(ids.len()));
        let result = (|| -> Result<(), RuntimeError> {
            self.generator.prefill_logits(head, &mut tell)?;
            for (i, id) in tail.iter().enumerate() {
                self.generator.prefill(&[*id])?;
                tell(head.len() + i, &self.generator.logits()?)?;
            }
            Ok(())
        })();
        match (failed, result) {
            (Some(e), _) => Err(e),
            (None, result) => Ok(result?),
        }
    }

    /// The sequence and what the device keeps of it, as bytes.
    pub fn save(&mut self) -> Result<Vec<u8>> {
        Ok(self.generator.save()?)
    }

    /// Goes on from what [`Model::save`] gave.
    pub fn restore(&mut self, saved: &[u8]) -> Result {
        Ok(self.generator.restore(saved)?)
    }
}

/// Errors on their way through the generator.
fn failed(what: &str, message: impl Into<String>) -> RuntimeError {
    RuntimeError::Input { what: what.to_owned(), message: message.into() }
}

fn passed(e: CliError) -> RuntimeError {
    failed("reference", e.message)
}

impl Replays for Runner {
    type Fetch = Fetch;

    fn plan(&self) -> &Plan {
        Runner::plan(self)
    }

    fn identity(&self) -> u64 {
        match self {
            Runner::Gpu(s) => Replays::identity(&**s),
            Runner::Reference(s) => s.weights_hash(),
        }
    }

    fn submit(&mut self, entry: &str, n: u32) -> Result<(), RuntimeError> {
        match self {
            Runner::Gpu(s) => Replays::submit(&mut **s, entry, n),
            Runner::Reference(s) => (0..n).try_for_each(|_| s.run_named(entry)).map_err(passed),
        }
    }

    fn submit_fetch(
        &mut self,
        entry: &str,
        n: u32,
        state: &str,
        byte_offset: u64,
        bytes: u64,
    ) -> Result<Fetch, RuntimeError> {
        match self {
            Runner::Gpu(s) => {
                let ticket = Replays::submit_fetch(&mut **s, entry, n, state, byte_offset, bytes)?;
                Ok(Fetch::Ticket(ticket))
            }
            Runner::Reference(_) => {
                self.submit(entry, n)?;
                let mut out = vec![0; bytes as usize];
                self.read_state(state, byte_offset, &mut out)?;
                Ok(Fetch::Bytes(out))
            }
        }
    }

    fn fetched(&mut self, fetch: Fetch) -> Result<Vec<u8>, RuntimeError> {
        match (self, fetch) {
            (Runner::Gpu(s), Fetch::Ticket(ticket)) => Replays::fetched(&mut **s, ticket),
            (_, Fetch::Bytes(bytes)) => Ok(bytes),
            (Runner::Reference(_), Fetch::Ticket(_)) => {
                Err(failed("reference", "a ticket of a GPU"))
            }
        }
    }

    fn read_state(
        &mut self,
        name: &str,
        byte_offset: u64,
        out: &mut [u8],
    ) -> Result<(), RuntimeError> {
        match self {
            Runner::Gpu(s) => s.read_state(name, byte_offset, out),
            Runner::Reference(s) => s.read_state(name, byte_offset, out).map_err(passed),
        }
    }

    fn write_state(
        &mut self,
        name: &str,
        byte_offset: u64,
        data: &[u8],
    ) -> Result<(), RuntimeError> {
        match self {
            Runner::Gpu(s) => s.write_state(name, byte_offset, data),
            Runner::Reference(s) => s.write_state(name, byte_offset, data).map_err(passed),
        }
    }
}
