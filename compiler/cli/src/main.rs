//! `driftc`: the command line of Drift.
#![forbid(unsafe_code)]

mod args;
mod array;
mod bench;
mod compile;
mod demo;
mod devices;
mod error;
mod inspect;
mod progress;
mod reference;
mod reporting;
mod run;
mod runner;
mod summary;
mod verify;

use args::{Cli, Command};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match &cli.command {
        Command::Compile(a) => compile::run(a),
        Command::Run(a) => run::run(a),
        Command::Verify(a) => verify::run(a),
        Command::Inspect(a) => inspect::run(a),
        Command::Devices(a) => devices::run(a),
        Command::Bench(a) => bench::run(a),
        Command::Demo(a) => demo::run(a),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            if let Some(help) = &e.help {
                eprintln!("help: {help}");
            }
            ExitCode::from(e.status as u8)
        }
    }
}
