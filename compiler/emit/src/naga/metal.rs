//! MSL: naga's text, and what has to be changed in it.

use super::{UNCHECKED, rejected, validated};
use crate::{ENTRY_POINT, EmitError};
use drift_bundle::caps::Dialect;
use drift_kernel::{BindingType, Expr, Kernel, MatrixPlace, Scalar, Stmt};
use naga::back::msl;
use naga::{ResourceBinding, ShaderStage};
use std::collections::BTreeSet;

/// The text and the entry point's name in it.
pub fn msl_text(kernel: &Kernel, version: (u8, u8)) -> Result<(String, String), EmitError> {
    let dialect = Dialect::Msl;
    let (module, info) = validated(kernel, dialect)?;
    let mut resources = msl::EntryPointResources::default();
    for (index, binding) in kernel.bindings.iter().enumerate() {
        let slot = u8::try_from(index).map_err(|_| EmitError::Unsupported {
            kernel: kernel.name.clone(),
            dialect,
            what: format!("slot for binding {index}"),
            help: "slots are 8-bit numbers; use fewer bindings".to_owned(),
        })?;
        let mut target = msl::BindTarget {
            mutable: binding.access != drift_kernel::Access::Read,
            ..msl::BindTarget::default()
        };
        match binding.ty {
            BindingType::Buffer { .. } => target.buffer = Some(slot),
            BindingType::Image { .. } => target.texture = Some(slot),
        }
        resources.resources.insert(ResourceBinding { group: 0, binding: index as u32 }, target);
    }
    let options = msl::Options {
        lang_version: version,
        per_entry_point_map: [(ENTRY_POINT.to_owned(), resources)].into_iter().collect(),
        fake_missing_bindings: false,
        bounds_check_policies: UNCHECKED,
        zero_initialize_workgroup_memory: false,
        force_loop_bounding: false,
        emit_int_div_checks: false,
        ..msl::Options::default()
    };
    let pipeline = msl::PipelineOptions {
        entry_point: Some((ShaderStage::Compute, ENTRY_POINT.to_owned())),
        ..msl::PipelineOptions::default()
    };
    let (text, translation) = msl::write_string(&module, &info, &options, &pipeline)
        .map_err(|error| rejected(kernel, dialect, &error))?;
    let entry = match translation.entry_point_names.first() {
        Some(Ok(name)) => name.clone(),
        Some(Err(error)) => return Err(rejected(kernel, dialect, error)),
        None => return Err(rejected(kernel, dialect, &std::fmt::Error)),
    };
    let text = vector_pointers(kernel, fill_matrices(text));
    Ok((own_workgroup_memory(text), entry))
}

/// Metal's functions of matrices take pointers to scalars (Metal Shading Language Specification, 6.7),
/// and naga hands them the elements of the array, which may be vectors: functions in between.
fn vector_pointers(kernel: &Kernel, text: String) -> String {
    let mut functions = String::new();
    for (space, scalar, width, stored) in vector_arrays(kernel) {
        let matrix = format!("metal::simdgroup_{scalar}8x8");
        let pointer = format!("{space} metal::{scalar}{width}* at");
        let cast = format!("({space} {scalar}*)at");
        functions += &match stored {
            true => format!(
                "void simdgroup_store({matrix} m, {pointer}, uint stride, int origin = 0, \
                 bool transpose = false) {{\n    \
                 simdgroup_store(m, {cast}, stride, 0, transpose);\n}}\n\n"
            ),
            false => format!(
                "{matrix} NagaCooperativeLoad(const {pointer}, int stride, bool transpose) {{\n    \
                 return NagaCooperativeLoad((const {}, stride, transpose);\n}}\n\n",
                &cast[1..]
            ),
        };
    }
    text.replacen("[[max_total_threads", &format!("{functions}[[max_total_threads"), 1)
}

/// Arrays of vectors that hold matrices: address space, scalar, lanes, and whether matrices are stored
/// there instead of loaded. In a fixed order, each once.
fn vector_arrays(kernel: &Kernel) -> BTreeSet<(&'static str, &'static str, u8, bool)> {
    let mut out = BTreeSet::new();
    let mut add = |place: MatrixPlace, stored| {
        let (space, elem) = match place {
            MatrixPlace::Shared(s) => ("threadgroup", kernel.shared[s.0 as usize].elem),
            MatrixPlace::Buffer(b) => match kernel.bindings[b.0 as usize].ty {
                BindingType::Buffer { elem, .. } => ("device", elem),
                BindingType::Image { .. } => return,
            },
        };
        let scalar = if elem.scalar == Scalar::F16 { "half" } else { "float" };
        if elem.width > 1 {
            out.insert((space, scalar, elem.width, stored));
        }
    };
    for expr in &kernel.exprs {
        if let Expr::MatrixLoad { from, .. } = expr {
            add(*from, false);
        }
    }
    let mut blocks = vec![&kernel.body];
    while let Some(block) = blocks.pop() {
        for stmt in block {
            match stmt {
                Stmt::StoreMatrix { to, .. } => add(*to, true),
                Stmt::If { yes, no, .. } => blocks.extend([yes, no]),
                Stmt::For { body, .. } => blocks.push(body),
                _ => {}
            }
        }
    }
    out
}

/// naga makes arrays of workgroup memory arguments of the entry point, whose sizes the host then has to
/// set for every dispatch. Declared inside (Metal Shading Language Specification, 4.4) they are part
/// of the pipeline.
fn own_workgroup_memory(text: String) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = String::new();
    for line in text.lines() {
        let argument = line.strip_prefix(", threadgroup ").and_then(|l| l.split_once("& "));
        match argument {
            Some((ty, name)) => inside += &format!("    threadgroup {ty} {name};\n"),
            None => {
                out += line;
                out.push('\n');
                if line == ") {" {
                    out += &std::mem::take(&mut inside);
                }
            }
        }
    }
    out
}

/// `simdgroup_matrix` has no value-initialization (Metal Shading Language Specification, 2.3.8: it
/// is made with `make_filled_simdgroup_matrix`), which naga writes for a zero value.
fn fill_matrices(mut text: String) -> String {
    for scalar in ["float", "half"] {
        let braces = format!("metal::simdgroup_{scalar}8x8 {{}}");
        if text.contains(&braces) {
            let filled = format!("metal::make_filled_simdgroup_matrix<{scalar}, 8, 8>(0.0)");
            text = text.replace(&braces, &filled);
        }
    }
    text
}
