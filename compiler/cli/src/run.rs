//! `driftc run`.

use crate::args::RunArgs;
use crate::array::{self, Array};
use crate::error::{CliError, Result};
use crate::runner::{Runner, open_verified};
use serde_json::json;
use std::collections::BTreeSet;

/// Reads `NAME=FILE` arguments.
pub fn arrays(args: &[String], option: &str) -> Result<Vec<(String, Array)>> {
    let mut out: Vec<(String, Array)> = Vec::new();
    for arg in args {
        let (name, file) = array::name_and_file(arg, option)?;
        if out.iter().any(|(n, _)| *n == name) {
            return Err(CliError::bad(format!("{option}: `{name}` is given twice")));
        }
        out.push((name, array::load(&file)?));
    }
    Ok(out)
}

pub fn run(args: &RunArgs) -> Result {
    // without it, the arguments ask for an explanation
    let Some(dir) = &args.output_dir else { return crate::explain::run(args) };
    let inputs = arrays(&args.inputs, "--input")?;
    let mut runner = Runner::load(&open_verified(&args.bundle)?, &args.place)?;
    let outputs = runner.run(&inputs)?;
    std::fs::create_dir_all(dir).map_err(|e| CliError::bad(format!("{}: {e}", dir.display())))?;
    let mut names = BTreeSet::new();
    let mut listed = Vec::new();
    for tensor in outputs.iter() {
        let file = array::file_name(&tensor.name);
        if !names.insert(file.clone()) {
            return Err(CliError::bad(format!("two outputs would both be written to {file}")));
        }
        let path = dir.join(&file);
        array::save(&path, tensor)?;
        listed.push(json!({
            "name": tensor.name, "file": path, "shape": tensor.shape,
            "dtype": format!("{:?}", tensor.elem).to_lowercase(),
        }));
        if !args.json {
            println!("{}  {:?} -> {}", tensor.name, tensor.shape, path.display());
        }
    }
    if args.json {
        println!("{:#}", json!({ "device": runner.place(), "outputs": listed }));
    } else {
        println!("ran on {}", runner.place());
    }
    Ok(())
}
