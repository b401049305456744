//! `cargo xtask browser`: the runtime in headless Chromium, on its software adapter.
//!
//! The page `tests/browser/index.html` runs the tests and reports them line by line: `ok NAME`,
//! `skipped: …`, `FAIL NAME: …`, at the end `done`. The examples are then opened as a person would,
//! and photographed.

use crate::command::execute;
use crate::{npm, site};
pub use drift_chromium::program;
use drift_chromium::{Adapter, Chromium, Server, lavapipe};
use std::path::{Path, PathBuf};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

/// The page says something at least this often.
const SILENCE: Duration = Duration::from_secs(240);

/// Networks beside the repository that are run with their expected outputs, and further arguments of
/// `compile`: sizes of dynamic axes as in their first case.
const NETWORKS: &[(&str, &[&str])] = &[
    ("cls_resnet20_cifar10", &["--dim", "batch=3"]),
    // ids in int64
    ("graph_tiny_bert", &["--dim", "batch=2", "--dim", "seq=11"]),
    ("audio_dtln_1", &[]),
];

/// Builds the package and the examples, and tests both.
pub fn run(root: &Path) -> bool {
    let Some(site) = site::build(root) else { return false };
    let folder = npm::artifacts(root).join("browser");
    let bundles = folder.join("bundles");
    if let Err(error) = std::fs::create_dir_all(&bundles) {
        eprintln!("{}: {error}", bundles.display());
        return false;
    }
    let models = models(root);
    if !compile(root, &bundles, models.as_deref()) {
        return false;
    }
    let mut folders = vec![
        ("tests/".to_owned(), root.join("tests/browser")),
        ("bundles/".to_owned(), bundles),
        ("examples/".to_owned(), root.join("examples")),
    ];
    folders.extend(models.map(|m| ("models/".to_owned(), m)));
    folders.push((String::new(), site));
    let begun = Instant::now();
    let passed = test(&folder, folders).unwrap_or_else(|error| {
        eprintln!("browser: {error}");
        false
    });
    eprintln!("browser: {} in {:.0?}", if passed { "passed" } else { "FAILED" }, begun.elapsed());
    passed
}

/// The folder of real models, where there is one.
fn models(root: &Path) -> Option<PathBuf> {
    let shared = std::env::var_os("DRIFT_SHARED").map_or(root.join("../shared"), PathBuf::from);
    let models = shared.join("models");
    if models.join("MANIFEST.json").is_file() {
        return Some(models);
    }
    eprintln!("skipped: {} not present, so no real networks in the browser", models.display());
    None
}

fn compile(root: &Path, bundles: &Path, models: Option<&Path>) -> bool {
    let mut jobs: Vec<(PathBuf, PathBuf, Vec<&str>)> = Vec::new();
    let shapes = root.join("examples/shapes/shapes.onnx");
    // several variants, of which the browser takes one; and a bundle with nothing for it
    let several = vec!["--target", "vulkan-modern", "--target", "webgpu-generic"];
    jobs.push((shapes.clone(), bundles.join("several.drift"), several));
    jobs.push((shapes.clone(), bundles.join("vulkan.drift"), vec!["--target", "vulkan-modern"]));
    for (model, name) in [(shapes, "shapes-f16"), (root.join("examples/tales"), "tales-f16")] {
        let both = ["--target", "webgpu-generic", "--target", "webgpu-lavapipe"];
        let arguments = [&both[..], &["--precision", "mixed"]].concat();
        jobs.push((model, bundles.join(name).with_extension("drift"), arguments));
    }
    for (name, more) in NETWORKS {
        let Some(models) = models else { break };
        let mut arguments = vec!["--target", "webgpu-generic"];
        arguments.extend(*more);
        let model = models.join(name).join("model.onnx");
        jobs.push((model, bundles.join(name).with_extension("drift"), arguments));
    }
    jobs.iter().all(|(model, bundle, arguments)| {
        let mut driftc = site::driftc(root);
        driftc.arg("compile").arg(model).args(arguments).arg("-o").arg(bundle);
        execute(driftc, true)
    })
}

fn test(folder: &Path, folders: Vec<(String, PathBuf)>) -> Result<bool, String> {
    let server = Server::start(0, folders).map_err(|e| format!("no server: {e}"))?;
    let mut browser = Chromium::start(&folder.join("profile"), Adapter::SwiftShader)?;
    let address = server.address();
    browser.open(&format!("{address}/tests/"))?;
    let passed = reported(&server)? & with_f16(folder, &server)?;
    let pictures = folder.join("screenshots");
    std::fs::create_dir_all(&pictures).map_err(|e| format!("{}: {e}", pictures.display()))?;
    Ok(passed & examples(&mut browser, &address, &pictures))
}

/// The variants that need more than every browser has, on an adapter that has it.
fn with_f16(folder: &Path, server: &Server) -> Result<bool, String> {
    if let Some(why) = lavapipe::missing() {
        eprintln!("skipped: f16 and subgroups: {why}");
        return Ok(true);
    }
    let mut browser = Chromium::start(&folder.join("profile-f16"), Adapter::Lavapipe)?;
    browser.open(&format!("{}/tests/f16.html", server.address()))?;
    reported(server)
}

/// Prints what the page reports; true if nothing failed, and something was tested.
fn reported(server: &Server) -> Result<bool, String> {
    let (mut passed, mut count) = (true, 0);
    loop {
        match server.reports.recv_timeout(SILENCE) {
            Ok(line) if line == "done" => return Ok(passed && count > 0),
            Ok(line) => {
                eprintln!("{line}");
                passed &= !line.starts_with("FAIL");
                count += u32::from(line.starts_with("ok "));
            }
            Err(RecvTimeoutError::Timeout) => {
                return Err(format!("the page said nothing for {SILENCE:?}"));
            }
            Err(RecvTimeoutError::Disconnected) => return Err("the server is gone".into()),
        }
    }
}

/// A person's way through an example: from what is on the page when it is ready, a key pressed on an
/// element, and what must be true then.
struct Visit {
    page: &'static str,
    name: &'static str,
    /// Expressions of the page.
    ready: &'static str,
    focus: &'static str,
    key: &'static str,
    then: &'static str,
}

const VISITS: [Visit; 2] = [
    Visit {
        page: "web/",
        name: "web",
        ready: "document.documentElement.dataset.state === 'done'",
        // the fifth sample
        focus: "document.querySelectorAll('#samples button')[4]",
        key: "Enter",
        then: "document.querySelector('#answer').textContent.startsWith('square, ')",
    },
    Visit {
        page: "web-chat/",
        name: "web-chat",
        ready: "document.querySelector('#told').textContent.length > 60",
        focus: "document.querySelector('#prompt')",
        key: "Escape",
        then: "document.querySelector('#stop').disabled",
    },
];

/// Opens the examples, uses them by keyboard, and photographs them.
fn examples(browser: &mut Chromium, address: &str, pictures: &Path) -> bool {
    let mut passed = true;
    for visit in &VISITS {
        match look(browser, visit, address, pictures) {
            Ok(()) => eprintln!("ok example {} ({}/{0}-*.png)", visit.name, pictures.display()),
            Err(error) => {
                eprintln!("FAIL example {}: {error}", visit.name);
                passed = false;
            }
        }
    }
    passed & without_webgpu(browser, address, pictures)
}

/// What a page says where there is no WebGPU. The last visit: the script stays.
fn without_webgpu(browser: &mut Chromium, address: &str, pictures: &Path) -> bool {
    let shown = (|| -> Result<(), String> {
        let script =
            r#"{"source":"Object.defineProperty(navigator, 'gpu', { value: undefined })"}"#;
        browser.call("Page.addScriptToEvaluateOnNewDocument", script)?;
        browser.emulate((700, 400), "light")?;
        browser.open(&format!("{address}/web/"))?;
        await_true(browser, "document.documentElement.dataset.state === 'failed'")?;
        let reason = browser.evaluate("document.querySelector('#reason').textContent")?;
        browser.screenshot(&pictures.join("web-without-webgpu.png"))?;
        match reason.contains("has no WebGPU") {
            true => Ok(()),
            false => Err(format!("it says {reason:?}")),
        }
    })();
    match &shown {
        Ok(()) => eprintln!("ok example web without WebGPU"),
        Err(error) => eprintln!("FAIL example web without WebGPU: {error}"),
    }
    shown.is_ok()
}

fn look(
    browser: &mut Chromium,
    visit: &Visit,
    address: &str,
    pictures: &Path,
) -> Result<(), String> {
    browser.emulate((1100, 800), "light")?;
    browser.open(&format!("{address}/{}", visit.page))?;
    await_true(browser, visit.ready)?;
    let picture = |scheme: &str| pictures.join(format!("{}-{scheme}.png", visit.name));
    browser.screenshot(&picture("light"))?;
    browser.evaluate(&format!("{}.focus(), 'focused'", visit.focus))?;
    browser.press(visit.key)?;
    await_true(browser, visit.then)?;
    browser.emulate((400, 800), "dark")?;
    browser.screenshot(&picture("dark"))
}

/// Waits until an expression is true on the page, and animations are over.
fn await_true(browser: &mut Chromium, expression: &str) -> Result<(), String> {
    let state = browser.evaluate(&format!(
        "new Promise(done => {{ const look = () => {{ \
           const state = document.documentElement?.dataset.state; \
           let fits = false; try {{ fits = {expression}; }} catch {{}} \
           if (fits) setTimeout(() => done('yes'), 400); \
           else if (state === 'failed') done(document.querySelector('#reason').textContent); \
           else setTimeout(look, 100); }}; \
           setTimeout(() => done('too slow'), {}); look(); }})",
        SILENCE.as_millis()
    ))?;
    match state.as_str() {
        "yes" => Ok(()),
        other => Err(format!("{expression}: {other}")),
    }
}
