//! The comparison itself: a golden that cannot fail would be no test.

use drift_emit::Dialect;
use drift_golden::{Dispatch, Snapshots, check_model_kernels_in, first_difference};
use drift_kernel::{Access, Builder, Elem, Layout, Storage, TensorArg, virtualize};
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

/// y[i] = value, with its WGSL as text.
fn fill(node: &str, value: f32) -> Dispatch {
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
    Dispatch {
        variant: "some-target".to_owned(),
        node: node.to_owned(),
        kernel: virtualize(b.finish()).unwrap(),
        text: vec![Dialect::Wgsl],
    }
}

#[test]
fn a_model_has_one_golden_per_shader() {
    let root = folder("a_model");
    let kernels = [fill("/a/first", 1.0), fill("/a/second", 2.0), fill("/b/third", 1.0)];
    let bless = Snapshots::new(&root, true);
    check_model_kernels_in(&bless, "m", &kernels).unwrap();
    let mut files: Vec<String> = std::fs::read_dir(root.join("m"))
        .unwrap()
        .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    files.sort();
    assert_eq!(files, ["fill.a_first.wgsl", "fill.a_second.wgsl", "index.txt"]);
    let index = std::fs::read_to_string(root.join("m/index.txt")).unwrap();
    assert!(
        index.contains("some-target /b/third: fill.a_first, 1 x 1 x 1 workgroups\n"),
        "{index}"
    );
    assert_eq!(index.matches("fill.a_first.spvasm: ").count(), 1, "{index}");
    assert_eq!(index.matches("fill.a_second.metal: ").count(), 1, "{index}");
    assert!(!index.contains(".wgsl: "), "{index}");

    let compare = Snapshots::new(&root, false);
    check_model_kernels_in(&compare, "m", &kernels).unwrap();
    // another kernel, and one that is gone: seen in the text, in the hashes and in the folder
    let error = check_model_kernels_in(&compare, "m", &[fill("/a/first", 3.0)]).unwrap_err();
    assert!(error.contains("m/fill.a_first.wgsl has changed"), "{error}");
    assert!(error.contains("m/index.txt has changed"), "{error}");
    assert!(error.contains("no kernel has fill.a_second.wgsl"), "{error}");
    assert!(error.contains("1f") && error.contains("3f"), "the old and the new line: {error}");
    // only the hash of a dialect differs
    let path = root.join("m/index.txt");
    let (before, after) = index.split_once("xxh3 ").unwrap();
    let (was, now) = (after.chars().next().unwrap(), |c| if c == '0' { '1' } else { '0' });
    std::fs::write(&path, format!("{before}xxh3 {}{}", now(was), &after[1..])).unwrap();
    let error = check_model_kernels_in(&compare, "m", &kernels).unwrap_err();
    assert!(error.starts_with("golden m/index.txt has changed"), "{error}");
}

#[test]
fn an_invalid_kernel_of_a_model_is_named() {
    let root = folder("an_invalid_kernel");
    let mut broken = fill("/a/broken", 1.0);
    broken.kernel.workgroup_size = [0, 1, 1];
    let bless = Snapshots::new(&root, true);
    let error = check_model_kernels_in(&bless, "m", &[broken]).unwrap_err();
    assert!(error.contains("m: some-target /a/broken: "), "{error}");
}
