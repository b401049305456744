//! Text generation: a prompt in, tokens out, over the states of a language model's bundle.
//!
//! ```no_run
//! use drift_runtime::{Bundle, Device, Session, generate::{Generator, Sampling}};
//! # fn main() -> drift_runtime::Result<()> {
//! let bundle = Bundle::open("chat.drift")?;
//! let session = Session::new(&Device::best(&bundle)?, &bundle)?;
//! let mut generator = Generator::new(session)?;
//! generator.set_sampling(&Sampling { temperature: 0.7, top_p: 0.9, seed: 1, ..Sampling::GREEDY })?;
//! generator.prefill(&[1, 306, 4658])?;
//! println!("{:?}", generator.decode(32)?);
//! # Ok(()) }
//! ```
//!
//! A language model's bundle has the entry points `decode` (one row), `prefill` and `prefill_N`
//! (pieces of the prompt), all of which end by choosing the next token, and `head` (logits of one
//! row of the last `prefill`). They share these states:
//!
//! | state | type | meaning |
//! |---|---|---|
//! | `params` | i32\[16\] | position, active rows, row that `head` reads, seed, length of the text as far as known |
//! | `tokens` | i32\[context + 1\] | token ids by position |
//! | `sampling` | f32\[8\] | how to choose ([`Sampling`]) |
//! | `logits` | f32\[1, vocabulary\] | of the last active row, or of the row that `head` read |
//! | `hidden` | f32\[rows, width\] | residual stream of the last `prefill` |
//! | `k.N`, `v.N` (`ks.N`, `vs.N`) | \[heads, slots, ...\] | the cache of a layer; position p lies in slot p % slots |
//!
//! A run reads its rows' ids from `tokens` and writes the next token and position, so decode steps
//! follow each other on the device without the host, which reads their tokens while later steps run.
//!
//! - **Invariant:** the host never waits between two steps, nor between the pieces of a prompt.

mod generator;
mod layout;
mod saved;

pub use generator::Generator;

use crate::{
    error::{Result, RuntimeError},
    session::{Session, Ticket},
};
use drift_bundle::plan::Plan;

/// How the next token is chosen; see the operator `sample` for what each does, in which order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// 0 takes the most likely token.
    pub temperature: f32,
    /// Keeps the k most likely tokens; 0 = all.
    pub top_k: u32,
    /// Keeps the most likely tokens that make up this share; 1 = all.
    pub top_p: f32,
    /// Drops tokens less likely than this share of the most likely one; 0 = none.
    pub min_p: f32,
    /// Divides positive logits of tokens seen before, multiplies negative ones; 1 = off.
    pub repetition_penalty: f32,
    /// Tokens that the penalty looks back; 0 = all.
    pub penalty_window: u32,
    /// The same seed gives the same tokens at the same positions.
    pub seed: u32,
}

impl Sampling {
    pub const GREEDY: Sampling = Sampling {
        temperature: 0.0,
        top_k: 0,
        top_p: 1.0,
        min_p: 0.0,
        repetition_penalty: 1.0,
        penalty_window: 0,
        seed: 0,
    };

    /// The state `sampling`, or what is out of range.
    fn state(&self) -> Result<[f32; 8]> {
        let Sampling { temperature, top_k, top_p, min_p, repetition_penalty, .. } = *self;
        for (what, value, fits, range) in [
            ("temperature", temperature, temperature >= 0.0, "0 or more"),
            ("top_p", top_p, top_p > 0.0 && top_p <= 1.0, "more than 0 and at most 1"),
            ("min_p", min_p, (0.0..=1.0).contains(&min_p), "0 to 1"),
            ("repetition_penalty", repetition_penalty, repetition_penalty > 0.0, "more than 0"),
        ] {
            if !fits || !value.is_finite() {
                return Err(RuntimeError::input(what, format!("{value} is not {range}")));
            }
        }
        let window = self.penalty_window as f32;
        Ok([temperature, top_k as f32, top_p, repetition_penalty, min_p, window, 0.0, 0.0])
    }
}

impl Default for Sampling {
    fn default() -> Sampling {
        Sampling::GREEDY
    }
}

/// What a [`Generator`] needs of a loaded bundle: runs in the order of the calls, and states between
/// them. [`Session`] is one; tools put other ways of running a plan in its place.
pub trait Replays {
    /// A submit whose bytes were asked for.
    type Fetch;

    fn plan(&self) -> &Plan;
    /// Tells the weights of one model from those of another.
    fn identity(&self) -> u64;
    /// Starts `n` runs of an entry point.
    fn submit(&mut self, entry: &str, n: u32) -> Result<()>;
    /// The same, and some bytes of a state as these runs leave it; up to eight are kept.
    fn submit_fetch(
        &mut self,
        entry: &str,
        n: u32,
        state: &str,
        byte_offset: u64,
        bytes: u64,
    ) -> Result<Self::Fetch>;
    /// Waits for a submit and takes what it fetched.
    fn fetched(&mut self, fetch: Self::Fetch) -> Result<Vec<u8>>;
    fn read_state(&mut self, name: &str, byte_offset: u64, out: &mut [u8]) -> Result<()>;
    fn write_state(&mut self, name: &str, byte_offset: u64, data: &[u8]) -> Result<()>;
}

impl Replays for Session {
    type Fetch = Ticket;

    fn plan(&self) -> &Plan {
        Session::plan(self)
    }
    fn identity(&self) -> u64 {
        self.bundle().weights_hash()
    }
    fn submit(&mut self, entry: &str, n: u32) -> Result<()> {
        self.set_entry(entry)?;
        self.submit_n(n)
    }
    fn submit_fetch(
        &mut self,
        entry: &str,
        n: u32,
        state: &str,
        byte_offset: u64,
        bytes: u64,
    ) -> Result<Ticket> {
        self.set_entry(entry)?;
        Session::submit_fetch(self, n, state, byte_offset, bytes)
    }
    fn fetched(&mut self, fetch: Ticket) -> Result<Vec<u8>> {
        Session::fetched(self, fetch).map(<[u8]>::to_vec)
    }
    fn read_state(&mut self, name: &str, byte_offset: u64, out: &mut [u8]) -> Result<()> {
        Session::read_state(self, name, byte_offset, out)
    }
    fn write_state(&mut self, name: &str, byte_offset: u64, data: &[u8]) -> Result<()> {
        Session::write_state(self, name, byte_offset, data)
    }
}
