//! A small HTTP server on this machine: files with byte ranges, and ways of going wrong.
//!
//! A path may begin with words that change how the file behind them is served:
//!
//! | prefix | effect |
//! |---|---|
//! | `/plain/` | ranges are ignored, as by simple servers |
//! | `/cut/N/` | the file ends after N bytes |
//! | `/flip/N/` | byte N has another value |
//! | `/hang-up/` | every second answer of more than 16 KiB breaks off after half of it |
//!
//! `POST /report` hands a line over; `GET /served` tells how many bytes of bundles were sent. With `POST
//! /exchange` a page hands over the answer to the last command ([`Server::ask`]) and gets the next one.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Largest body of a report: one line.
const MAX_REPORT_BYTES: usize = 1 << 20;
/// Largest answer to a command: a few tensors.
const MAX_ANSWER_BYTES: usize = 1 << 30;

pub struct Server {
    port: u16,
    /// Lines of `POST /report`.
    pub reports: Receiver<String>,
    answers: Receiver<Vec<u8>>,
    commands: Sender<Vec<u8>>,
}

struct Shared {
    /// (first words of the path, folder); the first that fits.
    folders: Vec<(String, PathBuf)>,
    served: AtomicU64,
    answers: AtomicU64,
    reports: Mutex<Sender<String>>,
    said: Mutex<Sender<Vec<u8>>>,
    commands: Mutex<Receiver<Vec<u8>>>,
}

impl Server {
    /// Serves folders on a port (0: any that is free), each connection on a thread.
    pub fn start(port: u16, folders: Vec<(String, PathBuf)>) -> std::io::Result<Server> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        let port = listener.local_addr()?.port();
        let (report, reports) = channel();
        let (answer, answers) = channel();
        let (commands, command) = channel();
        let shared = Arc::new(Shared {
            folders,
            served: AtomicU64::new(0),
            answers: AtomicU64::new(0),
            reports: Mutex::new(report),
            said: Mutex::new(answer),
            commands: Mutex::new(command),
        });
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                // a browser that goes away while it is answered is no matter
                std::thread::spawn(move || shared.answer(stream));
            }
        });
        Ok(Server { port, reports, answers, commands })
    }

    /// What the page says first, before any command.
    ///
    /// # Errors
    /// It said nothing for so long, or the server is gone.
    pub fn hello(&self, patience: Duration) -> Result<Vec<u8>, String> {
        self.answers.recv_timeout(patience).map_err(|e| match e {
            RecvTimeoutError::Timeout => format!("the page said nothing for {patience:?}"),
            RecvTimeoutError::Disconnected => "the server is gone".into(),
        })
    }

    /// Gives the page a command and waits for its answer.
    ///
    /// # Errors
    /// As [`Server::hello`].
    pub fn ask(&self, command: Vec<u8>, patience: Duration) -> Result<Vec<u8>, String> {
        self.commands.send(command).map_err(|_| "the server is gone".to_owned())?;
        self.hello(patience)
    }

    pub fn address(&self) -> String {
        format!("http://localhost:{}", self.port)
    }
}

/// How a file is served.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wish<'a> {
    path: &'a str,
    plain: bool,
    hang_up: bool,
    cut: Option<usize>,
    flip: Option<usize>,
}

impl<'a> Wish<'a> {
    fn of(path: &'a str) -> Wish<'a> {
        let mut wish = Wish { path: path.trim_start_matches('/'), ..Wish::default() };
        loop {
            let Some((word, rest)) = wish.path.split_once('/') else { return wish };
            let number = |rest: &'a str| -> Option<(usize, &'a str)> {
                let (n, rest) = rest.split_once('/')?;
                Some((n.parse().ok()?, rest))
            };
            match (word, number(rest)) {
                ("plain", _) => (wish.plain, wish.path) = (true, rest),
                ("hang-up", _) => (wish.hang_up, wish.path) = (true, rest),
                ("cut", Some((n, rest))) => (wish.cut, wish.path) = (Some(n), rest),
                ("flip", Some((n, rest))) => (wish.flip, wish.path) = (Some(n), rest),
                _ => return wish,
            }
        }
    }
}

impl Shared {
    fn answer(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(&stream);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let mut words = line.split(' ');
        let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or("/"));
        let path = path.split(['?', '#']).next().unwrap_or("/");
        let (mut range, mut body) = (None, 0);
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            let header = header.trim().to_ascii_lowercase();
            match header.split_once(':') {
                None => break,
                Some(("range", value)) => range = parse_range(value.trim()),
                Some(("content-length", value)) => body = value.trim().parse().unwrap_or(0),
                Some(_) => {}
            }
        }
        if method == "POST" && path == "/exchange" {
            let mut answer = vec![0; body.min(MAX_ANSWER_BYTES)];
            reader.read_exact(&mut answer)?;
            return self.exchange(&stream, answer);
        }
        if method == "POST" {
            let mut text = vec![0; body.min(MAX_REPORT_BYTES)];
            reader.read_exact(&mut text)?;
            if let Ok(reports) = self.reports.lock() {
                let _ = reports.send(String::from_utf8_lossy(&text).into_owned());
            }
            return send(&stream, "200 OK", "text/plain", "", b"");
        }
        if path == "/served" {
            let count = self.served.load(Ordering::Relaxed).to_string();
            return send(&stream, "200 OK", "text/plain", "", count.as_bytes());
        }
        let wish = Wish::of(path);
        match self.file(&wish) {
            Some((bytes, kind)) => self.send_file(&stream, &wish, range, bytes, kind),
            None => send(&stream, "404 Not Found", "text/plain", "", b"no such file\n"),
        }
    }

    /// Hands an answer over, waits for the next command and sends it.
    fn exchange(&self, stream: &TcpStream, answer: Vec<u8>) -> std::io::Result<()> {
        if let Ok(answers) = self.said.lock() {
            let _ = answers.send(answer);
        }
        let command = self.commands.lock().ok().and_then(|commands| commands.recv().ok());
        match command {
            Some(command) => send(stream, "200 OK", BUNDLE, "", &command),
            // nobody is going to ask any more
            None => send(stream, "410 Gone", "text/plain", "", b""),
        }
    }

    fn file(&self, wish: &Wish<'_>) -> Option<(Vec<u8>, &'static str)> {
        let (_, folder, rest) = self.folders.iter().find_map(|(prefix, folder)| {
            wish.path.strip_prefix(prefix.as_str()).map(|rest| (prefix, folder, rest))
        })?;
        let rest = rest.trim_start_matches('/');
        // nothing outside the folder
        if rest.split('/').any(|word| word == ".." || word.contains('\\')) {
            return None;
        }
        let mut path = folder.join(rest);
        if path.is_dir() {
            path = path.join("index.html");
        }
        let mut bytes = fs::read(&path).ok()?;
        if let Some(n) = wish.cut {
            bytes.truncate(n);
        }
        if let Some(byte) = wish.flip.and_then(|n| bytes.get_mut(n)) {
            *byte ^= 0x10;
        }
        Some((bytes, kind(&path)))
    }

    fn send_file(
        &self,
        stream: &TcpStream,
        wish: &Wish<'_>,
        range: Option<(usize, Option<usize>)>,
        bytes: Vec<u8>,
        kind: &str,
    ) -> std::io::Result<()> {
        let total = bytes.len();
        let mut status = "200 OK";
        let mut part = 0..total;
        let mut headers = format!("ETag: \"{total:x}-{}\"\r\n", wish.flip.unwrap_or(0));
        if let (Some((from, to)), false) = (range, wish.plain) {
            if from >= total {
                let headers = format!("Content-Range: bytes */{total}\r\n");
                return send(stream, "416 Range Not Satisfiable", kind, &headers, b"");
            }
            part = from..to.map_or(total, |to| (to + 1).min(total));
            status = "206 Partial Content";
            headers += &format!("Content-Range: bytes {from}-{}/{total}\r\n", part.end - 1);
        }
        let mut sent = &bytes[part];
        let announced = sent.len();
        if wish.hang_up && sent.len() > 16 << 10 {
            let number = self.answers.fetch_add(1, Ordering::Relaxed);
            if number.is_multiple_of(2) {
                sent = &sent[..sent.len() / 2];
            }
        }
        if kind == BUNDLE {
            self.served.fetch_add(sent.len() as u64, Ordering::Relaxed);
        }
        head(stream, status, kind, &headers, announced)?;
        let mut stream = stream;
        stream.write_all(sent)
    }
}

fn parse_range(value: &str) -> Option<(usize, Option<usize>)> {
    let (from, to) = value.strip_prefix("bytes=")?.split_once('-')?;
    Some((from.parse().ok()?, to.parse().ok()))
}

const BUNDLE: &str = "application/octet-stream";

fn kind(path: &Path) -> &'static str {
    match path.extension().and_then(|e| e.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("wasm") => "application/wasm",
        Some("json") => "application/json",
        Some("png") => "image/png",
        Some("svg") => "image/svg+xml",
        Some("drift") => BUNDLE,
        _ => "application/x-unknown",
    }
}

fn head(
    mut stream: &TcpStream,
    status: &str,
    kind: &str,
    headers: &str,
    bytes: usize,
) -> std::io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {bytes}\r\n\
         Accept-Ranges: bytes\r\nCache-Control: no-cache\r\n{headers}Connection: close\r\n\r\n"
    )
}

fn send(
    mut stream: &TcpStream,
    status: &str,
    kind: &str,
    headers: &str,
    body: &[u8],
) -> std::io::Result<()> {
    head(stream, status, kind, headers, body.len())?;
    stream.write_all(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_say_how_a_file_is_served() {
        assert_eq!(Wish::of("/a/b.js"), Wish { path: "a/b.js", ..Wish::default() });
        let wish = Wish::of("/plain/cut/12/a/b.drift");
        assert_eq!(wish, Wish { path: "a/b.drift", plain: true, cut: Some(12), ..Wish::default() });
        assert_eq!(Wish::of("/flip/x").path, "flip/x");
    }

    #[test]
    fn ranges_are_read() {
        assert_eq!(parse_range("bytes=5-9"), Some((5, Some(9))));
        assert_eq!(parse_range("bytes=5-"), Some((5, None)));
        assert_eq!(parse_range("lines=5-"), None);
    }
}
