//! Nonsense never panics and never allocates much: every ONNX operator of the table is imported
//! with random operands and attributes out of a pool of hostile values.

use drift_ir::{Attr, Attrs, DType, Graph, Tensor};
use drift_ops::{ImportCtx, OPS, data, eval_graph, import_node};

/// A small generator (splitmix64), so that a failure can be repeated by its number.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[(self.next() % list.len() as u64) as usize]
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }
}

const SHAPES: &[&[usize]] = &[
    &[],
    &[0],
    &[1],
    &[2],
    &[3],
    &[4],
    &[6],
    &[2, 3],
    &[3, 3],
    &[0, 4],
    &[1, 3],
    &[4, 3, 2],
    &[2, 0, 3],
    &[1, 2, 4],
    &[1, 4, 5, 5],
    &[2, 4, 3, 3],
    &[4, 2, 3, 3],
    &[4, 1, 3, 3],
    &[1, 0, 3, 3],
    &[4],
    &[1, 2, 3, 3, 3],
    &[1, 1, 1, 1, 1, 1],
    &[8, 3],
    &[1, 8, 2],
    &[1, 16],
];

const DTYPES: &[DType] = &[
    DType::F32,
    DType::F32,
    DType::F32,
    DType::F16,
    DType::I64,
    DType::I64,
    DType::I32,
    DType::U8,
    DType::I8,
    DType::Bool,
    DType::U64,
    DType::F64,
];

const INTS: &[i64] = &[
    0,
    1,
    1,
    2,
    2,
    3,
    -1,
    -2,
    4,
    5,
    7,
    10,
    16,
    1 << 20,
    1 << 40,
    i64::MAX,
    i64::MIN,
    i64::MAX / 2,
];

const NAMES: &[&str] = &[
    "axis",
    "axes",
    "pads",
    "strides",
    "dilations",
    "kernel_shape",
    "group",
    "auto_pad",
    "perm",
    "blocksize",
    "mode",
    "to",
    "keepdims",
    "p",
    "k",
    "size",
    "alpha",
    "beta",
    "bias",
    "epsilon",
    "split",
    "num_outputs",
    "output_padding",
    "output_shape",
    "hidden_size",
    "direction",
    "layout",
    "batch_dims",
    "equation",
    "ceil_mode",
    "count_include_pad",
    "starts",
    "ends",
    "value",
    "num_groups",
    "groups",
    "scales",
    "coordinate_transformation_mode",
    "nearest_mode",
    "N",
    "K",
    "bits",
    "block_size",
    "allowzero",
    "start",
    "end",
    "time_axis",
    "batch_axis",
    "select_last_index",
    "noop_with_empty_axes",
    "largest",
    "exclusive",
    "reverse",
    "padding_mode",
    "align_corners",
    "linear_before_reset",
    "clip",
    "input_forget",
    "upper",
    "reduction",
    "min",
    "max",
    "dtype",
    "output_datatype",
    "keep_aspect_ratio_policy",
    "transA",
    "transB",
    "activation",
    "repeats",
    "broadcast",
    "shape",
    "axes",
    "output_dtype",
    "roi",
    "value_int",
    "value_floats",
    "lambd",
];

const TEXTS: &[&str] = &[
    "",
    "SAME_UPPER",
    "SAME_LOWER",
    "VALID",
    "linear",
    "nearest",
    "cubic",
    "reflect",
    "edge",
    "wrap",
    "bidirectional",
    "reverse",
    "ij,jk->ik",
    "...ij->...ji",
    "ii->i",
    "i,i",
    "->",
    ",",
    "ijk->",
    "align_corners",
    "tf_crop_and_resize",
    "not_larger",
    "CRD",
    "LEFT",
    "tanh",
    "add",
    "border",
    "zeros",
    "Relu",
    "floor",
    "half_pixel_symmetric",
    "not_smaller",
];

fn attr(r: &mut Random) -> Attr {
    match r.next() % 8 {
        0 | 1 => Attr::Int(*r.pick(INTS)),
        2 => Attr::Float(*r.pick(&[0.0, 1.0, -1.0, 0.5, f64::NAN, f64::INFINITY, 1e300])),
        3 => Attr::Str((*r.pick(TEXTS)).to_owned()),
        4 | 5 => {
            let n = r.next() % 7;
            Attr::Ints((0..n).map(|_| *r.pick(INTS)).collect())
        }
        6 => {
            let n = r.next() % 5;
            Attr::Floats((0..n).map(|_| *r.pick(&[0.0, 1.0, 2.0, 0.5, f64::NAN, 1e30])).collect())
        }
        _ => Attr::Tensor(tensor(r)),
    }
}

fn tensor(r: &mut Random) -> Tensor {
    let shape = *r.pick(SHAPES);
    let dtype = *r.pick(DTYPES);
    let n: usize = shape.iter().product();
    if !dtype.is_float() && r.chance(40) {
        let v: Vec<i64> = (0..n).map(|_| *r.pick(INTS)).collect();
        return Tensor::from_i64s(dtype, shape, &v);
    }
    if r.chance(5) {
        return Tensor::from_f64s(dtype, shape, &vec![f64::NAN; n]);
    }
    data::sample(r.next(), dtype, shape)
}

#[test]
fn nonsense_is_refused() {
    let names: Vec<_> = OPS.iter().flat_map(|d| d.onnx).collect();
    let rounds: u64 =
        std::env::var("DRIFT_HOSTILE_ROUNDS").ok().and_then(|v| v.parse().ok()).unwrap_or(60);
    let first: u64 =
        std::env::var("DRIFT_HOSTILE_SEED").ok().and_then(|v| v.parse().ok()).unwrap_or(0);
    let (mut good, mut bad) = (0, 0);
    let mut panics = Vec::new();
    for (i, name) in names.iter().enumerate() {
        for round in first..first + rounds {
            let mut r = Random(i as u64 * 1_000_003 + round);
            let mut graph = Graph::new("t");
            let mut inputs = Vec::new();
            let mut fed = Vec::new();
            // operands of one dtype get past the first check more often
            let shared = tensor(&mut r);
            for _ in 0..1 + r.next() % 6 {
                let mut t = tensor(&mut r);
                if r.chance(50) {
                    t = data::sample(r.next(), shared.dtype, t.shape);
                }
                inputs.push(match r.next() % 8 {
                    0 => None,
                    1..=4 => Some(graph.add_const("c", t)),
                    _ => {
                        fed.push(t.clone());
                        Some(graph.add_input("x", t.dtype, t.shape))
                    }
                });
            }
            let mut attrs = Attrs::new();
            for _ in 0..r.next() % 6 {
                let key = *r.pick(NAMES);
                let value = attr(&mut r);
                attrs.0.insert(key.to_owned(), value);
            }
            let mut ctx = ImportCtx {
                graph: &mut graph,
                op_type: name.name.to_owned(),
                domain: name.domain.to_owned(),
                opset: name.since.max(*r.pick(&[7, 9, 11, 13, 18, 21])),
                attrs,
                inputs,
                output_names: vec!["y".to_owned()],
                path: format!("{}#{round}", name.name),
            };
            let what = format!("{}, seed {round}", name.name);
            let run = std::panic::AssertUnwindSafe(|| import_node(&mut ctx));
            let Ok(imported) = std::panic::catch_unwind(run) else {
                panics.push(format!("import of {what}"));
                continue;
            };
            match imported {
                Err(e) => {
                    assert!(!e.message.is_empty() && !e.path.is_empty());
                    bad += 1;
                }
                Ok(values) => {
                    let elems = graph.value(values[0]).shape.elems();
                    graph.outputs.push(("y".to_owned(), values[0]));
                    graph.remove_dead_nodes();
                    // what was accepted can be computed (or says why not), unless it is huge
                    let small = |v| graph.value(v).shape.elems() < 1 << 20;
                    if elems < 1 << 20 && graph.value_ids().all(small) {
                        let run = std::panic::AssertUnwindSafe(|| eval_graph(&graph, &fed));
                        if std::panic::catch_unwind(run).is_err() {
                            panics.push(format!("evaluation of {what}"));
                        }
                    }
                    good += 1;
                }
            }
        }
    }
    println!("{good} accepted, {bad} refused");
    assert!(panics.is_empty(), "panicked: {panics:#?}");
    assert!(good > 1000 && bad > 1000, "{good} accepted, {bad} refused: the pool is lopsided");
}
