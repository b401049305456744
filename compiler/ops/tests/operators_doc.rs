//! docs/operators.md is written from the table and stays as it is. `DRIFT_BLESS=1` writes it anew.

use drift_ops::{OPS, OnnxName};
use std::fmt::Write;

const HEAD: &str = "\
# Operators

The ONNX operators that Drift imports, written from the operator table (`DRIFT_BLESS=1 cargo test -p
drift-ops --test operators_doc`). A number behind a name is the first opset version that is read, where
that is not 1; newer versions are read as the newest known one. A form of an operator that is not
supported is an error at compile time that says which attribute or operand it is. `If` with a constant
condition and `Loop` with a constant trip count are written out by the importer, and model-local
functions are inlined.

";

/// The names of one domain, sorted.
fn names(onnx: &[OnnxName], domain: &str) -> String {
    let mut names: Vec<String> = onnx
        .iter()
        .filter(|n| n.domain == domain)
        .map(|n| match n.since {
            1 => n.name.to_owned(),
            since => format!("{} ({since})", n.name),
        })
        .collect();
    names.sort();
    names.join(", ")
}

fn table(text: &mut String, title: &str, import_only: bool) {
    write!(text, "{title}\n\n| operator | ai.onnx | com.microsoft |\n|---|---|---|\n").unwrap();
    let mut ops: Vec<_> = OPS.iter().filter(|op| op.import_only() == import_only).collect();
    ops.sort_by_key(|op| op.name);
    for op in ops {
        let (ai, ms) = (names(op.onnx, ""), names(op.onnx, "com.microsoft"));
        writeln!(text, "| `{}` | {ai} | {ms} |", op.name).unwrap();
    }
}

#[test]
fn the_document_lists_the_table() {
    let mut text = HEAD.to_owned();
    table(&mut text, "## With kernels", false);
    text.push('\n');
    table(&mut text, "## Written as other operators at import, or computed at compile time", true);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operators.md");
    if std::env::var("DRIFT_BLESS").is_ok_and(|v| v == "1") {
        std::fs::write(path, &text).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == text,
        "docs/operators.md is not what the table says; run this test with DRIFT_BLESS=1"
    );
}
