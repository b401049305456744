use std::fmt;

/// Why records cannot be planned. Ids are those of the records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemoryError {
    EndsBeforeItBegins {
        id: usize,
        first_step: u32,
        last_step: u32,
    },
    /// The sizes up to and including this record overflow 64 bits.
    TooLarge {
        id: usize,
    },
    /// `alias_of` names a record that does not exist.
    AliasOfUnknown {
        id: usize,
        parent: usize,
        records: usize,
    },
    /// Following `alias_of` from this record comes back to it.
    AliasCycle {
        id: usize,
    },
    /// The sub-tensor reaches outside its parent.
    AliasOutOfParent {
        id: usize,
        offset: u64,
        bytes: u64,
        parent: usize,
        parent_bytes: u64,
    },
    /// No alignment of the parent can align the sub-tensor.
    AliasMisaligned {
        id: usize,
        offset: u64,
        alignment: u64,
    },
    /// No strategy has this name.
    UnknownStrategy {
        name: String,
    },
}

impl fmt::Display for MemoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EndsBeforeItBegins { id, first_step, last_step } => write!(
                f,
                "tensor {id} is last used at step {last_step}, before its first use at step \
                 {first_step}; steps are inclusive and first_step <= last_step"
            ),
            Self::TooLarge { id } => write!(
                f,
                "the intermediate tensors up to tensor {id} need more than 2^64 bytes; check the \
                 model's input sizes"
            ),
            Self::AliasOfUnknown { id, parent, records } => {
                write!(
                    f,
                    "tensor {id} is a view of record {parent}, but there are {records} records"
                )
            }
            Self::AliasCycle { id } => write!(f, "tensor {id} is a view of itself"),
            Self::AliasOutOfParent { id, offset, bytes, parent, parent_bytes } => write!(
                f,
                "tensor {id} takes bytes {offset}..{} of tensor {parent}, which has {parent_bytes}",
                offset.saturating_add(*bytes)
            ),
            Self::AliasMisaligned { id, offset, alignment } => write!(
                f,
                "tensor {id} is a view at byte {offset}, which is no multiple of its alignment of \
                 {alignment}; give it memory of its own (a copy)"
            ),
            Self::UnknownStrategy { name } => {
                write!(f, "unknown memory strategy `{name}`; known: ")?;
                for (i, s) in super::Strategy::ALL.iter().enumerate() {
                    write!(f, "{}{s}", if i == 0 { "" } else { ", " })?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for MemoryError {}
