//! `cargo xtask test` and its parts: the steps in their order, run to the end whatever fails.

use crate::command::{cargo, execute, line, stdout_of};
use crate::report::{Report, Step};
use crate::{requirement, size};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Options {
    no_install: bool,
    full: bool,
    json: bool,
    /// Empty: the whole workspace.
    packages: Vec<String>,
}

impl Options {
    pub fn parse(args: &[String]) -> Result<Self, String> {
        let mut options = Self::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--no-install" => options.no_install = true,
                "--full" => options.full = true,
                "--json" => options.json = true,
                "-p" | "--package" => {
                    let name = args.next().ok_or("-p needs the name of a crate")?;
                    options.packages.push(name.clone());
                }
                other => return Err(format!("unknown option `{other}` of `test`")),
            }
        }
        Ok(options)
    }
}

/// Checks, installs, runs everything. True when all passed and nothing was missing.
pub fn run(root: &Path, options: &Options) -> bool {
    eprintln!("requirements");
    let needs = requirement::ensure(root, !options.no_install);
    announce_models(root);

    let mut suite = Suite { root, options, steps: Vec::new() };
    suite.all_steps();
    let report = Report { needs, steps: suite.steps };
    report.print(options.json);
    if options.json {
        println!("{}", report.json());
    }
    report.passed()
}

/// The test that holds the crates to the dependency rules of ARCHITECTURE.md.
pub fn dependency_rules(root: &Path) -> bool {
    execute(cargo(root, &["test", "--package", "xtask", "--test", "dependencies"]), false)
}

/// Runs the golden tests in the mode that writes their files instead of comparing with them.
pub fn bless_goldens(root: &Path, names: &[String]) -> bool {
    let mut command = cargo(root, &["test", "--package", "drift-golden", "--"]);
    command.args(names).env("DRIFT_BLESS", "1");
    execute(command, false)
}

/// Says whether the real models are there; the tests that read them skip themselves without them.
fn announce_models(root: &Path) {
    let folder = match std::env::var_os("DRIFT_SHARED") {
        Some(shared) => Path::new(&shared).join("models"),
        None => root.join("../shared/models"),
    };
    if folder.is_dir() {
        eprintln!("ok      real models ({})", folder.display());
    } else {
        eprintln!(
            "skipped: ../shared/models not present (set DRIFT_SHARED to their parent folder)"
        );
    }
}

/// The conformance tests that run on every API.
const FULL_TESTS: [&str; 4] = ["ops", "models", "llm", "limits"];

struct Suite<'a> {
    root: &'a Path,
    options: &'a Options,
    steps: Vec<Step>,
}

impl Suite<'_> {
    /// Cheap checks first; `check` artifacts before test artifacts, which share build scripts.
    fn all_steps(&mut self) {
        self.step("format", self.cargo_for(&["fmt"], "--all", &["--", "--check"]), "");
        // Warnings are errors here only: as RUSTFLAGS they would build every dependency again.
        let strict = ["--all-targets", "--keep-going", "--", "-D", "warnings"];
        self.step("clippy", self.cargo_for(&["clippy"], "--workspace", &strict), "");
        self.tests();
        self.doc_tests();
        if self.options.full && self.includes("drift-conformance") {
            self.another_api("OpenCL", "opencl", "opencl");
            self.another_api("WebGPU", "webgpu", "webgpu");
            // without subgroups and f16
            self.another_api("WebGPU core", "webgpu-core", "webgpu");
            self.another_api("MSL on the CPU", "metal-cpu", "opencl");
            self.in_chromium("Chromium, all", "chromium", &FULL_TESTS);
            self.in_chromium("Chromium, f16, all", "chromium-f16", &FULL_TESTS);
            self.swiftshader();
        }
        if self.includes("drift-bundle") {
            let check = ["check", "--package", "drift-bundle", "--no-default-features"];
            let mut wasm = cargo(self.root, &check);
            wasm.args(["--target", "wasm32-unknown-unknown"]);
            self.step("wasm32", wasm, "");
        }
        if self.includes("drift-runtime") {
            self.metal();
        }
        if self.includes("drift-c") {
            self.phones();
        }
        if self.includes("drift-minimal") {
            self.timed("size", "cargo xtask size", size::run);
        }
        if self.includes("driftc") {
            let demo = ["run", "--release", "--package", "driftc", "--", "demo"];
            self.step("demo", cargo(self.root, &demo), "");
        }
        if self.includes("drift-web") {
            self.timed("npm", "cargo xtask npm", crate::npm::run);
            self.timed("browser", "cargo xtask browser", crate::browser::run);
            if !self.options.full {
                self.in_chromium("Chromium", "chromium", &["chromium", "chromium_tokenizer"]);
                self.in_chromium("Chromium, f16", "chromium-f16", &["chromium"]);
            }
        }
        if self.options.full {
            let mut doc = self.cargo_for(&["doc"], "--workspace", &["--no-deps"]);
            doc.env("RUSTDOCFLAGS", "-D warnings");
            self.step("rustdoc", doc, "");
            let manifest = ["check", "--manifest-path", "tests/fuzz/Cargo.toml"];
            let mut fuzz = cargo(self.root, &manifest);
            fuzz.args(["--features", "seeds", "--all-targets"]);
            self.step("fuzz targets", fuzz, "");
            self.dependency_audit();
        }
    }

    fn tests(&mut self) {
        let mut installed = self.has_cargo("nextest");
        if !installed && self.options.full && !self.options.no_install {
            let install = cargo(self.root, &["install", "cargo-nextest", "--locked"]);
            installed = execute(install, true);
        }
        if installed {
            let rest = ["--profile", "ci", "--no-tests", "pass"];
            self.step("tests", self.cargo_for(&["nextest", "run"], "--workspace", &rest), "");
        } else {
            let note = "by `cargo test`, so without a time limit per test; \
                        for one: cargo install cargo-nextest --locked";
            let rest = ["--all-targets", "--no-fail-fast"];
            self.step("tests", self.cargo_for(&["test"], "--workspace", &rest), note);
        }
    }

    /// The conformance tests once more, on another API; the default run has a part of them.
    fn another_api(&mut self, name: &'static str, backend: &str, profile: &str) {
        let mut command = self.conformance(profile, &FULL_TESTS);
        command.env("DRIFT_BACKEND", backend);
        self.step(name, command, "");
    }

    /// Conformance tests on the runtime for browsers, in a page.
    fn in_chromium(&mut self, name: &'static str, backend: &str, tests: &[&str]) {
        if backend == "chromium-f16"
            && let Some(why) = drift_chromium::lavapipe::missing()
        {
            return eprintln!("\nskipped: {name}: {why}");
        }
        let mut command = self.conformance("opencl", tests);
        // without the package, the tests say what they miss
        if let Some(package) = crate::npm::build(self.root) {
            command.env("DRIFT_WEB", package);
        }
        command.env("DRIFT_BACKEND", backend).env("DRIFT_REQUIRE_GPU", "1");
        self.step(name, command, "");
    }

    fn conformance(&self, profile: &str, tests: &[&str]) -> Command {
        let mut command = match self.has_cargo("nextest") {
            // kernels are compiled on a CPU for a CPU: tests take minutes the first time
            true => {
                let only = ["--filterset", "package(drift-conformance)"];
                let mut run = cargo(self.root, &["nextest", "run", "--profile", profile]);
                run.args(only);
                run
            }
            false => cargo(self.root, &["test", "--no-fail-fast"]),
        };
        // the build of all tests: one package alone has other features, and builds all again
        command.arg("--workspace");
        tests.iter().for_each(|test| {
            command.args(["--test", test]);
        });
        command
    }

    /// The operators on another Vulkan driver: the one that comes with Chromium.
    fn swiftshader(&mut self) {
        const MANIFEST: &str = "/usr/lib/chromium/vk_swiftshader_icd.json";
        if !Path::new(MANIFEST).is_file() {
            return eprintln!("\nskipped: SwiftShader ({MANIFEST} is not there)");
        }
        let test = ["test", "--package", "drift-conformance", "--test", "ops"];
        let mut command = cargo(self.root, &test);
        command.env("VK_DRIVER_FILES", MANIFEST);
        self.step("SwiftShader", command, "");
    }

    /// No Mac is needed to see that the back end compiles.
    fn metal(&mut self) {
        let targets =
            [("Metal, macOS", "aarch64-apple-darwin"), ("Metal, iOS", "aarch64-apple-ios")];
        for (name, target) in targets {
            let mut clippy = cargo(self.root, &["clippy", "--package", "drift-runtime", "--lib"]);
            clippy.args(["--no-default-features", "--features", "metal,mmap"]);
            clippy.args(["--target", target, "--", "-D", "warnings"]);
            self.step(name, clippy, "");
        }
    }

    /// The runtime and its C interface, type-checked for phones.
    fn phones(&mut self) {
        let targets = [
            ("Android", "aarch64-linux-android", "opencl,vulkan,mmap"),
            ("C, iOS", "aarch64-apple-ios", "metal,mmap"),
        ];
        for (name, target, features) in targets {
            let mut check = cargo(self.root, &["check", "--package", "drift-c", "--lib"]);
            check.args(["--no-default-features", "--features", features, "--target", target]);
            self.step(name, check, "");
        }
    }

    fn doc_tests(&mut self) {
        // `cargo test --doc -p` is an error for a crate without a library.
        let names: Vec<&String> =
            self.options.packages.iter().filter(|name| self.is_library(name)).collect();
        if names.is_empty() && !self.options.packages.is_empty() {
            return;
        }
        let mut command = cargo(self.root, &["test", "--doc"]);
        names.iter().for_each(|name| {
            command.args(["--package", name.as_str()]);
        });
        if names.is_empty() {
            command.arg("--workspace");
        }
        self.step("doc tests", command, "");
    }

    /// A step of this program.
    fn timed(&mut self, name: &'static str, command: &str, run: fn(&Path) -> bool) {
        let begun = Instant::now();
        let passed = run(self.root);
        let (command, took) = (command.into(), begun.elapsed());
        self.steps.push(Step { name, command, passed, took, note: String::new() });
    }

    fn dependency_audit(&mut self) {
        if self.has_cargo("deny") {
            self.step("deny", cargo(self.root, &["deny", "check"]), "");
        } else {
            eprintln!("\nskipped: cargo-deny not present (cargo install cargo-deny --locked)");
        }
    }

    fn step(&mut self, name: &'static str, command: Command, note: &str) {
        let shown = line(&command);
        let begun = Instant::now();
        let passed = execute(command, self.options.json);
        let took = begun.elapsed();
        self.steps.push(Step { name, command: shown, passed, took, note: note.into() });
    }

    /// `before`, then the chosen packages (`all` when none was chosen), then `after`.
    fn cargo_for(&self, before: &[&str], all: &str, after: &[&str]) -> Command {
        let mut command = cargo(self.root, before);
        for name in &self.options.packages {
            command.args(["--package", name]);
        }
        if self.options.packages.is_empty() {
            command.arg(all);
        }
        command.args(after);
        command
    }

    fn includes(&self, package: &str) -> bool {
        let chosen = &self.options.packages;
        chosen.is_empty() || chosen.iter().any(|name| name == package)
    }

    fn has_cargo(&self, subcommand: &str) -> bool {
        stdout_of(cargo(self.root, &[subcommand, "--version"])).is_some()
    }

    fn is_library(&self, package: &str) -> bool {
        // "path+file:///folder/of/crate#name@version"
        let id = stdout_of(cargo(self.root, &["pkgid", "--package", package])).unwrap_or_default();
        let folder = id.split_once("file://").and_then(|(_, rest)| rest.split('#').next());
        folder.is_some_and(|folder| Path::new(folder).join("src/lib.rs").is_file())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Options, String> {
        Options::parse(&args.iter().map(|arg| arg.to_string()).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_read_and_wrong_ones_named() {
        let options = parse(&["--no-install", "-p", "drift-ir", "-p", "driftc", "--json"]).unwrap();
        assert_eq!(options.packages, ["drift-ir", "driftc"]);
        assert!(options.no_install && options.json && !options.full);
        assert!(parse(&["--fast"]).unwrap_err().contains("--fast"));
        assert!(parse(&["-p"]).unwrap_err().contains("name of a crate"));
    }

    #[test]
    fn packages_replace_the_whole_workspace_in_a_command() {
        let root = Path::new(".");
        let options = parse(&["-p", "drift-ir"]).unwrap();
        let suite = Suite { root, options: &options, steps: Vec::new() };
        let shown = line(&suite.cargo_for(&["clippy"], "--workspace", &["--all-targets"]));
        assert!(shown.ends_with("clippy --package drift-ir --all-targets"), "{shown}");
        assert!(suite.includes("drift-ir") && !suite.includes("driftc"));
    }
}
