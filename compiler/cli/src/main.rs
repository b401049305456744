//! `driftc`: the command line of Drift.
#![forbid(unsafe_code)]

mod args;
mod array;
mod bench;
mod compile;
mod demo;
mod devices;
mod error;
mod explain;
mod inspect;
mod llm;
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

/// `driftc ... | head` is no failure: the standard library panics when the reader of a pipe has
/// gone, and a command-line tool should just stop.
fn quiet_broken_pipe() {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let text = info.payload().downcast_ref::<String>();
        if text.is_some_and(|t| t.starts_with("failed printing to stdout")) {
            std::process::exit(0);
        }
        default(info);
    }));
}

fn main() -> ExitCode {
    quiet_broken_pipe();
    let cli = Cli::parse();
    let result = match &cli.command {
        Command::Compile(a) => compile::run(a),
        Command::Run(a) => run::run(a),
        Command::Verify(a) => verify::run(a),
        Command::Inspect(a) => inspect::run(a),
        Command::Devices(a) => devices::run(a),
        Command::Bench(a) if a.llm => llm::bench::run(a),
        Command::Bench(a) => bench::run(a),
        Command::Generate(a) => llm::generate::run(a),
        Command::Chat(a) => llm::chat::run(a),
        Command::Logits(a) => llm::logits::run(a),
        Command::Quality(a) => llm::quality::run(a),
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
