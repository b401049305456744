//! include/drift.h is what the sources say. `DRIFT_BLESS=1` writes it anew.

use std::path::Path;

#[test]
fn the_header_is_what_the_sources_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(folder.join("cbindgen.toml"))
        .unwrap_or_else(|e| panic!("cbindgen.toml: {e}"));
    let intro = include_str!("header.txt").trim_end();
    let mut builder = cbindgen::Builder::new().with_config(config).with_header(intro);
    // in the order in which a reader meets them
    for file in ["error", "lib", "bundle", "device", "tensor", "session", "generate"] {
        builder = builder.with_src(folder.join(format!("src/{file}.rs")));
    }
    let mut bytes = Vec::new();
    builder.generate().unwrap_or_else(|e| panic!("{e}")).write(&mut bytes);
    let want = String::from_utf8(bytes).expect("text");
    assert!(want.contains("drift_generator_free") && want.contains("DRIFT_STATUS_OK"), "{want}");

    let path = folder.join("include/drift.h");
    if std::env::var("DRIFT_BLESS").is_ok_and(|v| v == "1") {
        std::fs::create_dir_all(folder.join("include")).expect("a folder of the repository");
        std::fs::write(&path, &want).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }
    let have = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(have == want, "include/drift.h is stale: run this test with DRIFT_BLESS=1");
}
