//! What a run of the suite found: needs, steps, and how both are shown to people and machines.

use std::time::Duration;

/// A requirement after its check.
pub struct Need {
    pub name: &'static str,
    pub needed_by: &'static str,
    /// What was found, or why it does not do.
    pub found: Result<String, String>,
    /// The exact command that installs it.
    pub install: String,
}

impl Need {
    pub fn print(&self) {
        match &self.found {
            Ok(detail) => eprintln!("ok      {} ({detail})", self.name),
            Err(reason) => {
                eprintln!("missing {}: {reason}", self.name);
                eprintln!("        cannot run without it: {}", self.needed_by);
                eprintln!("        install: {}", self.install);
            }
        }
    }
}

/// One part of the suite after it ran.
pub struct Step {
    pub name: &'static str,
    pub command: String,
    pub passed: bool,
    pub took: Duration,
    /// What a reader should know beyond pass or fail; empty when nothing.
    pub note: String,
}

pub struct Report {
    pub needs: Vec<Need>,
    pub steps: Vec<Step>,
}

impl Report {
    /// True when nothing failed and nothing was missing.
    pub fn passed(&self) -> bool {
        self.needs.iter().all(|need| need.found.is_ok()) && self.steps.iter().all(|s| s.passed)
    }

    /// The summary for people, on stderr when `to_stderr` (stdout is then kept for JSON).
    pub fn print(&self, to_stderr: bool) {
        let text = self.summary();
        if to_stderr { eprint!("{text}") } else { print!("{text}") }
    }

    fn summary(&self) -> String {
        let mut text = String::from("\nsummary\n");
        for need in self.needs.iter().filter(|need| need.found.is_err()) {
            text += &format!(
                "  MISSING {}; cannot run without it: {}\n          install: {}\n",
                need.name, need.needed_by, need.install
            );
        }
        for step in &self.steps {
            let verdict = if step.passed { "ok     " } else { "FAILED " };
            text += &format!("  {verdict} {:<14} {:>7.1} s", step.name, step.took.as_secs_f64());
            if !step.note.is_empty() {
                text += &format!("  ({})", step.note);
            }
            text.push('\n');
            if !step.passed {
                text += &format!("          again: {}\n", step.command);
            }
        }
        let total: Duration = self.steps.iter().map(|step| step.took).sum();
        let failed = self.steps.iter().filter(|step| !step.passed).count();
        let missing = self.needs.iter().filter(|need| need.found.is_err()).count();
        text += &if self.passed() {
            format!("passed: {} steps in {:.0} s\n", self.steps.len(), total.as_secs_f64())
        } else {
            format!("not passed: {failed} steps failed, {missing} requirements missing\n")
        };
        text
    }

    /// `{"passed", "needs": [{name, found, detail, install}], "steps": [{name, passed, …}]}`.
    pub fn json(&self) -> String {
        let needs = self.needs.iter().map(|need| {
            let detail = need.found.as_ref().unwrap_or_else(|reason| reason);
            format!(
                r#"{{"name":{},"found":{},"detail":{},"needed_by":{},"install":{}}}"#,
                json_string(need.name),
                need.found.is_ok(),
                json_string(detail),
                json_string(need.needed_by),
                json_string(&need.install)
            )
        });
        let steps = self.steps.iter().map(|step| {
            format!(
                r#"{{"name":{},"passed":{},"seconds":{:.3},"command":{},"note":{}}}"#,
                json_string(step.name),
                step.passed,
                step.took.as_secs_f64(),
                json_string(&step.command),
                json_string(&step.note)
            )
        });
        format!(
            r#"{{"passed":{},"needs":[{}],"steps":[{}]}}"#,
            self.passed(),
            needs.collect::<Vec<_>>().join(","),
            steps.collect::<Vec<_>>().join(",")
        )
    }
}

fn json_string(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out += "\\\"",
            '\\' => out += "\\\\",
            '\n' => out += "\\n",
            c if (c as u32) < 0x20 => out += &format!("\\u{:04x}", c as u32),
            c => out.push(c),
        }
    }
    out + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(found: Result<String, String>, passed: bool) -> Report {
        Report {
            needs: vec![Need {
                name: "lavapipe",
                needed_by: "the GPU tests",
                found,
                install: "apt-get install -y mesa-vulkan-drivers".into(),
            }],
            steps: vec![Step {
                name: "tests",
                command: "cargo nextest run".into(),
                passed,
                took: Duration::from_millis(1500),
                note: "a \"quoted\"\nnote".into(),
            }],
        }
    }

    #[test]
    fn a_missing_need_fails_the_run_even_when_all_steps_pass() {
        let report = report(Err("no driver".into()), true);
        assert!(!report.passed());
        let text = report.summary();
        assert!(text.contains("MISSING lavapipe"), "{text}");
        assert!(text.contains("apt-get install -y mesa-vulkan-drivers"), "{text}");
        assert!(text.contains("not passed: 0 steps failed, 1 requirements missing"), "{text}");
    }

    #[test]
    fn a_failed_step_fails_the_run_and_says_how_to_run_it_again() {
        let report = report(Ok("22.3".into()), false);
        assert!(!report.passed());
        assert!(report.summary().contains("again: cargo nextest run"));
    }

    #[test]
    fn json_is_read_back_by_a_real_parser() {
        let report = report(Ok("Mesa \\ 22".into()), true);
        let value: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(value["passed"], true);
        assert_eq!(value["needs"][0]["detail"], "Mesa \\ 22");
        assert_eq!(value["steps"][0]["note"], "a \"quoted\"\nnote");
        assert_eq!(value["steps"][0]["seconds"], 1.5);
    }
}
