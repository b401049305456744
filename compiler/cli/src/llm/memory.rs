//! Memory of this process and of a plan.

use drift_bundle::plan::{ObjectKind, ObjectRole, Plan};
use serde_json::{Value, json};

/// Bytes of host memory, as Linux counts them; absent elsewhere.
#[derive(Clone, Copy, Debug, Default)]
pub struct Host {
    /// Largest resident size so far, mapped files included.
    pub peak: Option<u64>,
    /// Resident now, without mapped files.
    pub anonymous: Option<u64>,
    /// Pages of mapped files (the bundle) that are resident now.
    pub file: Option<u64>,
}

impl Host {
    pub fn now() -> Host {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'))?;
            let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
            Some(kib * 1024)
        };
        Host { peak: field("VmHWM"), anonymous: field("RssAnon"), file: field("RssFile") }
    }

    pub fn json(&self) -> Value {
        json!({ "peak_bytes": self.peak, "anonymous_bytes": self.anonymous, "file_bytes": self.file })
    }
}

/// Bytes of device memory that a plan's objects take: all, and those of the states.
pub fn device_bytes(plan: &Plan) -> (u64, u64) {
    let bytes = |kind: &ObjectKind| match kind {
        ObjectKind::Buffer { bytes } => *bytes,
        ObjectKind::Image { format, extent, .. } => {
            extent.iter().map(|n| u64::from(*n)).product::<u64>() * format.bytes()
        }
    };
    let all = plan.objects.iter().map(|o| bytes(&o.kind)).sum();
    let states = plan.objects.iter().filter(|o| o.role == ObjectRole::State);
    (all, states.map(|o| bytes(&o.kind)).sum())
}
