//! docs/backends.md from the summaries.

use super::summary::{Counts, Reasons, Summary, Table};
use std::collections::{BTreeMap, BTreeSet};

const HEAD: &str = "\
# Back ends: what passes where

Written from the results of the suites (`docs/backends/*.json`) by `cargo xtask backends`; a test keeps
the page equal to them. Every case of every operator is compiled, run on the driver and compared with
the operator's reference in f64 (`tests/conformance`); so are networks, with what onnxruntime or PyTorch
gives, and language models, with logits in f64 and the tokens that follow from them.

A cell is **passed**, then, where there are any: `u` *unsupported, because*: Drift refuses the case with
a reason (listed below), `x` *expected failure*: it fails and is listed with a cause, so that a pass
would fail the run, and `F` failures that are in no list. An empty cell: no case, or not run. Where a
target cannot hold a value as the setup asks, the compiler moves it to f32 or to buffers and says so;
such cases count as passed.
";

/// Renders the page. Summaries keep their order; setups, operators and models are sorted.
pub fn page(summaries: &[Summary]) -> String {
    let mut out = HEAD.to_owned();
    drivers(&mut out, summaries);
    let setups: BTreeSet<&String> =
        summaries.iter().flat_map(|s| s.operators.values().flat_map(BTreeMap::keys)).collect();
    let operators: BTreeSet<&String> = summaries.iter().flat_map(|s| s.operators.keys()).collect();

    out += "\n## Storage and element type\n\nSums over all operators.\n\n";
    header(&mut out, &["storage", "type"], summaries);
    for setup in &setups {
        let (storage, elem) = split(setup);
        let cells = summaries.iter().map(|s| sum(&s.operators, None, Some(setup)));
        row(&mut out, &[storage, elem], cells);
    }

    out += "\n## Operators\n\nSums over all storages and element types.\n\n";
    header(&mut out, &["operator"], summaries);
    for operator in &operators {
        let cells = summaries.iter().map(|s| sum(&s.operators, Some(operator), None));
        row(&mut out, &[&format!("`{operator}`")], cells);
    }

    out += NETWORKS;
    cells(&mut out, &["network", "compiled to"], summaries, |s| &s.networks);
    out += LANGUAGE_MODELS;
    cells(&mut out, &["model", "compiled to"], summaries, |s| &s.language_models);

    reasons(&mut out, "Unsupported, because", summaries, |s| &s.unsupported);
    reasons(&mut out, "Expected failures", summaries, |s| &s.expected);

    out += "\n## Operator × storage × element type\n\n";
    cells(&mut out, &["operator", "storage", "type"], summaries, |s| &s.operators);
    out
}

const NETWORKS: &str = "
## Networks

Cases (inputs with all their outputs) per network and precision: `f32`; `mixed`, f16 storage as the
device has it; `packed`, f16 storage for devices of the API with few features.

";

const LANGUAGE_MODELS: &str = "
## Language models

Comparisons per model: logits at every position, by prefill and by decode steps, and greedy tokens.

";

/// Sum over one operator or model or all, one setup or all.
fn sum(table: &Table, name: Option<&String>, setup: Option<&String>) -> Counts {
    let mut sum = Counts::default();
    for (n, setups) in table {
        for (s, counts) in setups {
            if name.is_none_or(|x| x == n) && setup.is_none_or(|x| x == s) {
                sum.add(*counts);
            }
        }
    }
    sum
}

/// A table with a line per name and setup that has a result; of a setup, the parts have columns.
fn cells<'a>(
    out: &mut String,
    columns: &[&str],
    summaries: &'a [Summary],
    of: impl Fn(&'a Summary) -> &'a Table,
) {
    let all = summaries.iter().flat_map(|s| of(s).iter());
    let lines: BTreeSet<(&String, &String)> =
        all.flat_map(|(name, setups)| setups.keys().map(move |setup| (name, setup))).collect();
    header(out, columns, summaries);
    for (name, setup) in lines {
        let cells = summaries.iter().map(|s| sum(of(s), Some(name), Some(setup)));
        let name = format!("`{name}`");
        let (storage, elem) = split(setup);
        match columns.len() {
            3 => row(out, &[&name, storage, elem], cells),
            _ => row(out, &[&name, setup], cells),
        }
    }
}

fn drivers(out: &mut String, summaries: &[Summary]) {
    *out += "\n## Drivers\n\nKernels are compiled for the target; those of the type `packed f16` and of networks that are \
             `packed`, for the target of the API with the fewest features. Networks and language models \
             are counted in comparisons.\n\n";
    *out += "| driver | API | target | device | version | operators: passed | unsupported | expected failures | \
             failed | networks | language models |\n";
    *out += "|---|---|---|---|---|---:|---:|---:|---:|---:|---:|\n";
    for s in summaries {
        let Counts(passed, unsupported, expected, failed) = sum(&s.operators, None, None);
        let [networks, language] =
            [&s.networks, &s.language_models].map(|table| cell(sum(table, None, None)));
        let (d, id) = (&s.driver, &s.id);
        *out += &format!(
            "| {id} | {} | {} | {} | {} | {passed} | {unsupported} | {expected} | {failed} | {networks} | \
             {language} |\n",
            d.api, d.target, d.device, d.version
        );
    }
}

/// "2D textures", "f16" of "2D textures, f16".
fn split(setup: &str) -> (&str, &str) {
    setup.split_once(", ").unwrap_or((setup, ""))
}

fn header(out: &mut String, columns: &[&str], summaries: &[Summary]) {
    let ids: Vec<&str> = summaries.iter().map(|s| s.id.as_str()).collect();
    *out += &format!("| {} | {} |\n", columns.join(" | "), ids.join(" | "));
    *out += &format!("|{}{}\n", "---|".repeat(columns.len()), "---:|".repeat(ids.len()));
}

fn row(out: &mut String, names: &[&str], cells: impl Iterator<Item = Counts>) {
    let cells: Vec<String> = cells.map(cell).collect();
    *out += &format!("| {} | {} |\n", names.join(" | "), cells.join(" | "));
}

fn cell(Counts(passed, unsupported, expected, failed): Counts) -> String {
    let mut parts = Vec::new();
    if passed > 0 {
        parts.push(passed.to_string());
    }
    for (n, letter) in [(unsupported, 'u'), (expected, 'x'), (failed, 'F')] {
        if n > 0 {
            parts.push(format!("{n}{letter}"));
        }
    }
    parts.join(" ")
}

fn reasons<'a>(
    out: &mut String,
    title: &str,
    summaries: &'a [Summary],
    of: impl Fn(&'a Summary) -> &'a Reasons,
) {
    *out += &format!("\n## {title}\n\n");
    if summaries.iter().all(|s| of(s).is_empty()) {
        *out += "None.\n";
        return;
    }
    *out += "| driver | cases | operators | reason |\n|---|---:|---|---|\n";
    for s in summaries {
        for (why, operators) in of(s) {
            let cases: usize = operators.values().sum();
            let names: Vec<String> = operators.keys().map(|o| format!("`{o}`")).collect();
            let why = why.replace('|', "\\|");
            *out += &format!("| {} | {cases} | {} | {why} |\n", s.id, names.join(", "));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_names_what_there_is() {
        assert_eq!(cell(Counts(12, 0, 0, 0)), "12");
        assert_eq!(cell(Counts(0, 3, 1, 2)), "3u 1x 2F");
        assert_eq!(cell(Counts::default()), "");
    }
}
