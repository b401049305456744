use super::MemoryError;
use std::{fmt, str::FromStr};

/// How records are packed. The names are those of the command line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// Every tensor has memory of its own.
    Naive,
    /// Memory is reused by tensors of exactly the same size only.
    Equality,
    /// Tensors take the tightest gap in the order in which they are first used.
    GreedyInOrder,
    /// Largest tensor first into the tightest gap (arXiv 2001.03288, "Greedy by Size").
    GreedyBySize,
    /// Steps with the most live bytes first (arXiv 2001.03288, "Greedy by Breadth").
    GreedyByBreadth,
    /// The smaller of greedy-by-size and greedy-by-breadth.
    GreedyBest,
    /// Shared objects (arXiv 2001.03288, "Greedy by Size Improved"), for APIs that cannot bind a
    /// buffer at an offset. In an arena the objects lie end to end.
    SharedObjects,
    /// Greedy plans in several orders, then a bounded, repeatable search towards the lower bound.
    #[default]
    Best,
}

impl Strategy {
    pub const ALL: &'static [Strategy] = &[
        Self::Naive,
        Self::Equality,
        Self::GreedyInOrder,
        Self::GreedyBySize,
        Self::GreedyByBreadth,
        Self::GreedyBest,
        Self::SharedObjects,
        Self::Best,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Naive => "naive",
            Self::Equality => "equality",
            Self::GreedyInOrder => "greedy-in-order",
            Self::GreedyBySize => "greedy-by-size",
            Self::GreedyByBreadth => "greedy-by-breadth",
            Self::GreedyBest => "greedy-best",
            Self::SharedObjects => "shared-objects",
            Self::Best => "best",
        }
    }

    /// One line for `--help`.
    pub const fn description(self) -> &'static str {
        match self {
            Self::Naive => "every tensor has memory of its own",
            Self::Equality => "reuse only between tensors of the same size",
            Self::GreedyInOrder => "tightest gap, in order of first use",
            Self::GreedyBySize => "tightest gap, largest tensor first",
            Self::GreedyByBreadth => "tightest gap, widest step first",
            Self::GreedyBest => "the smaller of greedy-by-size and greedy-by-breadth",
            Self::SharedObjects => "whole objects shared by tensors of disjoint lifetimes",
            Self::Best => "several greedy orders, then a bounded search towards the lower bound",
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Strategy {
    type Err = MemoryError;

    fn from_str(name: &str) -> Result<Self, MemoryError> {
        Self::ALL
            .iter()
            .copied()
            .find(|s| s.name() == name)
            .ok_or_else(|| MemoryError::UnknownStrategy { name: name.to_owned() })
    }
}
