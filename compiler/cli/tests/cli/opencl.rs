//! OpenCL from the command line.

use crate::program::{Folder, demo_model, driftc};

#[test]
fn opencl_c_is_printed() {
    let model = demo_model();
    let text = driftc(&["compile", &model, "--target", "opencl-generic", "--emit", "opencl"]).ok();
    for part in ["// conv\n", "__kernel __attribute__((reqd_work_group_size(", "void kernel_main("]
    {
        assert!(text.stdout.contains(part), "`{part}` is missing from: {}", text.stdout);
    }
}

#[test]
fn a_bundle_runs_on_opencl() {
    let devices = driftc(&["devices", "--json"]).ok().stdout;
    if !devices.contains("\"api\": \"opencl\"") {
        assert!(std::env::var("DRIFT_REQUIRE_GPU").is_err(), "no OpenCL device: {devices}");
        return println!("skipped: no OpenCL device");
    }
    let (folder, model) = (Folder::new(), demo_model());
    let pixels: Vec<f32> = (0..32 * 32).map(|i| (i % 256) as f32).collect();
    let x = format!("picture={}", folder.npy_f32("x.npy", &[1, 1, 32, 32], &pixels));
    let bundle = folder.arg("shapes.drift");
    // a variant of OpenCL is part of every bundle that names no target
    driftc(&["compile", &model, "-o", &bundle]).ok();
    let outputs: Vec<Vec<u8>> = ["opencl", "reference"]
        .into_iter()
        .map(|place| {
            let out = folder.arg(place);
            let args = ["run", &bundle, "--backend", place, "--input", &x, "--output-dir", &out];
            let ran = driftc(&args).ok();
            assert!(place == "reference" || ran.stdout.contains("variant opencl-generic"));
            let files: Vec<_> = std::fs::read_dir(&out).expect("written").flatten().collect();
            std::fs::read(files[0].path()).expect("an array")
        })
        .collect();
    let floats = |bytes: &[u8]| -> Vec<f32> {
        let words = bytes[bytes.len() - 4 * 4..].as_chunks::<4>().0;
        words.iter().map(|w| f32::from_le_bytes(*w)).collect()
    };
    for (a, b) in floats(&outputs[0]).iter().zip(floats(&outputs[1])) {
        assert!((a - b).abs() < 1e-4, "{a} and {b}");
    }
}

#[test]
fn a_number_of_another_api_is_an_error() {
    let (folder, model) = (Folder::new(), demo_model());
    let bundle = folder.arg("shapes.drift");
    driftc(&["compile", &model, "--target", "opencl-generic", "-o", &bundle]).ok();
    let args = ["bench", &bundle, "--backend", "opencl", "--device", "99"];
    driftc(&args).fails(4, &["device 99 does not exist"]);
}
