//! `driftc generate`: goes on from a prompt.

use super::model::Model;
use super::sampling::{self, Sampling};
use super::text::{Message, Text};
use crate::args::GenerateArgs;
use crate::array;
use crate::error::{CliError, Result};
use crate::runner::open_verified;
use drift_bundle::plan::ElemType;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// Token ids from an array file: integers of any width, in one dimension (or rows of one).
pub fn load_ids(path: &Path) -> Result<Vec<u32>> {
    let bad = |what: String| CliError::bad(format!("{}: {what}", path.display()));
    let array = array::load(path)?;
    if array.shape.iter().filter(|n| **n != 1).count() > 1 {
        return Err(bad(format!("shape {:?}: expected one row of token ids", array.shape)));
    }
    let size = array.elem.bytes() as usize;
    let signed = match array.elem {
        ElemType::I8 | ElemType::I16 | ElemType::I32 | ElemType::I64 => true,
        ElemType::U8 | ElemType::U16 | ElemType::U32 | ElemType::U64 => false,
        other => {
            let what = format!("elements are {other:?}").to_lowercase();
            return Err(bad(format!("{what}, expected integers: token ids")));
        }
    };
    let id = |(i, c): (usize, &[u8])| {
        let negative = signed && c[size - 1] >= 0x80;
        let mut bytes = [if negative { 0xff } else { 0 }; 8];
        bytes[..size].copy_from_slice(c);
        let value = i64::from_le_bytes(bytes);
        u32::try_from(value).map_err(|_| bad(format!("element {i} is {value}: no token id")))
    };
    array.bytes.chunks_exact(size).enumerate().map(id).collect()
}

/// What one generation took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timing {
    pub prompt: usize,
    pub prefill: Duration,
    pub generated: usize,
    /// From the first token to the last.
    pub decode: Duration,
    /// From opening the bundle to the first token.
    pub first: Duration,
}

/// Things per second; `None` where there is no time to divide by.
pub fn rate(count: usize, time: Duration) -> Option<f64> {
    (count > 0 && !time.is_zero()).then(|| count as f64 / time.as_secs_f64())
}

impl Timing {
    /// Decode steps: the first token comes from the prefill.
    fn steps(&self) -> usize {
        self.generated.saturating_sub(1)
    }

    pub fn print(&self) {
        let ms = |d: Duration| d.as_secs_f64() * 1e3;
        let per_second =
            |r: Option<f64>| r.map_or(String::new(), |r| format!(" ({} tokens/s)", rounded(r)));
        eprintln!(
            "prefill {} tokens in {:.1} ms{}; decode {} tokens in {:.1} ms{}; first token {:.1} ms after opening",
            self.prompt,
            ms(self.prefill),
            per_second(rate(self.prompt, self.prefill)),
            self.steps(),
            ms(self.decode),
            per_second(rate(self.steps(), self.decode)),
            ms(self.first),
        );
    }

    pub fn json(&self) -> Value {
        json!({
            "prompt_tokens": self.prompt,
            "prefill_seconds": self.prefill.as_secs_f64(),
            "prefill_tokens_per_second": rate(self.prompt, self.prefill),
            "generated_tokens": self.generated,
            "decode_seconds": self.decode.as_secs_f64(),
            "decode_tokens_per_second": rate(self.steps(), self.decode),
            "first_token_seconds": self.first.as_secs_f64(),
        })
    }
}

/// Three digits are what such a figure is good for.
pub fn rounded(rate: f64) -> String {
    if rate >= 100.0 { format!("{rate:.0}") } else { format!("{rate:.2}") }
}

/// Why a generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With a token that ends a text.
    Stop,
    /// As many tokens as were asked for.
    Length,
    Context,
}

impl End {
    pub fn name(self) -> &'static str {
        match self {
            End::Stop => "stop",
            End::Length => "length",
            End::Context => "context",
        }
    }
}

/// What to generate.
pub struct Request<'a> {
    /// Not yet cached; at least one.
    pub prompt: &'a [u32],
    pub most: Option<usize>,
    pub stop: &'a [u32],
    /// When the clock of the first token started.
    pub since: Instant,
}

/// Prefill and decode; `show` gets every token but the one that ends the text.
pub fn generate(
    model: &mut Model,
    request: &Request<'_>,
    mut show: impl FnMut(u32) -> Result,
) -> Result<(Vec<u32>, End, Timing)> {
    let start = Instant::now();
    model.prefill(request.prompt)?;
    let mut timing = Timing { prompt: request.prompt.len(), ..Timing::default() };
    let (mut ids, mut end) = (Vec::new(), End::Length);
    let mut first = None;
    let most = request.most.unwrap_or(usize::MAX);
    let count = model.decode(most, |id| {
        if first.is_none() {
            timing.prefill = start.elapsed();
            timing.first = request.since.elapsed();
            first = Some(Instant::now());
        }
        ids.push(id);
        if request.stop.contains(&id) {
            end = End::Stop;
            return Ok(false);
        }
        show(id)?;
        Ok(true)
    })?;
    timing.generated = count;
    timing.decode = first.map_or(Duration::ZERO, |t| t.elapsed());
    if end == End::Length && count < most {
        end = End::Context;
    }
    Ok((ids, end, timing))
}

/// Writes a piece of text at once: people read along.
pub fn say(text: &str) -> Result {
    let mut out = std::io::stdout().lock();
    let result = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    match result {
        // `driftc … | head` is no failure
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        result => result.map_err(|e| CliError::bad(format!("standard output: {e}"))),
    }
}

fn prompt_text(args: &GenerateArgs) -> Result<Option<String>> {
    match args.prompt.as_deref() {
        Some("-") => {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .map_err(|e| CliError::bad(format!("standard input: {e}")))?;
            Ok(Some(text))
        }
        other => Ok(other.map(str::to_owned)),
    }
}

pub fn run(args: &GenerateArgs) -> Result {
    let sampling = sampling::with(Sampling::GREEDY, &args.sampling)?;
    let given = prompt_text(args)?;
    let since = Instant::now();
    let bundle = open_verified(&args.bundle)?;
    let text = Text::open(&bundle)?;
    // the tokenizer is read meanwhile; ids from a file must be right before anything is loaded
    let ids = args.ids.as_deref().map(load_ids).transpose()?;
    let mut model = Model::open(&bundle, &text, &args.place)?;
    model.set_sampling(&sampling)?;
    let prompt = match (&given, ids) {
        (Some(message), _) if args.chat => {
            let system = args.system.iter().map(|s| Message::new("system", s));
            let messages: Vec<Message> = system.chain([Message::new("user", message)]).collect();
            text.conversation(&messages)?
        }
        (Some(prompt), _) => text.prompt(prompt)?,
        (None, ids) => ids.unwrap_or_default(),
    };
    if prompt.is_empty() {
        return Err(CliError::bad("there are no tokens to go on from"));
    }
    let stop = if args.ignore_eos { Vec::new() } else { text.stop() };
    let request = Request { prompt: &prompt, most: args.max_tokens, stop: &stop, since };

    let tokenizer = text.maybe_tokenizer();
    // text that is gone on from is shown with what follows; a question is not repeated
    let context = if args.chat { &prompt[..] } else { &[] };
    let mut stream = tokenizer.map(|t| t.stream(context));
    let mut piece = |id: u32| match &mut stream {
        Some(stream) => stream.push(id),
        None => format!("{id} "),
    };
    let mut before = String::new();
    if !args.chat && tokenizer.is_some() {
        before = prompt.iter().map(|id| piece(*id)).collect();
    }
    if !args.json {
        say(&before)?;
    }
    let mut completion = String::new();
    let (ids, end, timing) = generate(&mut model, &request, |id| {
        let piece = piece(id);
        completion += &piece;
        if args.json { Ok(()) } else { say(&piece) }
    })?;
    let rest = stream.as_mut().map(|s| s.finish()).unwrap_or_default();
    if args.json {
        completion += &rest;
        println!(
            "{:#}",
            json!({
                "device": model.place(), "prompt_ids": prompt, "ids": ids,
                "text": format!("{before}{completion}"), "completion": completion,
                "end": end.name(), "sampling": sampling::to_json(&sampling), "timing": timing.json(),
            })
        );
        return Ok(());
    }
    say(&rest)?;
    say("\n")?;
    if end == End::Context {
        eprintln!(
            "note: the context of {} tokens is full; compile with a larger --context",
            model.context()
        );
    }
    timing.print();
    Ok(())
}
