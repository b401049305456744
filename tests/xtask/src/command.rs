//! Child processes: how they are built, echoed, run and read. None of them ever gets our stdin.

pub use drift_chromium::browser::on_path;
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

/// A command without stdin, started in `root`.
pub fn command(root: &Path, program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).current_dir(root).stdin(Stdio::null());
    command
}

/// The cargo that runs us, so that the whole run uses one toolchain (and one set of artifacts).
pub fn cargo(root: &Path, args: &[&str]) -> Command {
    let program = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    command(root, &program, args)
}

/// The command line as a person would type it.
pub fn line(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(quote).collect::<Vec<_>>().join(" ")
}

fn quote(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    if word.contains(|c: char| c.is_whitespace() || "'\"|&()<>$*".contains(c)) {
        format!("'{word}'")
    } else {
        word.into_owned()
    }
}

/// Echoes and runs the command, its output going where ours goes (all of it to stderr when
/// `to_stderr`). False when it fails or cannot be started; the reason has then been printed.
pub fn execute(mut command: Command, to_stderr: bool) -> bool {
    eprintln!("\n$ {}", line(&command));
    if to_stderr {
        command.stdout(std::io::stderr());
    }
    match command.status() {
        Ok(status) if status.success() => true,
        Ok(status) => {
            eprintln!("failed ({status}): {}", line(&command));
            false
        }
        Err(error) => {
            eprintln!("cannot start `{}`: {error}", line(&command));
            false
        }
    }
}

/// Standard output of a quiet command that succeeded.
pub fn stdout_of(mut command: Command) -> Option<String> {
    let output = command.stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
