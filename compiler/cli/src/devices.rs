//! `driftc devices`: what is here, and what can be compiled for.

use crate::args::DevicesArgs;
use crate::error::{CliError, Result, Status};
use crate::summary::bytes as human;
use drift_runtime::{Device, DeviceInfo, RuntimeErrorKind};
use serde_json::{Value, json};

pub fn run(args: &DevicesArgs) -> Result {
    let found = match Device::list() {
        Ok(list) => list,
        Err(e) if e.kind() == RuntimeErrorKind::NoDevice && !args.probe => {
            if !args.json {
                println!("no GPU driver: {e}");
            }
            Vec::new()
        }
        Err(e) => return Err(e.into()),
    };
    if args.probe {
        let info = match args.device {
            Some(n) => found.get(n),
            None => found.first(),
        };
        let Some(info) = info else {
            return Err(CliError::new(Status::NoDevice, "there is no such device to probe"));
        };
        print!("{}", drift_targets::to_toml(std::slice::from_ref(&info.capabilities)));
        return Ok(());
    }
    let targets = drift_targets::all().map_err(|e| CliError::bad(e.to_string()))?;
    if args.json {
        let devices: Vec<Value> = found.iter().map(device_json).collect();
        let targets: Vec<Value> = targets
            .iter()
            .map(|t| {
                let apis: Vec<&str> = t.apis().map(drift_targets::api_name).collect();
                json!({ "id": t.id, "name": t.name, "apis": apis })
            })
            .collect();
        println!("{:#}", json!({ "devices": devices, "targets": targets }));
        return Ok(());
    }
    for d in &found {
        let c = &d.capabilities;
        println!(
            "{}  {} ({:?}, {}, {} {}, {})",
            d.index,
            c.device_name,
            d.kind,
            d.driver,
            c.api,
            d.api_version,
            match d.memory_bytes {
                // WebGPU does not tell
                0 => "memory unknown".to_owned(),
                bytes => human(bytes).to_string(),
            }
        );
        println!("   {}", c.features.names().collect::<Vec<_>>().join(", "));
        println!(
            "   {} per binding, {} workgroup memory, subgroups of {}, {} cooperative-matrix shapes",
            human(c.limits.storage_range_bytes),
            human(c.limits.workgroup_memory_bytes),
            c.subgroup_size,
            c.matrix_shapes.len(),
        );
    }
    println!("targets for `compile --target`:");
    for t in &targets {
        let apis: Vec<&str> = t.apis().map(drift_targets::api_name).collect();
        println!("  {:<20} {} ({})", t.id, t.name, apis.join(", "));
    }
    println!("  {:<20} the interpreter on the CPU", "reference");
    Ok(())
}

fn device_json(d: &DeviceInfo) -> Value {
    let c = &d.capabilities;
    json!({
        "index": d.index, "name": c.device_name, "kind": format!("{:?}", d.kind).to_lowercase(),
        "api": c.api.to_string(), "driver": d.driver, "api_version": d.api_version,
        "memory_bytes": d.memory_bytes, "features": c.features.names().collect::<Vec<_>>(),
        "subgroup_size": c.subgroup_size,
        "limits": {
            "storage_range_bytes": c.limits.storage_range_bytes,
            "buffer_bytes": c.limits.buffer_bytes,
            "workgroup_memory_bytes": c.limits.workgroup_memory_bytes,
            "workgroup_invocations": c.limits.workgroup_invocations,
        },
        "matrix_shapes": c.matrix_shapes.iter().map(|s| format!("{s:?}")).collect::<Vec<_>>(),
    })
}
