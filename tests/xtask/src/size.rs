//! The size of the smallest program that runs a bundle: examples/minimal, Vulkan only, stripped.

use crate::command::{cargo, execute};
use std::path::{Path, PathBuf};

const PACKAGE: &str = "drift-minimal";
const BUDGET_BYTES: u64 = 600_000;
/// What we aim at; above it the build still passes.
const AIM_BYTES: u64 = 400_000;

/// Builds it with profile `minimal` and holds its size against the budget.
pub fn run(root: &Path) -> bool {
    let build = ["build", "--package", PACKAGE, "--profile", "minimal"];
    if !execute(cargo(root, &build), true) {
        return false;
    }
    let path = artifacts(root)
        .join("minimal")
        .join(PACKAGE)
        .with_extension(std::env::consts::EXE_EXTENSION);
    match std::fs::metadata(&path) {
        Ok(file) => {
            let (text, passed) = verdict(file.len());
            eprintln!("{PACKAGE}: {text}");
            passed
        }
        Err(error) => {
            eprintln!("{}: {error}", path.display());
            false
        }
    }
}

fn verdict(bytes: u64) -> (String, bool) {
    if bytes > BUDGET_BYTES {
        (format!("{bytes} bytes, above the budget of {BUDGET_BYTES}"), false)
    } else if bytes > AIM_BYTES {
        (format!("{bytes} bytes, budget {BUDGET_BYTES} (aim {AIM_BYTES})"), true)
    } else {
        (format!("{bytes} bytes, within the aim of {AIM_BYTES}"), true)
    }
}

/// The target directory: the one this program was built into (`<target>/release/xtask`), so that
/// every way of configuring it is honoured.
fn artifacts(root: &Path) -> PathBuf {
    std::env::current_exe()
        .ok()
        .and_then(|exe| exe.ancestors().nth(2).map(Path::to_path_buf))
        .unwrap_or_else(|| root.join("target"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_a_limit_and_the_aim_is_not() {
        assert!(verdict(AIM_BYTES).1);
        assert!(verdict(AIM_BYTES + 1).1);
        assert!(verdict(BUDGET_BYTES).1);
        assert!(!verdict(BUDGET_BYTES + 1).1);
    }
}
