//! docs/backends.md says what the results of the suites say (docs/backends/*.json).

use drift_conformance::results::{Summary, page, read_all};
use std::path::Path;

fn summaries() -> Vec<Summary> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/backends"));
    read_all(folder).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn the_page_is_what_the_results_say() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/backends.md");
    let have = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{path}: {e}"));
    assert!(have == page(&summaries()), "docs/backends.md is stale: run `cargo xtask backends`");
}

/// No driver has a failure that is in no list.
#[test]
fn every_failure_is_listed() {
    for s in summaries() {
        for table in [&s.operators, &s.networks, &s.language_models] {
            for (name, setups) in table {
                for (setup, counts) in setups {
                    assert_eq!(counts.3, 0, "{}: {name} in {setup}", s.id);
                }
            }
        }
    }
}
