//! `cargo xtask fuzz`: every target of tests/fuzz for a given time, one after another.

use crate::command::{command, execute, stdout_of};
use std::path::Path;

const TARGETS: &[&str] = &["bundle_parse", "onnx_read"];

#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    /// Per target.
    seconds: u32,
    targets: Vec<String>,
}

impl Options {
    pub fn parse(args: &[String]) -> Result<Self, String> {
        let mut options = Self { seconds: 60, targets: Vec::new() };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--seconds" => {
                    let value = args.next().ok_or("--seconds needs a number")?;
                    options.seconds = match value.parse() {
                        Ok(seconds) if seconds > 0 => seconds,
                        _ => return Err(format!("--seconds {value}: a positive whole number")),
                    };
                }
                name if TARGETS.contains(&name) => options.targets.push(name.into()),
                other => {
                    return Err(format!(
                        "unknown fuzz target `{other}`; there are {}",
                        TARGETS.join(", ")
                    ));
                }
            }
        }
        if options.targets.is_empty() {
            options.targets = TARGETS.iter().map(|name| name.to_string()).collect();
        }
        Ok(options)
    }
}

/// True when no target found anything.
pub fn run(root: &Path, options: &Options) -> bool {
    // cargo-fuzz needs sanitizers, which only a nightly compiler offers.
    if stdout_of(command(root, "rustup", &["run", "nightly", "rustc", "--version"])).is_none() {
        eprintln!("missing nightly Rust; install: rustup toolchain install nightly");
        return false;
    }
    let has_fuzz = ["run", "nightly", "cargo", "fuzz", "--version"];
    if stdout_of(command(root, "rustup", &has_fuzz)).is_none() {
        eprintln!("missing cargo-fuzz; install: cargo install cargo-fuzz --locked");
        return false;
    }
    let mut passed = true;
    for target in &options.targets {
        let limit = format!("-max_total_time={}", options.seconds);
        let mut fuzz = command(root, "rustup", &["run", "nightly", "cargo", "fuzz", "run"]);
        fuzz.args(["--fuzz-dir", "tests/fuzz", target]);
        // What libFuzzer finds goes to `corpus` (not kept); the small committed seeds start it.
        let corpus = format!("tests/fuzz/corpus/{target}");
        let seeds = format!("tests/fuzz/seeds/{target}");
        if let Err(error) = std::fs::create_dir_all(root.join(&corpus)) {
            eprintln!("{corpus}: {error}");
            return false;
        }
        fuzz.args([&corpus, &seeds]);
        // Ten seconds, or 16 MiB at once, for a file of 16 kB at most is a finding too.
        fuzz.args([
            "--",
            &limit,
            "-timeout=10",
            "-rss_limit_mb=1024",
            "-malloc_limit_mb=16",
            "-max_len=16384",
            "-print_final_stats=1",
        ]);
        passed &= execute(fuzz, true);
    }
    passed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Options, String> {
        Options::parse(&args.iter().map(|arg| arg.to_string()).collect::<Vec<_>>())
    }

    #[test]
    fn all_targets_run_unless_some_are_named() {
        assert_eq!(parse(&[]).unwrap().targets, TARGETS);
        let one = parse(&["--seconds", "5", "onnx_read"]).unwrap();
        assert_eq!((one.seconds, one.targets), (5, vec!["onnx_read".to_string()]));
        assert!(parse(&["--seconds", "0"]).is_err());
        assert!(parse(&["onnx"]).unwrap_err().contains("bundle_parse"));
    }
}
