//! Goldens of the kernels of whole models.

use crate::{DIALECTS, Snapshots, validated};
use drift_emit::Dialect;
use drift_kernel::Kernel;
use std::collections::{BTreeMap, HashMap};
use xxhash_rust::xxh3::xxh3_64;

/// SPIR-V assembly longer than this is kept as a hash where another dialect has the text: nobody
/// reads hundreds of lines of it, and what changes shows in the other text.
const LONGEST_ASSEMBLY_BYTES: usize = 28_000;

/// One dispatch of a model.
#[derive(Clone, Debug)]
pub struct Dispatch {
    /// What the model was compiled for, e.g. "vulkan-modern f32".
    pub variant: String,
    /// Path of the node that the dispatch computes; names the files.
    pub node: String,
    /// The physical kernel.
    pub kernel: Kernel,
    /// Dialects of which the whole text is a golden (SPIR-V up to [`LONGEST_ASSEMBLY_BYTES`]); of the
    /// others, validated all the same, hashes are kept. Of several dispatches of one kernel the first
    /// decides.
    pub text: Vec<Dialect>,
}

/// One distinct kernel.
struct Texts<'a> {
    file: String,
    /// (extension, text), as `validated` gives them.
    all: Vec<(&'static str, String)>,
    kept: &'a [Dialect],
}

/// Goldens of all kernels of a model, in `tests/golden/out/<dir>`. Kernels with equal code share
/// their goldens, as they share a shader in a bundle. `index.txt` lists the dispatches with the
/// kernels they run, then the kernels with the hash and size of every text that is not a file of its
/// own. Files in `dir` that no kernel has any more are an error (`DRIFT_BLESS=1` removes them).
///
/// `dispatches`: in the order of the model's steps, one variant after the other.
///
/// # Errors
/// All differences of all kernels, and everything a validator says.
pub fn check_model_kernels(dir: &str, dispatches: &[Dispatch]) -> Result<(), String> {
    check_model_kernels_in(&Snapshots::committed(), dir, dispatches)
}

/// [`check_model_kernels`] with goldens of your own.
///
/// # Errors
/// All differences of all kernels, and everything a validator says.
pub fn check_model_kernels_in(
    snapshots: &Snapshots,
    dir: &str,
    dispatches: &[Dispatch],
) -> Result<(), String> {
    let mut problems = Vec::new();
    let mut kernels: Vec<Texts<'_>> = Vec::new();
    let mut known: HashMap<Vec<(&'static str, String)>, usize> = HashMap::new();
    let mut names: BTreeMap<String, u32> = BTreeMap::new();
    let mut index = String::new();
    for Dispatch { variant, node, kernel, text } in dispatches {
        let all = match validated(kernel) {
            Ok(all) => all,
            Err(problem) => {
                problems.push(format!("{dir}: {variant} {node}: {problem}"));
                continue;
            }
        };
        let at = *known.entry(all.clone()).or_insert_with(|| {
            let file = file_name(kernel, node, &mut names);
            kernels.push(Texts { file, all, kept: text });
            kernels.len() - 1
        });
        let [x, y, z] = kernel.workgroups;
        let file = &kernels[at].file;
        index.push_str(&format!("{variant} {node}: {file}, {x} x {y} x {z} workgroups\n"));
    }
    index.push('\n');
    let mut expected = vec!["index.txt".to_owned()];
    let mut check = |name: String, text: &str| {
        problems.extend(snapshots.check(&format!("{dir}/{name}"), text).err());
        expected.push(name);
    };
    for Texts { file, all, kept } in &kernels {
        for ((dialect, _), (extension, text)) in DIALECTS.iter().zip(all) {
            let too_long =
                *dialect == Dialect::SpirV && kept.len() > 1 && text.len() > LONGEST_ASSEMBLY_BYTES;
            if kept.contains(dialect) && !too_long {
                check(format!("{file}.{extension}"), text);
            } else {
                let (bytes, hash) = (text.len(), xxh3_64(text.as_bytes()));
                index.push_str(&format!("{file}.{extension}: {bytes} bytes, xxh3 {hash:016x}\n"));
            }
        }
    }
    check("index.txt".to_owned(), &index);
    problems.extend(snapshots.only(dir, &expected).err());
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
}

/// `<kernel>_<node>`, and a number from the second of that name on. Nodes are the same whatever the
/// compiler does with them, so that a kernel that comes or goes renames few others.
fn file_name(kernel: &Kernel, node: &str, names: &mut BTreeMap<String, u32>) -> String {
    let words = |text: &str| {
        let parts =
            text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty());
        parts.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("_")
    };
    let name: String =
        format!("{}.{}", words(&kernel.name), words(node)).chars().take(80).collect();
    let count = names.entry(name.clone()).or_insert(0);
    *count += 1;
    if *count == 1 { name } else { format!("{name}.{count}") }
}
