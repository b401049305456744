//! Running `driftc`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What a run left.
#[derive(Clone, Debug)]
pub struct Ran {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

/// No command of these tests takes longer; the slow ones load a GPU driver first.
const TIME_LIMIT: Duration = Duration::from_secs(60);
/// Address space of commands that need no GPU driver, in KiB: a size that lies must not be believed.
const MEMORY_LIMIT_KIB: u64 = 768 * 1024;

fn wait(command: Command, what: &str) -> Ran {
    wait_on(command, what, Stdio::null())
}

fn wait_on(mut command: Command, what: &str, stdin: Stdio) -> Ran {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (out, err) = (folder.path().join("out"), folder.path().join("err"));
    let file = |p: &Path| std::fs::File::create(p).expect("a temporary file");
    command.stdin(stdin).stdout(file(&out)).stderr(file(&err));
    let mut child = command.spawn().unwrap_or_else(|e| panic!("driftc {what}: {e}"));
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child of ours") {
            break status;
        }
        if start.elapsed() > TIME_LIMIT {
            child.kill().expect("a child of ours");
            panic!("driftc {what}: still running after {TIME_LIMIT:?}");
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let text = |p: &Path| {
        String::from_utf8_lossy(&std::fs::read(p).expect("a temporary file")).into_owned()
    };
    let (stdout, stderr) = (text(&out), text(&err));
    let Some(status) = status.code() else {
        panic!("driftc {what}: ended by a signal ({status})\n{stderr}");
    };
    assert!(status != 101 && !stderr.contains("panicked"), "driftc {what}: panic\n{stderr}");
    Ran { status, stdout, stderr }
}

/// Runs `driftc` with these arguments, away from the user's pipeline cache.
pub fn driftc<S: AsRef<OsStr>>(args: &[S]) -> Ran {
    driftc_with(args, &[])
}

/// The same with lines on its standard input.
pub fn driftc_told<S: AsRef<OsStr>>(args: &[S], lines: &str) -> Ran {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("in");
    std::fs::write(&path, lines).expect("a temporary file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_driftc"));
    command.args(args).env("DRIFT_CACHE_DIR", env!("CARGO_TARGET_TMPDIR"));
    let stdin = std::fs::File::open(&path).expect("just written");
    wait_on(command, &shown(args), stdin.into())
}

/// The same with variables of the environment.
pub fn driftc_with<S: AsRef<OsStr>>(args: &[S], env: &[(&str, &str)]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_driftc"));
    command.args(args).envs(env.iter().copied());
    command.env("DRIFT_CACHE_DIR", env!("CARGO_TARGET_TMPDIR"));
    wait(command, &shown(args))
}

/// Runs `driftc` in little memory; only for commands that load no GPU driver.
pub fn driftc_in_little_memory<S: AsRef<OsStr>>(args: &[S]) -> Ran {
    if !cfg!(unix) {
        return driftc(args);
    }
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("ulimit -v {MEMORY_LIMIT_KIB} && exec \"$0\" \"$@\""));
    command.arg(env!("CARGO_BIN_EXE_driftc")).args(args);
    wait(command, &shown(args))
}

fn shown<S: AsRef<OsStr>>(args: &[S]) -> String {
    let args: Vec<_> = args.iter().map(|a| a.as_ref().to_string_lossy()).collect();
    args.join(" ")
}

impl Ran {
    /// The run succeeded.
    #[track_caller]
    pub fn ok(self) -> Ran {
        assert_eq!(self.status, 0, "{}\n{}", self.stdout, self.stderr);
        self
    }

    /// The run ended with this status and a message that holds all of `parts`.
    #[track_caller]
    pub fn fails(self, status: i32, parts: &[&str]) -> Ran {
        assert_eq!(self.status, status, "{}\n{}", self.stdout, self.stderr);
        assert!(self.stderr.contains("error: "), "no message: {}", self.stderr);
        for part in parts {
            assert!(self.stderr.contains(part), "`{part}` is missing from: {}", self.stderr);
        }
        self
    }
}

/// A folder of a test's own, with a way to name files in it.
pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn new() -> Folder {
        Folder(tempfile::tempdir().expect("a temporary folder"))
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The path as an argument.
    pub fn arg(&self, name: &str) -> String {
        self.at(name).to_str().expect("ASCII paths").to_owned()
    }

    pub fn write(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.at(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).expect("a folder");
        }
        std::fs::write(&path, bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        self.arg(name)
    }

    /// An array file, row-major.
    pub fn npy(&self, name: &str, descr: &str, shape: &[usize], data: &[u8]) -> String {
        let dims: String = shape.iter().map(|d| format!("{d},")).collect();
        let mut head =
            format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({dims}), }}");
        head.push_str(&" ".repeat(63 - (10 + head.len()) % 64));
        head.push('\n');
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((head.len() as u16).to_le_bytes());
        bytes.extend(head.as_bytes());
        bytes.extend(data);
        self.write(name, &bytes)
    }

    pub fn npy_f32(&self, name: &str, shape: &[usize], data: &[f32]) -> String {
        let bytes: Vec<u8> = data.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.npy(name, "<f4", shape, &bytes)
    }
}

/// The small convolutional model, compiled for the interpreter.
pub fn small_bundle(folder: &Folder) -> String {
    let model = folder.write("small.onnx", &crate::common::small_cnn().to_bytes());
    let bundle = folder.arg("small.drift");
    driftc(&["compile", &model, "--target", "reference", "-o", &bundle]).ok();
    bundle
}

/// The demo model of the repository.
pub fn demo_model() -> String {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/shapes/shapes.onnx").to_owned()
}

/// Whether a GPU driver is there; a visible line where it is not.
pub fn has_gpu() -> bool {
    let listed = driftc(&["devices"]);
    let none = listed.status != 0 || !listed.stdout.starts_with('0');
    if none {
        println!("skipped: no GPU driver");
        assert!(std::env::var("DRIFT_REQUIRE_GPU").is_ok_and(|v| v == "1") != none, "no GPU");
    }
    !none
}
