//! Files that lie: an error with a place, never a panic, never a long wait.

use drift_tokenizer::folder::{self, Settings};
use drift_tokenizer::{Tokenizer, sentencepiece, tiktoken};
use serde_json::{Value, json};

/// A sound tokenizer with every part that files have.
fn sound() -> Value {
    json!({
        "added_tokens": [{ "id": 4, "content": "<s>", "special": true, "normalized": false }],
        "normalizer": { "type": "Sequence", "normalizers": [
            { "type": "NFC" },
            { "type": "Replace", "pattern": { "Regex": " {2,}" }, "content": " " },
        ] },
        "pre_tokenizer": { "type": "Sequence", "pretokenizers": [
            {
                "type": "Split", "pattern": { "Regex": "\\s+(?!\\S)|\\s+" },
                "behavior": "Isolated", "invert": false,
            },
            { "type": "ByteLevel", "add_prefix_space": false, "use_regex": false },
        ] },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{ "SpecialToken": { "id": "<s>" } }, { "Sequence": { "id": "A" } }],
            "special_tokens": { "<s>": { "ids": [4] } },
        },
        "decoder": { "type": "Sequence", "decoders": [
            { "type": "ByteLevel" },
            { "type": "Strip", "content": " ", "start": 1, "stop": 0 },
        ] },
        "model": {
            "type": "BPE", "vocab": { "a": 0, "b": 1, "ab": 2, "Ġ": 3 }, "merges": ["a b"],
        },
    })
}

fn refused(file: &Value) -> String {
    match Tokenizer::from_json(file.to_string()) {
        Ok(_) => panic!("accepted: {file}"),
        Err(e) => e.to_string(),
    }
}

#[test]
fn errors_say_where() {
    let t = Tokenizer::from_json(sound().to_string()).unwrap();
    assert_eq!(t.encode("ab  ba<s>", true).unwrap(), [4, 2, 3, 1, 0, 4]);
    for (path, value, parts) in [
        ("/model/type", json!("WordPiece"), ["model", "WordPiece"]),
        ("/model/merges/0", json!("a c"), ["model.merges[0]", "`a c`"]),
        ("/model/merges/0", json!("a b c"), ["tokenizer.json", "`a b c` is no merge"]),
        ("/model/vocab/b", json!(0), ["model.vocab", "same id 0"]),
        ("/model/vocab/b", json!(4_000_000_000u64), ["model.vocab", "4000000000"]),
        ("/model/vocab/b", json!(-1), ["tokenizer.json", "-1"]),
        ("/added_tokens/0/id", json!("x"), ["added_tokens[0].id", "number"]),
        ("/normalizer/normalizers/0/type", json!("NFX"), ["normalizer.normalizers[0]", "NFX"]),
        ("/normalizer/normalizers/1/pattern", json!({}), ["normalizers[1].pattern", "Regex"]),
        (
            "/pre_tokenizer/pretokenizers/0/pattern/Regex",
            json!("("),
            ["pattern.Regex", "parenthesis"],
        ),
        ("/pre_tokenizer/pretokenizers/0/behavior", json!("Lost"), ["behavior", "Lost"]),
        ("/post_processor/single/0", json!(3), ["post_processor.single[0]", "SpecialToken"]),
        ("/post_processor/single/1", json!({ "x": 1 }), ["single[1]", "Sequence"]),
        ("/post_processor/special_tokens", json!({}), ["special_tokens", "<s>"]),
        ("/decoder/decoders/1/start", json!(-5), ["decoders[1].start", "number"]),
    ] {
        let mut file = sound();
        *file.pointer_mut(path).unwrap() = value;
        let message = refused(&file);
        for part in parts {
            assert!(message.contains(part), "{path}: `{part}` is missing from: {message}");
        }
    }
    assert!(refused(&json!([])).contains("tokenizer.json"));
}

#[test]
fn cut_and_changed_files_do_not_panic() {
    let whole = sound().to_string().into_bytes();
    for end in 0..whole.len() {
        assert!(Tokenizer::from_json(&whole[..end]).is_err(), "cut at {end}");
    }
    for i in 0..whole.len() {
        for byte in [b'0', b'"', b'}', b'-', 0xff] {
            let mut changed = whole.clone();
            changed[i] = byte;
            if let Ok(t) = Tokenizer::from_json(changed) {
                let ids = t.encode("ab  ba<s> é", true).unwrap_or_default();
                t.decode(&ids, false);
            }
        }
    }
}

#[test]
fn absurd_counts_end() {
    let mut file = sound();
    let strip = json!({ "type": "Strip", "content": "", "start": u32::MAX, "stop": u32::MAX });
    file["decoder"]["decoders"][1] = strip;
    let t = Tokenizer::from_json(file.to_string()).unwrap();
    assert_eq!(t.decode(&[2, 3, 0], true), "ab a");
    assert_eq!(t.decode(&[999, u32::MAX], true), "");
    // a pattern that backtracks gives up with a message
    let mut file = sound();
    file["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = json!("(a+)+\\1?(?!a)$");
    if let Ok(t) = Tokenizer::from_json(file.to_string()) {
        let result = t.encode(&("a".repeat(4000) + "b"), false);
        assert!(result.is_ok() || result.unwrap_err().to_string().contains("gives up"));
    }
}

#[test]
fn other_files_do_not_panic_either() {
    let settings = Settings::default();
    // a SentencePiece model: pieces <unk>, a, b, ab (score -1), type BPE
    let piece = |text: &str, score: f32, kind: u8| {
        let mut body = vec![0x0a, text.len() as u8];
        body.extend(text.as_bytes());
        body.push(0x15);
        body.extend(score.to_le_bytes());
        body.extend([0x18, kind]);
        [vec![0x0a, body.len() as u8], body].concat()
    };
    let mut model = piece("<unk>", 0.0, 2);
    model.extend(piece("a", -2.0, 1));
    model.extend(piece("b", -3.0, 1));
    model.extend(piece("ab", -1.0, 1));
    // trainer: model_type BPE, bos_id -1 (ten bytes of varint)
    let mut trainer = vec![0x18, 2, 0xc8, 0x02];
    trainer.extend([0xff; 9]);
    trainer.push(1);
    model.extend([0x12, trainer.len() as u8]);
    model.extend(&trainer);
    // normalizer: no dummy prefix, extra spaces stay
    model.extend([0x1a, 4, 0x18, 0, 0x20, 0]);
    assert!(sentencepiece::looks_like(&model));
    let t = Tokenizer::from_json(sentencepiece::to_json(&model, &settings).unwrap()).unwrap();
    assert_eq!(t.encode("abba?", true).unwrap(), [3, 2, 1, 0]);
    for end in 0..model.len() {
        let _ = sentencepiece::to_json(&model[..end], &settings);
    }
    for i in 0..model.len() {
        for byte in [0, 1, 2, 0x0a, 0x7f, 0x80, 0xff] {
            let mut changed = model.clone();
            changed[i] = byte;
            if let Ok(json) = sentencepiece::to_json(&changed, &settings) {
                let _ = Tokenizer::from_json(json);
            }
        }
    }
    let ranks = b"YQ== 0\nYg== 1\nYWI= 2\n";
    let t = Tokenizer::from_json(tiktoken::to_json(ranks, &settings).unwrap()).unwrap();
    assert_eq!(t.encode("abba", false).unwrap(), [2, 1, 0]);
    let twice = b"YQ== 0\nYQ== 1\n";
    assert!(tiktoken::to_json(twice, &settings).unwrap_err().to_string().contains("twice"));
}

#[test]
fn folders_that_lack_things() {
    let folder = std::env::temp_dir().join(format!("drift-tokenizer-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let read = || folder::read(&folder, &Settings::read(&folder)?);
    assert!(read().unwrap().is_none());
    std::fs::write(folder.join("tokenizer_config.json"), "{").unwrap();
    assert!(read().err().unwrap().to_string().contains("tokenizer_config.json"));
    std::fs::write(folder.join("tokenizer_config.json"), "{\"eos_token\": \"</s>\"}").unwrap();
    std::fs::write(folder.join("tokenizer.model"), "neither one nor the other").unwrap();
    assert!(read().err().unwrap().to_string().contains("line 1"));
    std::fs::remove_dir_all(&folder).unwrap();
}
