//! Arguments of the commands for language models.

use super::Place;
use clap::Args;
use std::path::PathBuf;

/// How the next token is chosen.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Sampling")]
pub struct Sampling {
    /// 0 takes the likeliest token; 1 draws as the model predicts; between is sharper
    #[arg(long, value_name = "T", allow_negative_numbers = true)]
    pub temperature: Option<f32>,
    /// Draw among the K likeliest tokens
    #[arg(long, value_name = "K")]
    pub top_k: Option<u32>,
    /// Draw among the likeliest tokens that together have this probability
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    pub top_p: Option<f32>,
    /// Draw among tokens at least P times as likely as the likeliest
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    pub min_p: Option<f32>,
    /// Make tokens that are in the text already less likely (1 = not)
    #[arg(long, value_name = "R", allow_negative_numbers = true)]
    pub repetition_penalty: Option<f32>,
    /// The same seed draws the same tokens [default: another one each time]
    #[arg(long, value_name = "S")]
    pub seed: Option<u32>,
}

#[derive(Args, Debug)]
pub struct GenerateArgs {
    /// A bundle of a language model
    pub bundle: PathBuf,
    /// Text to go on from; `-` reads it from standard input
    #[arg(short, long, value_name = "TEXT", required_unless_present = "ids")]
    pub prompt: Option<String>,
    /// Token ids to go on from, instead of text
    #[arg(long, value_name = "IDS.npy", conflicts_with = "prompt")]
    pub ids: Option<PathBuf>,
    /// Tokens to generate at most [default: until the model ends its text or the context is full]
    #[arg(short = 'n', long, value_name = "N")]
    pub max_tokens: Option<usize>,
    /// Go on behind the tokens that end a text
    #[arg(long)]
    pub ignore_eos: bool,
    /// The prompt is text to go on from, as it is (the default)
    #[arg(long, conflicts_with = "chat")]
    pub raw: bool,
    /// The prompt is a message, put into the model's chat format
    #[arg(long, conflicts_with = "ids")]
    pub chat: bool,
    /// System message, with --chat
    #[arg(long, value_name = "TEXT", requires = "chat")]
    pub system: Option<String>,
    #[command(flatten)]
    pub sampling: Sampling,
    #[command(flatten)]
    pub place: Place,
    /// Print one JSON object at the end instead of text as it comes
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct ChatArgs {
    /// A bundle of a language model
    pub bundle: PathBuf,
    /// System message
    #[arg(long, value_name = "TEXT")]
    pub system: Option<String>,
    /// Tokens of an answer at most [default: until the model ends it or the context is full]
    #[arg(short = 'n', long, value_name = "N")]
    pub max_tokens: Option<usize>,
    /// Go on with a conversation kept by /save
    #[arg(long, value_name = "FILE")]
    pub load: Option<PathBuf>,
    #[command(flatten)]
    pub sampling: Sampling,
    #[command(flatten)]
    pub place: Place,
}

#[derive(Args, Debug)]
pub struct LogitsArgs {
    /// A bundle of a language model
    pub bundle: PathBuf,
    /// Token ids, one per position
    #[arg(long, value_name = "IDS.npy")]
    pub ids: PathBuf,
    /// Compute the first N positions by one prefill and the rest by decode steps [default: all by prefill]
    #[arg(long, value_name = "N")]
    pub prefill: Option<usize>,
    /// Where the f32 logits go, [positions, vocabulary]
    #[arg(short, long, value_name = "LOGITS.npy")]
    pub output: PathBuf,
    #[command(flatten)]
    pub place: Place,
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct QualityArgs {
    /// Bundles of one language model, or its folder, which is compiled once per scheme
    #[arg(required = true, value_name = "BUNDLE|FOLDER")]
    pub models: Vec<PathBuf>,
    /// The text to predict
    #[arg(long, value_name = "FILE")]
    pub text: PathBuf,
    /// What the others are compared with: a bundle [default: the first one; of a folder, f32]
    #[arg(long, value_name = "BUNDLE")]
    pub reference: Option<PathBuf>,
    /// Quantization schemes of a folder, separated by commas
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "f16,q8,8/4/4,q4")]
    pub schemes: Vec<String>,
    /// Tokens of the text at most
    #[arg(long, value_name = "N", default_value_t = 4096)]
    pub tokens: usize,
    /// Tokens that are predicted in one go, each from those before it; the context at most
    #[arg(long, value_name = "N", default_value_t = 512)]
    pub window: usize,
    /// Where bundles are compiled for, as for `compile` [default: vulkan-modern, or reference]
    #[arg(long = "target", value_name = "ID")]
    pub targets: Vec<String>,
    #[command(flatten)]
    pub place: Place,
    #[arg(long)]
    pub json: bool,
}
