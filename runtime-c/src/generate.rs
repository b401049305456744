//! Text generation: token ids in, token ids out.

use crate::bundle::Bundle;
use crate::device::Device;
use crate::error::{Result, Status, call};
use crate::pointer::{array, array_mut, exclusive, give, put, shared, take};
use crate::session::{LoadOptions, options_of};
use drift_runtime::Session;

/// A sequence of tokens on a language model that is loaded on a device. One thread at a time may use
/// it.
pub struct Generator {
    generator: drift_runtime::generate::Generator,
}

/// How the next token is chosen.
#[repr(C)]
pub struct Sampling {
    /// 0 takes the most likely token.
    temperature: f32,
    /// Keeps the k most likely tokens; 0 = all.
    top_k: u32,
    /// Keeps the most likely tokens that make up this share; 1 = all.
    top_p: f32,
    /// Drops tokens less likely than this share of the most likely one; 0 = none.
    min_p: f32,
    /// Divides positive logits of tokens seen before, multiplies negative ones; 1 = off.
    repetition_penalty: f32,
    /// Tokens that the penalty looks back; 0 = all.
    penalty_window: u32,
    /// The same seed gives the same tokens at the same positions.
    seed: u32,
}

/// The settings at the start: the most likely token, nothing else.
#[unsafe(no_mangle)]
pub extern "C" fn drift_sampling_greedy() -> Sampling {
    let greedy = drift_runtime::generate::Sampling::GREEDY;
    Sampling {
        temperature: greedy.temperature,
        top_k: greedy.top_k,
        top_p: greedy.top_p,
        min_p: greedy.min_p,
        repetition_penalty: greedy.repetition_penalty,
        penalty_window: greedy.penalty_window,
        seed: greedy.seed,
    }
}

/// Loads a language model (see drift_session_create) and starts an empty sequence.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn drift_generator_create(
    device: *const Device,
    bundle: *const Bundle,
    options: *const LoadOptions,
    generator: *mut *mut Generator,
) -> Status {
    call(|| {
        // SAFETY: as the header demands.
        let (device, bundle) = unsafe { (shared(device, "device")?, shared(bundle, "bundle")?) };
        // SAFETY: as the header demands.
        let options = unsafe { options_of(options)? };
        let make = || {
            let session = Session::with_options(&device.device, &bundle.bundle, &options)?;
            Ok(Generator { generator: drift_runtime::generate::Generator::new(session)? })
        };
        // SAFETY: as the header demands.
        unsafe { give(generator, make, "generator") }
    })
}

/// Changes how tokens are chosen, from the next run on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn drift_generator_set_sampling(
    generator: *mut Generator,
    sampling: *const Sampling,
) -> Status {
    call(|| {
        // SAFETY: as the header demands.
        let (g, s) = unsafe { (exclusive(generator, "generator")?, shared(sampling, "sampling")?) };
        let sampling = drift_runtime::generate::Sampling {
            temperature: s.temperature,
            top_k: s.top_k,
            top_p: s.top_p,
            min_p: s.min_p,
            repetition_penalty: s.repetition_penalty,
            penalty_window: s.penalty_window,
            seed: s.seed,
        };
        Ok(g.generator.set_sampling(&sampling)?)
    })
}

/// Puts token ids behind the sequence. Returns before the device is done.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn drift_generator_prefill(
    generator: *mut Generator,
    ids: *const u32,
    count: usize,
) -> Status {
    call(|| {
        // SAFETY: as the header demands.
        let (g, ids) = unsafe { (exclusive(generator, "generator")?, array(ids, count, "ids")?) };
        Ok(g.generator.prefill(ids)?)
    })
}

/// Gives the next `count` token ids, which become part of the sequence.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn drift_generator_decode(
    generator: *mut Generator,
    ids: *mut u32,
    count: usize,
) -> Status {
    call(|| {
        // SAFETY: as the header demands.
        let (g, ids) =
            unsafe { (exclusive(generator, "generator")?, array_mut(ids, count, "ids")?) };
        let tokens = g.generator.decode(count)?;
        ids.copy_from_slice(&tokens);
        Ok(())
    })
}

/// Logits behind the last token that the device has read: `count` must be the number of token ids
/// (drift_generator_limits).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn drift_generator_logits(
    generator: *mut Generator,
    logits: *mut f32,
    count: usize,
) -> Status {
    call(|| {
        // SAFETY: as the header demands.
        let (g, out) =
            unsafe { (exclusive(generator, "generator")?, array_mut(logits, count, "logits")?) };
        let vocabulary = g.generator.vocabulary();
        if out.len() != vocabulary {
            let message = format!("there are {vocabulary} logits, not {}", out.len());
            return Err(crate::error::Failure::argument(message));
        }
        out.copy_from_slice(&g.generator.logits()?);
        Ok(())
    })
}

/// Shortens the sequence to its first `length` tokens; 0 is always possible.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn drift_generator_truncate(
    generator: *mut Generator,
    length: usize,
) -> Status {
    call(|| {
        // SAFETY: as the header demands.
        let g = unsafe { exclusive(generator, "generator")? };
        Ok(g.generator.truncate(length)?)
    })
}

/// Tokens of the sequence so far, tokens that the caches hold, and number of token ids. Any of the
/// places may be null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn drift_generator_limits(
    generator: *const Generator,
    position: *mut usize,
    context: *mut usize,
    vocabulary: *mut usize,
) -> Status {
    call(|| {
        // SAFETY: as the header demands.
        let g = unsafe { &shared(generator, "generator")?.generator };
        let all: [(*mut usize, usize); 3] =
            [(position, g.position()), (context, g.context()), (vocabulary, g.vocabulary())];
        all.into_iter().filter(|(place, _)| !place.is_null()).try_for_each(|(place, value)| {
            // SAFETY: as the header demands.
            let written: Result = unsafe { put(place, value, "a place") };
            written
        })
    })
}

/// Frees a generator; null is nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn drift_generator_free(generator: *mut Generator) {
    call(|| {
        // SAFETY: as the header demands.
        unsafe { take(generator) };
        Ok(())
    });
}
