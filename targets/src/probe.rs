//! A device file from a live driver's answers.

use crate::api_name;
use crate::assemble::matrix_shape_text;
use crate::lookup::class_for;
use crate::schema::{AXIS_LIMITS, LIMITS, STORAGE_OFFSET_ALIGNMENT};
use drift_bundle::caps::{Capabilities, Features};
use std::fmt::Write;

/// Rank of probed devices: over every embedded one, as the driver spoke for itself.
const PROBED_RANK: u32 = 200;

/// The device file for one GPU as its driver reports it, through each API in `probed`. Reading it
/// back with [`parse`](crate::parse) or [`load`](crate::load) gives the same capabilities;
/// preferences are those of the class of devices that it belongs to.
///
/// Empty input gives a file without an API, which the reader refuses.
pub fn to_toml(probed: &[Capabilities]) -> String {
    let name = probed.first().map_or("unknown", |caps| caps.device_name.as_str());
    let mut out = String::new();
    let mut line = |text: std::fmt::Arguments<'_>| {
        // Writing to a string cannot fail.
        let _ = out.write_fmt(text);
        out.push('\n');
    };
    line(format_args!("# Written by `driftc devices --probe`. Compile for this device with"));
    line(format_args!("# `driftc compile MODEL --target THIS_FILE`."));
    line(format_args!("name = {}", quoted(name)));
    line(format_args!("vendor = {}", quoted(vendor_name(probed))));
    line(format_args!("rank = {PROBED_RANK}"));
    let mut classes: Vec<String> = probed.iter().map(|caps| quoted(class_for(caps))).collect();
    classes.dedup();
    line(format_args!("inherits = [{}]", classes.join(", ")));
    for caps in probed {
        let api = api_name(caps.api);
        let source = quoted(&format!("{api} driver, probed"));
        line(format_args!("\n[api.{api}]\nsource = {source}"));
        line(format_args!("vendor-id = {:#06x}", caps.vendor_id));
        line(format_args!("device-id = {:#06x}", caps.device_id));
        let names =
            if caps.device_name.is_empty() { String::new() } else { quoted(&caps.device_name) };
        line(format_args!("name-contains = [{names}]"));
        let matrices = consistent(caps).contains(Features::COOPERATIVE_MATRIX);
        let shapes: Vec<String> = caps
            .matrix_shapes
            .iter()
            .filter(|_| matrices)
            .map(|shape| format!("\n    {},", quoted(&matrix_shape_text(shape))))
            .collect();
        let end = if shapes.is_empty() { "" } else { "\n" };
        line(format_args!("matrix-shapes = [{}{end}]", shapes.concat()));
        line(format_args!("\n[api.{api}.features]\nsource = {source}"));
        let features = consistent(caps);
        for &(feature, name) in Features::NAMES {
            line(format_args!("{name} = {}", features.contains(feature)));
        }
        line(format_args!("\n[api.{api}.limits]\nsource = {source}"));
        let mut limits = caps.limits;
        for key in LIMITS {
            line(format_args!("{} = {}", key.name, (key.field)(&mut limits)));
        }
        for key in AXIS_LIMITS {
            line(format_args!("{} = {:?}", key.name, (key.field)(&mut limits)));
        }
        line(format_args!("{STORAGE_OFFSET_ALIGNMENT} = {}", caps.storage_offset_alignment));
        line(format_args!("\n[api.{api}.subgroup]\nsource = {source}"));
        line(format_args!("size = {}", caps.subgroup_size));
        line(format_args!("min = {}", caps.subgroup_size_min));
        line(format_args!("max = {}", caps.subgroup_size_max));
    }
    out
}

/// The features without those that the rest of the answers contradict: some drivers report
/// cooperative matrices of no shape, for instance.
fn consistent(caps: &Capabilities) -> Features {
    let mut features = caps.features;
    // what kernels say in PTX is listed in a file, where the compiler looks for it
    if features.contains(Features::INLINE_PTX) {
        features = features.union(Features::BY_PTX);
    }
    if caps.matrix_shapes.is_empty() {
        features = features.difference(Features::COOPERATIVE_MATRIX);
    }
    if caps.subgroup_size == 0 {
        features = features.difference(Features::SUBGROUP_BASIC);
    }
    features
}

/// PCI and Khronos vendor numbers of GPU makers.
fn vendor_name(probed: &[Capabilities]) -> &'static str {
    match probed.iter().map(|caps| caps.vendor_id).find(|&id| id != 0) {
        Some(0x10DE) => "nvidia",
        Some(0x1002) => "amd",
        Some(0x8086) => "intel",
        Some(0x5143) => "qualcomm",
        Some(0x13B5) => "arm",
        Some(0x1010) => "imagination",
        Some(0x106B) => "apple",
        Some(0x10005) => "mesa",
        _ => "unknown",
    }
}

/// A TOML basic string; driver names are not ours to trust.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars().take(1024) {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
