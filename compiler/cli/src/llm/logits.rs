//! `driftc logits`: logits at every position, for comparison with other implementations.

use super::generate::load_ids;
use super::model::Model;
use super::text::Text;
use crate::args::LogitsArgs;
use crate::error::{CliError, Result};
use crate::runner::open_verified;
use npyz::WriterBuilder;
use serde_json::json;
use std::fs::File;
use std::io::BufWriter;
use std::time::Instant;

pub fn run(args: &LogitsArgs) -> Result {
    let ids = load_ids(&args.ids)?;
    if ids.is_empty() {
        return Err(CliError::bad(format!("{}: there are no token ids", args.ids.display())));
    }
    let prefill = args.prefill.unwrap_or(ids.len());
    if prefill > ids.len() {
        return Err(CliError::bad(format!(
            "--prefill {prefill}: there are {} token ids",
            ids.len()
        )));
    }
    let bundle = open_verified(&args.bundle)?;
    let text = Text::open(&bundle)?;
    let mut model = Model::open(&bundle, &text, &args.place)?;
    let shape = [ids.len() as u64, model.vocabulary() as u64];
    let start = Instant::now();
    let at = |e: std::io::Error| CliError::bad(format!("{}: {e}", args.output.display()));
    let file = BufWriter::new(File::create(&args.output).map_err(at)?);
    let options = npyz::WriteOptions::<f32>::new().default_dtype();
    let mut out = options.shape(&shape).writer(file).begin_nd().map_err(at)?;
    let result =
        model.all_logits(&ids, prefill, |_, logits| out.extend(logits.iter().copied()).map_err(at));
    if let Err(e) = result {
        // half a file would be taken for a whole one
        drop(out);
        let _ = std::fs::remove_file(&args.output);
        return Err(e);
    }
    out.finish().map_err(at)?;
    let seconds = start.elapsed().as_secs_f64();
    if args.json {
        println!(
            "{:#}",
            json!({
                "device": model.place(), "positions": shape[0], "vocabulary": shape[1],
                "prefill": prefill, "file": args.output, "seconds": seconds,
            })
        );
    } else {
        println!(
            "{} positions of {} logits ({prefill} by prefill) -> {}",
            shape[0],
            shape[1],
            args.output.display()
        );
        println!("ran on {} in {seconds:.2} s", model.place());
    }
    Ok(())
}
