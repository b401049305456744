//! Strict mode: who touched which word of workgroup memory since the last barrier.

/// Nobody, or several invocations.
const NONE: u32 = u32::MAX;
pub(super) const MANY: u32 = u32::MAX - 1;

#[derive(Clone, Copy, Debug)]
struct Word {
    writer: u32,
    reader: u32,
}

/// Accesses of one workgroup since the last barrier.
#[derive(Debug, Default)]
pub(super) struct Races {
    words: Vec<Word>,
}

impl Races {
    pub fn new(words: u32) -> Races {
        Races { words: vec![Word { writer: NONE, reader: NONE }; words as usize] }
    }

    pub fn barrier(&mut self) {
        self.words.fill(Word { writer: NONE, reader: NONE });
    }

    /// The other invocation, where this read races with its write.
    pub fn read(&mut self, word: usize, invocation: u32) -> Option<u32> {
        let w = self.words.get_mut(word)?;
        w.reader = match w.reader {
            NONE => invocation,
            r if r == invocation => r,
            _ => MANY,
        };
        (w.writer != NONE && w.writer != invocation).then_some(w.writer)
    }

    /// The other invocation, where this write races with its write or read.
    pub fn write(&mut self, word: usize, invocation: u32) -> Option<u32> {
        let w = self.words.get_mut(word)?;
        let other = [w.writer, w.reader].into_iter().find(|&x| x != NONE && x != invocation);
        w.writer = invocation;
        other
    }
}
