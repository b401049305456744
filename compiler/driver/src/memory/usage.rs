use super::MemoryError;

/// What one intermediate tensor needs of memory, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UsageRecord {
    /// The caller's number for the tensor; planners only report it in errors.
    pub id: usize,
    /// Bytes the tensor occupies in its layout, before rounding up to `alignment`.
    pub bytes: u64,
    /// Step that writes the tensor first.
    pub first_step: u32,
    /// Step that reads (or writes) it last; inclusive.
    pub last_step: u32,
    /// The offset is a multiple of this; 0 means 1. Need not be a power of two.
    pub alignment: u64,
}

impl UsageRecord {
    /// Whether some step touches both.
    pub fn lives_with(&self, other: &UsageRecord) -> bool {
        self.first_step <= other.last_step && other.first_step <= self.last_step
    }

    /// Number of steps the record is live, at least 1.
    pub fn lifetime(&self) -> u64 {
        u64::from(self.last_step.saturating_sub(self.first_step)) + 1
    }

    /// Bytes rounded up to the alignment. `check` has shown that this does not overflow.
    pub fn rounded_bytes(&self) -> u64 {
        align_up(self.bytes, self.alignment)
    }
}

/// The next multiple of `alignment` at or after `value`; saturates, as callers checked the sum.
pub(super) fn align_up(value: u64, alignment: u64) -> u64 {
    let alignment = alignment.max(1);
    match value % alignment {
        0 => value,
        rest => value.saturating_add(alignment - rest),
    }
}

/// Checks what the planners take for granted.
pub(super) fn check(records: &[UsageRecord]) -> Result<(), MemoryError> {
    let mut sum = 0u64;
    for r in records {
        if r.first_step > r.last_step {
            return Err(MemoryError::EndsBeforeItBegins {
                id: r.id,
                first_step: r.first_step,
                last_step: r.last_step,
            });
        }
        // A placed record costs at most its rounded size and one alignment of padding before it.
        let alignment = r.alignment.max(1);
        sum = r
            .bytes
            .checked_add(alignment)
            .and_then(|b| b.checked_add(alignment))
            .and_then(|b| sum.checked_add(b))
            .ok_or(MemoryError::TooLarge { id: r.id })?;
    }
    Ok(())
}
