//! `driftc compile`.

use crate::args::{CompileArgs, CompileOptions, Emit};
use crate::error::{CliError, Result};
use crate::llm::assets;
use crate::progress::Bar;
use crate::run::arrays;
use crate::summary;
use drift_driver::dims::DimBindings;
use drift_driver::models::{self, KvCache};
use drift_driver::pipeline::{self, Compiled};
use drift_driver::target::Precision;
use drift_driver::{Calibration, Stage, package, quantize, rounding, target};
use std::io::Write;
use std::path::Path;
use std::time::Instant;

/// Turns the options of the command line into the driver's.
pub fn options(o: &CompileOptions, stop_after: Stage) -> Result<drift_driver::CompileOptions> {
    let precision = precision(o)?;
    let calibration = calibration(o, precision)?;
    let mut bindings = bindings(&o.dims, &o.shapes)?;
    if let Calibration::Inputs(inputs) = &calibration {
        // what is measured on tells the shapes that the model leaves open
        for (name, values) in inputs {
            bindings.shapes.entry(name.clone()).or_insert_with(|| values.shape.to_vec());
        }
    }
    Ok(drift_driver::CompileOptions {
        bindings,
        precision,
        disabled: o.disabled.clone(),
        bisect_limit: o.bisect,
        quantize: if o.model.is_dir() {
            None
        } else {
            quantize::graph_scheme(o.quantize.as_deref())?
        },
        calibration,
        memory: o.memory.parse().map_err(|e| CliError::bad(format!("--memory: {e}")))?,
        targets: target::resolve(&o.targets)?,
        stop_after,
    })
}

/// What `--calibrate` gives: a text for the folder of a language model, arrays for an ONNX file.
fn calibration(o: &CompileOptions, precision: Precision) -> Result<Calibration> {
    if o.model.is_dir() {
        let text = match &o.calibrate[..] {
            [] => None,
            [text] => Some(text.as_str()),
            [_, more, ..] => {
                return Err(CliError::bad(format!(
                    "--calibrate {more}: language models take one text, or `none`"
                )));
            }
        };
        return Ok(match precision {
            Precision::F32 => Calibration::None,
            _ => Calibration::Prompt(assets::calibration(&o.model, text)?),
        });
    }
    if o.calibrate.is_empty() || o.calibrate == ["none"] {
        return Ok(Calibration::None);
    }
    if precision != Precision::Mixed {
        let m = format!("--calibrate has no effect at --precision {precision}");
        return Err(CliError::bad(m).help("it chooses what --precision mixed keeps in f32"));
    }
    let mut inputs = rounding::Inputs::new();
    for (name, array) in arrays(&o.calibrate, "--calibrate")? {
        let (elem, shape) = (array.elem, array.shape);
        let value = rounding::value(elem, &shape, array.bytes).ok_or_else(|| {
            CliError::bad(format!("--calibrate {name}: not as many bytes as {shape:?} needs"))
        })?;
        inputs.insert(name, value);
    }
    Ok(Calibration::Inputs(inputs))
}

/// Quantized language models are for speed: they take f16 storage unless told otherwise.
fn precision(o: &CompileOptions) -> Result<Precision> {
    match &o.precision {
        Some(name) => name.parse().map_err(CliError::bad),
        None if o.model.is_dir() && o.quantize.as_ref().is_some_and(|q| q != "none") => {
            Ok(Precision::Mixed)
        }
        None => Ok(Precision::F32),
    }
}

/// Options that only the folder of a language model has a use for.
fn model_options(o: &CompileOptions, precision: Precision) -> Result<models::Options> {
    let quantize = match &o.quantize {
        None => models::Quantize::default(),
        Some(name) => models::Quantize::parse(name).ok_or_else(|| {
            CliError::bad(format!("--quantize {name}: there is no such scheme"))
                .help(format!("schemes: {}", models::Quantize::NAMES.join(", ")))
        })?,
    };
    let kv_cache = match &o.kv_cache {
        None if precision == Precision::F32 => KvCache::F32,
        None => KvCache::F16,
        Some(name) => KvCache::parse(name).ok_or_else(|| {
            CliError::bad(format!("--kv-cache {name}: there is no such element type"))
                .help(format!("types: {}", KvCache::NAMES.join(", ")))
        })?,
    };
    Ok(models::Options { context: o.context, chunk: o.chunk, quantize, kv_cache, precision })
}

fn bindings(dims: &[String], shapes: &[String]) -> Result<DimBindings> {
    let mut out = DimBindings::default();
    for arg in dims {
        let pair = arg.rsplit_once('=').and_then(|(n, v)| Some((n, v.parse::<usize>().ok()?)));
        let Some((name, value)) = pair else {
            return Err(CliError::bad(format!("--dim {arg}: expected NAME=N")));
        };
        out.dims.insert(name.to_owned(), value);
    }
    for arg in shapes {
        let shape = arg.rsplit_once('=').and_then(|(n, v)| {
            let parts = v.split(['x', ',']).filter(|p| !p.is_empty());
            let dims = parts.map(|p| p.parse::<usize>().ok()).collect::<Option<Vec<_>>>()?;
            Some((n.to_owned(), dims))
        });
        let Some((name, shape)) = shape else {
            return Err(CliError::bad(format!("--input-shape {arg}: expected NAME=1x3x224x224")));
        };
        out.shapes.insert(name, shape);
    }
    Ok(out)
}

/// Reads and compiles a model.
pub fn compile(
    o: &CompileOptions,
    options: &drift_driver::CompileOptions,
    quiet: bool,
) -> Result<Compiled> {
    let bar = Bar::new(quiet);
    bar.stage(Stage::Read, "", 0.0);
    if o.model.is_dir() {
        let start = Instant::now();
        let mut module = models::module(&o.model, &model_options(o, options.precision)?)?;
        assets::add(&o.model, &mut module)?;
        let compiled = pipeline::compile_module(module, options, start, &mut |s, target, done| {
            bar.stage(s, target, done);
        })?;
        bar.finish();
        return Ok(compiled);
    }
    let model = drift_onnx::Model::open(&o.model)
        .map_err(|e| drift_driver::StageError::onnx("read", &e))?;
    let compiled = pipeline::compile(&model, options, &mut |stage, target, done| {
        bar.stage(stage, target, done);
    })?;
    bar.finish();
    Ok(compiled)
}

/// What the bundle says of its making.
pub fn meta(o: &CompileOptions, options: &drift_driver::CompileOptions) -> drift_bundle::Meta {
    let model = o.model.file_name().unwrap_or_default().to_string_lossy();
    let mut meta = drift_bundle::Meta::new(&model, "driftc", env!("CARGO_PKG_VERSION"));
    meta.set("precision", &options.precision.to_string());
    meta.set("memory", &options.memory.to_string());
    if let Some(scheme) = &o.quantize {
        meta.set("quantize", scheme);
    }
    if !options.disabled.is_empty() {
        meta.set("disabled", &options.disabled.join(","));
    }
    meta
}

/// Writes the bundle under a progress bar.
pub fn write(
    compiled: &Compiled,
    meta: drift_bundle::Meta,
    path: &Path,
    quiet: bool,
) -> Result<u64> {
    let bar = Bar::new(quiet);
    let bytes = package::write(compiled, meta, path, &mut |done| {
        bar.stage(Stage::Package, "", done);
    })?;
    bar.finish();
    Ok(bytes)
}

pub fn run(args: &CompileArgs) -> Result {
    let stop_after = match &args.stop_after {
        None => Stage::Package,
        Some(name) => Stage::from_name(name).ok_or_else(|| {
            let list: Vec<String> =
                Stage::ALL.iter().map(|s| format!("{s}: {}", s.description())).collect();
            CliError::bad(format!("--stop-after {name}: there is no such stage"))
                .help(format!("stages: {}", list.join("; ")))
        })?,
    };
    let wants_output = stop_after == Stage::Package && args.emit.is_none();
    if wants_output && args.output.is_none() && args.report.is_none() {
        return Err(CliError::bad("where should the bundle go?").help("add -o OUT.drift"));
    }
    let options = options(&args.options, stop_after)?;
    let compiled = compile(&args.options, &options, args.json)?;
    if args.stop_after.is_some() || args.emit.is_some() {
        emit(&compiled, args.emit.unwrap_or(Emit::Text), stop_after)?;
    }
    let mut bundle_bytes = None;
    if let (Some(path), Stage::Package) = (&args.output, stop_after) {
        let meta = meta(&args.options, &options);
        bundle_bytes = Some(write(&compiled, meta, path, args.json)?);
    }
    if let Some(path) = &args.report {
        let precision = options.precision.to_string();
        crate::reporting::write(&compiled, &args.options.model, &precision, bundle_bytes, path)?;
    }
    if args.json {
        println!("{:#}", summary::json(&compiled, bundle_bytes));
    } else if args.emit.is_none() && args.stop_after.is_none() {
        summary::print(&compiled, bundle_bytes, args.output.as_deref());
    }
    Ok(())
}

/// Prints what was made so far, in the form asked for.
fn emit(compiled: &Compiled, emit: Emit, stop_after: Stage) -> Result {
    let mut out = std::io::stdout().lock();
    let fail = |e: std::io::Error| match e.kind() {
        // `driftc ... | head` is no error
        std::io::ErrorKind::BrokenPipe => CliError::bad("output closed"),
        _ => CliError::bad(format!("cannot write to standard output: {e}")),
    };
    match emit {
        Emit::Dot => compiled
            .entries
            .iter()
            .try_for_each(|e| write!(out, "{}", drift_ir::dot::dot(&e.graph)).map_err(fail)),
        Emit::Text if stop_after <= Stage::AssignLayouts => {
            compiled.entries.iter().try_for_each(|e| write!(out, "{}", e.graph).map_err(fail))
        }
        Emit::Text => {
            let Some(variant) = compiled.main_variant() else { return Ok(()) };
            match &variant.planned {
                Some(planned) => planned
                    .kernels
                    .iter()
                    .try_for_each(|k| writeln!(out, "{}", drift_kernel::print(k)).map_err(fail)),
                None => variant.steps().try_for_each(|s| {
                    writeln!(out, "{}", drift_kernel::print(&s.kernel)).map_err(fail)
                }),
            }
        }
        Emit::Wgsl | Emit::Spirv | Emit::Msl | Emit::Opencl => {
            let dialect = match emit {
                Emit::Wgsl => drift_bundle::caps::Dialect::Wgsl,
                Emit::Spirv => drift_bundle::caps::Dialect::SpirV,
                Emit::Opencl => drift_bundle::caps::Dialect::OpenClC,
                _ => drift_bundle::caps::Dialect::Msl,
            };
            for (name, bytes) in drift_driver::shaders::emit_as(compiled, dialect)? {
                if emit == Emit::Spirv {
                    // words as hex, eight to a line: text for a terminal, `xxd -r -p` away from binary
                    writeln!(out, "; {name}").map_err(fail)?;
                    for row in bytes.chunks(32) {
                        let hex: Vec<String> = row
                            .chunks_exact(4)
                            .map(|w| {
                                format!("{:08x}", u32::from_le_bytes([w[0], w[1], w[2], w[3]]))
                            })
                            .collect();
                        writeln!(out, "{}", hex.join(" ")).map_err(fail)?;
                    }
                } else {
                    writeln!(out, "// {name}").map_err(fail)?;
                    out.write_all(&bytes).map_err(fail)?;
                    writeln!(out).map_err(fail)?;
                }
            }
            Ok(())
        }
    }
}
