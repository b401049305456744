//! A page in headless Chromium as a device: the runtime for browsers (`runtime-web`) loads the bundles,
//! chooses among their variants by itself, and replays them; tests and comparisons are those of all
//! other devices. What the page does is in `tests/browser/device.js`.
//!
//! `DRIFT_WEB` names the npm package folder that `cargo xtask npm` builds.

use drift_bundle::caps::Capabilities;
use drift_bundle::plan::Plan;
use drift_chromium::{Adapter, Chromium, Server, pages};
use drift_runtime::external::{
    self, ExternalDevice, Fetch, Fetched, Nanos, Program, SubmitNumber, Variant,
};
use drift_runtime::{Device, DeviceInfo, DeviceKind, Result, RuntimeError};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

/// Kernels are compiled and run on a CPU that other tests use, too.
const PATIENCE: Duration = Duration::from_secs(600);

/// A browser with the page. It ends with the last device and program that has it.
struct Page {
    folder: PathBuf,
    server: Server,
    /// Dropped by [`Page::drop`] before its folder is removed.
    browser: Option<Chromium>,
}

/// A page for one question at a time.
type Shared = Arc<Mutex<Page>>;

struct PageDevice {
    info: DeviceInfo,
    page: Shared,
}

struct PageProgram {
    page: Shared,
    number: u64,
    variant: Variant,
    outputs: Vec<Vec<Vec<u8>>>,
    fetched: Fetched,
}

/// Why there can be no device; `None`: there can.
pub fn missing(adapter: Adapter) -> Option<String> {
    let package = match std::env::var_os("DRIFT_WEB") {
        Some(package) => PathBuf::from(package),
        None => return Some("DRIFT_WEB names no package folder (`cargo xtask npm`)".into()),
    };
    if !package.join("drift.wasm").is_file() {
        return Some(format!("DRIFT_WEB: {} is no package folder", package.display()));
    }
    match adapter {
        Adapter::SwiftShader => drift_chromium::program().is_none().then(|| "no chromium".into()),
        Adapter::Lavapipe => drift_chromium::lavapipe::missing(),
    }
}

/// The device: one browser for all threads of a process, for as long as one has it. A process asks for
/// one adapter only.
///
/// # Errors
/// As [`missing`], or the browser does not start.
pub fn device(adapter: Adapter) -> Result<Device, String> {
    Ok(external::device(open(adapter)?))
}

fn open(adapter: Adapter) -> Result<Arc<PageDevice>, String> {
    static OPEN: Mutex<Weak<PageDevice>> = Mutex::new(Weak::new());
    if let Some(why) = missing(adapter) {
        return Err(why);
    }
    let mut open = OPEN.lock().map_err(|_| "an earlier start failed")?;
    if let Some(device) = open.upgrade() {
        return Ok(device);
    }
    let device = Arc::new(PageDevice::start(adapter)?);
    *open = Arc::downgrade(&device);
    Ok(device)
}

/// What the page says of bytes that are no bundle; `None` if it takes them.
///
/// # Errors
/// As [`device`].
pub fn refusal(adapter: Adapter) -> Result<Option<String>, String> {
    let answer = ask(&open(adapter)?.page, &json!({"command": "load"}), b"nonsense");
    Ok(answer.err().map(|e| e.to_string()))
}

/// Ids of texts by a `tokenizer.json`, and the texts of these ids, as the page's tokenizer has them.
///
/// # Errors
/// As [`device`], or what the page says.
pub fn tokenize(
    adapter: Adapter,
    json: &[u8],
    texts: &[String],
) -> Result<Vec<(Vec<u32>, String)>, String> {
    let command = json!({"command": "tokenize", "texts": texts});
    let (mut head, _) = ask(&open(adapter)?.page, &command, json).map_err(|e| e.to_string())?;
    serde_json::from_value(head["all"].take()).map_err(|e| e.to_string())
}

impl PageDevice {
    fn start(adapter: Adapter) -> Result<PageDevice, String> {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("drift-{}-{number}", std::process::id()));
        let package = std::env::var_os("DRIFT_WEB").map(PathBuf::from).unwrap_or_default();
        let folders = vec![("tests/".to_owned(), pages()), ("drift/".to_owned(), package)];
        let server = Server::start(0, folders).map_err(|e| format!("no server: {e}"))?;
        let mut browser = Chromium::start(&folder, adapter)?;
        browser.open(&format!("{}/tests/device.html", server.address()))?;
        let page = Page { folder, server, browser: Some(browser) };
        let (said, _) = unpacked(&page.server.hello(PATIENCE)?)?;
        let mut info = described(&said).ok_or_else(|| format!("the page says {said}"))?;
        if adapter == Adapter::Lavapipe {
            // Chromium takes it for its own driver
            info.capabilities.device_name = "llvmpipe".into();
        }
        Ok(PageDevice { info, page: Arc::new(Mutex::new(page)) })
    }
}

/// The device as the page describes it.
fn described(said: &Value) -> Option<DeviceInfo> {
    let numbers: Option<Vec<u64>> = said["numbers"].as_array()?.iter().map(Value::as_u64).collect();
    let capabilities: Capabilities =
        drift_web::caps::capabilities(numbers?.as_slice().try_into().ok()?, said["name"].as_str()?);
    Some(DeviceInfo {
        index: 0,
        kind: DeviceKind::Cpu,
        driver: said["version"].as_str()?.into(),
        api_version: "in a page".into(),
        memory_bytes: 0,
        capabilities,
    })
}

fn packed(head: &Value, bytes: &[u8]) -> Vec<u8> {
    let text = head.to_string();
    let mut all = (text.len() as u32).to_le_bytes().to_vec();
    all.extend_from_slice(text.as_bytes());
    all.extend_from_slice(bytes);
    all
}

fn unpacked(all: &[u8]) -> Result<(Value, &[u8]), String> {
    let (length, rest) = all.split_at_checked(4).ok_or("an empty answer")?;
    let length = u32::from_le_bytes(length.try_into().map_err(|_| "four bytes")?) as usize;
    let (text, bytes) = rest.split_at_checked(length).ok_or("an answer that is cut off")?;
    let head: Value = serde_json::from_slice(text).map_err(|e| e.to_string())?;
    Ok((head, bytes))
}

/// Asks the page for one thing; gives the head of its answer, and the bytes behind it.
fn ask(page: &Shared, command: &Value, bytes: &[u8]) -> Result<(Value, Vec<u8>)> {
    let refused = |message: String| RuntimeError::Refused { what: "the page", message };
    let page = page.lock().map_err(|_| RuntimeError::DeviceLost)?;
    let answer = page.server.ask(packed(command, bytes), PATIENCE).map_err(refused)?;
    let (head, bytes) = unpacked(&answer).map_err(refused)?;
    match &head["error"] {
        Value::Null => Ok((head, bytes.to_vec())),
        error => {
            let text = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
            Err(refused(format!("{}: {}", text("code"), text("message"))))
        }
    }
}

impl ExternalDevice for PageDevice {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn load(&self, variant: &Variant) -> Result<Box<dyn Program>> {
        let (head, _) = ask(&self.page, &json!({"command": "load"}), variant.bundle())?;
        let zeros = |e: &drift_bundle::plan::EntryPoint| {
            e.outputs.iter().map(|io| vec![0; io.device_bytes().unwrap_or(0) as usize]).collect()
        };
        Ok(Box::new(PageProgram {
            page: self.page.clone(),
            number: head["program"].as_u64().ok_or(RuntimeError::DeviceLost)?,
            outputs: variant.plan().entry_points.iter().map(zeros).collect(),
            variant: variant.clone(),
            fetched: Fetched::default(),
        }))
    }
}

impl PageProgram {
    fn plan(&self) -> &Plan {
        self.variant.plan()
    }

    /// Replays, then gives ranges of objects (object, offset, bytes), of which offsets are multiples
    /// of 4.
    fn replay(
        &mut self,
        entry: usize,
        times: u32,
        ranges: &[(u32, u64, u64)],
    ) -> Result<Vec<Vec<u8>>> {
        let named = |(object, offset, bytes): &(u32, u64, u64)| json!({"object": object, "offset": offset, "bytes": bytes});
        let list: Vec<Value> = ranges.iter().map(named).collect();
        let command = json!({
            "command": "submit", "program": self.number, "entry": entry, "times": times, "ranges": list,
        });
        let (_, bytes) = ask(&self.page, &command, &[])?;
        let mut rest = bytes.as_slice();
        let mut out = Vec::new();
        for (_, _, length) in ranges {
            let (part, behind) = rest
                .split_at_checked(length.next_multiple_of(8) as usize)
                .ok_or(RuntimeError::DeviceLost)?;
            out.push(part[..*length as usize].to_vec());
            rest = behind;
        }
        Ok(out)
    }
}

impl Program for PageProgram {
    fn write(
        &mut self,
        object: u32,
        offset: u64,
        bytes: u64,
        fill: &mut dyn FnMut(&mut [u8]) -> Result<()>,
    ) -> Result<()> {
        let mut data = vec![0; bytes as usize];
        fill(&mut data)?;
        let command =
            json!({"command": "write", "program": self.number, "object": object, "offset": offset});
        ask(&self.page, &command, &data).map(|_| ())
    }

    fn read(&mut self, object: u32, offset: u64, out: &mut [u8]) -> Result<()> {
        // copies are of whole words
        let start = offset & !3;
        let skip = (offset - start) as usize;
        let range = (object, start, (skip + out.len()) as u64);
        let parts = self.replay(0, 0, &[range])?;
        out.copy_from_slice(&parts[0][skip..]);
        Ok(())
    }

    fn submit(&mut self, entry: usize, times: u32, fetch: Option<Fetch>) -> Result<SubmitNumber> {
        let outputs = self.plan().entry_points[entry].outputs.iter();
        let mut ranges: Vec<(u32, u64, u64)> = match times {
            0 => Vec::new(),
            _ => outputs.map(|io| (io.object, io.offset, io.device_bytes().unwrap_or(0))).collect(),
        };
        let count = ranges.len();
        ranges.extend(fetch.map(|f| (f.object, f.offset, f.bytes)));
        let mut parts = self.replay(entry, times, &ranges)?;
        let fetched = parts.drain(count..).next().unwrap_or_default();
        if times > 0 {
            self.outputs[entry] = parts;
        }
        Ok(self.fetched.push(fetched))
    }

    /// Every submit was waited for.
    fn wait(&mut self) -> Result<()> {
        Ok(())
    }

    fn wait_for(&mut self, _: SubmitNumber) -> Result<()> {
        Ok(())
    }

    fn fetched(&self, submit: SubmitNumber) -> Option<&[u8]> {
        self.fetched.get(submit)
    }

    fn output(&self, entry: usize, output: usize) -> &[u8] {
        &self.outputs[entry][output]
    }

    fn reset_state(&mut self) -> Result<()> {
        ask(&self.page, &json!({"command": "reset", "program": self.number}), &[]).map(|_| ())
    }

    fn profile(&mut self, _: usize) -> Result<Vec<(u32, Nanos)>> {
        let message = "a page has no time stamps".into();
        Err(RuntimeError::Refused { what: "a profile", message })
    }

    /// Wall-clock time, the way to the page included.
    fn bench(&mut self, entry: usize, n: u32) -> Result<Vec<Nanos>> {
        let mut all = Vec::new();
        for _ in 0..n {
            let begun = Instant::now();
            self.submit(entry, 1, None)?;
            all.push(begun.elapsed().as_nanos() as Nanos);
        }
        Ok(all)
    }

    /// [`PATIENCE`] is long enough.
    fn set_timeout(&mut self, _: Duration) {}
}

impl Drop for PageProgram {
    fn drop(&mut self) {
        // a page that is gone has no programs
        let _ = ask(&self.page, &json!({"command": "drop", "program": self.number}), &[]);
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        drop(self.browser.take());
        // its processes write a little longer than it lives, and make the folder again
        for _ in 0..20 {
            let _ = std::fs::remove_dir_all(&self.folder);
            std::thread::sleep(Duration::from_millis(50));
            if !self.folder.exists() {
                return;
            }
        }
    }
}
