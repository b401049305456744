//! One driver's results in a file of a few kilobytes.

use super::{Driver, Line, Row, Suite};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// Cases of one operator in one setup: passed, unsupported, expected failures, failures.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct Counts(pub usize, pub usize, pub usize, pub usize);

impl Counts {
    pub fn add(&mut self, other: Counts) {
        *self = Counts(self.0 + other.0, self.1 + other.1, self.2 + other.2, self.3 + other.3);
    }

    fn of(row: &Row) -> Counts {
        let sum = |reasons: &BTreeMap<String, usize>| reasons.values().sum();
        Counts(row.passed, sum(&row.unsupported), sum(&row.expected), row.failed)
    }
}

/// Operator -> setup -> counts; or model -> what it was compiled to -> counts.
pub type Table = BTreeMap<String, BTreeMap<String, Counts>>;

/// Why cases are not passed: reason -> operator or model -> cases.
pub type Reasons = BTreeMap<String, BTreeMap<String, usize>>;

/// `docs/backends/<id>.json`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// The file's name without its ending: `lavapipe`, `pocl`, ...
    #[serde(skip)]
    pub id: String,
    pub driver: Driver,
    pub operators: Table,
    #[serde(default)]
    pub networks: Table,
    #[serde(default)]
    pub language_models: Table,
    pub unsupported: Reasons,
    pub expected: Reasons,
}

impl Summary {
    /// Sums up the lines of a folder of results, all of which must be of one driver. Of a suite that the
    /// folder has not, the results of `before` stay if they are of the same driver.
    pub fn of_results(id: &str, folder: &Path, before: Option<Summary>) -> Result<Summary, String> {
        let mut rows = Vec::new();
        let mut driver: Option<Driver> = None;
        for (path, text) in files(folder, "jsonl")? {
            for line in text.lines() {
                let line: Line = serde_json::from_str(line).map_err(|e| format!("{path}: {e}"))?;
                match &driver {
                    Some(first) if *first != line.driver => {
                        let (a, b) = (&first.device, &line.driver.device);
                        return Err(format!("{path}: results of {a} and of {b} in one folder"));
                    }
                    _ => driver = Some(line.driver),
                }
                rows.push(line.row);
            }
        }
        let driver = driver.ok_or_else(|| format!("{}: no results", folder.display()))?;
        let mut summary = Summary::of_rows(id, driver, &rows);
        if let Some(before) = before.filter(|b| b.driver == summary.driver) {
            summary.keep(before, |suite| !rows.iter().any(|r| r.suite == suite));
        }
        Ok(summary)
    }

    /// Takes over what an earlier summary has of some suites.
    fn keep(&mut self, mut before: Summary, wanted: impl Fn(Suite) -> bool) {
        for suite in [Suite::Operators, Suite::Networks, Suite::LanguageModels] {
            if !wanted(suite) {
                continue;
            }
            let table = std::mem::take(before.table_mut(suite));
            for (from, to) in [
                (&before.unsupported, &mut self.unsupported),
                (&before.expected, &mut self.expected),
            ] {
                for (why, names) in from {
                    let of_suite = names.iter().filter(|(name, _)| table.contains_key(*name));
                    for (name, n) in of_suite {
                        to.entry(why.clone()).or_default().insert(name.clone(), *n);
                    }
                }
            }
            *self.table_mut(suite) = table;
        }
    }

    fn table_mut(&mut self, suite: Suite) -> &mut Table {
        match suite {
            Suite::Operators => &mut self.operators,
            Suite::Networks => &mut self.networks,
            Suite::LanguageModels => &mut self.language_models,
        }
    }

    fn of_rows(id: &str, driver: Driver, rows: &[Row]) -> Summary {
        let mut summary = Summary {
            id: id.to_owned(),
            driver,
            operators: Table::new(),
            networks: Table::new(),
            language_models: Table::new(),
            unsupported: Reasons::new(),
            expected: Reasons::new(),
        };
        for row in rows {
            let counts = Counts::of(row);
            if counts != Counts::default() {
                let table = summary.table_mut(row.suite);
                let setups = table.entry(row.operator.clone()).or_default();
                setups.entry(row.setup.clone()).or_default().add(counts);
            }
            for (from, to) in [
                (&row.unsupported, &mut summary.unsupported),
                (&row.expected, &mut summary.expected),
            ] {
                for (why, n) in from {
                    let operators = to.entry(without_numbers(why)).or_default();
                    *operators.entry(row.operator.clone()).or_default() += n;
                }
            }
        }
        summary
    }

    /// The file: JSON with a line per operator and per reason, so that its diff can be read.
    pub fn text(&self) -> String {
        let driver = json(&self.driver);
        let parts = [
            ("operators", lines(&self.operators)),
            ("networks", lines(&self.networks)),
            ("language_models", lines(&self.language_models)),
            ("unsupported", lines(&self.unsupported)),
            ("expected", lines(&self.expected)),
        ];
        let mut out = format!("{{\n\"driver\": {driver}");
        for (name, lines) in parts {
            out += &format!(",\n\"{name}\": {{{lines}}}");
        }
        out + "\n}\n"
    }
}

/// A reason on one line, alike for cases that need more of the same than there is.
fn without_numbers(why: &str) -> String {
    let words = why.split_whitespace();
    let mut out: Vec<&str> = Vec::new();
    for word in words {
        let amount = word.trim_end_matches(',');
        let number = !amount.is_empty() && amount.bytes().all(|b| b.is_ascii_digit());
        match out.last() {
            Some(&"needs") if number => out.push("more,"),
            Some(&"no") if number => out.push("that many"),
            _ => out.push(word),
        }
    }
    out.join(" ")
}

fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("plain data")
}

/// The entries of a map, one to a line.
fn lines<T: Serialize>(map: &BTreeMap<String, T>) -> String {
    let entry = |(name, value)| format!("\n{}: {}", json::<&String>(&name), json::<&T>(&value));
    map.iter().map(entry).collect::<Vec<_>>().join(",")
}

/// All summaries of a folder (docs/backends), by id.
pub fn read_all(folder: &Path) -> Result<Vec<Summary>, String> {
    let mut all = Vec::new();
    for (path, text) in files(folder, "json")? {
        let mut summary: Summary =
            serde_json::from_str(&text).map_err(|e| format!("{path}: {e}"))?;
        summary.id = Path::new(&path).file_stem().unwrap_or_default().to_string_lossy().into();
        all.push(summary);
    }
    Ok(all)
}

/// Names and contents of the files of a folder with this ending, in the order of their names.
fn files(folder: &Path, ending: &str) -> Result<Vec<(String, String)>, String> {
    let fail = |e: std::io::Error| format!("{}: {e}", folder.display());
    let mut files = Vec::new();
    for entry in folder.read_dir().map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        if path.extension().is_some_and(|e| e == ending) {
            let text = std::fs::read_to_string(&path).map_err(fail)?;
            files.push((path.display().to_string(), text));
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(operator: &str, setup: &str, passed: usize, unsupported: &[(&str, usize)]) -> Row {
        let unsupported = unsupported.iter().map(|(why, n)| ((*why).to_owned(), *n)).collect();
        let (operator, setup) = (operator.to_owned(), setup.to_owned());
        Row { operator, setup, passed, unsupported, ..Row::default() }
    }

    fn driver(device: &str) -> Driver {
        let (api, device) = ("vulkan".to_owned(), device.to_owned());
        Driver { api, device, version: "1".to_owned(), target: "vulkan-modern".to_owned() }
    }

    #[test]
    fn reasons_that_differ_by_an_amount_are_one() {
        let why = "limits.images: needs 192, device has 30";
        assert_eq!(without_numbers(why), "limits.images: needs more, device has 30");
        assert_eq!(
            without_numbers("Msl has no 82 binding slots"),
            "Msl has no that many binding slots"
        );
        assert_eq!(without_numbers("needs\nf16"), "needs f16");
    }

    #[test]
    fn a_summary_is_read_back_as_it_was_written() {
        let driver = driver("a \"b\"");
        let rows = [
            row("conv", "buffers, f32", 3, &[("too\nlarge", 2)]),
            row("conv", "2D textures, f16", 1, &[("too\nlarge", 1)]),
            row("loop", "buffers, f32", 0, &[]),
        ];
        let mut summary = Summary::of_rows("x", driver, &rows);
        assert_eq!(summary.operators["conv"]["buffers, f32"], Counts(3, 2, 0, 0));
        assert_eq!(summary.unsupported["too large"]["conv"], 3);
        assert!(!summary.operators.contains_key("loop"), "no case ran");
        let text = summary.text();
        summary.id.clear();
        assert_eq!(serde_json::from_str::<Summary>(&text).expect("JSON"), summary);
    }

    #[test]
    fn suites_that_did_not_run_keep_their_results() {
        let driver = driver("a");
        let operators = [row("conv", "buffers, f32", 3, &[("too large", 2)])];
        let before = Summary::of_rows("x", driver.clone(), &operators);
        let network = Row { suite: Suite::Networks, ..row("mnist", "f32", 1, &[]) };
        let mut now = Summary::of_rows("x", driver, &[network]);
        now.keep(before.clone(), |suite| suite == Suite::Operators);
        assert_eq!(now.operators, before.operators);
        assert_eq!(now.unsupported, before.unsupported);
        assert_eq!(now.networks["mnist"]["f32"], Counts(1, 0, 0, 0));
    }
}
