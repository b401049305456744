//! Lists `devices/*.toml`, so that a new device is one new file and nothing else.

use std::{env, fmt::Write, fs, path::Path};

fn main() {
    println!("cargo::rerun-if-changed=devices");
    let mut ids: Vec<String> = fs::read_dir("devices")
        .expect("targets/devices is a folder")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| Some(name.strip_suffix(".toml")?.to_owned()))
        .collect();
    ids.sort();
    let mut list = String::from("pub(crate) static EMBEDDED: &[(&str, &str)] = &[\n");
    for id in &ids {
        writeln!(
            list,
            "    ({id:?}, include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/devices/{id}.toml\"))),"
        )
        .expect("writing to a string");
    }
    list.push_str("];\n");
    let out = env::var_os("OUT_DIR").expect("cargo sets OUT_DIR");
    fs::write(Path::new(&out).join("embedded.rs"), list).expect("OUT_DIR is writable");
}
