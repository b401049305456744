//! The results of one test of a model.

use super::{Driver, Row, Suite, record};
use drift_runtime::Device;

/// Counts what a test has compared, and records it when the test is over, however it ends: a test that
/// panics has one failure.
pub struct Tally {
    driver: Driver,
    row: Row,
}

impl Tally {
    /// Of a model, and what it is compiled to (`f32`, `mixed`, `q8`, ...).
    pub fn new(device: &Device, suite: Suite, model: &str, way: &str) -> Tally {
        let (operator, setup) = (model.to_owned(), way.to_owned());
        Tally { driver: Driver::of(device), row: Row { suite, operator, setup, ..Row::default() } }
    }

    /// One comparison held.
    pub fn pass(&mut self) {
        self.row.passed += 1;
    }

    /// It fails, and is listed as failing.
    pub fn expected(&mut self, why: &str) {
        *self.row.expected.entry(why.to_owned()).or_default() += 1;
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.row.failed += 1;
        }
        let Row { suite, operator, setup, .. } = &self.row;
        let name = format!("{suite:?}-{operator}-{setup}");
        record(&self.driver, &name, std::slice::from_ref(&self.row));
    }
}
