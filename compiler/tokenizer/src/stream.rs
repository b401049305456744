//! Text of tokens as they come.

use crate::tokenizer::Tokenizer;

/// Decodes token by token. What a token adds may depend on those before it (spaces between words,
/// a character whose bytes are spread over several tokens), so a short tail is decoded anew.
pub struct Stream<'t> {
    tokenizer: &'t Tokenizer,
    /// The tail: tokens already shown, as context, then those held back.
    tail: Vec<u32>,
    shown: usize,
}

/// Tokens of context wanted: what a token adds depends on the word before it at most.
const CONTEXT: usize = 6;
/// Context that is dropped even if nothing before it decodes cleanly.
const LONGEST: usize = 64;
/// Tokens held back at most: longer than any character, so what still is no UTF-8 is broken.
const HELD: usize = 8;

impl<'t> Stream<'t> {
    pub(crate) fn new(tokenizer: &'t Tokenizer, prompt: &[u32]) -> Stream<'t> {
        let tail = prompt[prompt.len().saturating_sub(LONGEST)..].to_vec();
        let mut stream = Stream { tokenizer, shown: tail.len(), tail };
        stream.trim();
        stream
    }

    /// Text that this token completes; empty while a character is incomplete.
    pub fn push(&mut self, id: u32) -> String {
        self.tail.push(id);
        let text = self.pending();
        if text.ends_with('\u{fffd}') && self.tail.len() - self.shown < HELD {
            return String::new();
        }
        self.shown = self.tail.len();
        if self.shown > 2 * CONTEXT {
            self.trim();
        }
        text
    }

    /// Forgets old context. The rest must not start amid a character: its bytes would decode to
    /// something else.
    fn trim(&mut self) {
        for cut in (1..=self.shown.saturating_sub(CONTEXT)).rev() {
            let clean =
                !self.tokenizer.decode(&self.tail[cut..self.shown], false).contains('\u{fffd}');
            if clean || self.shown - cut >= LONGEST {
                self.tail.drain(..cut);
                self.shown -= cut;
                return;
            }
        }
    }

    /// What was held back, at the end.
    pub fn finish(&mut self) -> String {
        let text = self.pending();
        self.shown = self.tail.len();
        text
    }

    fn pending(&self) -> String {
        let before = self.tokenizer.decode(&self.tail[..self.shown], false);
        let all = self.tokenizer.decode(&self.tail, false);
        // a context that starts amid a character may decode differently with more behind it
        let common = all.bytes().zip(before.bytes()).take_while(|(a, b)| a == b).count();
        let mut from = common;
        while !all.is_char_boundary(from) {
            from -= 1;
        }
        all[from..].to_owned()
    }
}
