//! Cases too large for the operators' own lists: they reach the kernels that only larger shapes
//! choose (tiles, workgroups that share a row, several stages, several dispatches).

use drift_ir::{Attrs, DType, Tensor};
use drift_ops::Case;
use drift_ops::data::{sample, sample_f32};

fn floats(name: &str, attrs: Attrs, shapes: &[&[usize]]) -> Case {
    let operands = shapes.iter().zip(1..).map(|(s, i)| sample_f32(i, *s)).collect();
    Case::new(name, attrs, operands)
}

fn axis(a: i64) -> Attrs {
    Attrs::new().with("axis", a)
}

fn reduce(kind: &str, axes: &[i64], keep: i64) -> Attrs {
    Attrs::new().with("kind", kind).with("axes", axes.to_vec()).with("keepdims", keep)
}

/// Extra cases of an operator.
pub fn of(op: &str) -> Vec<Case> {
    let none = Attrs::new;
    match op {
        "matmul" => vec![
            floats("tiles with edges", none(), &[&[70, 37], &[37, 67]]),
            floats("whole tiles", none(), &[&[128, 32], &[32, 64]]),
            floats("batched tiles", none(), &[&[3, 33, 20], &[3, 20, 34]]),
            floats("rows of all batches", none(), &[&[2, 9, 24], &[24, 40]]),
            floats("few rows", none(), &[&[3, 257], &[257, 130]]),
            floats("one row, long", none(), &[&[1, 1000], &[1000, 8]]),
            floats("one column", none(), &[&[40, 300], &[300, 1]]),
            floats("batch of rows", none(), &[&[5, 1, 64], &[5, 64, 48]]),
            floats("large", none(), &[&[1, 200, 96], &[96, 264]]),
            floats("dot", none(), &[&[1, 100], &[100, 1]]),
        ],
        "reduce" => vec![
            floats("sum of all", reduce("sum", &[0, 1, 2], 0), &[&[4, 128, 129]]),
            floats("max of all", reduce("max", &[0, 1, 2], 1), &[&[4, 128, 129]]),
            floats("min of few", reduce("min", &[0, 2], 0), &[&[300, 2, 128]]),
            floats("mean of rows", reduce("mean", &[1], 0), &[&[5, 333]]),
            floats("mean of pictures", reduce("mean", &[2, 3], 1), &[&[2, 10, 19, 23]]),
            floats("mean of pictures, dropped", reduce("mean", &[2, 3], 0), &[&[2, 8, 19, 23]]),
            floats("max of channels", reduce("max", &[1], 1), &[&[2, 38, 5, 6]]),
            floats("log_sum_exp", reduce("log_sum_exp", &[1], 0), &[&[3, 514]]),
            floats("l2 outer", reduce("l2", &[0], 0), &[&[100, 12]]),
            Case::new("sum i64", reduce("sum", &[1], 0), vec![sample(1, DType::I64, [3, 200])]),
            Case::new("mean i32", reduce("mean", &[0], 0), vec![sample(2, DType::I32, [5, 3])]),
            Case::new("sum of nothing", reduce("sum", &[1], 0), vec![sample_f32(1, [3, 0])]),
            Case::new("max u8", reduce("max", &[1], 0), vec![sample(3, DType::U8, [3, 99])]),
        ],
        "softmax" | "log_softmax" => vec![
            floats("attention", axis(3), &[&[1, 2, 9, 200]]),
            floats("many channels", axis(1), &[&[1, 81, 3, 5]]),
            floats("odd row", axis(1), &[&[4, 333]]),
            floats("outer", axis(0), &[&[200, 8]]),
        ],
        "arg_reduce" => {
            let kind = |a: i64, keep: i64| {
                Attrs::new()
                    .with("kind", "max")
                    .with("axis", a)
                    .with("keepdims", keep)
                    .with("last", 0i64)
            };
            let i = sample(4, DType::I32, [2, 300]);
            vec![
                floats("long", kind(1, 0), &[&[2, 5000]]),
                floats("channels", kind(1, 1), &[&[1, 150, 3, 4]]),
                floats("classes", kind(1, 0), &[&[1, 21, 3, 4]]),
                Case::new("ties", kind(1, 0), vec![i]),
            ]
        }
        "layer_norm" => vec![
            floats("wide", axis(2).with("epsilon", 1e-5), &[&[2, 3, 384], &[384], &[384]]),
            floats("odd", axis(1).with("epsilon", 1e-5), &[&[2, 301], &[301], &[301]]),
        ],
        "rms_norm" => vec![floats("wide", axis(1).with("epsilon", 1e-6), &[&[3, 516], &[516]])],
        "group_norm" => {
            let g = |n: i64| Attrs::new().with("groups", n).with("epsilon", 1e-5);
            vec![
                floats("few large", g(2), &[&[1, 8, 40, 60], &[8], &[8]]),
                floats("few large, odd", g(2), &[&[1, 6, 47, 61], &[6], &[6]]),
                floats("quads", g(4), &[&[1, 32, 5, 7], &[32], &[32]]),
                floats("odd groups", g(3), &[&[2, 9, 12, 11], &[9], &[9]]),
                floats("long signal", g(2), &[&[1, 8, 500], &[8], &[8]]),
            ]
        }
        "instance_norm" => vec![floats(
            "picture",
            Attrs::new().with("epsilon", 1e-5),
            &[&[1, 6, 24, 25], &[6], &[6]],
        )],
        "concat" => vec![
            floats("nine parts", axis(1), &[&[2usize, 3][..]; 9]),
            floats("slices", axis(1), &[&[1, 8, 3, 3], &[1, 4, 3, 3], &[1, 5, 3, 3]]),
            floats("odd channels", axis(1), &[&[1, 3, 3, 4], &[1, 6, 3, 4]]),
            floats("rows", axis(2), &[&[1, 4, 3, 8], &[1, 4, 2, 8]]),
            Case::new(
                "bool",
                axis(0),
                vec![sample(1, DType::Bool, [3, 2]), sample(2, DType::Bool, [1, 2])],
            ),
        ],
        "pad" => {
            let a = |mode: &str, pads: &[i64]| {
                Attrs::new().with("mode", mode).with("pads", pads.to_vec()).with("value", 0.0)
            };
            let i = sample(1, DType::I64, [3, 4]);
            vec![
                floats("channels", a("constant", &[0, 1, 0, 0, 0, 2, 0, 0]), &[&[1, 5, 3, 4]]),
                Case::new("i64", a("edge", &[1, 0, 0, 4]), vec![i]),
                Case::new("nothing", a("constant", &[1, 0, 0, 4]), vec![sample_f32(1, [0, 4])]),
            ]
        }
        "gather" => {
            let index = Tensor::from_i64([5], &[7, 0, 63, -1, 20]);
            vec![
                Case::new("embedding", axis(0), vec![sample_f32(1, [64, 32]), index.clone()]),
                Case::new("i64 data", axis(0), vec![sample(1, DType::I64, [64]), index]),
            ]
        }
        "cumsum" => {
            let a = axis(1).with("kind", "prod").with("exclusive", 0i64).with("reverse", 0i64);
            vec![
                floats("prod", a.clone(), &[&[3, 6]]),
                Case::new("i32", a.with("kind", "sum"), vec![sample(1, DType::I32, [2, 40])]),
            ]
        }
        "top_k" => {
            let a = |k: i64| axis(1).with("k", k).with("largest", 1i64);
            vec![
                floats("detections", a(100), &[&[1, 840]]),
                floats("long", a(5), &[&[1, 17_000]]),
                Case::new("ties", a(6), vec![sample(1, DType::I32, [3, 40])]),
            ]
        }
        "scatter_elements" => {
            let a = |r: &str| axis(0).with("reduction", r);
            let index: Vec<i64> = (0..5000).map(|i| (i * 7919) % 5000).collect();
            let twice: Vec<i64> = (0..5000).map(|i| (i * 31) % 100).collect();
            let case = |name: &str, r: &str, index: &[i64]| {
                let index = Tensor::from_i64([5000, 1], index);
                let u = sample_f32(2, [5000, 1]);
                Case::new(name, a(r), vec![sample_f32(1, [5000, 1]), index, u])
            };
            vec![case("many", "none", &index), case("many sums", "add", &twice)]
        }
        "scatter_nd" => {
            let index: Vec<i64> = (0..3000).map(|i| (i * 7919) % 3000).collect();
            let case = |r: &str| {
                let index = Tensor::from_i64([3000, 1], &index);
                let u = sample_f32(2, [3000, 4]);
                let attrs = Attrs::new().with("reduction", r);
                Case::new(format!("many {r}"), attrs, vec![sample_f32(1, [3000, 4]), index, u])
            };
            vec![case("none"), case("max")]
        }
        "conv" => {
            let attrs = Attrs::new()
                .with("strides", vec![1i64, 1])
                .with("dilations", vec![1i64, 1])
                .with("pads", vec![1i64; 4])
                .with("group", 1i64);
            let operands = [&[1usize, 4, 5, 5][..], &[8, 4, 3, 3]];
            let ints = operands.iter().zip(1..).map(|(s, i)| sample(i, DType::I32, *s)).collect();
            vec![Case::new("i32", attrs, ints)]
        }
        "conv_transpose" => {
            let a = |s: i64, p: i64, g: i64| {
                Attrs::new()
                    .with("strides", vec![s; 2])
                    .with("dilations", vec![1i64; 2])
                    .with("pads", vec![p; 4])
                    .with("output_padding", vec![0i64; 2])
                    .with("group", g)
            };
            vec![
                floats("groups of quads", a(2, 1, 2), &[&[1, 6, 5, 4], &[6, 4, 4, 4], &[8]]),
                floats("depthwise", a(2, 1, 5), &[&[1, 5, 4, 4], &[5, 1, 4, 4]]),
                floats("stride 1", a(1, 1, 1), &[&[1, 8, 5, 6], &[8, 7, 3, 3]]),
                floats("stride 3", a(3, 0, 1), &[&[1, 8, 5, 6], &[8, 4, 2, 2], &[4]]),
            ]
        }
        "resize" => {
            let a = |mode: &str, coordinate: &str, near: &str, scale: [f64; 2], to: [i64; 2]| {
                Attrs::new()
                    .with("mode", mode)
                    .with("coordinate", coordinate)
                    .with("nearest", near)
                    .with("sizes", vec![1, 3, to[0], to[1]])
                    .with("scales", vec![1.0, 1.0, scale[0], scale[1]])
            };
            let x: &[&[usize]] = &[&[1, 3, 5, 7]];
            let crop = a("linear", "tf_crop_and_resize", "floor", [1.0, 1.0], [4, 6])
                .with("roi", vec![0., 0., -0.1, 0.2, 1., 1., 0.8, 1.3])
                .with("value", 9.0);
            let odd = [0.613_274_1, 2.317_182];
            let cubic = a("cubic", "align_corners", "floor", [2.0, 2.0], [10, 14]);
            vec![
                floats("ceil", a("nearest", "half_pixel", "ceil", [0.6, 1.4], [3, 9]), x),
                floats(
                    "prefer ceil",
                    a("nearest", "half_pixel", "round_prefer_ceil", [2.0, 0.5], [10, 3]),
                    x,
                ),
                floats(
                    "align",
                    a("nearest", "align_corners", "round_prefer_floor", odd, [3, 16]),
                    x,
                ),
                floats("no fraction", a("linear", "asymmetric", "floor", odd, [3, 16]), x),
                floats("symmetric", a("linear", "half_pixel_symmetric", "floor", odd, [3, 16]), x),
                floats("crop", crop, x),
                floats("excluded", cubic.with("exclude_outside", 1i64), x),
            ]
        }
        "pool" => {
            let a = |kind: &str, k: &[i64], s: &[i64], d: &[i64], p: &[i64]| {
                Attrs::new()
                    .with("kind", kind)
                    .with("kernel", k.to_vec())
                    .with("strides", s.to_vec())
                    .with("dilations", d.to_vec())
                    .with("pads", p.to_vec())
                    .with("ceil_mode", 1i64)
            };
            let x: &[&[usize]] = &[&[1, 6, 9, 10]];
            vec![
                floats("dilated", a("max", &[3, 2], &[2, 1], &[2, 3], &[1, 0, 2, 1]), x),
                floats("average ceil", a("average", &[3, 3], &[2, 2], &[1, 1], &[0; 4]), x),
                floats(
                    "average ceil counted",
                    a("average", &[2, 2], &[3, 3], &[1, 1], &[1, 1, 0, 0])
                        .with("count_include_pad", 1i64),
                    x,
                ),
                floats("lp 3", a("lp", &[2, 2], &[1, 1], &[1, 1], &[0; 4]).with("p", 3i64), x),
            ]
        }
        "lstm" => {
            let a = |forget: i64| {
                Attrs::new()
                    .with("reverse", 1i64)
                    .with("activations", "Sigmoid,Tanh,Tanh")
                    .with("clip", 1.5)
                    .with("input_forget", forget)
            };
            let mut all =
                floats("all operands", a(0), &[&[4, 2, 32], &[32, 8], &[2, 8], &[2, 8], &[24]]);
            all.operands.push(Some(Tensor::from_i64([2], &[4, 2])));
            vec![
                all,
                floats("coupled", a(1), &[&[3, 1, 32], &[32, 8]]),
                floats("wide", a(0), &[&[2, 1, 1200], &[1200, 300]]),
            ]
        }
        "gru" => {
            let a = |reverse: i64, linear: i64| {
                Attrs::new()
                    .with("reverse", reverse)
                    .with("activations", "HardSigmoid,Softsign")
                    .with("clip", 0.0)
                    .with("linear_before_reset", linear)
            };
            let mut all = floats("lengths", a(1, 1), &[&[4, 3, 48], &[48, 16], &[3, 16], &[16]]);
            all.operands.push(Some(Tensor::from_i64([3], &[4, 1, 3])));
            vec![all, floats("wide", a(0, 0), &[&[2, 1, 600], &[600, 200]])]
        }
        _ => Vec::new(),
    }
}
