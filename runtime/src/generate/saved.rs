//! A sequence as bytes: what [`Generator::save`] gives and [`Generator::restore`] takes.
//!
//! ```text
//! magic "DRIFTSEQ" | u32 version | u64 identity of the weights | u64 tokens | u64 cached | u64 reach
//! u64 announced length | u32 the token chosen next, or u32::MAX | u32 caches | tokens as u32
//! per cache: u32 bytes of the name, the name, u64 heads, u64 slots, u64 bytes of a slot, u64 slots kept,
//!            and for each head that many slots, the first ones
//! u64 XXH3-64 of all before
//! ```
//! Little-endian, nothing in between.

use super::{Replays, generator::Generator, layout::Cache};
use crate::error::{Result, RuntimeError};

const MAGIC: &[u8; 8] = b"DRIFTSEQ";
const VERSION: u32 = 1;
const NOT_CHOSEN: u32 = u32::MAX;

fn invalid(message: impl Into<String>) -> RuntimeError {
    RuntimeError::input("saved sequence", message)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, bytes: u64) -> Result<&'a [u8]> {
        let split = usize::try_from(bytes).ok().and_then(|n| self.0.split_at_checked(n));
        let Some((head, rest)) = split else {
            return Err(invalid(format!("{bytes} bytes expected, {} are left", self.0.len())));
        };
        self.0 = rest;
        Ok(head)
    }
    fn u32(&mut self) -> Result<u32> {
        Ok(self.take(4)?.iter().rev().fold(0, |n, b| n << 8 | u32::from(*b)))
    }
    fn u64(&mut self) -> Result<u64> {
        Ok(self.take(8)?.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)))
    }
}

impl<S: Replays> Generator<S> {
    /// The sequence with its caches, to go on from later, in another session of the same bundle as
    /// well. Takes as many slots of the caches as are in use. Settings and logits are not part of it.
    pub fn save(&mut self) -> Result<Vec<u8>> {
        let mut out = MAGIC.to_vec();
        let chosen = match self.chosen {
            true => {
                let mut id = [0; 4];
                let at = 4 * self.tokens.len() as u64;
                self.session_mut().read_state("tokens", at, &mut id)?;
                u32::from_le_bytes(id)
            }
            false => NOT_CHOSEN,
        };
        out.extend(VERSION.to_le_bytes());
        out.extend(self.session().identity().to_le_bytes());
        for n in [self.tokens.len(), self.cached, self.reach, self.announced] {
            out.extend((n as u64).to_le_bytes());
        }
        let caches = self.layout.caches.clone();
        out.extend(chosen.to_le_bytes());
        out.extend((caches.len() as u32).to_le_bytes());
        out.extend(self.tokens.iter().flat_map(|id| id.to_le_bytes()));
        for cache in &caches {
            let kept = self.kept(cache);
            out.extend((cache.name.len() as u32).to_le_bytes());
            out.extend(cache.name.as_bytes());
            for n in [cache.heads, cache.slots, cache.bytes, kept] {
                out.extend(n.to_le_bytes());
            }
            for head in 0..cache.heads {
                let from = out.len();
                out.resize(from + (kept * cache.bytes) as usize, 0);
                let at = head * cache.slots * cache.bytes;
                self.session_mut().read_state(&cache.name, at, &mut out[from..])?;
            }
        }
        out.extend(drift_bundle::hash64(&out).to_le_bytes());
        Ok(out)
    }

    /// Slots of a cache that hold something of the sequence.
    fn kept(&self, cache: &Cache) -> u64 {
        // in a ring that has gone round, any
        let used = if self.reach as u64 > cache.slots { cache.slots } else { self.cached as u64 };
        used.min(cache.slots)
    }

    /// Goes on from a saved sequence; what was there before is gone. Bytes of another model, or
    /// damaged ones, are an error that leaves everything as it was.
    pub fn restore(&mut self, saved: &[u8]) -> Result<()> {
        let Some((body, sum)) = saved.split_last_chunk::<8>() else {
            return Err(invalid(format!("{} bytes are too few", saved.len())));
        };
        let mut r = Reader(body);
        if r.take(8).ok() != Some(&MAGIC[..]) {
            return Err(invalid("other bytes than `save` gives"));
        }
        let version = r.u32()?;
        if version != VERSION {
            return Err(invalid(format!("version {version}, this program knows {VERSION}")));
        }
        if drift_bundle::hash64(body) != u64::from_le_bytes(*sum) {
            return Err(invalid("damaged: the checksum does not match"));
        }
        if r.u64()? != self.session().identity() {
            return Err(invalid("made with another model (its weights differ)"));
        }
        let (length, cached, reach, announced) = (r.u64()?, r.u64()?, r.u64()?, r.u64()?);
        let (chosen, count) = (r.u32()?, r.u32()?);
        let context = self.layout.context as u64;
        let chosen_fits = chosen == NOT_CHOSEN || cached == length;
        let cached_fits = cached <= length.min(context) && length - cached <= 1;
        if !(cached_fits && chosen_fits) {
            return Err(invalid(format!(
                "{length} tokens, {cached} of them cached, in a context of {context}"
            )));
        }
        let mut ids = Vec::new();
        for _ in 0..length {
            ids.push(r.u32()?);
        }
        let next = (chosen != NOT_CHOSEN).then_some(chosen);
        let outside = |id: &&u32| **id as usize >= self.layout.vocabulary;
        if let Some(id) = ids.iter().chain(&next).find(outside) {
            return Err(invalid(format!("token id {id} of {}", self.layout.vocabulary)));
        }
        if count as usize != self.layout.caches.len() {
            let have = self.layout.caches.len();
            return Err(invalid(format!("{count} caches, the bundle has {have}")));
        }
        // all is checked before anything is written
        let caches = self.layout.caches.clone();
        let mut parts = Vec::with_capacity(caches.len());
        for cache in &caches {
            let name_bytes = r.u32()?;
            let name = r.take(name_bytes.into())?;
            let shape = [r.u64()?, r.u64()?, r.u64()?];
            let kept = r.u64()?;
            let fits = name == cache.name.as_bytes()
                && shape == [cache.heads, cache.slots, cache.bytes]
                && kept <= cache.slots;
            if !fits {
                let name = String::from_utf8_lossy(name);
                return Err(invalid(format!(
                    "cache {name:?} of {} heads, {} slots and {} bytes each, but {:?} has {}, {} and {}",
                    shape[0], shape[1], shape[2], cache.name, cache.heads, cache.slots, cache.bytes
                )));
            }
            parts.push((kept, r.take(kept * cache.bytes * cache.heads)?));
        }
        if !r.0.is_empty() {
            return Err(invalid(format!("{} bytes too many", r.0.len())));
        }
        // a failure from here on leaves an empty sequence
        self.forget();
        for (cache, (kept, data)) in caches.iter().zip(parts) {
            let bytes = kept * cache.bytes;
            for head in 0..cache.heads {
                let part = &data[(head * bytes) as usize..][..bytes as usize];
                let at = head * cache.slots * cache.bytes;
                self.session_mut().write_state(&cache.name, at, part)?;
            }
        }
        let all = ids.iter().copied().chain(next);
        let bytes: Vec<u8> = all.flat_map(|id| id.to_le_bytes()).collect();
        self.session_mut().write_state("tokens", 0, &bytes)?;
        self.announce(ids.len().max(announced.min(context) as usize));
        self.tokens = ids;
        self.cached = cached as usize;
        self.chosen = next.is_some();
        self.reach = (reach as usize).max(self.cached);
        Ok(())
    }
}
