//! clang, and what it has made before.
//!
//! Everything is kept in `target/msl-cpu`, in a folder named after clang's version, our headers and
//! the options: the precompiled header, the engine, and a library for each batch of kernels, named
//! after their text. Several processes may make the same file at once: each is written beside its
//! place and then moved there.

use crate::source;
use drift_bundle::hash64;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::{env, fs};

/// `-O1`: kernels run for moments, and there are thousands. Products and sums are not contracted, as
/// they are not in the interpreter; signed integers wrap. Elements outside of arrays and divisions by
/// zero are reported to the engine.
const OPTIONS: &[&str] = &[
    "-std=c++20",
    "-O1",
    "-fPIC",
    "-fwrapv",
    // vectors are read as scalars by matrices
    "-fno-strict-aliasing",
    "-ffp-contract=off",
    "-fno-exceptions",
    "-fno-rtti",
    "-fno-math-errno",
    "-fvisibility=hidden",
    "-fsanitize=array-bounds,integer-divide-by-zero",
    // an unsuffixed literal is a float in MSL (section 2.1)
    "-Xclang",
    "-cl-single-precision-constant",
    "-Wall",
    "-Werror",
    "-Wno-unknown-attributes",
    "-Wno-ignored-attributes",
    "-Wno-user-defined-literals",
    "-Wno-unused",
    // `-2147483648` is a negation
    "-Wno-parentheses-equality",
];

const HEADERS: [(&str, &str); 7] = [
    ("metal_stdlib", include_str!("../include/metal_stdlib")),
    ("simd/simd.h", include_str!("../include/simd/simd.h")),
    ("msl/types.h", include_str!("../include/msl/types.h")),
    ("msl/engine.h", include_str!("../include/msl/engine.h")),
    ("msl/math.h", include_str!("../include/msl/math.h")),
    ("msl/simdgroup.h", include_str!("../include/msl/simdgroup.h")),
    ("msl/textures.h", include_str!("../include/msl/textures.h")),
];
const ENGINE: &str = include_str!("engine.cpp");

/// A C++ compiler with vectors, halves and our headers.
#[derive(Debug)]
pub struct Compiler {
    clang: &'static str,
    /// What this compiler has made.
    folder: PathBuf,
}

/// clang++ 15 or newer and the first line of its version: vectors of `_Float16` came with it.
fn clang() -> Option<(&'static str, String)> {
    let names = ["clang++-15", "clang++-16", "clang++-17", "clang++-18", "clang++-19", "clang++"];
    names.into_iter().find_map(|name| {
        let output = Command::new(name).arg("--version").output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let major = text.split("version ").nth(1)?.split('.').next()?.parse::<u32>().ok()?;
        (major >= 15).then(|| (name, text.lines().next().unwrap_or_default().to_owned()))
    })
}

fn target() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"),
    }
}

impl Compiler {
    /// The compiler of this process.
    ///
    /// # Errors
    /// Says what is not installed, or what clang says about our headers.
    pub fn get() -> Result<&'static Compiler, String> {
        static COMPILER: OnceLock<Result<Compiler, String>> = OnceLock::new();
        COMPILER.get_or_init(Compiler::prepare).as_ref().map_err(Clone::clone)
    }

    fn prepare() -> Result<Compiler, String> {
        let (clang, version) = clang().ok_or("no clang++ of version 15 or newer is installed")?;
        let mut identity = format!("{version}\n{OPTIONS:?}\n{}\n{ENGINE}", native());
        HEADERS.iter().for_each(|(name, text)| identity += &format!("{name}\n{text}"));
        let folder = target().join("msl-cpu").join(format!("{:016x}", hash64(identity.as_bytes())));
        let include = folder.join("include");
        for (name, text) in HEADERS {
            let path = include.join(name);
            if !path.exists() {
                place(&path, |to| fs::write(to, text).map_err(|e| e.to_string()))?;
            }
        }
        let compiler = Compiler { clang, folder };
        let header = compiler.folder.join("metal.pch");
        if !header.exists() {
            place(&header, |to| {
                let from = include.join("metal_stdlib");
                compiler.run(&["-x", "c++-header", "-fpch-instantiate-templates"], &from, to)
            })?;
        }
        let engine = compiler.engine();
        if !engine.exists() {
            let from = compiler.folder.join("engine.cpp");
            place(&from, |to| fs::write(to, ENGINE).map_err(|e| e.to_string()))?;
            place(&engine, |to| compiler.run(&["-shared", "-fvisibility=default"], &from, to))?;
        }
        Ok(compiler)
    }

    /// The library that runs kernels.
    pub fn engine(&self) -> PathBuf {
        self.folder.join("engine.so")
    }

    /// A library of these kernels, each a text and the name of its entry point.
    ///
    /// # Errors
    /// What clang says.
    pub fn library(&self, kernels: &[(&str, &str)]) -> Result<PathBuf, String> {
        let text = source::batch(kernels)?;
        let name = format!("{:016x}", hash64(text.as_bytes()));
        let library = self.folder.join(&name).with_extension("so");
        if library.exists() {
            return Ok(library);
        }
        place(&library, |to| {
            let from = to.with_extension("cpp");
            fs::write(&from, &text).map_err(|e| e.to_string())?;
            let header = self.folder.join("metal.pch").display().to_string();
            let made = self.run(&["-shared", "-include-pch", &header], &from, to);
            if made.is_ok() {
                let _ = fs::remove_file(&from);
            }
            made
        })?;
        Ok(library)
    }

    fn run(&self, options: &[&str], from: &Path, to: &Path) -> Result<(), String> {
        let mut command = Command::new(self.clang);
        command.args(OPTIONS).args(native().split(' ')).args(options);
        command.arg("-I").arg(self.folder.join("include")).arg(from).arg("-o").arg(to);
        if options.contains(&"-shared") {
            // the sanitizers' reports go to the engine
            command.args(["-fno-sanitize-link-runtime", "-lm"]);
        }
        let output = command.output().map_err(|e| format!("{}: {e}", self.clang))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("{} refuses {}:\n{said}", self.clang, from.display()))
    }
}

/// Instructions of this machine: halves and fused products in hardware, where it has them.
fn native() -> &'static str {
    if cfg!(target_arch = "x86_64") { "-march=native" } else { "-mcpu=native" }
}

/// Lets `make` write a file, and moves it to its place.
fn place(path: &Path, make: impl FnOnce(&Path) -> Result<(), String>) -> Result<(), String> {
    static COUNTER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let unique = COUNTER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let fail = |e: std::io::Error| format!("{}: {e}", path.display());
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(fail)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = folder.join(format!("{}-{unique}-{name}", std::process::id()));
    make(&temporary)?;
    fs::rename(&temporary, path).map_err(fail)
}
