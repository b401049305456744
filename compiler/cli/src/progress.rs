//! Progress on a terminal, silence in a pipe.

use drift_driver::Stage;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;

pub struct Bar(ProgressBar);

impl Bar {
    pub fn new(quiet: bool) -> Bar {
        let bar = ProgressBar::new(1000);
        if quiet || !std::io::stderr().is_terminal() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {msg}") {
            bar.set_style(style);
        }
        Bar(bar)
    }

    pub fn stage(&self, stage: Stage, target: &str, done: f32) {
        let at = Stage::ALL.iter().position(|s| *s == stage).unwrap_or(0) as f32;
        // the stages before lowering are short
        let fraction = if stage < Stage::Lower { at * 0.05 } else { 0.25 + 0.75 * done };
        self.0.set_position((fraction * 1000.0) as u64);
        let target = if target.is_empty() { String::new() } else { format!(" for {target}") };
        self.0.set_message(format!("{stage}{target}"));
    }

    pub fn finish(&self) {
        self.0.finish_and_clear();
    }
}
