//! `cargo xtask backends`: docs/backends.md and the results it is written from.

use crate::command::{cargo, execute, stdout_of};
use crate::npm;
use std::path::{Path, PathBuf};

/// What to do before the page is written.
#[derive(Debug, PartialEq, Eq)]
pub enum Results {
    /// Nothing: render the committed results.
    Committed,
    /// Run the suites on the driver that the environment names, and keep the results as ID.
    Run(String),
    /// Keep a folder of results as ID.
    Folder(String, PathBuf),
}

pub fn parse(args: &[String]) -> Result<Results, String> {
    match args {
        [] => Ok(Results::Committed),
        [id, ..]
            if id.is_empty() || id.contains(|c: char| !c.is_ascii_alphanumeric() && c != '-') =>
        {
            Err(format!("`{id}` is no id of a driver (letters, digits and -)"))
        }
        [id] => Ok(Results::Run(id.clone())),
        [id, folder] => Ok(Results::Folder(id.clone(), folder.into())),
        [_, _, extra, ..] => Err(format!("unexpected argument `{extra}`")),
    }
}

pub fn run(root: &Path, results: &Results) -> bool {
    // Failures are results, too: the page shows them, and the run fails in the end.
    let mut passed = true;
    let mut write =
        cargo(root, &["run", "--package", "drift-conformance", "--bin", "backends", "--"]);
    match results {
        Results::Committed => {}
        Results::Run(id) => {
            let folder = root.join("target/backends").join(id);
            let _ = std::fs::remove_dir_all(&folder);
            let nextest = stdout_of(cargo(root, &["nextest", "--version"])).is_some();
            let mut suite = match nextest {
                // a profile with time for drivers that compile kernels on the CPU
                true => cargo(root, &["nextest", "run", "--profile", "opencl"]),
                false => cargo(root, &["test", "--no-fail-fast"]),
            };
            suite.args(["--package", "drift-conformance"]);
            for test in ["ops", "models", "llm"] {
                suite.args(["--test", test]);
            }
            suite.env("DRIFT_RESULTS", &folder).env("DRIFT_REQUIRE_GPU", "1");
            if std::env::var("DRIFT_BACKEND").is_ok_and(|name| name.starts_with("chromium")) {
                let Some(package) = npm::build(root) else { return false };
                suite.env("DRIFT_WEB", package);
            }
            passed = execute(suite, false);
            write.arg(id).arg(folder);
        }
        Results::Folder(id, folder) => {
            write.arg(id).arg(folder);
        }
    }
    execute(write, false) && passed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read_and_wrong_ones_named() {
        let parse = |args: &[&str]| parse(&args.iter().map(|a| a.to_string()).collect::<Vec<_>>());
        assert_eq!(parse(&[]), Ok(Results::Committed));
        assert_eq!(parse(&["pocl"]), Ok(Results::Run("pocl".into())));
        assert_eq!(parse(&["msl", "r"]), Ok(Results::Folder("msl".into(), "r".into())));
        assert!(parse(&["../x"]).unwrap_err().contains("../x"));
        assert!(parse(&["a", "b", "c"]).unwrap_err().contains("`c`"));
    }
}
