//! `driftc run --explain`: which variant of a bundle runs where, and why not the others.

use crate::args::{Backend, RunArgs};
use crate::error::{CliError, Result, Status};
use crate::runner::open;
use crate::runner::open_device;
use drift_runtime::{Bundle, Choice, Device, DeviceInfo, Verdict};
use serde_json::{Value, json};

pub fn run(args: &RunArgs) -> Result {
    if args.place.backend == Backend::Reference {
        return Err(CliError::bad("--explain is about devices, and the interpreter is none").help(
            "leave out --backend reference: it always takes the bundle's reference variant",
        ));
    }
    let bundle = open(&args.bundle)?;
    let devices = Device::list()?;
    // the very choice that `run` makes, so that what is said is what happens
    let opened = open_device(&bundle, &args.place);
    let chosen = opened.as_ref().ok().map(|d| place_in(&devices, d));
    let is_chosen = |d: &DeviceInfo| chosen == Some(Some(d.index));
    if args.json {
        let devices: Vec<Value> =
            devices.iter().map(|d| device_json(d, is_chosen(d), &d.explain(&bundle))).collect();
        println!("{:#}", json!({ "devices": devices }));
    } else {
        for d in &devices {
            print_device(d, is_chosen(d), &bundle);
        }
    }
    let device = opened?;
    let runs = device.explain(&bundle).iter().any(|c| c.verdict == Verdict::Chosen);
    match runs {
        true => Ok(()),
        false => {
            let name = &device.capabilities().device_name;
            Err(CliError::new(Status::NoDevice, format!("{name} runs no variant of the bundle")))
        }
    }
}

/// Position of an open device, which knows its number among those of its API.
fn place_in(devices: &[DeviceInfo], device: &Device) -> Option<usize> {
    let of_api = |d: &&DeviceInfo| d.capabilities.api == device.capabilities().api;
    devices.iter().filter(of_api).nth(device.info().index).map(|d| d.index)
}

fn print_device(d: &DeviceInfo, chosen: bool, bundle: &Bundle) {
    let (c, mark) = (&d.capabilities, if chosen { ": chosen" } else { "" });
    println!("device {}  {} ({}){mark}", d.index, c.device_name, c.api);
    let choices = d.explain(bundle);
    let of_api = |choice: &&Choice| choice.api == c.api;
    for choice in choices.iter().filter(of_api) {
        let (target, rank) = (&choice.target, choice.rank);
        let word = match &choice.verdict {
            Verdict::Chosen => "chosen",
            Verdict::Fits => "fits, a better one does too",
            Verdict::Rejected(_) => "rejected",
        };
        println!("  {target:<20} rank {rank:>3}  {word}");
        if let Verdict::Rejected(unmet) = &choice.verdict {
            unmet.iter().for_each(|u| println!("    {u}"));
        }
    }
    let others: Vec<String> = choices
        .iter()
        .filter(|c| !of_api(c))
        .map(|c| format!("{} ({})", c.target, c.api))
        .collect();
    if !others.is_empty() {
        println!("  rejected, being for another API: {}", others.join(", "));
    }
}

fn device_json(d: &DeviceInfo, chosen: bool, choices: &[Choice]) -> Value {
    let variants: Vec<Value> = choices
        .iter()
        .map(|c| {
            let (verdict, unmet) = match &c.verdict {
                Verdict::Chosen => ("chosen", Vec::new()),
                Verdict::Fits => ("fits", Vec::new()),
                Verdict::Rejected(unmet) => ("rejected", unmet.clone()),
            };
            let unmet: Vec<Value> = unmet
                .iter()
                .map(|u| json!({ "field": u.field, "needed": u.need, "offered": u.have }))
                .collect();
            json!({
                "variant": c.variant, "target": c.target, "api": c.api.to_string(),
                "rank": c.rank, "verdict": verdict, "unmet": unmet,
            })
        })
        .collect();
    let c = &d.capabilities;
    json!({
        "index": d.index, "name": c.device_name, "api": c.api.to_string(), "driver": d.driver,
        "chosen": chosen, "variants": variants,
    })
}
