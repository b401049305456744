//! `cargo xtask backends`: renders docs/backends.md from `docs/backends/*.json`, after summing up a
//! folder of results when one is given: `backends [ID RESULTS_FOLDER]`.

use drift_conformance::results::{Summary, page, read_all};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> Result<(), String> {
    let docs = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs"));
    let folder = docs.join("backends");
    let write = |path: &Path, text: &str| {
        std::fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))?;
        println!("wrote {} ({} bytes)", path.display(), text.len());
        Ok::<(), String>(())
    };
    match args {
        [] => {}
        [id, results] => {
            std::fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
            let before = read_all(&folder)?.into_iter().find(|s| s.id == *id);
            let summary = Summary::of_results(id, Path::new(results), before)?;
            write(&folder.join(format!("{id}.json")), &summary.text())?;
        }
        _ => return Err("usage: backends [ID RESULTS_FOLDER]".into()),
    }
    write(&docs.join("backends.md"), &page(&read_all(&folder)?))
}
