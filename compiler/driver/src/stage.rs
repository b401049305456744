//! The stages of a compilation, in order; any can be the stop point (`--stop-after`).

/// One arrow of the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    Read,
    Import,
    Canonicalize,
    Fuse,
    AssignLayouts,
    Lower,
    PlanMemory,
    Emit,
    Package,
}

impl Stage {
    pub const ALL: [Stage; 9] = [
        Stage::Read,
        Stage::Import,
        Stage::Canonicalize,
        Stage::Fuse,
        Stage::AssignLayouts,
        Stage::Lower,
        Stage::PlanMemory,
        Stage::Emit,
        Stage::Package,
    ];

    /// Name on the command line and in errors.
    pub const fn name(self) -> &'static str {
        match self {
            Stage::Read => "read",
            Stage::Import => "import",
            Stage::Canonicalize => "canonicalize",
            Stage::Fuse => "fuse",
            Stage::AssignLayouts => "assign-layouts",
            Stage::Lower => "lower",
            Stage::PlanMemory => "plan-memory",
            Stage::Emit => "emit",
            Stage::Package => "package",
        }
    }

    pub const fn description(self) -> &'static str {
        match self {
            Stage::Read => "map the model file and check its structure",
            Stage::Import => "bind symbolic dims, normalize operators, fold shape arithmetic",
            Stage::Canonicalize => "clean up, fold constants into weights",
            Stage::Fuse => "recognize activations, absorb views, join nodes into kernels",
            Stage::AssignLayouts => "choose layout, element type and storage of every value",
            Stage::Lower => "write a kernel for every node",
            Stage::PlanMemory => "place values in memory, resolve addresses, find hazards",
            Stage::Emit => "write shaders in the target's language",
            Stage::Package => "pack weights and write the bundle",
        }
    }

    pub fn from_name(name: &str) -> Option<Stage> {
        Stage::ALL.into_iter().find(|s| s.name() == name)
    }
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
