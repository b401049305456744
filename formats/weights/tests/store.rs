//! Files, shards and folders; broken ones with the message that each must give.

use std::fs;
use std::path::{Path, PathBuf};

use drift_weights::{DType, WeightError, WeightStore};

/// A safetensors file from a header and the number of data bytes, which count up from 0.
fn file(header: &str, data_bytes: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend((0..data_bytes).map(|i| i as u8));
    bytes
}

const TWO: &str = r#"{"__metadata__":{"format":"pt"},
    "b.weight":{"dtype":"F16","shape":[2,3],"data_offsets":[4,16]},
    "a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}"#;

fn one(name: &str, bytes: usize) -> Vec<u8> {
    let entry =
        r#"{"dtype":"U8","shape":[N],"data_offsets":[0,N]}"#.replace('N', &bytes.to_string());
    file(&format!("{{\"{name}\":{entry}}}"), bytes)
}

#[test]
fn a_file_reads() {
    let store = WeightStore::from_bytes(file(TWO, 16)).unwrap();
    assert_eq!(store.names().collect::<Vec<_>>(), ["a", "b.weight"]);
    assert_eq!((store.len(), store.total_bytes()), (2, 16));
    assert_eq!(store.metadata()["format"], "pt");
    let b = store.get("b.weight").unwrap();
    assert_eq!((b.dtype, b.shape, b.elems()), (DType::F16, &[2u64, 3][..], 6));
    assert_eq!(b.data, (4..16).collect::<Vec<u8>>());
    let a = store.get("a").unwrap();
    assert_eq!((a.shape.len(), a.elems(), a.data), (0, 1, &[0u8, 1, 2, 3][..]));
    assert_eq!(store.bytes("a").unwrap(), a.data);
    assert_eq!(store.iter().map(|v| v.data.len()).sum::<usize>(), 16);
}

#[test]
fn missing_tensors_suggest_the_nearest() {
    let store = WeightStore::from_bytes(file(TWO, 16)).unwrap();
    let err = store.get("model.b.weight").unwrap_err();
    assert_eq!(
        err.to_string(),
        "the checkpoint has no tensor `model.b.weight`; the nearest name is `b.weight`"
    );
    assert_eq!(store.get("zzz").unwrap_err().to_string(), "the checkpoint has no tensor `zzz`");
}

#[test]
fn every_dtype_reads() {
    let stored = [
        "BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64", "F16", "BF16", "F32", "F64",
        "F8_E4M3", "F8_E5M2", "F8_E8M0",
    ];
    for (name, dtype) in stored.iter().zip(DType::ALL) {
        let size = dtype.bytes() as usize * 3;
        let header =
            format!(r#"{{"t":{{"dtype":"{name}","shape":[3],"data_offsets":[0,{size}]}}}}"#);
        let store = WeightStore::from_bytes(file(&header, size)).unwrap();
        assert_eq!(store.get("t").unwrap().dtype, dtype);
    }
    let header = r#"{"t":{"dtype":"F4","shape":[2],"data_offsets":[0,1]}}"#;
    let err = WeightStore::from_bytes(file(header, 1)).unwrap_err();
    assert_eq!(err.to_string(), "memory: tensor `t`: elements of type F4 are not supported");
    assert!(err.is_unsupported() && err.help().is_some());
}

#[test]
fn broken_files_are_described() {
    let refuse = |bytes: Vec<u8>, text: &str| {
        let err = WeightStore::from_bytes(bytes).unwrap_err();
        assert_eq!(err.to_string(), format!("memory: {text}"));
        assert!(!err.is_unsupported() && err.help().is_some());
    };
    let entry = |rest: &str, data: usize| file(&format!("{{\"t\":{{{rest}}}}}"), data);
    refuse(vec![], "this is not a safetensors file but an empty file");
    refuse(b"PK\x03\x04".to_vec(), "this is not a safetensors file but a PyTorch checkpoint");
    refuse(b"<!DOCTYPE html>".to_vec(), "this is not a safetensors file but a web page");
    refuse(b"{\"weight_map\":{}}".to_vec(), "this is not a safetensors file but JSON text");
    refuse(
        b"version https://git-lfs.github.com/spec/v1".to_vec(),
        "this is not a safetensors file but a Git LFS pointer to a checkpoint",
    );
    refuse(vec![1, 2, 3], "3 bytes are too few for a header");
    refuse(
        u64::MAX.to_le_bytes().to_vec(),
        "a header of 18446744073709551615 bytes is announced, the format allows 100000000",
    );
    refuse(
        99_999_999u64.to_le_bytes().to_vec(),
        "a header of 99999999 bytes is announced, but the file has 8 bytes",
    );
    refuse(
        entry(r#""dtype":"F32","shape":[2],"data_offsets":[0,4]"#, 4),
        "tensor `t`: shape [2] of f32 takes 8 bytes, but 4 are stored",
    );
    refuse(
        entry(r#""dtype":"F32","shape":[1099511627776,1099511627776],"data_offsets":[0,4]"#, 4),
        "tensor `t`: shape [1099511627776, 1099511627776] of f32 takes more than 2^64 bytes, but 4 are stored",
    );
    refuse(
        entry(r#""dtype":"U8","shape":[8],"data_offsets":[0,8]"#, 4),
        "tensor `t`: its data end at byte 8, but the file holds 4 bytes of data",
    );
    refuse(
        entry(r#""dtype":"U8","shape":[4],"data_offsets":[4,0]"#, 4),
        "tensor `t`: its data offsets 4..0 run backwards",
    );
    refuse(
        entry(r#""dtype":"U8","shape":[2],"data_offsets":[2,4]"#, 4),
        "tensor `t`: bytes 0..2 before its data belong to nobody",
    );
    refuse(
        entry(r#""dtype":"U8","shape":[2],"data_offsets":[0,2]"#, 4),
        "the last 2 bytes of data belong to no tensor",
    );
    let t = r#""t":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}"#;
    let u = r#""u":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}"#;
    refuse(file(&format!("{{{t},{u}}}"), 6), "tensor `u`: its data 2..6 overlap another tensor's");
    for (header, part) in [
        (format!("{{{t},{t}}}"), "tensor `t` is given twice"),
        ("[]".to_string(), "expected an object of tensor entries"),
        (t.to_string(), "expected an object of tensor entries"),
        (
            r#"{"t":{"dtype":"U9","shape":[4],"data_offsets":[0,4]}}"#.to_string(),
            "unknown variant `U9`",
        ),
        (r#"{"t":{"dtype":"U8","shape":[-4],"data_offsets":[0,4]}}"#.to_string(), "invalid value"),
        (r#"{"t":{"shape":[4],"data_offsets":[0,4]}}"#.to_string(), "missing field `dtype`"),
        ("[".repeat(100_000), "expected an object"),
    ] {
        let err = WeightStore::from_bytes(file(&header, 4)).unwrap_err().to_string();
        assert!(err.starts_with("memory: the header is not as it should be: "), "{err}");
        assert!(err.contains(part), "{err}");
    }
}

struct Checkpoint(tempfile::TempDir);

impl Checkpoint {
    fn new(files: &[(&str, Vec<u8>)]) -> Checkpoint {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        Checkpoint(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn refuse(&self, problem: &str) -> WeightError {
        let err = WeightStore::open(self.path()).unwrap_err();
        assert!(err.to_string().ends_with(&format!(": {problem}")), "{err}\nexpected: {problem}");
        err
    }
}

fn index(map: &[(&str, &str)]) -> Vec<u8> {
    let entries: Vec<String> = map.iter().map(|(k, v)| format!("\"{k}\":{v:?}")).collect();
    format!("{{\"metadata\":{{\"total_size\":0}},\"weight_map\":{{{}}}}}", entries.join(",")).into()
}

const INDEX: &str = "model.safetensors.index.json";

#[test]
fn shards_are_one_store() {
    let both = index(&[("a", "1.safetensors"), ("b", "2.safetensors")]);
    let good =
        [("1.safetensors", one("a", 4)), ("2.safetensors", one("b", 6)), (INDEX, both.clone())];
    let folder = Checkpoint::new(&good);
    for path in [folder.path().to_path_buf(), folder.path().join(INDEX)] {
        let store = WeightStore::open(path).unwrap();
        assert_eq!(store.names().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((store.total_bytes(), store.files().len()), (10, 2));
    }
    // A shard by itself is a file like any other.
    assert_eq!(WeightStore::open(folder.path().join("2.safetensors")).unwrap().len(), 1);

    Checkpoint::new(&[("1.safetensors", one("a", 4)), (INDEX, both.clone())])
        .refuse("1 of 2 shards are missing, the first is 2.safetensors");
    Checkpoint::new(&[
        ("1.safetensors", one("a", 4)),
        ("2.safetensors", one("a", 4)),
        (INDEX, both.clone()),
    ])
    .refuse("tensor `a` is in two shards, 1.safetensors and 2.safetensors");
    Checkpoint::new(&[
        ("1.safetensors", one("a", 4)),
        ("2.safetensors", one("c", 4)),
        (INDEX, both),
    ])
    .refuse("tensor `b` is not in 2.safetensors, where the index puts it");
    for path in
        ["../1.safetensors", "/1.safetensors", "x/../1.safetensors", "..\\1", "C:1", "", "."]
    {
        Checkpoint::new(&[(INDEX, index(&[("a", path)]))]).refuse(&format!(
            "the shard path `{path}` is absolute or leads out of the folder; refused"
        ));
    }
    Checkpoint::new(&[(INDEX, index(&[]))]).refuse("it lists no tensors");
    let err = WeightStore::open(Checkpoint::new(&[(INDEX, b"{}".to_vec())]).path()).unwrap_err();
    assert!(matches!(err, WeightError::Index { .. }) && err.help().is_some(), "{err}");
    assert!(err.to_string().contains("missing field `weight_map`"), "{err}");
}

#[test]
fn folders_are_searched() {
    let names = |files: &[(&str, Vec<u8>)]| {
        let store = WeightStore::open(Checkpoint::new(files).path()).unwrap();
        store.names().map(str::to_string).collect::<Vec<_>>()
    };
    let standard = ("model.safetensors", one("m", 1));
    let other = ("diffusion_pytorch_model.safetensors", one("d", 1));
    assert_eq!(names(&[standard.clone(), other.clone()]), ["m"]);
    assert_eq!(names(std::slice::from_ref(&other)), ["d"]);
    let sharded = ("d.safetensors.index.json", index(&[("d", other.0)]));
    assert_eq!(names(&[other.clone(), sharded]), ["d"]);

    let err = Checkpoint::new(&[]).refuse("no safetensors file is here");
    assert_eq!(err.help().unwrap(), "give the folder that holds model.safetensors");
    let err =
        Checkpoint::new(&[("pytorch_model.bin", vec![1])]).refuse("no safetensors file is here");
    assert!(err.help().unwrap().contains("save_pretrained"));
    Checkpoint::new(&[("a.safetensors", one("a", 1)), ("b.safetensors", one("b", 1))])
        .refuse("several safetensors files are here, and no index: a.safetensors, b.safetensors");

    let err = WeightStore::open("no/such/file").unwrap_err();
    assert!(err.to_string().starts_with("cannot read no/such/file: "), "{err}");
    assert!(err.help().is_some());
}

/// The folder of shared models; `None`, with a visible line, where it is absent.
fn shared_models() -> Option<PathBuf> {
    let shared = std::env::var_os("DRIFT_SHARED")
        .map(PathBuf::from)
        .unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"));
    let models = shared.join("models");
    if models.join("MANIFEST.json").exists() {
        return Some(models);
    }
    println!("skipped: ../shared/models not present");
    None
}

#[test]
fn shared_checkpoints_open() {
    let Some(models) = shared_models() else { return };
    for (folder, tensor, columns) in [
        ("hf_llama3_tiny", "model.embed_tokens.weight", None),
        ("hf_gemma_tiny", "model.embed_tokens.weight", None),
        ("hf_mistral_tiny", "model.embed_tokens.weight", None),
        ("llm_stories260k_hf", "model.embed_tokens.weight", Some(64)),
        ("diffusers_sd1_tiny/unet", "conv_in.weight", None),
    ] {
        let store = WeightStore::open(models.join(folder)).unwrap_or_else(|e| panic!("{e}"));
        let view = store.get(tensor).unwrap_or_else(|e| panic!("{folder}: {e}"));
        let elems: u64 = view.shape.iter().product();
        assert_eq!(elems * view.dtype.bytes(), view.data.len() as u64);
        if let Some(columns) = columns {
            assert_eq!(view.shape[1], columns);
        }
        let data: u64 = store.iter().map(|v| v.data.len() as u64).sum();
        assert_eq!(data, store.total_bytes());
        assert!(data < fs::metadata(&store.files()[0]).unwrap().len());
    }
}

/// Pages let go of come back with the same bytes, and while away they take no memory.
#[test]
fn released_pages_come_back() {
    const MIB: usize = 1 << 20;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let header =
        format!(r#"{{"a":{{"dtype":"U8","shape":[64,{MIB}],"data_offsets":[0,{}]}}}}"#, 64 * MIB);
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    file.extend((0..64 * MIB).map(|i| (i / 4096 % 251) as u8));
    std::fs::write(&path, file).unwrap();
    let store = WeightStore::open(&path).unwrap();
    let pages = store.pages("a").unwrap();
    let sum = || pages.iter().map(|b| u64::from(*b)).sum::<u64>();
    // second field: resident pages of 4 KiB
    let resident = || -> Option<usize> {
        let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
        Some(statm.split(' ').nth(1)?.parse::<usize>().ok()? * 4096)
    };
    let first = sum();
    let full = resident();
    pages.release(0..64 * MIB);
    if let (Some(full), Some(less)) = (full, resident()) {
        assert!(less + 32 * MIB < full, "{full} bytes before, {less} after");
    }
    // odd pieces and pieces that are not there are fine
    pages.release(5..4097);
    pages.release(MIB..65 * MIB);
    assert_eq!(sum(), first);
}
