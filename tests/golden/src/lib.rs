//! Snapshots of emitted shaders ("goldens"): text under `tests/golden/out`, compared byte by byte.
//!
//! A change of the compiler that changes shaders shows as a diff of these files, to be read before
//! it is accepted. `DRIFT_BLESS=1` rewrites them. SPIR-V is kept as disassembly, so that a person
//! can read the diff. Before anything is compared it is validated: SPIR-V by a current spirv-val,
//! WGSL by naga's own reader, and all of it by naga's validator when it was emitted.
#![forbid(unsafe_code)]

mod diff;
mod model;
mod snapshot;

pub use diff::first_difference;
pub use model::{Dispatch, check_model_kernels, check_model_kernels_in};
pub use snapshot::Snapshots;

use drift_emit::{Dialect, DialectOptions, emit};
use drift_kernel::{Expr, Kernel};
use drift_spirv_val::{Env, validate_spirv};
use spirv_tools::assembler::{Assembler, DisassembleOptions};

/// Compares `text` with the golden `name`, a path below `tests/golden/out` with its extension.
///
/// # Errors
/// A message with the first difference, or the reason why the golden cannot be read.
pub fn check_golden(name: &str, text: &str) -> Result<(), String> {
    Snapshots::committed().check(name, text)
}

/// Emits a physical kernel in every dialect that can express it, validates the results and compares
/// them with the goldens `<name>.spvasm`, `<name>.metal`, `<name>.wgsl` and `<name>.cl`. A dialect that
/// refuses the kernel has the refusal as its golden. OpenCL C with PTX is `<name>.ptx.cl` where it differs.
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

/// Dialects that goldens exist of, and the extensions of their files.
const DIALECTS: [(Dialect, &str); 4] = [
    (Dialect::SpirV, "spvasm"),
    (Dialect::Msl, "metal"),
    (Dialect::Wgsl, "wgsl"),
    (Dialect::OpenClC, "cl"),
];

/// (extension, text) per dialect, in the order of [`DIALECTS`], and of OpenCL C with PTX.
fn validated(kernel: &Kernel) -> Result<Vec<(&'static str, String)>, String> {
    let mut out = Vec::new();
    for (dialect, extension) in DIALECTS {
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
    let with_ptx = DialectOptions { inline_ptx: true, native_half: false, ..Default::default() };
    let text = match emit(kernel, Dialect::OpenClC, &with_ptx) {
        Ok(shader) => shader.text().unwrap_or_default().to_owned(),
        Err(refusal) => format!("// {refusal}\n"),
    };
    if text.contains("__asm__") {
        out.push(("ptx.cl", text));
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
