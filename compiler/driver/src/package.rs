//! Writing the bundle: in one go, beside its final place, then renamed.

use crate::error::{ErrorKind, Result, StageError};
use crate::pipeline::Compiled;
use drift_bundle::{BundleWriter, Meta};
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

const STAGE: &str = "package";

/// Collects the variants of a compilation into a writer.
pub fn writer(compiled: &Compiled, meta: Meta) -> Result<BundleWriter> {
    let mut writer = BundleWriter::new(meta);
    for v in &compiled.variants {
        let (Some(planned), Some(requirements)) = (&v.planned, &v.requirements) else {
            return Err(StageError::internal(STAGE, "the compilation stopped before its plan"));
        };
        writer.add_variant(requirements.clone(), planned.plan.clone(), v.shaders.clone());
    }
    for (name, bytes) in &compiled.assets {
        writer.add_asset(name, bytes.clone());
    }
    Ok(writer)
}

/// Writes the bundle to `path` atomically; gives its size in bytes. `progress` hears the fraction
/// of the weights that are written: most of the work where they are quantized on the way.
pub fn write(
    compiled: &Compiled,
    meta: Meta,
    path: &Path,
    progress: &mut dyn FnMut(f32),
) -> Result<u64> {
    let writer = writer(compiled, meta)?;
    let io = |what: &str, e: std::io::Error| {
        StageError::new(STAGE, ErrorKind::Invalid, format!("{what} {}: {e}", path.display()))
    };
    let temporary = beside(path);
    let total = compiled.weights.bytes();
    let result = (|| {
        let file = File::create(&temporary).map_err(|e| io("cannot create", e))?;
        let mut out = BufWriter::new(file);
        let written = writer
            .write(&mut out, total, |sink| {
                compiled.weights.write(sink, &mut |n| progress(n as f32 / total.max(1) as f32))
            })
            .map_err(|e| StageError::internal(STAGE, e.to_string()))?;
        let file = out.into_inner().map_err(|e| io("cannot write", e.into_error()))?;
        file.sync_all().map_err(|e| io("cannot write", e))?;
        std::fs::rename(&temporary, path).map_err(|e| io("cannot rename into", e))?;
        Ok(written.bytes)
    })();
    if result.is_err() {
        // the unfinished file helps nobody; that it may not exist is fine
        let _ = std::fs::remove_file(&temporary);
    }
    result
}

/// The bundle in memory (the demo does not write files).
pub fn to_vec(compiled: &Compiled, meta: Meta) -> Result<Vec<u8>> {
    let mut weights = Vec::new();
    compiled
        .weights
        .write(&mut weights, &mut |_| ())
        .map_err(|e| StageError::internal(STAGE, e.to_string()))?;
    writer(compiled, meta)?.to_vec(&weights).map_err(|e| StageError::internal(STAGE, e.to_string()))
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    path.with_file_name(name)
}
