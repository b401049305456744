//! The comparison itself: a golden that cannot fail would be no test.

use drift_golden::{Snapshots, check_model_kernels_in, first_difference};
use drift_kernel::{Access, Builder, Elem, Kernel, Layout, Storage, TensorArg, virtualize};
use std::path::PathBuf;

fn folder(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    if path.exists() {
        std::fs::remove_dir_all(&path).expect("an old folder goes away");
    }
    path
}

#[test]
fn bless_then_compare() {
    let root = folder("bless_then_compare");
    let bless = Snapshots::new(&root, true);
    let compare = Snapshots::new(&root, false);
    let missing = compare.check("a/b.txt", "one\ntwo\n").unwrap_err();
    assert!(missing.contains("does not exist") && missing.contains("DRIFT_BLESS"), "{missing}");
    bless.check("a/b.txt", "one\ntwo\n").unwrap();
    compare.check("a/b.txt", "one\ntwo\n").unwrap();
    let changed = compare.check("a/b.txt", "one\nthree\n").unwrap_err();
    assert!(changed.contains("- two") && changed.contains("+ three"), "{changed}");
    assert!(compare.check("a/b.txt", "one\r\ntwo\r\n").is_err());
    assert_eq!(compare.total_bytes().unwrap(), 8);
}

#[test]
fn differences_are_shown_in_place() {
    assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
    let old = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
    let new = "1\n2\n3\n4\nfive\n5b\n6\n7\n8\n9\n";
    let shown = first_difference(old, new).unwrap();
    assert_eq!(
        shown,
        "line 5: 1 lines become 2\n  2\n  3\n  4\n- 5\n+ five\n+ 5b\n  6\n  7\n  8\n"
    );
    // one text is the beginning of the other
    assert_eq!(first_difference("a\n", "a\na\n").unwrap(), "line 2: 0 lines become 1\n  a\n+ a\n");
}

fn fill(name: &str, value: f32) -> (String, Kernel) {
    let b = Builder::new("fill", [64, 1, 1], [1, 1, 1]);
    let y = b.tensor(TensorArg {
        name: "y".to_owned(),
        elem: Elem::F32,
        stored: [64usize].into(),
        view: Default::default(),
        layout: Layout::RowMajor,
        storage: Storage::Buffer,
        access: Access::Write,
        base_elems: 0,
        max_object_bytes: 1 << 27,
    });
    b.store(y, &[b.global_id(0)], b.f32(value));
    (name.to_owned(), virtualize(b.finish()).unwrap())
}

#[test]
fn a_model_has_one_golden_per_shader() {
    let root = folder("a_model");
    let kernels = [fill("first", 1.0), fill("second", 2.0), fill("third", 1.0)];
    let bless = Snapshots::new(&root, true);
    check_model_kernels_in(&bless, "m", &kernels).unwrap();
    let mut files: Vec<String> = std::fs::read_dir(root.join("m"))
        .unwrap()
        .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    files.sort();
    assert_eq!(
        files,
        [
            "000_fill.metal",
            "000_fill.spvasm",
            "000_fill.wgsl",
            "001_fill.metal",
            "001_fill.spvasm",
            "001_fill.wgsl",
            "index.txt"
        ]
    );
    let compare = Snapshots::new(&root, false);
    check_model_kernels_in(&compare, "m", &kernels).unwrap();
    // another kernel, and one that is gone
    let error = check_model_kernels_in(&compare, "m", &[fill("first", 3.0)]).unwrap_err();
    assert!(error.contains("m/000_fill.spvasm has changed"), "{error}");
    assert!(error.contains("no kernel has 001_fill.metal"), "{error}");
}
