//! Times `cached_attention` on the device: chains of layers, each with a cache of its own, as a
//! model has them, so that no cache of the device holds them.
//!
//! ```text
//! attention_bench [--target ID] [--int8] [ROWSxPOSITIONxCONTEXT:HEADS/KV_HEADS/DH]…
//! ```
//! Prints microseconds per layer, the bytes of keys and values that a layer reads per second, and
//! where the time goes.

use drift_bundle::{BundleWriter, Meta};
use drift_conformance::{gpu, network};
use drift_driver::lowering::{self, LowerOptions};
use drift_driver::memory::Strategy;
use drift_driver::plan::{self, EntrySteps, PlanOptions};
use drift_driver::shaders;
use drift_driver::target::TargetSpec;
use drift_driver::weights::WeightPool;
use drift_ir::{DType, Graph, Operand, Shape, Tensor, View, ViewStep};
use drift_kernel::tensor::{Elem, Layout, Storage};
use drift_ops::lower::{Placement, Target, elem_of};
use drift_ops::ops::cached_attention::{CachedAttention, attrs};
use drift_runtime::{Bundle, Device, DriverCache, Session, SessionOptions};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

type Failure = Box<dyn std::error::Error>;

/// Llama 3 of 8B and 1B parameters: decode steps at two depths, and a prompt.
const CASES: [&str; 6] = [
    "1x1024x4096:32/8/128",
    "1x4000x4096:32/8/128",
    "1x1024x4096:32/8/64",
    "1x4000x4096:32/8/64",
    "1024x0x4096:32/8/128",
    "1024x0x4096:32/8/64",
];

struct Case {
    name: String,
    a: CachedAttention,
    position: usize,
}

fn parse(text: &str, int8: bool) -> Option<Case> {
    let (sizes, heads) = text.split_once(':')?;
    let numbers =
        |s: &str, at: char| -> Option<Vec<usize>> { s.split(at).map(|x| x.parse().ok()).collect() };
    let [rows, position, context] = numbers(sizes, 'x')?[..] else { return None };
    let [heads, kv_heads, head_dim] = numbers(heads, '/')?[..] else { return None };
    let a = CachedAttention {
        rows,
        heads,
        kv_heads,
        head_dim,
        context,
        rotary_dim: head_dim,
        rope_switch: 0,
        interleaved: false,
        window: 0,
        softcap: 0.0,
        scale: 1.0 / (head_dim as f64).sqrt(),
        norm_eps: 1e-6,
        int8,
    };
    Some(Case { name: text.to_owned(), a, position })
}

/// `[rows, have]` seen as `[rows, want]`: cut off, or repeated.
fn resized(rows: usize, have: usize, want: usize) -> View {
    let times = want.div_ceil(have);
    let mut view = View::identity();
    if times > 1 {
        view = view
            .then(ViewStep::Reshape { shape: [rows, 1, have].into() })
            .then(ViewStep::Broadcast { shape: [rows, times, have].into() })
            .then(ViewStep::Reshape { shape: [rows, times * have].into() });
    }
    if times * have != want {
        view = view.then(ViewStep::Slice {
            starts: vec![0, 0],
            sizes: vec![rows, want],
            steps: vec![1, 1],
        });
    }
    view
}

/// A chain of layers, each reading the result of the one before.
fn chain(case: &Case, layers: usize) -> Graph {
    let a = &case.a;
    let mut g = Graph::new("bench");
    let (dh, half) = (a.head_dim, a.rotary_dim / 2);
    let width = (a.heads + 2 * a.kv_heads) * dh;
    let mut x: Operand = g.add_input("x", DType::F32, [a.rows, width]).into();
    let params = g.add_state("params", DType::I32, [16]);
    let angles: Vec<f64> = (0..a.context * half)
        .map(|i| (i / half) as f64 / 500_000f64.powf((i % half) as f64 / half as f64))
        .collect();
    let table = |f: fn(f64) -> f64| {
        let v: Vec<f64> = angles.iter().map(|x| f(*x)).collect();
        Tensor::from_f64s(DType::F32, [a.context, half], &v)
    };
    let cos = g.add_const("cos", table(f64::cos));
    let sin = g.add_const("sin", table(f64::sin));
    for i in 0..layers {
        let (dtype, depth) = if a.int8 { (DType::U32, dh / 4) } else { (DType::F32, dh) };
        let cache = [a.kv_heads, a.context, depth];
        let mut states = vec![(format!("k.{i}"), dtype, Shape::from(cache))];
        states.push((format!("v.{i}"), dtype, Shape::from(cache)));
        if a.int8 {
            let scales = Shape::from([a.kv_heads, a.context]);
            states.push((format!("ks.{i}"), DType::F32, scales.clone()));
            states.push((format!("vs.{i}"), DType::F32, scales));
        }
        let old: Vec<Operand> =
            states.iter().map(|(n, d, s)| g.add_state(n, *d, s.clone()).into()).collect();
        let mut operands = vec![Some(x), Some(cos.into()), Some(sin.into())];
        operands.extend(old[..2].iter().cloned().map(Some));
        operands.extend([Some(params.into()), None, None]);
        operands.extend(old[2..].iter().cloned().map(Some));
        let shape = Shape::from([a.rows, a.heads * dh]);
        let mut results = vec![(format!("y{i}"), DType::F32, shape)];
        results.extend(states.iter().map(|(n, d, s)| (format!("{n}'"), *d, s.clone())));
        let node =
            g.add_node("cached_attention", attrs(a), operands, results, format!("layer {i}"));
        for (k, (name, ..)) in states.iter().enumerate() {
            let after = g.node(node).results[k + 1];
            g.set_state(name.clone(), after);
        }
        let y = g.node(node).results[0];
        x = Operand { value: y, view: resized(a.rows, a.heads * dh, width) };
    }
    g.outputs.push(("y".into(), x.value));
    g
}

fn session(device: &Device, spec: &TargetSpec, g: &Graph) -> Result<Session, Failure> {
    let limits = &spec.caps.limits;
    let max_object_bytes = limits.storage_range_bytes.min(limits.buffer_bytes);
    let target = Target {
        caps: spec.caps.clone(),
        max_object_bytes,
        weight_elem: if spec.stores_f16() { Elem::F16 } else { Elem::F16Packed },
        int8_activations: false,
        full_invocations: spec.full_invocations,
        chains: spec.chains,
    };
    let place = |v| {
        let value = g.value(v);
        // caches in f16, activations in f32
        let float = if value.shape.rank() == 3 { target.weight_elem } else { Elem::F32 };
        Placement {
            elem: elem_of(value.dtype, float),
            layout: Layout::RowMajor,
            storage: Storage::Buffer,
            base_elems: 0,
        }
    };
    let mut placements: Vec<Option<Placement>> =
        g.value_ids().map(|v| (!g.is_const(v)).then(|| place(v))).collect();
    let options = LowerOptions { zero_copy: true, wide: std::collections::BTreeSet::new() };
    let steps = lowering::lower_writable(g, &target, &mut placements, &options)?;
    let mut pool = WeightPool::default();
    let options = PlanOptions {
        strategy: Strategy::default(),
        in_place: true,
        exclusive_writes: false,
        max_object_bytes,
    };
    let entry = EntrySteps { name: "main", graph: g, steps: &steps, placements: &placements };
    let mut planned = plan::plan(&[entry], &mut pool, &options)?;
    let (set, requirements) = shaders::emit(spec, &mut planned)?;
    let mut weights = Vec::new();
    pool.write(&mut weights, &mut |_| ())?;
    let mut writer = BundleWriter::new(Meta::new("bench", "bench", "0"));
    writer.add_variant(requirements, planned.plan, set);
    let bundle = Bundle::from_vec(writer.to_vec(&weights)?)?;
    let options = SessionOptions { cache: DriverCache::Off, ..SessionOptions::default() };
    Ok(Session::with_options(device, &bundle, &options)?)
}

fn time(device: &Device, spec: &TargetSpec, case: &Case) -> Result<(), Failure> {
    let a = &case.a;
    let bytes = |tokens: usize| {
        let per = if a.int8 { a.head_dim + 4 } else { 2 * a.head_dim };
        2 * a.kv_heads * tokens * per
    };
    // enough layers that the device's caches hold nothing
    let layers =
        if a.rows > 16 { 8 } else { ((160 << 20) / bytes(case.position + 1)).clamp(8, 64) };
    let g = chain(case, layers);
    let mut session = session(device, spec, &g)?;
    let mut params = [0i32; 16];
    (params[0], params[1]) = (case.position as i32, a.rows as i32);
    let words: Vec<u8> = params.iter().flat_map(|p| p.to_le_bytes()).collect();
    session.write_state("params", 0, &words)?;
    // clocks rise under load only
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(300) {
        session.bench(20)?;
    }
    let us = session.bench(30)?.median_nanos() as f64 / layers as f64 / 1000.0;
    let read = bytes(case.position + a.rows) as f64;
    let flops = 4.0
        * (0..a.rows).map(|r| (case.position + r + 1) as f64).sum::<f64>()
        * (a.heads * a.head_dim) as f64;
    println!(
        "{:<24} {}: {us:>8.2} us per layer, {:>6.0} GB/s of cache, {:>6.1} TFLOP/s",
        case.name,
        if a.int8 { "int8" } else { "f16 " },
        read / us / 1000.0,
        flops / us / 1e6
    );
    // by kernel: labels differ in the number of the layer
    let mut kernels = BTreeMap::<String, (u64, u64)>::new();
    for row in &session.run_profiled()?.rows {
        let name: String = row.label.chars().filter(|c| !c.is_ascii_digit()).collect();
        let sum = kernels.entry(name).or_default();
        *sum = (sum.0 + row.nanos, sum.1 + 1);
    }
    for (name, (nanos, n)) in kernels {
        println!("    {name}: {:.2} us, {n} times", nanos as f64 / n as f64 / 1000.0);
    }
    Ok(())
}

fn main() -> Result<(), Failure> {
    let (mut target, mut int8, mut cases) = ("nvidia-h200".to_owned(), false, Vec::new());
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--target" => target = args.next().ok_or("--target needs a value")?,
            "--int8" => int8 = true,
            case => cases.push(parse(case, int8).ok_or(format!("no case `{case}`"))?),
        }
    }
    if cases.is_empty() {
        cases = CASES.iter().filter_map(|c| parse(c, int8)).collect();
    }
    let device = gpu::device().ok_or("there is no device")?;
    let spec = network::targets(&[&target]).remove(0);
    println!("{} as {}", device.capabilities().device_name, spec.id);
    for case in &cases {
        if let Err(e) = time(&device, &spec, case) {
            println!("{:<24} {e}", case.name);
        }
    }
    Ok(())
}
