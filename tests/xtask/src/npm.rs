//! The browser's runtime as an npm package folder: WebAssembly, ES modules, types.

use crate::command::{cargo, command, execute, stdout_of};
use std::fs;
use std::path::{Path, PathBuf};

const TARGET: &str = "wasm32-unknown-unknown";
/// Everything that a page loads to run a model, compressed: WebAssembly and JavaScript.
const BUDGET_BYTES: u64 = 150_000;
/// What we aim at; above it the build still passes.
const AIM_BYTES: u64 = 80_000;
/// The tokenizer, which only pages with a language model load.
const TOKENIZER_BUDGET_BYTES: u64 = 110_000;

/// Builds `target/npm/drift-web` and holds its size against the budgets.
pub fn run(root: &Path) -> bool {
    let Some(folder) = build(root) else { return false };
    eprintln!("npm package: {}", folder.display());
    within_budget(root, &folder)
}

/// Builds the package folder; `None` when something failed, which has been printed.
pub fn build(root: &Path) -> Option<PathBuf> {
    let mut wasm = cargo(root, &["build", "--profile", "web", "--target", TARGET]);
    wasm.args(["--package", "drift-web", "--package", "drift-web-tokenizer"]);
    if !execute(wasm, true) {
        return None;
    }
    let target = artifacts(root);
    let folder = target.join("npm/drift-web");
    let from = root.join("runtime-web/npm");
    let copied = (|| -> std::io::Result<()> {
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        for file in ["package.json", "README.md", "drift.d.ts"] {
            fs::copy(from.join(file), folder.join(file))?;
        }
        for file in ["LICENSE-APACHE", "LICENSE-MIT"] {
            fs::copy(root.join(file), folder.join(file))?;
        }
        for file in modules(&from.join("src"))? {
            fs::copy(&file, folder.join(file.file_name().unwrap_or_default()))?;
        }
        let built = target.join(TARGET).join("web");
        fs::copy(built.join("drift_web.wasm"), folder.join("drift.wasm"))?;
        fs::copy(built.join("drift_web_tokenizer.wasm"), folder.join("tokenizer.wasm"))?;
        Ok(())
    })();
    match copied {
        Ok(()) => Some(folder),
        Err(error) => {
            eprintln!("{}: {error}", folder.display());
            None
        }
    }
}

/// The JavaScript files of a folder, by name.
fn modules(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "js") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn within_budget(root: &Path, folder: &Path) -> bool {
    let size = |path: &Path| -> u64 {
        let path = path.to_string_lossy();
        // as a server sends it
        let mut gzip = command(root, "gzip", &["-9", "-c", &path]);
        gzip.stderr(std::process::Stdio::null());
        gzip.output().map_or(u64::MAX, |out| match out.status.success() {
            true => out.stdout.len() as u64,
            false => u64::MAX,
        })
    };
    if stdout_of(command(root, "gzip", &["--version"])).is_none() {
        eprintln!("`gzip` does not run: no sizes");
        return false;
    }
    let files = modules(folder).unwrap_or_default();
    let script: u64 = files.iter().map(|f| size(f)).fold(0, u64::saturating_add);
    let wasm = size(&folder.join("drift.wasm"));
    let (text, fits) = verdict(wasm, script);
    eprintln!("drift-web: {text}");
    let tokenizer = size(&folder.join("tokenizer.wasm"));
    let small = tokenizer <= TOKENIZER_BUDGET_BYTES;
    let relation = if small { "within" } else { "above" };
    eprintln!(
        "tokenizer.wasm (language models only): {tokenizer} bytes compressed, {relation} the \
         budget of {TOKENIZER_BUDGET_BYTES}"
    );
    fits && small
}

fn verdict(wasm: u64, script: u64) -> (String, bool) {
    let sum = wasm.saturating_add(script);
    let parts = format!("{sum} bytes compressed ({wasm} WebAssembly, {script} JavaScript)");
    if sum > BUDGET_BYTES {
        (format!("{parts}, above the budget of {BUDGET_BYTES}"), false)
    } else if sum > AIM_BYTES {
        (format!("{parts}, budget {BUDGET_BYTES} (aim {AIM_BYTES})"), true)
    } else {
        (format!("{parts}, within the aim of {AIM_BYTES}"), true)
    }
}

/// The target directory: the one this program was built into.
pub fn artifacts(root: &Path) -> PathBuf {
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
        assert!(verdict(AIM_BYTES, 1).1);
        assert!(verdict(BUDGET_BYTES - 1, 1).1);
        assert!(!verdict(BUDGET_BYTES, 1).1);
        assert!(!verdict(u64::MAX, 1).1);
    }
}
