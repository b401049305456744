//! A copy of Chromium whose WebGPU runs on Mesa's lavapipe, which has `shader-f16` and subgroups.
//!
//! Without a GPU, Chromium's WebGPU takes the SwiftShader library beside its program, whatever other
//! Vulkan drivers there are. The copy is a folder of links to the installed files, with `lavapipe.c`
//! in the place of that library. What remains Chromium's own is what matters to the tests: its
//! JavaScript, its checks, and its compiler from WGSL to SPIR-V.

use std::fs;
use std::io::{Error, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where Debian has Chromium.
const INSTALLED: &str = "/usr/lib/chromium";
/// Names by which the loader may know the driver.
const MANIFESTS: [&str; 2] =
    ["/usr/share/vulkan/icd.d/lvp_icd.x86_64.json", "/usr/share/vulkan/icd.d/lvp_icd.aarch64.json"];
const LIBRARY: &str = "libvk_swiftshader.so";
const MANIFEST: &str = "vk_swiftshader_icd.json";

/// The driver's library.
fn driver() -> Option<PathBuf> {
    let text = MANIFESTS.iter().find_map(|path| fs::read_to_string(path).ok())?;
    let path = text.split("\"library_path\"").nth(1)?.split('"').nth(1)?;
    Some(PathBuf::from(path))
}

/// Why there is no such copy; `None`: there can be one.
pub fn missing() -> Option<String> {
    if !Path::new(INSTALLED).join("chromium").is_file() {
        return Some(format!("no {INSTALLED}/chromium"));
    }
    driver().is_none().then(|| "Mesa's lavapipe is not installed".into())
}

#[cfg(unix)]
fn link(from: &Path, to: &Path) -> Result<()> {
    std::os::unix::fs::symlink(from, to)
}

/// Never called: no other system has Chromium at [`INSTALLED`].
#[cfg(not(unix))]
fn link(from: &Path, to: &Path) -> Result<()> {
    fs::hard_link(from, to)
}

/// Makes the copy in `folder`: a command that starts it.
pub fn copy(folder: &Path) -> Result<Command> {
    let driver = driver().ok_or_else(|| Error::other("no lavapipe"))?;
    fs::create_dir_all(folder)?;
    for entry in fs::read_dir(INSTALLED)? {
        let from = entry?.path();
        let name = from.file_name().unwrap_or_default();
        let to = folder.join(name);
        if name == "chromium" {
            // the program looks for the others beside itself: a symbolic link would lead it back
            fs::hard_link(&from, &to).or_else(|_| fs::copy(&from, &to).map(|_| ()))?;
        } else if name == MANIFEST {
            // for WebGL, as before
            let text = fs::read_to_string(&from)?;
            fs::write(&to, text.replace("./", &format!("{INSTALLED}/")))?;
        } else if name != LIBRARY {
            link(&from, &to)?;
        }
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lavapipe.c");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
        .arg(folder.join(LIBRARY))
        .arg(&source)
        .arg("-ldl")
        .status()?;
    if !built.success() {
        return Err(Error::other(format!("cc refuses {}", source.display())));
    }
    let mut program = Command::new(folder.join("chromium"));
    program.env("DRIFT_LAVAPIPE", driver);
    Ok(program)
}
