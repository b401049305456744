//! Runs a bundle once with ramps (or zeros) as inputs and prints the heads of its outputs:
//! `drift-minimal MODEL.drift [--zeros]`. Built with `--profile minimal` to see how small the
//! runtime is.
#![forbid(unsafe_code)]

use drift_runtime::{Bundle, Device, Session, TensorRef, plan::ElemType};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(path) = arguments.next() else {
        eprintln!("usage: drift-minimal MODEL.drift [--zeros]");
        return ExitCode::from(2);
    };
    let ramps = arguments.next().as_deref() != Some("--zeros");
    match run(&path, ramps) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run(path: &str, ramps: bool) -> drift_runtime::Result<()> {
    let bundle = Bundle::open(path)?;
    let device = Device::best(&bundle)?;
    let mut session = Session::new(&device, &bundle)?;
    println!("{} on {}", bundle.meta().model(), device.capabilities().device_name);

    let mut inputs = Vec::new();
    for io in session.inputs() {
        let elems = io.elems().unwrap_or(0);
        // Little-endian elements: i / n for floats, zeros for all else (ids and masks).
        let float = ramps && io.elem == ElemType::F32;
        let bytes = match float {
            true => (0..elems).flat_map(|i| (i as f32 / elems as f32).to_le_bytes()).collect(),
            false => vec![0; (elems * io.elem.bytes()) as usize],
        };
        inputs.push((io.clone(), bytes));
    }
    for (io, bytes) in &inputs {
        session.set_input(&io.name, TensorRef::from_bytes(io.elem, bytes, &io.shape))?;
    }
    session.submit()?;
    let names: Vec<String> = session.outputs().iter().map(|io| io.name.clone()).collect();
    for name in names {
        let output = session.output(&name)?;
        let values = output.to_f32();
        println!("{name} {:?}: {:?}", output.shape, &values[..values.len().min(8)]);
    }
    Ok(())
}
