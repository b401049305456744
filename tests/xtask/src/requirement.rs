//! What the tests need from the machine: how to see that it is there, and how to install it.

use crate::command::{command, execute, line, on_path, stdout_of};
use crate::report::Need;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where a missing requirement comes from.
#[derive(Clone, Copy)]
enum Source {
    /// Debian and Ubuntu packages.
    Apt(&'static [&'static str]),
    /// Arguments of `rustup`.
    Rustup(&'static [&'static str]),
}

struct Requirement {
    name: &'static str,
    /// The tests that cannot run without it.
    needed_by: &'static str,
    source: Source,
    /// What was found (version, path), or why it does not do.
    check: fn(&Path) -> Result<String, String>,
}

const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        name: "rustfmt",
        needed_by: "the format check",
        source: Source::Rustup(&["component", "add", "rustfmt"]),
        check: |root| version_line(root, "cargo", &["fmt", "--version"]),
    },
    Requirement {
        name: "clippy",
        needed_by: "the lint check",
        source: Source::Rustup(&["component", "add", "clippy"]),
        check: |root| version_line(root, "cargo", &["clippy", "--version"]),
    },
    Requirement {
        name: "wasm32 target",
        needed_by: "the wasm32 check of drift-bundle, the runtime for browsers",
        source: Source::Rustup(&["target", "add", "wasm32-unknown-unknown"]),
        check: |root| standard_library(root, "wasm32-unknown-unknown"),
    },
    Requirement {
        name: "Android target",
        needed_by: "the Android check of the runtime and its C interface",
        source: Source::Rustup(&["target", "add", "aarch64-linux-android"]),
        check: |root| standard_library(root, "aarch64-linux-android"),
    },
    Requirement {
        name: "macOS target",
        needed_by: "the lint check of the Metal back end",
        source: Source::Rustup(&["target", "add", "aarch64-apple-darwin"]),
        check: |root| standard_library(root, "aarch64-apple-darwin"),
    },
    Requirement {
        name: "iOS target",
        needed_by: "the lint check of the Metal back end",
        source: Source::Rustup(&["target", "add", "aarch64-apple-ios"]),
        check: |root| standard_library(root, "aarch64-apple-ios"),
    },
    Requirement {
        name: "C++ compiler",
        needed_by: "building SPIRV-Tools, so every golden test; Chromium on lavapipe, for f16",
        source: Source::Apt(&["g++"]),
        check: |root| version_line(root, "c++", &["--version"]),
    },
    Requirement {
        name: "lavapipe",
        needed_by: "every test that runs on Vulkan: drift-runtime, drift-conformance, driftc",
        source: Source::Apt(&["mesa-vulkan-drivers", "libvulkan1", "vulkan-tools"]),
        check: lavapipe,
    },
    Requirement {
        name: "PoCL",
        needed_by: "every test that runs on OpenCL: drift-runtime, drift-conformance",
        source: Source::Apt(&["pocl-opencl-icd", "ocl-icd-libopencl1", "clinfo"]),
        check: pocl,
    },
    Requirement {
        name: "clang",
        needed_by: "the check that a compiler takes our OpenCL C, and running MSL on the CPU",
        source: Source::Apt(&["clang-15"]),
        check: |root| version_line(root, "clang++-15", &["--version"]),
    },
    Requirement {
        name: "Chromium",
        needed_by: "the tests of the runtime for browsers",
        source: Source::Apt(&["chromium"]),
        check: |root| {
            let program = crate::browser::program().ok_or("no chromium on PATH")?;
            version_line(root, program, &["--version"])
        },
    },
    Requirement {
        name: "validation layers",
        needed_by: "the checks that Vulkan is used without a validation message",
        source: Source::Apt(&["vulkan-validationlayers"]),
        check: validation_layers,
    },
];

/// Checks every requirement, prints one line each, and installs what is missing when `install`.
pub fn ensure(root: &Path, install: bool) -> Vec<Need> {
    let mut missing = Vec::new();
    let mut needs = Vec::new();
    for requirement in REQUIREMENTS {
        let found = (requirement.check)(root);
        if found.is_err() {
            missing.push(requirement);
        }
        needs.push(need(requirement, found));
    }
    needs.iter().for_each(Need::print);
    if missing.is_empty() || !install {
        return needs;
    }

    let mut packages = Vec::new();
    for requirement in &missing {
        match requirement.source {
            Source::Apt(names) => packages.extend_from_slice(names),
            Source::Rustup(args) => {
                execute(command(root, "rustup", args), true);
            }
        }
    }
    if !packages.is_empty() {
        install_packages(root, &packages);
    }
    eprintln!();
    for requirement in missing {
        let again = need(requirement, (requirement.check)(root));
        again.print();
        if let Some(slot) = needs.iter_mut().find(|need| need.name == again.name) {
            *slot = again;
        }
    }
    needs
}

fn need(requirement: &Requirement, found: Result<String, String>) -> Need {
    Need {
        name: requirement.name,
        needed_by: requirement.needed_by,
        found,
        install: match requirement.source {
            // A person may be asked for a password, we may not.
            Source::Apt(packages) => {
                line(&apt(Path::new("."), packages)).replace("sudo -n ", "sudo ")
            }
            Source::Rustup(args) => line(&command(Path::new("."), "rustup", args)),
        },
    }
}

/// `apt-get install`, through sudo for everybody but root.
fn apt(root: &Path, packages: &[&str]) -> Command {
    let mut command = privileged(root, "apt-get");
    command.args(["install", "-y", "--no-install-recommends"]).args(packages);
    command
}

fn privileged(root: &Path, program: &str) -> Command {
    let is_root = stdout_of(command(root, "id", &["-u"])).is_some_and(|id| id.trim() == "0");
    let mut command = if is_root {
        command(root, program, &[])
    } else {
        // `-n`: no password prompt, for nobody may be there to answer it.
        command(root, "sudo", &["-n", program])
    };
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn install_packages(root: &Path, packages: &[&str]) {
    if !on_path("apt-get") {
        eprintln!(
            "\nno apt-get here: install the equivalents of these Debian packages yourself: {}",
            packages.join(" ")
        );
        return;
    }
    // A stale package list still installs most of the time, so a failed update is only reported.
    let mut update = privileged(root, "apt-get");
    update.args(["update", "-qq"]);
    execute(update, true);
    execute(apt(root, packages), true);
}

/// First line that a tool prints about its version.
fn version_line(root: &Path, program: &str, args: &[&str]) -> Result<String, String> {
    let child = if program == "cargo" {
        crate::command::cargo(root, args)
    } else {
        command(root, program, args)
    };
    let shown = line(&child);
    stdout_of(child)
        .and_then(|text| text.lines().next().map(str::to_owned))
        .ok_or_else(|| format!("`{shown}` does not run"))
}

fn standard_library(root: &Path, target: &str) -> Result<String, String> {
    // Asks the compiler rather than rustup, which a distribution's Rust lacks.
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let args = ["--print", "target-libdir", "--target", target];
    let folder = stdout_of(command(root, &rustc, &args)).ok_or("rustc does not know it")?;
    let installed = Path::new(folder.trim()).read_dir().is_ok_and(|mut dir| dir.next().is_some());
    if installed { Ok(target.into()) } else { Err(format!("no standard library for {target}")) }
}

/// Asks the driver itself through `vulkaninfo`: a package that is there but broken is not enough.
fn lavapipe(root: &Path) -> Result<String, String> {
    if !on_path("vulkaninfo") {
        return Err("vulkaninfo is not installed".into());
    }
    let summary = stdout_of(command(root, "vulkaninfo", &["--summary"]))
        .ok_or("`vulkaninfo --summary` fails: no Vulkan driver")?;
    lavapipe_in(&summary).ok_or_else(|| "`vulkaninfo --summary` lists no llvmpipe device".into())
}

/// "Mesa 22.3.6 (LLVM 15.0.6), Vulkan 1.3.230" from the text of `vulkaninfo --summary`.
fn lavapipe_in(summary: &str) -> Option<String> {
    let device = summary
        .split("\nGPU")
        .skip(1)
        .find(|device| field(device, "driverName").is_some_and(|name| name == "llvmpipe"))?;
    let driver = field(device, "driverInfo")?;
    Some(match field(device, "apiVersion") {
        Some(api) => format!("{driver}, Vulkan {api}"),
        None => driver.to_owned(),
    })
}

/// Asks the loader through `clinfo`, which lists the devices behind it.
fn pocl(root: &Path) -> Result<String, String> {
    if !on_path("clinfo") {
        return Err("clinfo is not installed".into());
    }
    let text = stdout_of(command(root, "clinfo", &["--raw"])).ok_or("`clinfo` fails")?;
    pocl_in(&text).ok_or_else(|| "`clinfo` lists no platform of the pocl project".into())
}

/// "PoCL 3.1+debian" from the text of `clinfo --raw`.
fn pocl_in(text: &str) -> Option<String> {
    let versions = text.lines().filter_map(|line| line.split_once("CL_PLATFORM_VERSION"));
    let pocl = versions.filter_map(|(_, version)| version.split_once("PoCL ")).next()?.1;
    Some(format!("PoCL {}", pocl.split(' ').next().unwrap_or_default()))
}

fn field<'a>(device: &'a str, name: &str) -> Option<&'a str> {
    device.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == name).then_some(value.trim())
    })
}

fn validation_layers(_: &Path) -> Result<String, String> {
    const FILE: &str = "VkLayer_khronos_validation.json";
    let mut folders: Vec<PathBuf> = std::env::var_os("VK_LAYER_PATH")
        .map_or(Vec::new(), |v| std::env::split_paths(&v).collect());
    for root in ["/usr/share", "/usr/local/share", "/etc"] {
        folders.push(Path::new(root).join("vulkan/explicit_layer.d"));
    }
    let manifest = folders
        .iter()
        .map(|folder| folder.join(FILE))
        .find(|path| path.is_file())
        .ok_or("VK_LAYER_KHRONOS_validation is not installed")?;
    let text = std::fs::read_to_string(&manifest).map_err(|e| format!("{FILE}: {e}"))?;
    let version = text.split("\"api_version\"").nth(1).and_then(|rest| rest.split('"').nth(1));
    Ok(format!("Khronos {}", version.unwrap_or("of unknown version")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUMMARY: &str = "Devices:\n========\nGPU0:\n\tapiVersion         = 1.3.0\n\
        \tdriverName         = SwiftShader driver\n\tdriverInfo         = \nGPU1:\n\
        \tapiVersion         = 1.3.230\n\tdriverName         = llvmpipe\n\
        \tdriverInfo         = Mesa 22.3.6 (LLVM 15.0.6)\n";

    #[test]
    fn finds_llvmpipe_among_other_devices() {
        let found = lavapipe_in(SUMMARY);
        assert_eq!(found.as_deref(), Some("Mesa 22.3.6 (LLVM 15.0.6), Vulkan 1.3.230"));
    }

    #[test]
    fn finds_pocl_among_other_platforms() {
        let text = "  CL_PLATFORM_NAME     NVIDIA CUDA\n  CL_PLATFORM_VERSION  OpenCL 3.0 CUDA 12.8\n\
            \x20 CL_PLATFORM_VERSION  OpenCL 3.0 PoCL 3.1+debian  Linux, LLVM 15.0.6\n";
        assert_eq!(pocl_in(text).as_deref(), Some("PoCL 3.1+debian"));
        assert_eq!(pocl_in(text.lines().next().unwrap()), None);
    }

    #[test]
    fn another_driver_is_not_lavapipe() {
        let only_swiftshader = SUMMARY.split("GPU1").next().unwrap();
        assert_eq!(lavapipe_in(only_swiftshader), None);
    }
}
