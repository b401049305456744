//! Arguments of `driftc`: a contract, see the README.

mod llm;

use clap::{Args, Parser, Subcommand, ValueEnum};
pub use llm::{ChatArgs, GenerateArgs, LogitsArgs, QualityArgs, Sampling};
use std::path::PathBuf;

/// Compiles neural networks ahead of time for any GPU, and runs the result.
#[derive(Debug, Parser)]
#[command(name = "driftc", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Compile a model into a .drift bundle
    Compile(CompileArgs),
    /// Run a bundle on arrays from files
    Run(RunArgs),
    /// Compile a model, run it, and compare its outputs with expected ones
    Verify(VerifyArgs),
    /// Show everything that is in a bundle
    Inspect(InspectArgs),
    /// List GPUs found here, and known targets
    Devices(DevicesArgs),
    /// Time a bundle: GPU time per inference and per kernel
    Bench(BenchArgs),
    /// Go on from a prompt with a language model
    Generate(GenerateArgs),
    /// Talk with a language model
    Chat(ChatArgs),
    /// Write a language model's logits at every position of given token ids
    Logits(LogitsArgs),
    /// Compare quantization schemes of a language model: size, perplexity, divergence, speed
    Quality(QualityArgs),
    /// Compile and run the embedded demo model
    Demo(DemoArgs),
}

/// What to compile, and how.
#[derive(Args, Clone, Debug)]
pub struct CompileOptions {
    /// The model: an ONNX file, or the folder of a language model (config.json, safetensors)
    pub model: PathBuf,
    /// Target: a device id, ID:API, a TOML file, or `reference` [default: all generic ones]
    #[arg(long = "target", value_name = "ID")]
    pub targets: Vec<String>,
    /// Size of a symbolic dim
    #[arg(long = "dim", value_name = "NAME=N")]
    pub dims: Vec<String>,
    /// Shape of an input, as NAME=1x3x224x224
    #[arg(long = "input-shape", value_name = "NAME=SHAPE")]
    pub shapes: Vec<String>,
    /// Number format: f32; mixed = f16 storage with f32 arithmetic, f32 where noise is amplified; f16 =
    /// f16 storage throughout [default: f32; mixed for a language model with --quantize]
    #[arg(long, value_name = "f32|f16|mixed")]
    pub precision: Option<String>,
    /// Weight quantization: none, q8, q4 (groups of 32), 8/4/4 (attention 8 bits, the rest 4), q8g32,
    /// q4g128, q4c, ...
    #[arg(long, value_name = "SCHEME")]
    pub quantize: Option<String>,
    /// Language models: length of the KV cache in tokens [default: 4096, or what the model was made
    /// for if that is less]
    #[arg(long, value_name = "TOKENS")]
    pub context: Option<usize>,
    /// Language models: most tokens of a prompt that one submission takes
    #[arg(long, default_value_t = 1024, value_name = "TOKENS")]
    pub chunk: usize,
    /// Language models: element type of the KV cache [default: f16, at --precision f32 f32]
    #[arg(long, value_name = "f32|f16|int8")]
    pub kv_cache: Option<String>,
    /// What --precision mixed keeps in f32 is chosen by measurement: NAME=FILE.npy or .pb gives an input's
    /// values (repeatable, one for every input). Language models: a text instead, on which ranges are
    /// measured, to find what f16 cannot hold [default: some lines of prose and code]
    #[arg(long, value_name = "NAME=FILE|FILE|none")]
    pub calibrate: Vec<String>,
    /// Leave out a pass or rewrite rule, by name
    #[arg(long = "disable", value_name = "PASS")]
    pub disabled: Vec<String>,
    /// Apply only the first N rewrites (to find a wrong one)
    #[arg(long, value_name = "N")]
    pub bisect: Option<usize>,
    /// Memory planning strategy: best, greedy-by-size, greedy-by-breadth, shared-objects, naive, ...
    #[arg(long, default_value = "best", value_name = "STRATEGY")]
    pub memory: String,
}

impl CompileOptions {
    /// A language model's folder with a scheme (of `--quantize`), and the rest as the defaults are.
    pub fn of_model(
        model: PathBuf,
        scheme: &str,
        targets: Vec<String>,
        context: usize,
    ) -> CompileOptions {
        CompileOptions {
            model,
            targets,
            dims: Vec::new(),
            shapes: Vec::new(),
            precision: None,
            quantize: Some(scheme.to_owned()),
            context: Some(context),
            chunk: 1024,
            kv_cache: None,
            calibrate: Vec::new(),
            disabled: Vec::new(),
            bisect: None,
            memory: "best".to_owned(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Emit {
    /// Graph or kernels as text
    Text,
    /// Graph for graphviz
    Dot,
    Wgsl,
    Spirv,
    Msl,
    Opencl,
}

#[derive(Args, Debug)]
pub struct CompileArgs {
    #[command(flatten)]
    pub options: CompileOptions,
    /// Where the bundle goes
    #[arg(short, long, value_name = "OUT.drift")]
    pub output: Option<PathBuf>,
    /// Stop after a stage and print what it made
    #[arg(long, value_name = "STAGE")]
    pub stop_after: Option<String>,
    /// What to print at the stop point
    #[arg(long, value_enum)]
    pub emit: Option<Emit>,
    /// Write a report, as .html or .json
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Print the summary as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Backend {
    /// The best GPU found; with no GPU driver, an error
    #[default]
    Auto,
    Vulkan,
    Opencl,
    Webgpu,
    Metal,
    /// The interpreter on the CPU: slow and exact
    Reference,
}

/// Where to run.
#[derive(Args, Clone, Debug)]
pub struct Place {
    /// API to run on
    #[arg(long, value_enum, default_value_t = Backend::Auto)]
    pub backend: Backend,
    /// Number of the device in `driftc devices`
    #[arg(long, value_name = "N")]
    pub device: Option<usize>,
}

#[derive(Args, Debug)]
pub struct RunArgs {
    pub bundle: PathBuf,
    #[command(flatten)]
    pub place: Place,
    /// An input array
    #[arg(long = "input", value_name = "NAME=FILE.npy|.pb")]
    pub inputs: Vec<String>,
    /// Folder for the outputs, one .npy each
    #[arg(long, value_name = "DIR", required_unless_present = "explain")]
    pub output_dir: Option<PathBuf>,
    /// Run nothing: say which variant of the bundle each device would run, and why not the others
    #[arg(long, conflicts_with_all = ["inputs", "output_dir"])]
    pub explain: bool,
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct VerifyArgs {
    #[command(flatten)]
    pub options: CompileOptions,
    #[command(flatten)]
    pub place: Place,
    /// An input array
    #[arg(long = "input", value_name = "NAME=FILE.npy|.pb")]
    pub inputs: Vec<String>,
    /// An expected output
    #[arg(long = "expect", value_name = "NAME=FILE.npy|.pb")]
    pub expected: Vec<String>,
    /// Relative tolerance: |a - b| <= atol + rtol * |b|
    #[arg(long)]
    pub rtol: Option<f64>,
    /// Absolute tolerance [default: 1e-3 (f32) or 2e-2 (mixed, f16) of the output's largest magnitude]
    #[arg(long)]
    pub atol: Option<f64>,
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct InspectArgs {
    pub bundle: PathBuf,
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct DevicesArgs {
    /// Print a target file made from the live driver, for `compile --target FILE`
    #[arg(long)]
    pub probe: bool,
    /// Which device to probe
    #[arg(long, value_name = "N")]
    pub device: Option<usize>,
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct BenchArgs {
    pub bundle: PathBuf,
    #[command(flatten)]
    pub place: Place,
    /// Timed inferences
    #[arg(short = 'n', long, default_value_t = 50)]
    pub runs: u32,
    /// Time a language model: prefill, decode, time to first token, memory
    #[arg(long)]
    pub llm: bool,
    /// Tokens of the prompt, with --llm
    #[arg(long, value_name = "N", default_value_t = 1024, requires = "llm")]
    pub prefill: usize,
    /// Tokens generated behind it, with --llm
    #[arg(long, value_name = "N", default_value_t = 256, requires = "llm")]
    pub decode: usize,
    /// Rows of the kernel table
    #[arg(long, default_value_t = 12)]
    pub top: usize,
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct DemoArgs {
    #[command(flatten)]
    pub place: Place,
    #[arg(long)]
    pub json: bool,
}
