//! Writes sound and hostile models into a folder: `write_corpus FOLDER`.
//!
//! `good/*.onnx` are sound, `refused/*.onnx` must be refused with the text in `refused/*.txt`, and
//! `impossible/*.onnx` are sound as files but cannot be compiled. All are seeds for fuzzing.

use std::error::Error;
use std::fs;
use std::path::Path;

#[path = "../tests/common/mod.rs"]
mod common;
#[path = "../tests/corpus/mod.rs"]
mod corpus;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: write_corpus FOLDER")?;
    let folder = Path::new(&folder);
    for part in ["good", "refused", "impossible"] {
        fs::create_dir_all(folder.join(part))?;
    }
    fs::write(folder.join("good/small_cnn.onnx"), common::small_cnn().to_bytes())?;
    fs::write(folder.join("good/branches.onnx"), common::branches_and_function().to_bytes())?;
    for (name, bytes) in corpus::sound_but_impossible() {
        fs::write(folder.join(format!("impossible/{name}.onnx")), bytes)?;
    }
    let cases = corpus::cases();
    for case in &cases {
        let file = folder.join("refused").join(case.name);
        fs::write(file.with_extension("onnx"), &case.bytes)?;
        fs::write(file.with_extension("txt"), &case.message)?;
    }
    println!("{} hostile models written to {}", cases.len(), folder.display());
    Ok(())
}
