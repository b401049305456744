//! Language models through the command line: the small one of the repository, and those of
//! `../shared/models` where they are.

use crate::common::shared_models;
use crate::program::{Folder, driftc, driftc_told, has_gpu, small_bundle};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The model that tells tales (trained, 0.9 MB).
fn tales() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/tales"))
}

/// Compiles a folder for the interpreter, and for GPUs where there is one.
fn bundle_of(folder: &Folder, model: &Path, more: &[&str]) -> String {
    let out = folder.arg("model.drift");
    let model = model.display().to_string();
    let mut args = vec!["compile", &model, "-o", &out, "--target", "reference"];
    args.extend(["--target", "vulkan-baseline", "--chunk", "16"]);
    args.extend(more);
    driftc(&args).ok();
    out
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

fn ids(v: &Value) -> Vec<u32> {
    let list = v.as_array().unwrap_or_else(|| panic!("no list: {v}"));
    list.iter().map(|v| v.as_u64().expect("an id") as u32).collect()
}

/// Back ends to try.
fn back_ends() -> Vec<&'static str> {
    if has_gpu() { vec!["reference", "vulkan"] } else { vec!["reference"] }
}

fn npy_ids(folder: &Folder, name: &str, ids: &[i64]) -> String {
    let bytes: Vec<u8> = ids.iter().flat_map(|v| v.to_le_bytes()).collect();
    folder.npy(name, "<i8", &[ids.len()], &bytes)
}

/// f32s of an npy file of version 1.
fn floats(path: &Path) -> Vec<f32> {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let head = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    bytes[head..].chunks_exact(4).map(|c| f32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect()
}

#[test]
fn generates_the_tokens_of_the_reference() {
    let folder = Folder::new();
    let bundle = bundle_of(&folder, &tales(), &["--context", "96"]);
    let expected = std::fs::read_to_string(tales().join("greedy_f64.json")).expect("is there");
    let case = &json(&expected)[0];
    let margins = case["margins"].as_array().expect("a list");
    let sure = margins.iter().position(|m| m.as_f64() < Some(0.01)).unwrap_or(margins.len());
    let count = sure.min(60);
    let prompt = case["prompt"].as_str().expect("text");
    let want = &ids(&case["greedy_ids"])[..count];
    for place in back_ends() {
        let n = count.to_string();
        let args = ["generate", &bundle, "--prompt", prompt, "-n", &n, "--backend", place];
        let out = json(&driftc(&[&args[..], &["--json"]].concat()).ok().stdout);
        assert_eq!(ids(&out["ids"]), want, "{place}");
        assert_eq!(out["end"], "length");
        assert_eq!(out["timing"]["generated_tokens"], count);
        let told = out["text"].as_str().expect("text");
        assert!(case["text"].as_str().expect("text").starts_with(told), "{told}");
        // as text: the same, with the rates on standard error
        let ran = driftc(&args).ok();
        assert_eq!(ran.stdout.trim_end_matches('\n'), told);
        assert!(ran.stderr.contains("tokens/s"), "{}", ran.stderr);
    }
}

#[test]
fn a_text_ends_where_the_model_ends_it_or_the_context_is_full() {
    let folder = Folder::new();
    let bundle = bundle_of(&folder, &tales(), &["--context", "24"]);
    let generate = |more: &[&str]| {
        let args = ["generate", &bundle, "--prompt", "Once upon a time", "--backend", "reference"];
        driftc(&[&args[..], more].concat())
    };
    let out = json(&generate(&["--json"]).ok().stdout);
    // the last token needs no room in the cache
    let total = ids(&out["prompt_ids"]).len() + ids(&out["ids"]).len();
    assert_eq!((total, out["end"].as_str()), (25, Some("context")));
    assert!(generate(&[]).ok().stderr.contains("context of 24 tokens is full"));
    let prompt = "word ".repeat(50);
    driftc(&["generate", &bundle, "--prompt", &prompt, "--backend", "reference"])
        .fails(2, &["context", "24", "--context"]);
    // a prompt of exactly the context still gets its one token
    let given = npy_ids(&folder, "full.npy", &[5; 24]);
    let args = ["generate", &bundle, "--ids", &given, "--backend", "reference", "--json"];
    assert_eq!(ids(&json(&driftc(&args).ok().stdout)["ids"]).len(), 1);
    let given = npy_ids(&folder, "over.npy", &[5; 25]);
    driftc(&["generate", &bundle, "--ids", &given, "--backend", "reference"])
        .fails(2, &["context"]);
}

#[test]
fn seeds_repeat_and_settings_are_checked() {
    let folder = Folder::new();
    let bundle = bundle_of(&folder, &tales(), &["--context", "64"]);
    let generate = |more: &[&str]| {
        let args = ["generate", &bundle, "--prompt", "Once", "-n", "24", "--json"];
        driftc(&[&args[..], &["--backend", "reference"], more].concat())
    };
    let drawn = |seed: &str| {
        ids(&json(&generate(&["--temperature", "1", "--seed", seed]).ok().stdout)["ids"])
    };
    assert_eq!(drawn("7"), drawn("7"));
    assert_ne!(drawn("7"), drawn("8"));
    // one token to draw from is the likeliest
    let greedy = ids(&json(&generate(&[]).ok().stdout)["ids"]);
    let only = json(&generate(&["--top-k", "1", "--temperature", "2"]).ok().stdout);
    assert_eq!(ids(&only["ids"]), greedy);
    for (option, value) in [
        ("--temperature", "-1"),
        ("--temperature", "nan"),
        ("--top-p", "0"),
        ("--top-p", "1.5"),
        ("--min-p", "2"),
        ("--repetition-penalty", "0"),
    ] {
        generate(&[option, value]).fails(2, &[option]);
    }
}

#[test]
fn logits_are_the_same_however_they_are_computed() {
    let folder = Folder::new();
    let bundle = bundle_of(&folder, &tales(), &["--context", "48"]);
    let text: Vec<i64> = (0..40).map(|i| 3 + (i * 37) % 400).collect();
    let given = npy_ids(&folder, "ids.npy", &text);
    let out = folder.arg("logits.npy");
    let logits = |place: &str, more: &[&str]| {
        let args = ["logits", &bundle, "--backend", place, "--ids", &given, "--output", &out];
        driftc(&[&args[..], more].concat()).ok();
        floats(&folder.at("logits.npy"))
    };
    let whole = logits("reference", &[]);
    assert_eq!(whole.len() % text.len(), 0);
    let scale = whole.iter().fold(0f32, |m, v| m.max(v.abs()));
    assert!(scale > 0.1);
    for place in back_ends() {
        for prefill in ["40", "17", "1", "0"] {
            let other = logits(place, &["--prefill", prefill]);
            let worst = whole.iter().zip(&other).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
            assert!(worst <= 1e-5 * scale, "{place}, {prefill}: {worst} of {scale}");
        }
    }
}

#[test]
fn logits_of_the_given_models() {
    let Some(models) = shared_models() else { return };
    let folder = Folder::new();
    for name in ["hf_llama3_tiny", "hf_gemma_tiny", "hf_mistral_tiny", "hf_gpt2_tiny"] {
        let model = models.join(name);
        let bundle = bundle_of(&folder, &model, &["--context", "64"]);
        let file = |f: &str| model.join(f);
        let want = floats(&file("logits_40.npy"));
        let scale = want.iter().fold(0f32, |m, v| m.max(v.abs()));
        let (given, out) = (file("ids_40.npy").display().to_string(), folder.arg("o.npy"));
        // one on the GPU as well: drivers take their time to compile the kernels of each
        let places = if name == "hf_gemma_tiny" { back_ends() } else { vec!["reference"] };
        for place in places {
            for prefill in ["40", "9"] {
                let args = ["logits", &bundle, "--backend", place, "--prefill", prefill];
                driftc(&[&args[..], &["--ids", &given, "--output", &out]].concat()).ok();
                let got = floats(&folder.at("o.npy"));
                assert_eq!(got.len(), want.len());
                let worst = got.iter().zip(&want).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
                assert!(worst <= 1e-4 * scale, "{name} on {place}: {worst} of {scale}");
            }
        }
    }
}

#[test]
fn ids_that_make_no_sense() {
    let folder = Folder::new();
    let bundle = bundle_of(&folder, &tales(), &["--context", "32"]);
    let out = folder.arg("o.npy");
    let logits = |ids: &str, more: &[&str]| {
        let args = ["logits", &bundle, "--ids", ids, "--output", &out, "--backend", "reference"];
        driftc(&[&args[..], more].concat())
    };
    let id = |name: &str, list: &[i64]| npy_ids(&folder, name, list);
    logits(&id("a.npy", &[1, 99999]), &[]).fails(2, &["99999"]);
    logits(&id("b.npy", &[1, -1]), &[]).fails(2, &["b.npy", "-1"]);
    logits(&id("c.npy", &[]), &[]).fails(2, &["c.npy", "no token ids"]);
    logits(&id("d.npy", &[1; 33]), &[]).fails(2, &["33", "context", "32"]);
    logits(&id("e.npy", &[1; 4]), &["--prefill", "5"]).fails(2, &["--prefill 5"]);
    logits(&folder.npy_f32("f.npy", &[2], &[1.0, 2.0]), &[]).fails(2, &["f.npy", "f32"]);
    let square: Vec<u8> = [1i32; 4].iter().flat_map(|v| v.to_le_bytes()).collect();
    logits(&folder.npy("g.npy", "<i4", &[2, 2], &square), &[]).fails(2, &["g.npy", "[2, 2]"]);
    logits(&folder.arg("none.npy"), &[]).fails(2, &["none.npy"]);
    assert!(!folder.at("o.npy").exists(), "half a file was left");
    // one row of a batch is as good
    let row: Vec<u8> = [5u16; 3].iter().flat_map(|v| v.to_le_bytes()).collect();
    logits(&folder.npy("h.npy", "<u2", &[1, 3], &row), &[]).ok();
    driftc(&["generate", &bundle, "--backend", "reference", "--ids", &id("i.npy", &[70000])])
        .fails(2, &["70000"]);
}

#[test]
fn bundles_of_other_models_and_models_without_tokenizer() {
    let folder = Folder::new();
    let other = small_bundle(&folder);
    let given = npy_ids(&folder, "ids.npy", &[1, 2]);
    let text = folder.write("text.txt", b"some text");
    let place = ["--backend", "reference"];
    for args in [
        vec!["generate", &other, "--ids", &given],
        vec!["generate", &other, "--prompt", "x"],
        vec!["chat", &other],
        vec!["logits", &other, "--ids", &given, "--output", "o.npy"],
        vec!["bench", &other, "--llm"],
    ] {
        driftc(&[&args[..], &place].concat()).fails(2, &["no language model", "compile FOLDER"]);
    }
    driftc(&["quality", &other, "--text", &text, "--backend", "reference"])
        .fails(2, &["no tokenizer"]);
    driftc(&["generate", &other]).fails(2, &["--prompt"]);
    driftc(&["generate", &folder.arg("none.drift"), "--prompt", "x"]).fails(2, &["none.drift"]);

    // a folder without tokenizer: ids in, ids out
    let bare = folder.at("bare");
    std::fs::create_dir(&bare).expect("a folder");
    for name in ["config.json", "model.safetensors"] {
        std::fs::copy(tales().join(name), bare.join(name)).expect("is there");
    }
    let bundle = bundle_of(&folder, &bare, &["--context", "32"]);
    driftc(&["generate", &bundle, "--prompt", "x", "--backend", "reference"])
        .fails(2, &["no tokenizer", "--ids"]);
    driftc(&["chat", &bundle, "--backend", "reference"]).fails(2, &["no tokenizer"]);
    let args = ["generate", &bundle, "--ids", &given, "-n", "3", "--backend", "reference"];
    assert_eq!(driftc(&args).ok().stdout.split_whitespace().count(), 3);
    // one with a tokenizer that cannot be read is an error, of a kind that is not known a note
    std::fs::write(bare.join("tokenizer.json"), "{\"model\": 5}").expect("a file");
    let model = bare.display().to_string();
    let compile = ["compile", &model, "--target", "reference", "-o", &bundle];
    driftc(&compile).fails(2, &["tokenizer.json"]);
    let unigram = "{\"model\": {\"type\": \"Unigram\", \"vocab\": [[\"a\", 0.0]]}}";
    std::fs::write(bare.join("tokenizer.json"), unigram).expect("a file");
    assert!(driftc(&compile).ok().stderr.contains("Unigram"));
}

#[test]
fn a_conversation_is_kept_and_gone_on_with() {
    let folder = Folder::new();
    let bundle = bundle_of(&folder, &tales(), &["--context", "64"]);
    let args = ["chat", &bundle, "-n", "6", "--temperature", "0", "--backend", "reference"];
    let (a, b) = (folder.arg("a.chat"), folder.arg("b.chat"));
    let lines =
        format!("Once upon a time\n/save {a}\nThe fox\n/reset\n/load {a}\nThe fox\n/nope\n");
    let first = driftc_told(&args, &format!("{lines}/undo\n/save {b}\n/undo\n/undo\n/quit\n")).ok();
    let said: Vec<&str> = first.stdout.lines().collect();
    assert_eq!(said.len(), 3, "{}", first.stdout);
    assert_eq!(said[1], said[2], "the same question to the same conversation");
    for part in ["no chat format", "/nope", "nothing to take back", "tokens/s"] {
        assert!(first.stderr.contains(part), "{part} is missing: {}", first.stderr);
    }
    // what is kept serves another run
    let mut again = args.to_vec();
    again.extend(["--load", &a]);
    let second = driftc_told(&again, "The fox\n").ok();
    assert_eq!(second.stdout.lines().next(), Some(said[1]));
    assert!(!second.stderr.contains("anew"), "{}", second.stderr);
    // messages serve without what the device kept, and other files do not
    let whole = std::fs::read(&a).expect("saved");
    let line = whole.iter().position(|b| *b == b'\n').expect("a line");
    let cut = folder.write("cut.chat", &whole[..line]);
    let third = driftc_told(&args, &format!("/load {cut}\nThe fox\n")).ok();
    assert!(third.stderr.contains("anew"), "{}", third.stderr);
    assert_eq!(third.stdout.lines().next(), Some(said[1]));
    let wrong = folder.write("wrong.chat", b"[1, 2]");
    let fourth = driftc_told(&args, &format!("/load {wrong}\n/save\n")).ok();
    assert!(fourth.stderr.contains("no conversation of /save"), "{}", fourth.stderr);
    // a question that does not fit is refused, and the conversation goes on without it
    let long = "word ".repeat(80);
    let fifth = driftc_told(&args, &format!("{long}\nOnce upon a time\n")).ok();
    assert!(fifth.stderr.contains("it is full"), "{}", fifth.stderr);
    assert_eq!(fifth.stdout.lines().next(), Some(said[0]));
}

#[test]
fn quality_orders_the_schemes() {
    let folder = Folder::new();
    let text = folder.write("text.txt", b"Once upon a time there was a tiny duck named Emma.");
    let model = tales().display().to_string();
    let args = ["quality", &model, "--text", &text, "--schemes", "q8,q4", "--window", "64"];
    let out = driftc(&[&args[..], &["--backend", "reference", "--json"]].concat()).ok().stdout;
    let out = json(&out);
    let rows = out["rows"].as_array().expect("rows");
    let number = |row: usize, key: &str| rows[row][key].as_f64().expect("a number");
    let names: Vec<&str> = rows.iter().map(|r| r["name"].as_str().expect("a name")).collect();
    assert_eq!(names, ["f32", "q8", "q4"]);
    assert_eq!(number(0, "kl_divergence"), 0.0);
    assert!(number(1, "kl_divergence") > 0.0);
    assert!(number(2, "kl_divergence") > number(1, "kl_divergence"));
    assert!(number(0, "bytes") > number(1, "bytes") && number(1, "bytes") > number(2, "bytes"));
    assert!((1.0..4.0).contains(&number(0, "perplexity")), "{out}");
    driftc(&["quality", &model, "--text", &folder.arg("no.txt")]).fails(2, &["no.txt"]);
    let latin = folder.write("latin.txt", b"caf\xe9");
    driftc(&["quality", &model, "--text", &latin]).fails(2, &["latin.txt", "UTF-8"]);
}

#[test]
fn bench_and_inspect_know_language_models() {
    let folder = Folder::new();
    let bundle = bundle_of(&folder, &tales(), &["--context", "48", "--quantize", "q8"]);
    let bench = |more: &[&str]| {
        driftc(&[&["bench", &bundle, "--llm", "--backend", "reference"], more].concat())
    };
    let out = json(&bench(&["--prefill", "20", "--decode", "4", "--json"]).ok().stdout);
    assert!(out["prefill_tokens_per_second"].as_f64() > Some(0.0), "{out}");
    assert!(out["decode_tokens_per_second"].as_f64() > Some(0.0), "{out}");
    assert!(out["first_token_seconds"].as_f64() >= out["load_seconds"].as_f64(), "{out}");
    bench(&["--prefill", "40", "--decode", "9"]).fails(2, &["40 + 9", "48", "--context"]);
    let out = json(&driftc(&["inspect", &bundle, "--json"]).ok().stdout);
    let names = |v: &Value| -> Vec<String> {
        let list = v.as_array().expect("a list").iter();
        list.map(|e| e["name"].as_str().expect("a name").to_owned()).collect()
    };
    assert_eq!(out["meta"]["quantize"], "q8");
    assert_eq!(names(&out["assets"]), ["chat.json", "tokenizer.json"]);
    let variant = &out["variants"][0];
    let entries = names(&variant["entry_points"]);
    assert!(["decode", "prefill", "head"].iter().all(|e| entries.contains(&(*e).to_owned())));
    assert!(names(&variant["states"]).contains(&"k.0".to_owned()));
    let shown = driftc(&["inspect", &bundle]).ok().stdout;
    for part in ["asset tokenizer.json", "state tokens", "entry point decode"] {
        assert!(shown.contains(part), "{part} is missing");
    }
}
