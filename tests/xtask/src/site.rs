//! The examples for browsers as a folder of static files, with the runtime and compiled models.

use crate::command::{cargo, command, execute};
use crate::npm;
use drift_chromium::Server;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Models that the examples show: source, bundle inside the site, further arguments of `compile`.
const MODELS: &[(&str, &str, &[&str])] = &[
    ("examples/shapes/shapes.onnx", "web/shapes.drift", &[]),
    ("examples/tales", "web-chat/tales.drift", &[]),
];
const TARGETS: &[&str] = &["--target", "webgpu-generic"];

/// Builds `target/site`; `None` when something failed, which has been printed.
pub fn build(root: &Path) -> Option<PathBuf> {
    let package = npm::build(root)?;
    let site = npm::artifacts(root).join("site");
    let copied = (|| -> std::io::Result<()> {
        if site.exists() {
            fs::remove_dir_all(&site)?;
        }
        copy_folder(&package, &site.join("drift"))?;
        copy_folder(&root.join("examples/web"), &site.join("web"))?;
        copy_folder(&root.join("examples/web-chat"), &site.join("web-chat"))?;
        // test pictures of the network, for people without one of their own
        let pictures = root.join("examples/shapes/pictures.npy");
        fs::copy(pictures, site.join("web/pictures.npy")).map(|_| ())
    })();
    if let Err(error) = copied {
        eprintln!("{}: {error}", site.display());
        return None;
    }
    for (model, bundle, more) in MODELS {
        let mut compile = driftc(root);
        compile
            .arg("compile")
            .arg(model)
            .args(TARGETS)
            .args(*more)
            .arg("-o")
            .arg(site.join(bundle));
        if !execute(compile, true) {
            return None;
        }
    }
    Some(site)
}

/// `driftc`, built where it has to be. `DRIFTC` names one that is there.
pub fn driftc(root: &Path) -> Command {
    match std::env::var("DRIFTC") {
        Ok(program) => command(root, &program, &[]),
        Err(_) => cargo(root, &["run", "--quiet", "--release", "--package", "driftc", "--"]),
    }
}

fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let target = to.join(path.file_name().unwrap_or_default());
        match path.is_dir() {
            true => copy_folder(&path, &target)?,
            false => fs::copy(&path, &target).map(|_| ())?,
        }
    }
    Ok(())
}

/// Builds the site and serves it until the process is ended.
pub fn serve(root: &Path) -> bool {
    let Some(site) = build(root) else { return false };
    let server = match Server::start(8080, vec![(String::new(), site)]) {
        Ok(server) => server,
        Err(error) => {
            eprintln!("port 8080: {error}");
            return false;
        }
    };
    eprintln!("\n  {0}/web/\n  {0}/web-chat/\n\nCtrl-C ends it.", server.address());
    loop {
        std::thread::park();
    }
}
