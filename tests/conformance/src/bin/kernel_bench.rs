//! Times single operators on the device: chains of equal `linear` nodes, each with weights of its
//! own, as a model has them, so that no cache holds them.
//!
//! ```text
//! kernel_bench [--target ID] [--copy GB/s] [--rows M] [--mebibytes N] [--int8 0|1] [--scheme q4]… [NxK[:gns]]…
//! ```
//! `NxK` is a matrix of N outputs and K inputs; `g` gated, `n` with a norm of x, `s` with a
//! residual sum. Prints microseconds per node, bytes of weights per second, and their share of the
//! bandwidth that a copy reaches in the same run.

use drift_bundle::{BundleWriter, Meta};
use drift_conformance::{gpu, network};
use drift_driver::lowering::{self, LowerOptions};
use drift_driver::memory::Strategy;
use drift_driver::plan::{self, EntrySteps, PlanOptions};
use drift_driver::shaders;
use drift_driver::target::TargetSpec;
use drift_driver::weights::WeightPool;
use drift_ir::{
    Arg, Attrs, Body, DType, Graph, LazyTensor, Operand, PointwiseOp, Shape, Step, Tensor, ValueId,
    View, ViewStep,
};
use drift_kernel::tensor::{Elem, Layout, Storage};
use drift_ops::lower::{Placement, Target, elem_of};
use drift_ops::quant::Scheme;
use drift_runtime::{Bundle, Device, DriverCache, Session, SessionOptions};
use std::io::Write;
use std::time::{Duration, Instant};

type Failure = Box<dyn std::error::Error>;

/// The products of a decode step: Llama 3 of 8B and 1B parameters.
const SHAPES: [&str; 9] = [
    "6144x4096:n",
    "4096x4096:s",
    "28672x4096:gn",
    "4096x14336:s",
    "128256x4096:n",
    "3072x2048:n",
    "2048x2048:s",
    "16384x2048:gn",
    "2048x8192:s",
];

/// How long a chain runs before it is timed.
const WARM_UP: Duration = Duration::from_millis(150);

struct Options {
    target: String,
    /// Bandwidth of a copy in GB/s, where it is known: element-wise copies are bound by the start
    /// of workgroups on large devices.
    copy: Option<f64>,
    rows: usize,
    bytes: usize,
    int8: Option<bool>,
    schemes: Vec<Scheme>,
    shapes: Vec<Product>,
}

#[derive(Clone, Copy)]
struct Product {
    n: usize,
    k: usize,
    gated: bool,
    norm: bool,
    sum: bool,
}

impl Product {
    fn parse(text: &str) -> Option<Product> {
        let (shape, flags) = text.split_once(':').unwrap_or((text, ""));
        let (n, k) = shape.split_once('x')?;
        let (n, k) = (n.parse().ok()?, k.parse().ok()?);
        let has = |c| flags.contains(c);
        Some(Product { n, k, gated: has('g'), norm: has('n'), sum: has('s') })
    }

    fn outputs(&self) -> usize {
        if self.gated { self.n / 2 } else { self.n }
    }

    fn bytes(&self, scheme: Scheme) -> usize {
        self.n * (scheme.data_row_bytes(self.k) + scheme.scales_row_bytes(self.k))
    }
}

fn options() -> Result<Options, Failure> {
    let mut o = Options {
        target: "nvidia-h200".into(),
        copy: None,
        rows: 1,
        bytes: 160 << 20,
        int8: None,
        schemes: Vec::new(),
        shapes: Vec::new(),
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value"));
        match arg.as_str() {
            "--target" => o.target = value()?,
            "--copy" => o.copy = Some(value()?.parse()?),
            "--rows" => o.rows = value()?.parse()?,
            "--mebibytes" => o.bytes = value()?.parse::<usize>()? << 20,
            "--int8" => o.int8 = Some(value()? == "1"),
            "--scheme" => {
                let name = value()?;
                o.schemes.push(Scheme::parse(&name).ok_or(format!("no scheme `{name}`"))?);
            }
            shape => o.shapes.push(Product::parse(shape).ok_or(format!("no shape `{shape}`"))?),
        }
    }
    if o.schemes.is_empty() {
        o.schemes = ["q8", "q4", "q4g32"].iter().filter_map(|s| Scheme::parse(s)).collect();
    }
    if o.shapes.is_empty() {
        o.shapes = SHAPES.iter().filter_map(|s| Product::parse(s)).collect();
    }
    Ok(o)
}

/// Constants of random words; `kind` says which bits of each word are random.
fn words(
    key: String,
    count: usize,
    make: impl Fn(u64) -> u32 + Send + Sync + 'static,
) -> LazyTensor {
    let mut state = key
        .bytes()
        .fold(0x9E37_79B9_7F4A_7C15u64, |s, b| (s ^ u64::from(b)).wrapping_mul(0x100_0000_01B3))
        | 1;
    // one block, repeated: the device reads other addresses all the same
    let block: Vec<u8> = (0..(1usize << 20).min(count))
        .flat_map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            make(state >> 16).to_le_bytes()
        })
        .collect();
    LazyTensor::new(key, move |out: &mut dyn Write| {
        let mut left = 4 * count;
        while left > 0 {
            let now = left.min(block.len());
            out.write_all(&block[..now])?;
            left -= now;
        }
        Ok(())
    })
}

/// The operands data and scales of a matrix of plausible random weights.
fn matrix(g: &mut Graph, p: &Product, scheme: Scheme, key: &str) -> [Option<Operand>; 2] {
    let (dtype, shape) = scheme.data_type(p.n, p.k);
    let size = 1.0 / (p.k as f32).sqrt();
    let count = shape.elems() * dtype.bytes() / 4;
    let data = match scheme {
        Scheme::F32 => words(format!("{key} data"), count, move |r| {
            ((r as u32 as f32 / u32::MAX as f32 - 0.5) * size).to_bits()
        }),
        Scheme::F16 => words(format!("{key} data"), count, move |r| {
            let half = |r: u64| {
                let v = (r as u16 as f32 / f32::from(u16::MAX) - 0.5) * size;
                u32::from(half::f16::from_f32(v).to_bits())
            };
            half(r) | half(r >> 16) << 16
        }),
        _ => words(format!("{key} data"), count, |r| r as u32),
    };
    let data = g.add_lazy(format!("{key} data"), dtype, shape, data);
    let step = size * if scheme.bits() == 8 { 0.014 } else { 0.22 };
    let scales = scheme.scales_type(p.n, p.k).map(|(dtype, shape)| {
        let half = u32::from(half::f16::from_f32(step).to_bits());
        let word = if dtype == DType::F32 { step.to_bits() } else { half | half << 16 };
        let lazy = words(format!("{key} scales"), shape.elems(), move |_| word);
        g.add_lazy(format!("{key} scales"), dtype, shape, lazy).into()
    });
    [Some(data.into()), scales]
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

/// A chain of `count` products, each reading the result of the one before.
fn chain(p: &Product, scheme: Scheme, rows: usize, count: usize) -> Graph {
    let mut g = Graph::new("bench");
    let x = g.add_input("x", DType::F32, [rows, p.k]);
    let ones = |n: usize| Tensor::from_f32([n], &vec![1.0; n]);
    let gamma = p.norm.then(|| g.add_const("gamma", ones(p.k)));
    let residual = p.sum.then(|| g.add_input("r", DType::F32, [rows, p.outputs()]));
    let mut last: Operand = x.into();
    for i in 0..count {
        let [data, scales] = matrix(&mut g, p, scheme, &format!("w{i}"));
        let mut attrs = Attrs::new()
            .with("scheme", scheme.name())
            .with("n", p.n as i64)
            .with("k", p.k as i64)
            .with("gate", if p.gated { "silu" } else { "" })
            .with("norm", if p.norm { "rms" } else { "" });
        attrs.set("norm_eps", 1e-5);
        let operands = vec![Some(last), data, scales, gamma.map(Operand::from)];
        let result = (format!("y{i}"), DType::F32, Shape::from([rows, p.outputs()]));
        let node = g.add_node("linear", attrs, operands, vec![result], format!("linear {i}"));
        if let Some(r) = residual {
            let n = g.node_mut(node);
            let args = vec![Arg::Acc, Arg::Operand(n.operands.len())];
            n.operands.push(Some(r.into()));
            let step = Step { op: PointwiseOp::Add, args, dtype: DType::F32 };
            n.epilogue = Body { steps: vec![step], results: vec![Arg::Step(0)] };
        }
        let y = g.node(node).results[0];
        last = Operand { value: y, view: resized(rows, p.outputs(), p.k) };
    }
    g.outputs.push(("y".into(), last.value));
    g
}

/// `count` copies of a tensor of `elems` f32, one after the other.
fn copies(elems: usize, count: usize) -> Graph {
    let mut g = Graph::new("bench");
    let mut last: ValueId = g.add_input("x", DType::F32, [elems]);
    for i in 0..count {
        let result = (format!("y{i}"), DType::F32, Shape::from([elems]));
        let node = g.add_node(
            "pointwise",
            Attrs::new(),
            vec![Some(last.into())],
            vec![result],
            format!("copy {i}"),
        );
        let n = g.node_mut(node);
        n.epilogue_operands = 0;
        let args = vec![Arg::Operand(0)];
        let step = Step { op: PointwiseOp::Identity, args, dtype: DType::F32 };
        n.epilogue = Body { steps: vec![step], results: vec![Arg::Step(0)] };
        last = g.node(node).results[0];
    }
    g.outputs.push(("y".into(), last));
    g
}

/// Compiles a graph and gives the nanoseconds of one run.
fn time(device: &Device, spec: &TargetSpec, g: &Graph, int8: bool) -> Result<f64, Failure> {
    let limits = &spec.caps.limits;
    let max_object_bytes = limits.storage_range_bytes.min(limits.buffer_bytes);
    let target = Target {
        caps: spec.caps.clone(),
        max_object_bytes,
        weight_elem: if spec.stores_f16() { Elem::F16 } else { Elem::F16Packed },
        int8_activations: int8,
        full_invocations: spec.full_invocations,
        chains: spec.chains,
    };
    let mut placements: Vec<Option<Placement>> = g
        .value_ids()
        .map(|v| {
            (!g.is_const(v)).then(|| Placement {
                elem: elem_of(g.value(v).dtype, Elem::F32),
                layout: Layout::RowMajor,
                storage: Storage::Buffer,
                base_elems: 0,
            })
        })
        .collect();
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
    drop(weights);
    let options = SessionOptions { cache: DriverCache::Off, ..SessionOptions::default() };
    let mut session = Session::with_options(device, &bundle, &options)?;
    // an idle device lowers its clocks
    let start = Instant::now();
    while start.elapsed() < WARM_UP {
        session.bench(20)?;
    }
    let times = session.bench(50)?;
    Ok(times.median_nanos() as f64)
}

fn main() -> Result<(), Failure> {
    let o = options()?;
    let device = gpu::device().ok_or("there is no device")?;
    let spec = network::targets(&[&o.target]).remove(0);
    let int8 = o.int8.unwrap_or(spec.gains_by_int8());
    println!("{} as {}, {} rows, int8 {int8}", device.capabilities().device_name, spec.id, o.rows);
    let elems = o.bytes / 4;
    let measured = || -> Result<f64, Failure> {
        Ok(8.0 * elems as f64 * 4.0 / time(&device, &spec, &copies(elems, 4), false)?)
    };
    let copy = o.copy.map_or_else(measured, Ok)?;
    let small = time(&device, &spec, &copies(64, 200), false)? / 200.0 / 1000.0;
    println!("copy {copy:.0} GB/s, smallest dependent dispatch {small:.2} us");
    for p in &o.shapes {
        for &scheme in &o.schemes {
            let bytes = p.bytes(scheme);
            let count = (o.bytes / bytes).clamp(2, 100);
            let g = chain(p, scheme, o.rows, count);
            let flags: String = [(p.gated, 'g'), (p.norm, 'n'), (p.sum, 's')]
                .iter()
                .filter_map(|(on, c)| on.then_some(*c))
                .collect();
            let name = format!("{}x{} {flags}", p.n, p.k);
            let us = match time(&device, &spec, &g, int8) {
                Ok(ns) => ns / count as f64 / 1000.0,
                Err(e) => {
                    println!("{name:<16} {scheme:<7} {e}");
                    continue;
                }
            };
            let floor = bytes as f64 / copy / 1000.0;
            println!(
                "{name:<16} {:<7} {us:>8.2} us {:>6.0} GB/s {:>5.1}% of copy, {:>5.1}% of floor",
                scheme.name(),
                bytes as f64 / us / 1000.0,
                100.0 * floor / us,
                100.0 * (floor + small) / us,
            );
        }
    }
    Ok(())
}
