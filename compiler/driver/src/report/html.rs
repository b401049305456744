//! The report as one HTML file.

use super::view::Report;

const STYLE: &str = include_str!("assets/report.css");
const SCRIPT: &str = include_str!("assets/report.js");
const BODY: &str = include_str!("assets/report.html");

/// No request of any kind; the page's own style and script are in line.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                      base-uri 'none'; form-action 'none'";

impl Report {
    /// The report as a page of its own. See the module's invariants.
    pub fn to_html(&self) -> String {
        let data = self.to_json();
        let title = data["model"]["name"].as_str().unwrap_or_default().to_owned();
        let data = escaped_json(&data.to_string());
        let title = escaped_text(&title);
        let mut page = String::with_capacity(data.len() + STYLE.len() + SCRIPT.len() + 8192);
        for part in [
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n",
            "<meta http-equiv=\"Content-Security-Policy\" content=\"",
            POLICY,
            "\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
            "<meta name=\"color-scheme\" content=\"light dark\">\n<title>",
            &title,
            " · Drift report</title>\n<style>\n",
            STYLE,
            "</style>\n</head>\n<body>\n",
            BODY,
            "<script type=\"application/json\" id=\"data\">",
            &data,
            "</script>\n<script>\n",
            SCRIPT,
            "</script>\n</body>\n</html>\n",
        ] {
            page.push_str(part);
        }
        page
    }
}

/// JSON that no HTML parser can mistake for markup, and that is still the same JSON: these
/// characters occur inside JSON strings only, where they may be written as escapes.
fn escaped_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len() + json.len() / 16);
    for c in json.chars() {
        match c {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            c => out.push(c),
        }
    }
    out
}

fn escaped_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}
