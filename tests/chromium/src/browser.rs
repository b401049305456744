//! Headless Chromium over its DevTools protocol: a pipe with JSON texts that end with a zero byte.

use crate::lavapipe;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Names under which it is installed.
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// The program, if there is one.
pub fn program() -> Option<&'static str> {
    NAMES.into_iter().find(|name| on_path(name))
}

/// Is `program` an executable file somewhere on PATH?
pub fn on_path(program: &str) -> bool {
    let Some(path) = std::env::var_os("PATH") else { return false };
    std::env::split_paths(&path)
        .any(|dir| dir.join(program).is_file() || dir.join(format!("{program}.exe")).is_file())
}

/// What its WebGPU runs on; there is no GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adapter {
    /// The driver that it brings along: subgroups of 4, no f16.
    SwiftShader,
    /// Mesa's: subgroups of 8, and f16 ([`lavapipe`]).
    Lavapipe,
}

/// A running browser with one page.
pub struct Chromium {
    child: Child,
    input: File,
    output: BufReader<File>,
    session: String,
    last: u32,
}

impl Chromium {
    /// Starts it in an empty folder of its own.
    pub fn start(folder: &Path, adapter: Adapter) -> Result<Chromium, String> {
        let at = |what: &str| {
            let what = what.to_owned();
            move |e: std::io::Error| format!("{what}: {e}")
        };
        let _ = std::fs::remove_dir_all(folder);
        std::fs::create_dir_all(folder).map_err(at("profile"))?;
        let (to, from) = (folder.join("to"), folder.join("from"));
        let made = Command::new("mkfifo").args([&to, &from]).status().map_err(at("mkfifo"))?;
        if !made.success() {
            return Err("mkfifo fails".into());
        }
        let program = match adapter {
            Adapter::SwiftShader => Command::new(program().ok_or("no chromium on PATH")?),
            Adapter::Lavapipe => lavapipe::copy(&folder.join("chromium")).map_err(at("a copy"))?,
        };
        let log = File::create(folder.join("log.txt")).map_err(at("log"))?;
        // the pipe is file 3 and 4, which a shell can open and the standard library cannot
        let child = Command::new("sh")
            .args(["-c", r#"to=$1; from=$2; shift 2; exec "$@" 3<"$to" 4>"$from""#, "sh"])
            .args([to.as_os_str(), from.as_os_str()])
            .arg(program.get_program())
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-dev-shm-usage",
                "--enable-unsafe-webgpu",
                "--use-webgpu-adapter=swiftshader",
                "--remote-debugging-pipe",
                "--no-first-run",
                "--mute-audio",
            ])
            .arg(format!("--user-data-dir={}", folder.display()))
            .arg("about:blank")
            .envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(at("sh"))?;
        let input = OpenOptions::new().write(true).open(&to).map_err(at("pipe"))?;
        let output = BufReader::new(File::open(&from).map_err(at("pipe"))?);
        let mut browser = Chromium { child, input, output, session: String::new(), last: 0 };
        let made = browser.call("Target.createTarget", r#"{"url":"about:blank"}"#)?;
        let target = text_of(&made, "targetId").ok_or("no page")?;
        let attach = format!(r#"{{"targetId":"{target}","flatten":true}}"#);
        let attached = browser.call("Target.attachToTarget", &attach)?;
        browser.session = text_of(&attached, "sessionId").ok_or("no session")?;
        browser.call("Page.enable", "{}")?;
        Ok(browser)
    }

    /// Calls a method of the protocol and gives the text of its answer.
    pub fn call(&mut self, method: &str, parameters: &str) -> Result<String, String> {
        self.last += 1;
        let id = self.last;
        let session = match self.session.is_empty() {
            true => String::new(),
            false => format!(r#","sessionId":"{}""#, self.session),
        };
        let message =
            format!("{{\"id\":{id},\"method\":\"{method}\",\"params\":{parameters}{session}}}\0");
        self.input.write_all(message.as_bytes()).map_err(|e| format!("{method}: {e}"))?;
        loop {
            let mut answer = Vec::new();
            self.output.read_until(0, &mut answer).map_err(|e| format!("{method}: {e}"))?;
            if answer.is_empty() {
                return Err(format!("{method}: the browser is gone"));
            }
            let answer = String::from_utf8_lossy(&answer).trim_end_matches('\0').to_owned();
            // events have no id
            if !answer.starts_with(&format!("{{\"id\":{id},")) {
                continue;
            }
            return match answer.contains("\"error\":{") {
                true => Err(format!("{method}: {answer}")),
                false => Ok(answer),
            };
        }
    }

    pub fn open(&mut self, url: &str) -> Result<(), String> {
        self.call("Page.navigate", &format!(r#"{{"url":"{url}"}}"#)).map(|_| ())
    }

    /// Evaluates an expression (awaiting a promise) that gives a string without escapes.
    pub fn evaluate(&mut self, expression: &str) -> Result<String, String> {
        let quoted = expression.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', " ");
        let answer = self.call(
            "Runtime.evaluate",
            &format!(r#"{{"expression":"{quoted}","awaitPromise":true,"returnByValue":true}}"#),
        )?;
        text_of(&answer, "value").ok_or(answer)
    }

    /// Size of the page in CSS pixels, and its colour scheme.
    pub fn emulate(&mut self, (width, height): (u32, u32), scheme: &str) -> Result<(), String> {
        self.call(
            "Emulation.setDeviceMetricsOverride",
            &format!(
                r#"{{"width":{width},"height":{height},"deviceScaleFactor":1,"mobile":false}}"#
            ),
        )?;
        let media =
            format!(r#"{{"features":[{{"name":"prefers-color-scheme","value":"{scheme}"}}]}}"#);
        self.call("Emulation.setEmulatedMedia", &media).map(|_| ())
    }

    /// Presses and releases a key.
    pub fn press(&mut self, key: &str) -> Result<(), String> {
        let (code, text) = match key {
            "Enter" => (13, r#","text":"\r""#),
            "Escape" => (27, ""),
            _ => return Err(format!("no key {key}")),
        };
        let event = format!(r#""key":"{key}","code":"{key}","windowsVirtualKeyCode":{code}"#);
        let down = format!(r#"{{"type":"keyDown",{event}{text}}}"#);
        self.call("Input.dispatchKeyEvent", &down)?;
        self.call("Input.dispatchKeyEvent", &format!(r#"{{"type":"keyUp",{event}}}"#)).map(|_| ())
    }

    /// Writes what the page shows as a PNG file.
    pub fn screenshot(&mut self, file: &Path) -> Result<(), String> {
        let answer = self.call("Page.captureScreenshot", r#"{"format":"png"}"#)?;
        let data = text_of(&answer, "data").ok_or("no picture")?;
        let bytes = from_base64(&data).ok_or("no base64")?;
        std::fs::write(file, bytes).map_err(|e| format!("{}: {e}", file.display()))
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let _ = self.call("Browser.close", "{}");
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The first string with this key in a JSON text; ours have no escapes in them.
fn text_of(json: &str, key: &str) -> Option<String> {
    let start = format!("\"{key}\":\"");
    let rest = &json[json.find(&start)? + start.len()..];
    Some(rest[..rest.find('"')?].to_owned())
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0u32, 0);
    for c in text.bytes().filter(|c| *c != b'=') {
        let value = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_as_the_standard_has_it() {
        let decode = |text| from_base64(text).map(|b| String::from_utf8_lossy(&b).into_owned());
        assert_eq!(decode("Zm9vYmFy").as_deref(), Some("foobar"));
        assert_eq!(decode("Zm9vYg==").as_deref(), Some("foob"));
        assert_eq!(decode("Zm9v*mFy"), None);
    }

    #[test]
    fn strings_are_found_by_their_key() {
        let json = r#"{"id":1,"result":{"targetId":"AB","x":{"value":"y z"}}}"#;
        assert_eq!(text_of(json, "targetId").as_deref(), Some("AB"));
        assert_eq!(text_of(json, "value").as_deref(), Some("y z"));
        assert_eq!(text_of(json, "none"), None);
    }
}
