//! The generator.

use super::{Replays, Sampling, layout::Layout};
use crate::{
    error::{Result, RuntimeError},
    session::Session,
};
use std::{
    collections::VecDeque,
    ops::ControlFlow,
    time::{Duration, Instant},
};

/// Submits of decode steps that are started before the first of them is read.
const SUBMITS: usize = 3;
/// Tokens are read about this often: several steps share a submit where they are quicker.
const READ_EVERY: Duration = Duration::from_millis(4);
/// Most steps of one submit.
const MOST_STEPS: usize = 16;

/// A sequence of tokens on a loaded language model, and what the device keeps of it.
pub struct Generator<S: Replays = Session> {
    session: S,
    pub(super) layout: Layout,
    /// Tokens put in and given out so far.
    pub(super) tokens: Vec<u32>,
    /// Leading tokens that the caches hold: all, or all but the last.
    pub(super) cached: usize,
    /// The device has chosen the token behind `tokens`, all of which are cached.
    pub(super) chosen: bool,
    /// Positions ever cached since the sequence was empty: what rings have overwritten.
    pub(super) reach: usize,
    /// Position in `params`, with one active row, once all submits have run; `None` = another.
    at: Option<usize>,
    /// Tokens that the text will have as far as is known: what some models' rotary embedding depends
    /// on. Never less than before, until the sequence is empty again.
    pub(super) announced: usize,
    sampling: Sampling,
    /// Time of a decode step, as last seen.
    step: Duration,
}

impl<S: Replays> Generator<S> {
    /// Starts an empty sequence, greedy; an error if the bundle is of no language model.
    pub fn new(session: S) -> Result<Generator<S>> {
        let layout = Layout::of(session.plan())?;
        let mut generator = Generator {
            session,
            layout,
            tokens: Vec::new(),
            cached: 0,
            chosen: false,
            reach: 0,
            at: None,
            announced: 0,
            sampling: Sampling::GREEDY,
            step: READ_EVERY,
        };
        generator.set_sampling(&Sampling::GREEDY)?;
        Ok(generator)
    }

    /// Tokens of the sequence so far: put in and given out.
    pub fn position(&self) -> usize {
        self.tokens.len()
    }

    /// Tokens of the sequence so far.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Tokens that the caches hold.
    pub fn context(&self) -> usize {
        self.layout.context
    }

    /// Tokens that [`Generator::decode`] can still give: the last one needs no room in the caches.
    pub fn room(&self) -> usize {
        (self.layout.context + 1).saturating_sub(self.tokens.len())
    }

    /// Number of token ids.
    pub fn vocabulary(&self) -> usize {
        self.layout.vocabulary
    }

    /// Most tokens that one run of a prompt takes.
    pub fn chunk(&self) -> usize {
        self.layout.chunk()
    }

    pub fn session(&self) -> &S {
        &self.session
    }

    /// The session; what is done to its states is not known here.
    pub fn session_mut(&mut self) -> &mut S {
        &mut self.session
    }

    pub fn into_session(self) -> S {
        self.session
    }

    pub fn sampling(&self) -> &Sampling {
        &self.sampling
    }

    /// Changes how tokens are chosen, from the next run on: a token that the device has chosen
    /// already stays.
    pub fn set_sampling(&mut self, sampling: &Sampling) -> Result<()> {
        let state = sampling.state()?;
        let bytes: Vec<u8> = state.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.session.write_state("sampling", 0, &bytes)?;
        self.session.write_state("params", 12, &sampling.seed.to_le_bytes())?;
        self.sampling = *sampling;
        Ok(())
    }

    /// Says how long the text will become, where more of it will follow than one call of
    /// [`Generator::prefill`] puts in: models with a second set of rotary angles for long texts
    /// (LongRoPE) must use one set throughout.
    pub fn announce(&mut self, tokens: usize) {
        if tokens > self.announced {
            (self.announced, self.at) = (tokens, None);
        }
    }

    /// Puts tokens behind the sequence; the device chooses the one after them. Returns before the
    /// device is done.
    pub fn prefill(&mut self, ids: &[u32]) -> Result<()> {
        self.append(ids)?;
        while self.cached < self.tokens.len() {
            let (rows, entry) = self.layout.step_for(self.tokens.len() - self.cached);
            let entry = entry.to_owned();
            self.run_piece(rows, &entry)?;
        }
        Ok(())
    }

    /// The same, and the logits at every position that has none yet: `each` gets the position and
    /// the logits of what comes after it.
    pub fn prefill_logits(
        &mut self,
        ids: &[u32],
        mut each: impl FnMut(usize, &[f32]) -> Result<()>,
    ) -> Result<()> {
        self.append(ids)?;
        while self.cached < self.tokens.len() {
            let first = self.cached;
            match self.layout.hidden_rows {
                // only this entry point keeps what `head` reads
                Some(rows) => {
                    self.run_piece(rows, "prefill")?;
                    for row in 0..self.cached - first {
                        each(first + row, &self.row_logits(row)?)?;
                    }
                }
                None => {
                    self.run_piece(1, "decode")?;
                    each(first, &self.logits()?)?;
                }
            }
        }
        Ok(())
    }

    /// Gives the next `n` tokens.
    pub fn decode(&mut self, n: usize) -> Result<Vec<u32>> {
        let from = self.tokens.len();
        self.decode_with(n, |_| ControlFlow::Continue(()))?;
        Ok(self.tokens[from..].to_vec())
    }

    /// Gives up to `n` tokens to `each`, one by one, as the device chooses them, until it breaks;
    /// returns how many there were. Later steps are on their way meanwhile; those behind the last
    /// token leave nothing behind.
    pub fn decode_with(
        &mut self,
        n: usize,
        mut each: impl FnMut(u32) -> ControlFlow<()>,
    ) -> Result<usize> {
        if n == 0 {
            return Ok(0);
        }
        if n > self.room() {
            return Err(self.full(n));
        }
        if !self.chosen && self.cached == self.tokens.len() {
            // shortened: the last token goes in again, for what comes after it
            let Some(before) = self.cached.checked_sub(1) else {
                return Err(RuntimeError::input("decode", "there is no token to go on from"));
            };
            self.check_held(before)?;
            self.cached = before;
        }
        self.set_params(self.cached, 1)?;
        let (first, steps) = (self.cached, n - usize::from(self.chosen));
        let mut flying = VecDeque::new();
        if self.chosen {
            let fetch = self.session.submit_fetch("decode", 0, "tokens", 4 * first as u64, 4)?;
            flying.push_back((fetch, 0));
        }
        let from = self.tokens.len();
        let (mut started, mut last) = (0, Instant::now());
        let mut stopped = false;
        while !stopped && self.tokens.len() - from < n {
            while flying.len() < SUBMITS && started < steps {
                let now = self.batch().min(steps - started);
                let offset = 4 * (first + started + 1) as u64;
                let bytes = 4 * now as u64;
                // counted first: after an error the device may have run some of them
                started += now;
                self.reach = self.reach.max(first + started);
                (self.at, self.chosen) = (None, false);
                let fetch =
                    self.session.submit_fetch("decode", now as u32, "tokens", offset, bytes)?;
                flying.push_back((fetch, now));
            }
            let Some((fetch, now)) = flying.pop_front() else { break };
            let bytes = self.session.fetched(fetch)?;
            if now > 0 {
                self.step = last.elapsed() / now as u32;
            }
            last = Instant::now();
            self.chosen = false;
            for id in bytes.as_chunks::<4>().0 {
                let id = u32::from_le_bytes(*id);
                self.tokens.push(id);
                self.cached = self.tokens.len() - 1;
                if each(id).is_break() {
                    stopped = true;
                    break;
                }
            }
        }
        self.at = Some(first + started);
        Ok(self.tokens.len() - from)
    }

    /// Logits behind the last token that the device has read: f32\[vocabulary\].
    pub fn logits(&mut self) -> Result<Vec<f32>> {
        let mut bytes = vec![0; 4 * self.layout.vocabulary];
        self.session.read_state("logits", 0, &mut bytes)?;
        Ok(bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
    }

    /// Shortens the sequence to its first `length` tokens. Sliding-window caches are rings and hold
    /// the last tokens only: an error, and nothing is done, where they have overwritten what the
    /// shorter sequence needs. Length 0 is always possible.
    pub fn truncate(&mut self, length: usize) -> Result<()> {
        let have = self.tokens.len();
        if length > have {
            let message = format!("{length} tokens are more than the {have} there are");
            return Err(RuntimeError::input("truncate", message));
        }
        if length == have {
            return Ok(());
        }
        let cached = self.cached.min(length);
        self.check_held(cached)?;
        self.tokens.truncate(length);
        (self.cached, self.chosen) = (cached, false);
        if length == 0 {
            self.forget();
        }
        Ok(())
    }

    /// Whether rings still hold what a sequence of `length` cached tokens sees. A ring has slots
    /// for the window and one piece of a prompt, so what a piece's length of newer tokens has
    /// overwritten was out of sight.
    fn check_held(&self, length: usize) -> Result<()> {
        let Some(ring) = self.layout.ring() else { return Ok(()) };
        let (chunk, reach) = (self.layout.chunk(), self.reach);
        if length == 0 || reach <= ring || reach - length <= chunk {
            return Ok(());
        }
        let message = format!(
            "{length} tokens cannot be gone back to: {reach} went through a sliding window, which \
             holds what the last {chunk} see; start again from 0"
        );
        Err(RuntimeError::input("truncate", message))
    }

    /// An empty sequence, whatever the device holds.
    pub(super) fn forget(&mut self) {
        self.tokens.clear();
        (self.cached, self.chosen, self.reach) = (0, false, 0);
        (self.at, self.announced) = (None, 0);
    }

    fn full(&self, more: usize) -> RuntimeError {
        let (position, context) = (self.tokens.len(), self.layout.context);
        RuntimeError::ContextFull { position, more, context }
    }

    /// Checks ids and puts them behind `tokens`.
    fn append(&mut self, ids: &[u32]) -> Result<()> {
        if let Some(id) = ids.iter().find(|id| **id as usize >= self.layout.vocabulary) {
            let message = format!("{id} is not below {}, their number", self.layout.vocabulary);
            return Err(RuntimeError::input("token id", message));
        }
        if self.tokens.len() + ids.len() > self.layout.context {
            return Err(self.full(ids.len()));
        }
        self.tokens.extend(ids);
        self.announce(self.tokens.len());
        if !ids.is_empty() {
            self.chosen = false;
        }
        Ok(())
    }

    /// Runs an entry point on the next tokens that are not cached, at most `rows`.
    fn run_piece(&mut self, rows: usize, entry: &str) -> Result<()> {
        let end = self.tokens.len().min(self.cached + rows);
        let ids = &self.tokens[self.cached..end];
        let bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
        self.session.write_state("tokens", 4 * self.cached as u64, &bytes)?;
        self.set_params(self.cached, end - self.cached)?;
        (self.at, self.reach) = (None, self.reach.max(end));
        self.session.submit(entry, 1)?;
        (self.at, self.cached) = (Some(end), end);
        self.chosen = end == self.tokens.len();
        Ok(())
    }

    /// Makes the next run start at `position` with `rows` active rows.
    fn set_params(&mut self, position: usize, rows: usize) -> Result<()> {
        if rows == 1 && self.at == Some(position) {
            return Ok(());
        }
        let words = [position as u32, rows as u32, 0, self.sampling.seed, self.announced as u32];
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        self.session.write_state("params", 0, &bytes)?;
        self.at = (rows == 1).then_some(position);
        Ok(())
    }

    /// Logits of one row of the last `prefill`.
    fn row_logits(&mut self, row: usize) -> Result<Vec<f32>> {
        self.session.write_state("params", 8, &(row as u32).to_le_bytes())?;
        self.session.submit("head", 1)?;
        self.logits()
    }

    /// Steps of the next submit.
    fn batch(&self) -> usize {
        let quick = READ_EVERY.as_nanos() / self.step.as_nanos().max(1);
        let most = match self.layout.ring() {
            // what is on its way when a caller stops must not overwrite what he goes on from
            Some(_) => MOST_STEPS.min(self.layout.chunk() / SUBMITS),
            None => MOST_STEPS,
        };
        (quick as usize).min(most).max(1)
    }
}
