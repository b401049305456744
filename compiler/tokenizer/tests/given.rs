//! Ids against those of the reference implementations (SentencePiece, tiktoken, transformers), on
//! the tokenizers in `../shared/models`; skipped visibly where these are absent.

use drift_tokenizer::folder::{self, Settings};
use drift_tokenizer::{Tokenizer, tiktoken};
use serde_json::Value;
use std::path::PathBuf;

/// A folder of the given models.
fn given(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("DRIFT_SHARED").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")),
        PathBuf::from,
    );
    let path = root.join("models").join(name);
    if !path.is_dir() {
        eprintln!("skipped: {} is not there", path.display());
        return None;
    }
    Some(path)
}

fn open(folder: &std::path::Path) -> Tokenizer {
    folder::read(folder, &Settings::read(folder).unwrap()).unwrap().unwrap()
}

/// Text and ids.
type Cases = Vec<(String, Vec<u32>)>;

fn cases(name: &str, key: &str) -> Option<(Tokenizer, Cases)> {
    let folder = given(name)?;
    let file = std::fs::read(folder.join("expected.json")).unwrap();
    let file: Value = serde_json::from_slice(&file).unwrap();
    let list = file.as_array().or(file["cases"].as_array()).unwrap();
    let cases = list
        .iter()
        .map(|c| {
            let ids = c[key].as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as u32);
            (c["text"].as_str().unwrap().to_owned(), ids.collect())
        })
        .collect();
    Some((open(&folder), cases))
}

/// Ids are equal, texts come back, and a stream says the same as all at once.
fn check(name: &str) {
    let Some((tokenizer, cases)) = cases(name, "ids") else { return };
    assert!(cases.len() >= 10);
    for (text, ids) in &cases {
        assert_eq!(&tokenizer.encode(text, true).unwrap(), ids, "{name}: {text:?}");
        assert_eq!(&tokenizer.decode(ids, false), text, "{name}");
        let mut stream = tokenizer.stream(&[]);
        let mut streamed: String = ids.iter().map(|id| stream.push(*id)).collect();
        streamed += &stream.finish();
        assert_eq!(&streamed, text, "{name}: streamed");
    }
}

#[test]
fn sentencepiece_as_llama_2_has_it() {
    check("tok_llama2_sentencepiece");
}

#[test]
fn tiktoken_ranks_as_llama_3_has_them() {
    check("tok_llama3_tiktoken");
    let Some(folder) = given("tok_llama3_tiktoken") else { return };
    let expected = std::fs::read(folder.join("expected.json")).unwrap();
    let expected: Value = serde_json::from_slice(&expected).unwrap();
    assert_eq!(expected["pattern"], tiktoken::LLAMA3);
}

#[test]
fn byte_level_with_added_tokens_as_gpt_2_and_codegen_have_it() {
    check("tok_gpt2_bytebpe");
}

#[test]
fn clip_padded_to_its_77_positions() {
    let Some((tokenizer, cases)) = cases("tok_clip_sd14", "ids77") else { return };
    let end = tokenizer.id("<|endoftext|>").unwrap();
    for (text, want) in &cases {
        let mut ids = tokenizer.encode(text, true).unwrap();
        if ids.len() > 77 {
            ids.truncate(76);
            ids.push(end);
        }
        ids.resize(77, end);
        assert_eq!(&ids, want, "{text:?}");
    }
    assert_eq!(tokenizer.decode(&cases[2].1, false), cases[2].0);
}

#[test]
fn what_a_bundle_keeps_reads_the_same() {
    for name in ["tok_clip_sd14", "tok_llama2_sentencepiece", "tok_llama3_tiktoken"] {
        let Some(folder) = given(name) else { return };
        let (first, settings) = (open(&folder), Settings::read(&folder).unwrap());
        let again = Tokenizer::from_json(first.to_json()).unwrap();
        let text = "Once upon a time, in 1234, …\n\n\t  ein Mädchen 🙂🙂aaaaaaa ======";
        assert_eq!(first.encode(text, true).unwrap(), again.encode(text, true).unwrap());
        assert_eq!(first.size(), again.size());
        assert_eq!(settings, Settings::read(&folder).unwrap());
    }
}

#[test]
fn the_trained_model_s_own() {
    let Some(folder) = given("llm_stories260k_hf") else { return };
    let tokenizer = open(&folder);
    let file = std::fs::read(folder.join("greedy_f64.json")).unwrap();
    let file: Value = serde_json::from_slice(&file).unwrap();
    let mut texts = 0;
    for case in file.as_array().or(file["cases"].as_array()).expect("a list of prompts") {
        let ids = |key: &str| -> Vec<u32> {
            let list = case[key].as_array().unwrap_or_else(|| panic!("{key} of {case}"));
            list.iter().map(|v| v.as_u64().unwrap() as u32).collect()
        };
        let prompt = case["prompt"].as_str().unwrap();
        assert_eq!(tokenizer.encode(prompt, true).unwrap(), ids("prompt_ids"));
        texts += 1;
    }
    assert!(texts > 0);
    assert_eq!(tokenizer.to_json(), std::fs::read(folder.join("tokenizer.json")).unwrap());
}
