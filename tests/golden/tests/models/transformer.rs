//! A transformer encoder of one block, in the decomposed form in which PyTorch exports BERT: shape
//! arithmetic, layer norms out of eight nodes, a mask that becomes a bias, GELU out of Erf.

use drift_onnx::builder::ModelBuilder;
use drift_onnx::{Dim, ElemType, Model, Tensor};

const TOKENS: u64 = 32;
const POSITIONS: u64 = 16;
const HIDDEN: u64 = 16;
const HEADS: u64 = 2;
const INNER: u64 = 64;

/// What the symbolic dims are bound to.
pub const INPUT_SHAPES: [(&str, &[usize]); 2] =
    [("input_ids", &[1, 8]), ("attention_mask", &[1, 8])];

/// input_ids i64 [batch, sequence], attention_mask i64 [batch, sequence] ->
/// hidden f32 [batch, sequence, 16].
pub fn model() -> Model {
    let dims = |last: Option<u64>| {
        let mut dims = vec![Dim::Symbol("batch".into()), Dim::Symbol("sequence".into())];
        dims.extend(last.map(Dim::Known));
        dims
    };
    let model = ModelBuilder::new(14)
        .input_dims("input_ids", ElemType::I64, &dims(None))
        .input_dims("attention_mask", ElemType::I64, &dims(None));
    let mut encoder = Encoder { model: Some(model), weights: 0, names: 0 };
    encoder.body();
    let model = encoder.model.take().expect("put back by every step");
    model.output_dims("hidden", ElemType::F32, &dims(Some(HIDDEN))).build().expect("a valid model")
}

/// Writes nodes in the order of the computation.
struct Encoder {
    model: Option<ModelBuilder>,
    weights: u32,
    names: u32,
}

impl Encoder {
    fn change(&mut self, change: impl FnOnce(ModelBuilder) -> ModelBuilder) {
        self.model = self.model.take().map(change);
    }

    fn constant(&mut self, tensor: Result<Tensor, drift_onnx::OnnxError>) -> String {
        let name = format!("c{}", self.names);
        self.names += 1;
        let tensor = tensor.expect("as many values as the shape says");
        self.change(|model| model.initializer(&name, tensor));
        name
    }

    fn scalar(&mut self, value: f32) -> String {
        self.constant(Tensor::from_f32(&[], &[value]))
    }

    fn ints(&mut self, values: &[i64]) -> String {
        self.constant(Tensor::from_i64(&[values.len() as u64], values))
    }

    /// Weights in -0.25 .. 0.25 by a linear congruential generator.
    fn weight(&mut self, dims: &[u64]) -> String {
        let count: u64 = dims.iter().product();
        let values: Vec<f32> = (0..count)
            .map(|_| {
                self.weights = self.weights.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (self.weights >> 16) as f32 / 131_072.0 - 0.25
            })
            .collect();
        self.constant(Tensor::from_f32(dims, &values))
    }

    /// A node whose name is its place; `path/n/Op` for the index of goldens.
    fn node(
        &mut self,
        path: &str,
        op: &str,
        inputs: &[&str],
        attributes: &[(&str, drift_onnx::Attribute)],
    ) -> String {
        let output = format!("{path}/{op}_{}", self.names);
        self.names += 1;
        self.change(|model| model.named_node(&output, op, inputs, &[&output], attributes));
        output
    }

    fn body(&mut self) {
        let embedded = self.embed();
        let bias = self.mask_bias();
        let attended = self.attention(&embedded, &bias);
        let x = self.node("block/attention/out", "Add", &[&attended, &embedded], &[]);
        let x = self.layer_norm("block/attention/norm", &x);
        let inner = self.linear("block/mlp/up", &x, HIDDEN, INNER);
        let inner = self.gelu("block/mlp/gelu", &inner);
        let inner = self.linear("block/mlp/down", &inner, INNER, HIDDEN);
        let x = self.node("block/mlp", "Add", &[&inner, &x], &[]);
        let x = self.layer_norm("block/mlp/norm", &x);
        self.change(|model| model.named_node("hidden", "Identity", &[&x], &["hidden"], &[]));
    }

    /// Token embeddings plus the first `sequence` position embeddings, normalized.
    fn embed(&mut self) -> String {
        let table = self.weight(&[TOKENS, HIDDEN]);
        let tokens = self.node("embed/tokens", "Gather", &[&table, "input_ids"], &[]);
        let length = self.dim("embed", "input_ids", 1);
        let (zero, one) = (self.ints(&[0]), self.ints(&[1]));
        let all = self.constant(Tensor::from_i64(
            &[1, POSITIONS],
            &(0..POSITIONS as i64).collect::<Vec<i64>>(),
        ));
        let ids = self.node("embed/positions", "Slice", &[&all, &zero, &length, &one], &[]);
        let table = self.weight(&[POSITIONS, HIDDEN]);
        let positions = self.node("embed/positions", "Gather", &[&table, &ids], &[]);
        let sum = self.node("embed", "Add", &[&tokens, &positions], &[]);
        self.layer_norm("embed/norm", &sum)
    }

    /// Size of one axis as a 1-element tensor, as exporters ask for it.
    fn dim(&mut self, path: &str, value: &str, axis: i64) -> String {
        let shape = self.node(path, "Shape", &[value], &[]);
        let axis = self.constant(Tensor::from_i64(&[], &[axis]));
        let size = self.node(path, "Gather", &[&shape, &axis], &[("axis", 0.into())]);
        let axes = self.ints(&[0]);
        self.node(path, "Unsqueeze", &[&size, &axes], &[])
    }

    /// 0 where a token counts, -10000 elsewhere: [batch, 1, 1, sequence].
    fn mask_bias(&mut self) -> String {
        let axes = self.ints(&[1, 2]);
        let mask = self.node("mask", "Unsqueeze", &["attention_mask", &axes], &[]);
        let to = drift_onnx::ElemType::F32.code();
        let mask = self.node("mask", "Cast", &[&mask], &[("to", to.into())]);
        let (one, large) = (self.scalar(1.0), self.scalar(-10_000.0));
        let absent = self.node("mask", "Sub", &[&one, &mask], &[]);
        self.node("mask", "Mul", &[&absent, &large], &[])
    }

    fn linear(&mut self, path: &str, x: &str, from: u64, to: u64) -> String {
        let (weight, bias) = (self.weight(&[from, to]), self.weight(&[to]));
        let product = self.node(path, "MatMul", &[x, &weight], &[]);
        self.node(path, "Add", &[&bias, &product], &[])
    }

    fn layer_norm(&mut self, path: &str, x: &str) -> String {
        let axes = || ("axes", vec![-1i64].into());
        let mean = self.node(path, "ReduceMean", &[x], &[axes()]);
        let centred = self.node(path, "Sub", &[x, &mean], &[]);
        let (two, epsilon) = (self.scalar(2.0), self.scalar(1e-12));
        let square = self.node(path, "Pow", &[&centred, &two], &[]);
        let variance = self.node(path, "ReduceMean", &[&square], &[axes()]);
        let variance = self.node(path, "Add", &[&variance, &epsilon], &[]);
        let deviation = self.node(path, "Sqrt", &[&variance], &[]);
        let normal = self.node(path, "Div", &[&centred, &deviation], &[]);
        let (scale, shift) = (self.weight(&[HIDDEN]), self.weight(&[HIDDEN]));
        let scaled = self.node(path, "Mul", &[&normal, &scale], &[]);
        self.node(path, "Add", &[&scaled, &shift], &[])
    }

    fn gelu(&mut self, path: &str, x: &str) -> String {
        let (root, one, half) =
            (self.scalar(std::f32::consts::SQRT_2), self.scalar(1.0), self.scalar(0.5));
        let scaled = self.node(path, "Div", &[x, &root], &[]);
        let erf = self.node(path, "Erf", &[&scaled], &[]);
        let sum = self.node(path, "Add", &[&erf, &one], &[]);
        let product = self.node(path, "Mul", &[x, &sum], &[]);
        self.node(path, "Mul", &[&product, &half], &[])
    }

    /// [batch, sequence, hidden] -> [batch, heads, sequence, hidden / heads], or with the last two
    /// axes exchanged for keys.
    fn heads(&mut self, path: &str, x: &str, perm: [i64; 4]) -> String {
        let (batch, length) = (self.dim(path, x, 0), self.dim(path, x, 1));
        let (heads, each) = (self.ints(&[HEADS as i64]), self.ints(&[(HIDDEN / HEADS) as i64]));
        let shape = [batch.as_str(), &length, &heads, &each];
        let shape = self.node(path, "Concat", &shape, &[("axis", 0.into())]);
        let split = self.node(path, "Reshape", &[x, &shape], &[]);
        self.node(path, "Transpose", &[&split], &[("perm", perm.to_vec().into())])
    }

    fn attention(&mut self, x: &str, bias: &str) -> String {
        let path = "block/attention";
        let [query, key, value] = ["query", "key", "value"].map(|name| {
            let path = format!("{path}/{name}");
            let projected = self.linear(&path, x, HIDDEN, HIDDEN);
            let perm = if name == "key" { [0, 2, 3, 1] } else { [0, 2, 1, 3] };
            self.heads(&path, &projected, perm)
        });
        let scores = self.node(path, "MatMul", &[&query, &key], &[]);
        let root = self.scalar(((HIDDEN / HEADS) as f32).sqrt());
        let scores = self.node(path, "Div", &[&scores, &root], &[]);
        let scores = self.node(path, "Add", &[&scores, bias], &[]);
        let shares = self.node(path, "Softmax", &[&scores], &[("axis", (-1).into())]);
        let mixed = self.node(path, "MatMul", &[&shares, &value], &[]);
        let perm = vec![0i64, 2, 1, 3];
        let mixed = self.node(path, "Transpose", &[&mixed], &[("perm", perm.into())]);
        let (batch, length) = (self.dim(path, x, 0), self.dim(path, x, 1));
        let hidden = self.ints(&[HIDDEN as i64]);
        let shape = [batch.as_str(), &length, &hidden];
        let shape = self.node(path, "Concat", &shape, &[("axis", 0.into())]);
        let mixed = self.node(path, "Reshape", &[&mixed, &shape], &[]);
        self.linear("block/attention/out", &mixed, HIDDEN, HIDDEN)
    }
}
