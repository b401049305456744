//! What a decoder-only language model is, as plain data. The families fill it, `decoder` turns it
//! into graphs.

use super::rope::Rope;

/// A decoder-only transformer.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoder {
    /// Name of the family, as in the README.
    pub family: &'static str,
    pub vocab: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    pub heads: usize,
    /// Heads of k and v; divides `heads`.
    pub kv_heads: usize,
    pub head_dim: usize,
    /// Positions the model was made for.
    pub max_positions: usize,
    pub norm: NormKind,
    pub norm_eps: f64,
    pub embedding: Embedding,
    /// Rotations that layers refer to by index.
    pub ropes: Vec<Rope>,
    pub layers: Vec<Layer>,
    pub final_norm: Norm,
    pub head: Head,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// x / sqrt(mean(x²) + eps) * gamma
    Rms,
    /// (x - mean) / sqrt(var + eps) * gamma + beta
    Layer,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Embedding {
    /// [vocab, hidden]
    pub tokens: Matrix,
    /// Embeddings of tokens are multiplied by it.
    pub scale: f64,
    /// Learned positions [max_positions, hidden], added.
    pub positions: Option<Matrix>,
}

/// One layer: x += out_norm(attention(norm(x))); x += out_norm(feed_forward(norm(x))).
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    pub attention_norm: Norm,
    pub attention: Attention,
    pub attention_out_norm: Option<Norm>,
    pub feed_forward_norm: Norm,
    pub feed_forward: FeedForward,
    pub feed_forward_out_norm: Option<Norm>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Attention {
    /// Rows: all q heads, then all k heads, then all v heads.
    pub qkv: Linear,
    pub out: Linear,
    /// Gammas [head_dim] of the RMS norms of q and k, before the rotation.
    pub q_norm: Option<Vector>,
    pub k_norm: Option<Vector>,
    /// A position sees itself and `window - 1` before it; `None` sees all.
    pub window: Option<usize>,
    /// Index in [`Decoder::ropes`]; `None` leaves q and k as they are.
    pub rope: Option<usize>,
    /// Scores are multiplied by it.
    pub scale: f64,
    /// Scores s become softcap * tanh(s / softcap).
    pub softcap: Option<f64>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct FeedForward {
    /// Gated: rows alternate gate, up.
    pub up: Linear,
    pub gated: bool,
    pub activation: Activation,
    pub down: Linear,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    Silu,
    /// With the error function.
    Gelu,
    /// The approximation with tanh.
    GeluTanh,
    Relu,
    /// x * sigmoid(1.702 x)
    QuickGelu,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    /// `None`: the embedding matrix.
    pub weights: Option<Matrix>,
    /// Logits l become softcap * tanh(l / softcap).
    pub softcap: Option<f64>,
}

/// y = W x + bias
#[derive(Clone, Debug, PartialEq)]
pub struct Linear {
    pub weights: Matrix,
    pub bias: Option<Vector>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Norm {
    pub gamma: Vector,
    pub beta: Option<Vector>,
}

/// A vector put together from stored ones.
#[derive(Clone, Debug, PartialEq)]
pub struct Vector {
    pub len: usize,
    /// Tensor names with their lengths.
    pub parts: Vec<(String, usize)>,
    pub order: Order,
    /// Added to every element (Gemma stores gamma - 1).
    pub offset: f64,
}

/// A matrix [n, k] put together from rows of stored ones.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    pub n: usize,
    pub k: usize,
    pub parts: Vec<Part>,
    pub order: Order,
}

/// How parts follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// One after the other.
    Stacked,
    /// One row of each in turn; all parts have as many rows.
    Alternating,
}

/// Some rows of a stored matrix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub tensor: String,
    /// As stored: [rows, k], or [k, rows] when `transposed`.
    pub shape: [usize; 2],
    pub first: usize,
    pub rows: usize,
    /// The stored matrix is the transpose (GPT-2's Conv1D).
    pub transposed: bool,
}

impl Part {
    /// All rows of a matrix [rows, k].
    pub fn whole(tensor: impl Into<String>, rows: usize, k: usize) -> Part {
        Part { tensor: tensor.into(), shape: [rows, k], first: 0, rows, transposed: false }
    }

    /// All rows of a matrix that is stored as [k, rows].
    pub fn transposed(tensor: impl Into<String>, rows: usize, k: usize) -> Part {
        Part { shape: [k, rows], transposed: true, ..Part::whole(tensor, rows, k) }
    }
}

impl Matrix {
    pub fn of(part: Part) -> Matrix {
        Matrix::stacked(vec![part])
    }

    /// Parts below each other. There is at least one, and all have the same k.
    pub fn stacked(parts: Vec<Part>) -> Matrix {
        Matrix::ordered(parts, Order::Stacked)
    }

    /// Rows of the parts in turn.
    pub fn alternating(parts: Vec<Part>) -> Matrix {
        Matrix::ordered(parts, Order::Alternating)
    }

    fn ordered(parts: Vec<Part>, order: Order) -> Matrix {
        let k = parts[0].k();
        Matrix { n: parts.iter().map(|p| p.rows).sum(), k, parts, order }
    }
}

impl Part {
    /// Elements of a row.
    pub fn k(&self) -> usize {
        self.shape[usize::from(!self.transposed)]
    }
}

impl Vector {
    pub fn of(tensor: impl Into<String>, len: usize) -> Vector {
        Vector::stacked(vec![(tensor.into(), len)])
    }

    pub fn stacked(parts: Vec<(String, usize)>) -> Vector {
        let len = parts.iter().map(|(_, n)| n).sum();
        Vector { len, parts, order: Order::Stacked, offset: 0.0 }
    }

    pub fn alternating(parts: Vec<(String, usize)>) -> Vector {
        Vector { order: Order::Alternating, ..Vector::stacked(parts) }
    }

    #[must_use]
    pub fn plus(self, offset: f64) -> Vector {
        Vector { offset, ..self }
    }
}

/// What a weight matrix is for; decides how it is quantized.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Attention,
    FeedForward,
    /// The embedding and the output head, which are often one matrix.
    Embedding,
}

impl Decoder {
    /// Every matrix once, with its role. A tied head is the embedding.
    pub fn matrices(&self) -> Vec<(&Matrix, Role)> {
        let mut all = vec![(&self.embedding.tokens, Role::Embedding)];
        all.extend(self.embedding.positions.iter().map(|m| (m, Role::Embedding)));
        for layer in &self.layers {
            all.push((&layer.attention.qkv.weights, Role::Attention));
            all.push((&layer.attention.out.weights, Role::Attention));
            all.push((&layer.feed_forward.up.weights, Role::FeedForward));
            all.push((&layer.feed_forward.down.weights, Role::FeedForward));
        }
        all.extend(self.head.weights.iter().map(|m| (m, Role::Embedding)));
        all
    }

    /// Every vector: biases and the parameters of norms.
    pub fn vectors(&self) -> Vec<&Vector> {
        fn norm<'a>(all: &mut Vec<&'a Vector>, norm: &'a Norm) {
            all.push(&norm.gamma);
            all.extend(&norm.beta);
        }
        let mut all = Vec::new();
        for layer in &self.layers {
            norm(&mut all, &layer.attention_norm);
            norm(&mut all, &layer.feed_forward_norm);
            for n in [&layer.attention_out_norm, &layer.feed_forward_out_norm].into_iter().flatten()
            {
                norm(&mut all, n);
            }
            let (a, f) = (&layer.attention, &layer.feed_forward);
            all.extend(a.q_norm.iter().chain(&a.k_norm));
            all.extend(
                [&a.qkv, &a.out, &f.up, &f.down].into_iter().filter_map(|l| l.bias.as_ref()),
            );
        }
        norm(&mut all, &self.final_norm);
        all
    }

    /// Every stored tensor that is read, with the shape it must have; sorted, each once.
    pub fn tensors(&self) -> Vec<(&str, Vec<usize>)> {
        let matrices = self.matrices().into_iter().flat_map(|(m, _)| &m.parts);
        let mut all: Vec<(&str, Vec<usize>)> =
            matrices.map(|p| (p.tensor.as_str(), p.shape.to_vec())).collect();
        let vectors = self.vectors().into_iter().flat_map(|v| &v.parts);
        all.extend(vectors.map(|(name, len)| (name.as_str(), vec![*len])));
        all.sort();
        all.dedup();
        all
    }
}
