//! Snapshots of emitted shaders ("goldens"): text under `tests/golden/out`, compared byte by byte.
//!
//! A change of the compiler that changes shaders shows as a diff of these files, to be read before
//! it is accepted. `DRIFT_BLESS=1` rewrites them. SPIR-V is kept as disassembly, so that a person
//! can read the diff. Before anything is compared it is validated: SPIR-V by a current spirv-val,
//! WGSL by naga's own reader, and all of it by naga's validator when it was emitted.
#![forbid(unsafe_code)]

mod diff;
mod snapshot;

pub use diff::first_difference;
pub use snapshot::Snapshots;

use drift_emit::{Dialect, DialectOptions, emit};
use drift_kernel::{Expr, Kernel};
use drift_spirv_val::{Env, validate_spirv};
use spirv_tools::assembler::{Assembler, DisassembleOptions};
use std::collections::HashMap;

/// Compares `text` with the golden `name`, a path below `tests/golden/out` with its extension.
///
/// # Errors
/// A message with the first difference, or the reason why the golden cannot be read.
pub fn check_golden(name: &str, text: &str) -> Result<(), String> {
    Snapshots::committed().check(name, text)
}

/// Emits a physical kernel in every dialect that can express it, validates the results and compares
/// them with the goldens `<name>.spvasm`, `<name>.metal` and `<name>.wgsl`. A dialect that refuses
/// the kernel has the refusal as its golden.
///
/// # Errors
/// All differences, and everything a validator says.
pub fn check_kernel(name: &str, kernel: &Kernel) -> Result<(), String> {
    let snapshots = Snapshots::committed();
    let mut problems = Vec::new();
    for (extension, text) in validated(kernel)? {
        if let Err(problem) = snapshots.check(&format!("{name}.{extension}"), &text) {
            problems.push(problem);
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
}

/// Goldens of all kernels of a model, in `tests/golden/out/<dir>`. Kernels with equal code share one
/// golden, as they share one shader in a bundle; `index.txt` lists who uses which. Goldens in `dir`
/// that no kernel has any more are an error (and are removed by `DRIFT_BLESS=1`).
///
/// `kernels`: name and physical kernel, in the order of the model's steps. Names may repeat.
///
/// # Errors
/// All differences of all kernels.
pub fn check_model_kernels(dir: &str, kernels: &[(String, Kernel)]) -> Result<(), String> {
    check_model_kernels_in(&Snapshots::committed(), dir, kernels)
}

/// [`check_model_kernels`] with goldens of your own.
///
/// # Errors
/// All differences of all kernels.
pub fn check_model_kernels_in(
    snapshots: &Snapshots,
    dir: &str,
    kernels: &[(String, Kernel)],
) -> Result<(), String> {
    let mut problems = Vec::new();
    let mut seen: HashMap<String, String> = HashMap::new();
    let mut index = String::new();
    let mut expected = vec!["index.txt".to_owned()];
    for (name, kernel) in kernels {
        let texts = match validated(kernel) {
            Ok(texts) => texts,
            Err(problem) => {
                problems.push(format!("{dir}/{name}: {problem}"));
                continue;
            }
        };
        let key: String = texts.iter().map(|(_, text)| text.as_str()).collect();
        let number = seen.len();
        let file = seen
            .entry(key)
            .or_insert_with(|| {
                let file = format!("{number:03}_{}", file_name(&kernel.name));
                for (extension, text) in &texts {
                    expected.push(format!("{file}.{extension}"));
                    if let Err(problem) =
                        snapshots.check(&format!("{dir}/{file}.{extension}"), text)
                    {
                        problems.push(problem);
                    }
                }
                file
            })
            .clone();
        let [x, y, z] = kernel.workgroups;
        index.push_str(&format!("{name}: {file}, {x} x {y} x {z} workgroups\n"));
    }
    if let Err(problem) = snapshots.check(&format!("{dir}/index.txt"), &index) {
        problems.push(problem);
    }
    if let Err(problem) = snapshots.only(dir, &expected) {
        problems.push(problem);
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
}

fn file_name(kernel: &str) -> String {
    let clean = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    kernel.chars().take(40).map(clean).collect()
}

/// (extension, text) per dialect.
fn validated(kernel: &Kernel) -> Result<Vec<(&'static str, String)>, String> {
    let dialects = [(Dialect::SpirV, "spvasm"), (Dialect::Msl, "metal"), (Dialect::Wgsl, "wgsl")];
    let mut out = Vec::new();
    for (dialect, extension) in dialects {
        let shader = match emit(kernel, dialect, &DialectOptions::default()) {
            Ok(shader) => shader,
            Err(refusal @ drift_emit::EmitError::Unsupported { .. }) => {
                out.push((extension, format!("// {refusal}\n")));
                continue;
            }
            Err(error) => return Err(error.to_string()),
        };
        let text = match shader.words() {
            Some(words) => {
                validate_spirv(&words, environment(kernel))
                    .map_err(|e| format!("kernel `{}`: spirv-val: {e}", kernel.name))?;
                disassemble(&words)?
            }
            None => shader.text().unwrap_or_default().to_owned(),
        };
        if dialect == Dialect::Wgsl {
            naga::front::wgsl::parse_str(&text).map_err(|e| {
                format!("kernel `{}`: WGSL: {}", kernel.name, e.emit_to_string(&text))
            })?;
        }
        out.push((extension, text));
    }
    Ok(out)
}

/// Cooperative matrices extend Vulkan 1.3; everything else must do on 1.1.
fn environment(kernel: &Kernel) -> Env {
    let matrices = kernel.exprs.iter().any(|e| matches!(e, Expr::MatrixMulAdd { .. }));
    if matrices { Env::Vulkan13 } else { Env::Vulkan11 }
}

/// SPIR-V assembly, with the types of values as names where they have one.
pub fn disassemble(words: &[u32]) -> Result<String, String> {
    let options = DisassembleOptions {
        indent: false,
        no_header: true,
        comment: false,
        ..DisassembleOptions::default()
    };
    spirv_tools::assembler::create(None)
        .disassemble(words, options)
        .map_err(|error| error.to_string())?
        .ok_or_else(|| "the disassembler gave no text".to_owned())
}
