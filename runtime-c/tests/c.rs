//! A C program on drift.h and libdrift.a, compiled with all warnings as errors (and with the address
//! sanitizer where the compiler has it): runs the embedded models on Vulkan and misuses the
//! functions.

use drift_driver::dims::DimBindings;
use drift_driver::memory::Strategy;
use drift_driver::models::{self, KvCache, Options};
use drift_driver::target::{self, Precision};
use drift_driver::{Calibration, CompileOptions, Compiled, Stage, package, pipeline};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// A tale's tokens up to the first near tie are what f64 says.
const TOKENS: usize = 24;

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

fn options(targets: &[&str]) -> CompileOptions {
    let targets: Vec<String> = targets.iter().map(|t| (*t).to_owned()).collect();
    CompileOptions {
        bindings: DimBindings::default(),
        precision: Precision::F32,
        disabled: Vec::new(),
        bisect_limit: None,
        quantize: None,
        calibration: Calibration::None,
        memory: Strategy::Best,
        targets: target::resolve(&targets).expect("targets"),
        stop_after: Stage::Package,
    }
}

fn write_bundle(compiled: &Compiled, name: &str, path: &Path) {
    let meta = drift_bundle::Meta::new(name, "tests", "0");
    let bytes = package::to_vec(compiled, meta).unwrap_or_else(|e| panic!("{name}: {e}"));
    write(path, &bytes);
}

fn write(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}

/// What follows the header of a .npy file of version 1.
fn npy_data(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    bytes[10 + length..].to_vec()
}

/// The models and what they should give, as files.
fn prepare(folder: &Path) {
    let shapes = examples().join("shapes");
    let model = drift_onnx::Model::open(shapes.join("shapes.onnx")).expect("the embedded model");
    let compiled = pipeline::compile(
        &model,
        &options(&["vulkan-baseline", "metal-generic"]),
        &mut |_, _, _| {},
    )
    .unwrap_or_else(|e| panic!("shapes: {e}"));
    write_bundle(&compiled, "shapes", &folder.join("shapes.drift"));
    let pictures = npy_data(&shapes.join("pictures.npy"));
    let floats: Vec<u8> = pictures.iter().flat_map(|&p| f32::from(p).to_le_bytes()).collect();
    write(&folder.join("pictures.f32"), &floats);
    write(&folder.join("logits.f32"), &npy_data(&shapes.join("logits.npy")));

    let tales = examples().join("tales");
    let o = Options {
        context: Some(64),
        chunk: 16,
        kv_cache: KvCache::F32,
        precision: Precision::F32,
        ..Options::default()
    };
    let module = models::module(&tales, &o).unwrap_or_else(|e| panic!("tales: {e}"));
    let options = options(&["vulkan-baseline"]);
    let compiled = pipeline::compile_module(module, &options, Instant::now(), &mut |_, _, _| {})
        .unwrap_or_else(|e| panic!("tales: {e}"));
    write_bundle(&compiled, "tales", &folder.join("tales.drift"));
    let told = std::fs::read(tales.join("greedy_f64.json")).expect("the expected tale");
    let told: serde_json::Value = serde_json::from_slice(&told).expect("JSON");
    let ids = |name: &str| -> Vec<u8> {
        let list = told[0][name].as_array().expect("a list");
        list.iter().flat_map(|id| (id.as_u64().expect("an id") as u32).to_le_bytes()).collect()
    };
    write(&folder.join("prompt.u32"), &ids("prompt_ids"));
    write(&folder.join("tale.u32"), &ids("greedy_ids")[..4 * TOKENS]);
}

/// The static library that cargo built beside this test.
fn library() -> PathBuf {
    let exe = std::env::current_exe().expect("this program");
    let folder = exe.parent().expect("a folder");
    let is_library = |name: &str| {
        name == "libdrift.a" || (name.starts_with("libdrift-") && name.ends_with(".a"))
    };
    let files = folder.read_dir().expect("a folder").flatten();
    let libraries = files.filter(|f| is_library(&f.file_name().to_string_lossy()));
    let age = |f: &std::fs::DirEntry| f.metadata().and_then(|m| m.modified()).ok();
    let newest = libraries.max_by_key(age).expect("libdrift.a beside the test");
    newest.path()
}

/// Compiles and links a C file of this repository.
fn compile_c(source: &Path, program: &Path, more: &[&str]) -> Result<(), String> {
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("include");
    let ran = Command::new("cc")
        .args(["-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-Wpedantic", "-Werror"])
        .args(more)
        .arg("-I")
        .arg(include)
        .arg(source)
        .arg(library())
        .args(["-lpthread", "-ldl", "-lm", "-o"])
        .arg(program)
        .output()
        .map_err(|e| format!("cc: {e}"))?;
    match ran.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&ran.stderr).into_owned()),
    }
}

/// Runs a program; status 77 says that there is no device.
fn run(program: &Path, args: &[&Path]) -> Option<String> {
    let mut command = Command::new(program);
    // leaks of ours fail; those of a driver that was unloaded cannot be told from each other
    let suppressions = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c/lsan.txt");
    let suppressions = format!("suppressions={}:print_suppressions=0", suppressions.display());
    command.args(args).env("LSAN_OPTIONS", suppressions);
    command.env("DRIFT_CACHE_DIR", env!("CARGO_TARGET_TMPDIR"));
    let ran = command.output().unwrap_or_else(|e| panic!("{}: {e}", program.display()));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&ran.stdout), text(&ran.stderr));
    if ran.status.code() == Some(77) && std::env::var_os("DRIFT_REQUIRE_GPU").is_none() {
        println!("skipped: {err}");
        return None;
    }
    assert!(ran.status.success(), "{}: {}\n{out}{err}", program.display(), ran.status);
    Some(out)
}

#[test]
fn a_c_program_runs_the_models_and_misuse_is_an_error() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path();
    prepare(folder);
    let c = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c");

    let program = folder.join("check");
    let sanitize = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"];
    let (empty, sane) = (folder.join("empty.c"), folder.join("empty"));
    write(&empty, b"int main(void) { return 0; }\n");
    let more = match compile_c(&empty, &sane, &sanitize) {
        Ok(()) => &sanitize[..],
        Err(_) => {
            println!("without the address sanitizer: this C compiler lacks it");
            &[]
        }
    };
    compile_c(&c.join("check.c"), &program, more).unwrap_or_else(|e| panic!("check.c:\n{e}"));
    let Some(said) = run(&program, &[folder]) else { return };
    assert!(said.contains("16 pictures") && said.contains("tokens"), "{said}");
    print!("{said}");

    // the example, as its Makefile builds it
    let example = folder.join("example");
    let source = examples().join("c/main.c");
    compile_c(&source, &example, &[]).unwrap_or_else(|e| panic!("main.c:\n{e}"));
    let said = run(&example, &[&folder.join("shapes.drift")]).expect("a device, as before");
    assert!(said.contains("logits [1, 8]"), "{said}");
}

/// A C++ compiler takes the header, too.
#[test]
fn the_header_is_cpp() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let source = folder.path().join("header.cpp");
    write(&source, b"#include <drift.h>\nint main() { return drift_version() ? 0 : 1; }\n");
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("include");
    let ran = Command::new("c++")
        .args(["-std=c++17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I"])
        .arg(include)
        .arg(&source)
        .output()
        .unwrap_or_else(|e| panic!("c++: {e}"));
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}
