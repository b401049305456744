//! `driftc chat`: a conversation, its keys and values kept from turn to turn.

use super::generate::{End, Request, generate, say};
use super::model::Model;
use super::sampling;
use super::text::{Message, Text};
use crate::args::ChatArgs;
use crate::error::{CliError, Result};
use crate::runner::open_verified;
use serde_json::{Value, json};
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

    /// The file of /save: a line of JSON with the messages, then what the device keeps of them.
    fn save(&self, path: &Path, cache: &[u8]) -> Result {
        let list: Vec<Value> =
            self.messages.iter().map(|m| json!({ "role": m.role, "content": m.content })).collect();
        let mut bytes = Value::Array(list).to_string().into_bytes();
        bytes.push(b'\n');
        bytes.extend(cache);
        std::fs::write(path, bytes).map_err(|e| CliError::bad(format!("{}: {e}", path.display())))
    }

    /// Messages and what the device kept.
    fn load(path: &Path) -> Result<(Conversation, Vec<u8>)> {
        let at = |e: &dyn std::fmt::Display| CliError::bad(format!("{}: {e}", path.display()));
        let mut bytes = std::fs::read(path).map_err(|e| at(&e))?;
        let end = bytes.iter().position(|b| *b == b'\n').unwrap_or(bytes.len());
        let no_conversation = || at(&"this is no conversation of /save");
        let list: Value = serde_json::from_slice(&bytes[..end]).map_err(|_| no_conversation())?;
        let message = |m: &Value| {
            let role =
                m["role"].as_str().filter(|r| ["system", "user", "assistant"].contains(r))?;
            Some(Message::new(role, m["content"].as_str()?))
        };
        let messages = list.as_array().and_then(|l| l.iter().map(message).collect());
        let messages = messages.ok_or_else(no_conversation)?;
        let cache = bytes.split_off((end + 1).min(bytes.len()));
        Ok((Conversation { messages }, cache))
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
    let bundle = open_verified(&args.bundle)?;
    let text = Text::open(&bundle)?;
    let sampling = sampling::with(sampling::of_model(text.generation()), &args.sampling)?;
    let mut model = Model::open(&bundle, &text, &args.place)?;
    text.tokenizer()?;
    model.set_sampling(&sampling)?;
    let mut conversation = Conversation::new(args.system.as_deref());
    if let Some(path) = &args.load {
        conversation = load(&mut model, path)?;
    }
    eprintln!(
        "{} on {}, loaded in {:.0} ms; context of {} tokens; /help says what else",
        bundle.meta().model(),
        model.place(),
        since.elapsed().as_secs_f64() * 1e3,
        model.context()
    );
    if !text.chats() {
        eprintln!(
            "note: the model has no chat format that is known; it goes on from what you write"
        );
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
            match order(command, &mut model, &mut conversation, args) {
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
fn order(
    line: &str,
    model: &mut Model,
    conversation: &mut Conversation,
    args: &ChatArgs,
) -> Result<bool> {
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
        "save" => conversation.save(&file()?, &model.save()?)?,
        "load" => *conversation = load(model, &file()?)?,
        other => {
            return Err(CliError::bad(format!("/{other}: there is no such order")).help("/help"));
        }
    }
    Ok(true)
}

/// Goes on with a conversation of /save. What the device kept is taken if it fits: otherwise the next
/// answer takes longer, no more.
fn load(model: &mut Model, path: &Path) -> Result<Conversation> {
    let (conversation, cache) = Conversation::load(path)?;
    if let Err(e) = model.restore(&cache) {
        eprintln!("note: {e}; the conversation will be read anew");
    }
    Ok(conversation)
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

/// Without a chat format: all that was written, one after the other. An answer goes on from a question;
/// what follows an answer is on a line of its own.
fn plain(text: &Text, messages: &[Message]) -> Result<Vec<u32>> {
    let mut all = String::new();
    for (i, m) in messages.iter().enumerate() {
        if i > 0 && m.role != "assistant" {
            all.push('\n');
        }
        all += &m.content;
    }
    text.prompt(&all)
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
    // what the device holds already is not computed again
    let kept = model.keep_prefix(ids)?;
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
