//! `driftc chat`: a conversation, its keys and values kept from turn to turn.

use super::generate::{End, Request, generate, say};
use super::model::Model;
use super::sampling::Sampling;
use super::text::Text;
use crate::args::ChatArgs;
use crate::error::{CliError, Result};
use crate::run::open;
use drift_tokenizer::chat::Message;
use std::io::{BufRead, IsTerminal};
use std::path::Path;
use std::time::Instant;

const HELP: &str = "\
/reset        forget the conversation
/save FILE    keep it
/load FILE    go on with one that was kept
/undo         take the last question and its answer back
/help         this
/quit         leave (so does the end of input)";

/// Messages so far.
struct Conversation {
    messages: Vec<Message>,
}

impl Conversation {
    fn new(system: Option<&str>) -> Conversation {
        let messages = system.map(|s| Message::new("system", s)).into_iter().collect();
        Conversation { messages }
    }

    fn save(&self, path: &Path) -> Result {
        let at = |e: &dyn std::fmt::Display| CliError::bad(format!("{}: {e}", path.display()));
        let json = serde_json::to_vec_pretty(&self.messages).map_err(|e| at(&e))?;
        std::fs::write(path, json).map_err(|e| at(&e))
    }

    fn load(path: &Path) -> Result<Conversation> {
        let at = |e: &dyn std::fmt::Display| CliError::bad(format!("{}: {e}", path.display()));
        let bytes = std::fs::read(path).map_err(|e| at(&e))?;
        let messages = serde_json::from_slice(&bytes)
            .map_err(|e| at(&format!("no conversation of /save: {e}")))?;
        Ok(Conversation { messages })
    }

    /// Takes the last question back, with what followed it; `false` if there was none.
    fn undo(&mut self) -> bool {
        match self.messages.iter().rposition(|m| m.role == "user") {
            Some(at) => {
                self.messages.truncate(at);
                true
            }
            None => false,
        }
    }
}

pub fn run(args: &ChatArgs) -> Result {
    let since = Instant::now();
    let bundle = open(&args.bundle)?;
    let text = Text::open(&bundle)?;
    text.tokenizer()?;
    let sampling = Sampling::of_model(text.generation()).with(&args.sampling)?;
    let mut model = Model::open(&bundle, &text, &args.place)?;
    model.set_sampling(&sampling)?;
    let mut conversation = match &args.load {
        Some(path) => Conversation::load(path)?,
        None => Conversation::new(args.system.as_deref()),
    };
    eprintln!(
        "{} on {}, loaded in {:.0} ms; context of {} tokens; /help says what else",
        bundle.meta().model(),
        model.runner.place(),
        since.elapsed().as_secs_f64() * 1e3,
        model.context()
    );
    if !text.chats() {
        eprintln!("note: the model has no chat format; it goes on from what you write");
    }
    let prompt = std::io::stdin().is_terminal();
    let mut line = String::new();
    loop {
        if prompt {
            say("> ")?;
        }
        line.clear();
        let read = std::io::stdin().lock().read_line(&mut line);
        if read.map_err(|e| CliError::bad(format!("standard input: {e}")))? == 0 {
            return Ok(());
        }
        let input = line.trim();
        if input.is_empty() {
            continue;
        }
        if let Some(command) = input.strip_prefix('/') {
            match order(command, &mut conversation, args) {
                Ok(true) => continue,
                Ok(false) => return Ok(()),
                Err(e) => complain(&e),
            }
            continue;
        }
        if let Err(e) = turn(&mut model, &text, &mut conversation, input, args) {
            // the device or the driver failed: there is nothing to go on with
            if e.status == crate::error::Status::NoDevice {
                return Err(e);
            }
            complain(&e);
        }
    }
}

fn complain(e: &CliError) {
    eprintln!("error: {e}");
    if let Some(help) = &e.help {
        eprintln!("help: {help}");
    }
}

/// A line that starts with a slash; `false` ends the program.
fn order(line: &str, conversation: &mut Conversation, args: &ChatArgs) -> Result<bool> {
    let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
    let file = || match rest.trim() {
        "" => Err(CliError::bad(format!("/{name} FILE: which file?"))),
        path => Ok(Path::new(path).to_owned()),
    };
    match name {
        "quit" | "exit" => return Ok(false),
        "help" => eprintln!("{HELP}"),
        "reset" => *conversation = Conversation::new(args.system.as_deref()),
        "undo" if conversation.undo() => {}
        "undo" => return Err(CliError::bad("there is nothing to take back")),
        "save" => conversation.save(&file()?)?,
        "load" => *conversation = Conversation::load(&file()?)?,
        other => {
            return Err(CliError::bad(format!("/{other}: there is no such order")).help("/help"));
        }
    }
    Ok(true)
}

/// One question and its answer.
fn turn(
    model: &mut Model,
    text: &Text,
    conversation: &mut Conversation,
    input: &str,
    args: &ChatArgs,
) -> Result {
    let since = Instant::now();
    conversation.messages.push(Message::new("user", input));
    let ids = match text.chats() {
        true => text.conversation(&conversation.messages),
        false => plain(text, &conversation.messages),
    };
    let result = ids.and_then(|ids| answer(model, text, &ids, since, args));
    match result {
        Ok(said) => {
            conversation.messages.push(Message::new("assistant", said));
            Ok(())
        }
        Err(e) => {
            // as if the question had not been asked
            conversation.messages.pop();
            Err(e)
        }
    }
}

/// Without a chat format: all that was written, one after the other.
fn plain(text: &Text, messages: &[Message]) -> Result<Vec<u32>> {
    let all: Vec<&str> = messages.iter().map(|m| m.content.as_str()).collect();
    text.prompt(&all.join("\n"))
}

fn answer(
    model: &mut Model,
    text: &Text,
    ids: &[u32],
    since: Instant,
    args: &ChatArgs,
) -> Result<String> {
    if ids.len() > model.context() {
        return Err(CliError::bad(format!(
            "the conversation has {} tokens, and the context {}: it is full",
            ids.len(),
            model.context()
        ))
        .help("/undo or /reset, or compile with a larger --context"));
    }
    // what the cache holds already is not computed again; the last token must be, for what it says
    let same = ids.iter().zip(model.cached()).take_while(|(a, b)| a == b).count();
    let same = same.min(ids.len().saturating_sub(1));
    let kept = if model.truncate(same) { same } else { 0 };
    model.truncate(kept);
    let stop = text.stop();
    let request = Request { prompt: &ids[kept..], most: args.max_tokens, stop: &stop, since };
    let mut stream = text.tokenizer()?.stream(ids);
    let mut said = String::new();
    let (_, end, timing) = generate(model, &request, |id| {
        let piece = stream.push(id);
        said += &piece;
        say(&piece)
    })?;
    let rest = stream.finish();
    said += &rest;
    say(&rest)?;
    say("\n")?;
    if end == End::Context {
        eprintln!(
            "note: the context of {} tokens is full: /undo or /reset, or compile with a larger --context",
            model.context()
        );
    }
    timing.print();
    Ok(said)
}
