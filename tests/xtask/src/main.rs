//! `cargo xtask`: the chores of this repository. `cargo xtask help` lists them.
//!
//! Only the standard library is used, so that a fresh clone reaches its first message in seconds.
#![forbid(unsafe_code)]

mod backends;
mod browser;
mod command;
mod fuzz;
mod npm;
mod report;
mod requirement;
mod site;
mod size;
mod suite;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const HELP: &str = "\
cargo xtask <command>

  test [--no-install] [--full] [--json] [-p CRATE]...
          Check what the tests need, install what is missing, run everything.
          --no-install  only check; still runs what can be run, and fails if a need is missing
          --full        also rustdoc, the fuzz targets (compiled only), cargo-deny when installed
          --json        one JSON object on stdout, everything else on stderr
          -p CRATE      only these crates (format, clippy, tests, doc tests)
  deps    Check who may depend on whom.
  goldens [TEST NAME]...
          Write the golden files anew (DRIFT_BLESS=1); read the diff before you commit it.
  backends [ID [FOLDER]]
          Write docs/backends.md from the results in docs/backends. With an ID (lavapipe, pocl, ...) first
          run operators, networks and language models on the driver that DRIFT_BACKEND and DRIFT_DEVICE
          name and keep their results under this ID; with a FOLDER, keep the results that are there
          (DRIFT_RESULTS=FOLDER). DRIFT_BACKEND=chromium (or chromium-f16) runs them
          in a page.
  size    Build examples/minimal and hold its stripped size against the budget.
  npm     Build the browser's runtime as an npm package folder (target/npm) and hold its size
          against the budget.
  site    Build the examples for browsers as a folder of static files (target/site).
  serve-examples
          The same, served on http://localhost:8080.
  browser The runtime and the examples in headless Chromium.
  fuzz [--seconds N] [TARGET]...
          Run the fuzz targets of tests/fuzz, 60 s each unless told (needs nightly, cargo-fuzz).

Exit status: 0 all passed, 1 something failed or is missing, 2 wrong usage.
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (name, rest) = match args.split_first() {
        Some((name, rest)) => (name.as_str(), rest),
        None => ("help", &[][..]),
    };
    let root = repository_root();
    let outcome = match name {
        "test" => suite::Options::parse(rest).map(|options| suite::run(&root, &options)),
        "deps" => no_arguments(rest).map(|()| suite::dependency_rules(&root)),
        "goldens" => Ok(suite::bless_goldens(&root, rest)),
        "backends" => backends::parse(rest).map(|results| backends::run(&root, &results)),
        "npm" => no_arguments(rest).map(|()| npm::run(&root)),
        "site" => no_arguments(rest).map(|()| match site::build(&root) {
            Some(folder) => {
                eprintln!("site: {}", folder.display());
                true
            }
            None => false,
        }),
        "serve-examples" => no_arguments(rest).map(|()| site::serve(&root)),
        "browser" => no_arguments(rest).map(|()| npm::run(&root) & browser::run(&root)),
        "size" => no_arguments(rest).map(|()| size::run(&root)),
        "fuzz" => fuzz::Options::parse(rest).map(|options| fuzz::run(&root, &options)),
        "help" | "-h" | "--help" => {
            print!("{HELP}");
            Ok(true)
        }
        other => Err(format!("unknown command `{other}`")),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(usage) => {
            eprintln!("error: {usage}\n\n{HELP}");
            ExitCode::from(2)
        }
    }
}

fn no_arguments(args: &[String]) -> Result<(), String> {
    args.first().map_or(Ok(()), |extra| Err(format!("unexpected argument `{extra}`")))
}

/// The workspace root, two levels above this crate's manifest.
fn repository_root() -> PathBuf {
    // Set by `cargo run`; the compiled-in value serves when the binary is started by hand.
    let manifest = std::env::var("CARGO_MANIFEST_DIR").unwrap_or(env!("CARGO_MANIFEST_DIR").into());
    let manifest = Path::new(&manifest);
    manifest.ancestors().nth(2).unwrap_or(manifest).to_path_buf()
}
