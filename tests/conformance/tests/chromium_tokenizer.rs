//! The tokenizer in a page, which has its regular expressions and normal forms from the browser, gives
//! the ids that `driftc` gives. Runs with `DRIFT_BACKEND=chromium`.

use drift_conformance::{chromium, gpu, shared};
use drift_tokenizer::Tokenizer;
use drift_tokenizer::folder::{self, Settings};
use serde_json::{Value, json};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// The tokenizer of `examples/tales`, and those beside the repository.
fn folders() -> Vec<PathBuf> {
    let tales = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/tales");
    let names = ["tok_clip_sd14", "tok_gpt2_bytebpe", "tok_llama2_sentencepiece"];
    let more = [names.as_slice(), &["tok_llama3_tiktoken", "llm_stories260k_hf"]].concat();
    let given = shared::folder().into_iter();
    let given = given.flat_map(|root| more.clone().into_iter().map(move |name| root.join(name)));
    std::iter::once(tales).chain(given.filter(|folder| folder.is_dir())).collect()
}

/// The texts that come with a tokenizer.
fn given(folder: &Path) -> Vec<String> {
    let Ok(file) = std::fs::read(folder.join("expected.json")) else { return Vec::new() };
    let file: Value = serde_json::from_slice(&file).expect("JSON");
    let list = file.as_array().or(file["cases"].as_array()).expect("cases");
    list.iter().map(|c| c["text"].as_str().expect("a text").to_owned()).collect()
}

/// Texts of letters, digits, spaces, marks and signs of many scripts, and of what patterns look for.
fn random(count: usize) -> Vec<String> {
    let words = [
        "'s",
        "'S",
        "'\u{17f}",
        "'ll",
        "'LL",
        "n't",
        " ",
        "  ",
        "\n",
        "\r\n",
        "\t",
        "\u{a0}",
        "\u{85}",
        "\u{feff}",
        "\u{2028}",
        "\u{3000}",
        "\u{200b}",
        "\u{200d}",
        "1",
        "2024",
        "٣",
        "Ⅷ",
        "½",
        "the",
        "The",
        "WORD",
        "é",
        "e\u{301}",
        "\u{301}",
        "ſ",
        "\u{212a}",
        "ß",
        "İ",
        "ΑΣ",
        "привет",
        "中文",
        "日本",
        "한국어",
        "हिन्दी",
        "ไทย",
        "😀",
        "👩‍👩‍👧",
        "_",
        "-",
        "…",
        "!",
        "?!",
        "$",
        "+",
        "<|endoftext|>",
        "<s>",
        "\u{0}",
        "\u{7}",
        "\u{fffd}",
        "\u{e000}",
        "ﬁ",
        "ﷺ",
        "Å",
        "A\u{30a}",
    ];
    // a generator of numbers after Lehmer
    let mut state = 20_261_121u64;
    let mut next = |below: usize| {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (state >> 33) as usize % below
    };
    (0..count).map(|_| (0..next(12) + 1).map(|_| words[next(words.len())]).collect()).collect()
}

/// Characters that Unicode 17 has assigned: Chromium knows them, our tables do not yet.
const UNICODE_17: [RangeInclusive<char>; 7] = [
    '\u{88f}'..='\u{88f}',
    '\u{c5c}'..='\u{c5c}',
    '\u{cdc}'..='\u{cdc}',
    '\u{1acf}'..='\u{1add}',
    '\u{1ae0}'..='\u{1aeb}',
    '\u{20c1}'..='\u{20c1}',
    '\u{2b96}'..='\u{2b96}',
];

#[test]
fn ids_are_the_compilers() {
    let Some(adapter) = gpu::in_chromium() else {
        return println!("skipped: not with DRIFT_BACKEND=chromium");
    };
    let mut texts = random(1500);
    // every character before the ideographs, between letters and in words
    let characters = ('\u{20}'..'\u{3400}').filter(|c| !UNICODE_17.iter().any(|r| r.contains(c)));
    texts.extend(characters.map(|c| format!("a{c}{c}b {c}1")));
    for folder in folders() {
        let settings = Settings::read(&folder).unwrap_or_else(|e| panic!("{e}"));
        let read = folder::read(&folder, &settings).unwrap_or_else(|e| panic!("{e}"));
        compare(adapter, &folder, &read.expect("a tokenizer"), &texts);
    }
}

fn compare(adapter: drift_chromium::Adapter, folder: &Path, own: &Tokenizer, texts: &[String]) {
    let texts = [given(folder).as_slice(), texts].concat();
    let json = own.to_json();
    let page = chromium::tokenize(adapter, json, &texts);
    let page = page.unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    assert_eq!(page.len(), texts.len());
    let mut differ = Vec::new();
    for (text, (ids, again)) in texts.iter().zip(page) {
        let want = own.encode(text, true).unwrap_or_else(|e| panic!("{text:?}: {e}"));
        if ids != want || again != own.decode(&ids, true) {
            differ.push(format!("{text:?}: {ids:?} ({again:?}) instead of {want:?}"));
        }
    }
    println!("{}: {} texts, {} differ", folder.display(), texts.len(), differ.len());
    let shown = differ.iter().take(20).cloned().collect::<Vec<_>>().join("\n");
    assert!(differ.is_empty(), "{}:\n{shown}", folder.display());
}

/// Patterns of families whose tokenizers are not at hand, and every kind of pre-tokenizer and normalizer
/// that asks the browser something.
#[test]
fn patterns_of_other_families() {
    let Some(adapter) = gpu::in_chromium() else {
        return println!("skipped: not with DRIFT_BACKEND=chromium");
    };
    let split = |pattern: &str| json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false});
    let byte_level = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false});
    let patterns = [
        // Qwen 2
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        // cl100k with its possessive quantifiers
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
        // o200k
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        // DeepSeek
        r"[一-龥぀-ゟ゠-ヿ]+",
    ];
    // one with many merges, so that ids tell where a text was cut
    let gpt2 = shared::folder().map(|root| root.join("tok_gpt2_bytebpe/tokenizer.json"));
    let tales = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/tales/tokenizer.json");
    let file = gpt2.filter(|path| path.is_file()).unwrap_or(tales);
    let mut own: Value =
        serde_json::from_slice(&std::fs::read(file).expect("a file")).expect("JSON");
    let mut check = |pre: &Value, normalizer: &Value, what: &str| {
        own["pre_tokenizer"] = json!({"type": "Sequence", "pretokenizers": [pre, byte_level]});
        own["normalizer"] = normalizer.clone();
        let made = Tokenizer::from_json(own.to_string().as_bytes());
        let made = made.unwrap_or_else(|e| panic!("{what}: {e}"));
        compare(adapter, Path::new(what), &made, &random(600));
    };
    for pattern in patterns {
        check(&split(pattern), &Value::Null, pattern);
    }
    for kind in ["Whitespace", "Punctuation", "WhitespaceSplit"] {
        check(&json!({"type": kind}), &Value::Null, kind);
    }
    for form in ["NFC", "NFD", "NFKC", "NFKD", "StripAccents", "BertNormalizer"] {
        check(&split(r"\s+"), &json!({"type": form}), form);
    }
}
