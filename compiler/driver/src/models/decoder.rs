//! [`Decoder`] -> one graph per entry point.
//!
//! All entry points share weights (lazy constants of equal key) and states (of equal name):
//!
//! | entry point | rows | does |
//! |---|---|---|
//! | `decode` | 1 | one token |
//! | `prefill` | chunk | a piece of the prompt; keeps the residual stream of its rows in `hidden` |
//! | `prefill_128`, `prefill_16` | 128, 16 | the same for short pieces, where the chunk is longer |
//! | `head` | | logits of row `params[2]` of the last `prefill` |
//!
//! | state | type | meaning |
//! |---|---|---|
//! | `params` | i32\[16\] | position, active rows, row that `head` reads, seed, length of the text as far as the host knows (for rotations that depend on it; 0 = unknown) |
//! | `tokens` | i32\[context+1\] | token ids by position |
//! | `sampling` | f32\[8\] | temperature, top_k, top_p, repetition penalty, min_p, penalty window |
//! | `logits` | f32\[1, vocab\] | of the last active row |
//! | `hidden` | f32\[chunk, hidden\] | residual stream before the last norm |
//! | `k.<layer>`, `v.<layer>` | \[kv_heads, C, head_dim\] | KV cache; position p lies in slot p % C |
//! | `ks.<layer>`, `vs.<layer>` | f32 \[kv_heads, C\] | scales of int8 caches |

use super::config::{STAGE, invalid, unsupported};
use super::options::{KvCache, Resolved};
use super::spec::*;
use super::weights::{Operands, operands, vector};
use crate::error::{Result, StageError};
use drift_ir::{
    Arg, Attrs, Body, DType, Graph, LazyTensor, Operand, PointwiseOp as P, Shape, Step, Tensor,
    ValueId, View, ViewStep,
};
use drift_ops::eval::infer_op;
use drift_weights::WeightStore;

/// Rows of the short prefills.
const SHORT: [usize; 2] = [128, 16];

/// Weights of a decoder as constants, made once for all entry points.
pub struct Network<'a> {
    decoder: &'a Decoder,
    options: &'a Resolved,
    tokens: Operands,
    positions: Option<Operands>,
    ropes: Vec<[LazyTensor; 2]>,
    layers: Vec<LayerWeights>,
    final_norm: NormWeights,
    head: Option<Operands>,
}

struct LayerWeights {
    attention_norm: NormWeights,
    qkv: LinearWeights,
    q_norm: Option<Tensor>,
    k_norm: Option<Tensor>,
    out: LinearWeights,
    attention_out_norm: Option<NormWeights>,
    feed_forward_norm: NormWeights,
    up: LinearWeights,
    down: LinearWeights,
    feed_forward_out_norm: Option<NormWeights>,
}

struct NormWeights {
    gamma: Tensor,
    beta: Option<Tensor>,
}

struct LinearWeights {
    matrix: Operands,
    bias: Option<Tensor>,
}

impl<'a> Network<'a> {
    /// The store has passed [`super::weights::check`].
    pub fn new(
        decoder: &'a Decoder,
        store: &WeightStore,
        options: &'a Resolved,
    ) -> Result<Network<'a>> {
        let schemes = &options.schemes;
        let norm = |n: &Norm| -> Result<NormWeights> {
            let beta = n.beta.as_ref().map(|b| vector(store, b)).transpose()?;
            Ok(NormWeights { gamma: vector(store, &n.gamma)?, beta })
        };
        let linear = |l: &Linear, role: Role| -> Result<LinearWeights> {
            let matrix = operands(store, &l.weights, schemes.of(role))?;
            let bias = l.bias.as_ref().map(|b| vector(store, b)).transpose()?;
            Ok(LinearWeights { matrix, bias })
        };
        let gamma = |v: &Option<Vector>| v.as_ref().map(|v| vector(store, v)).transpose();
        let mut layers = Vec::with_capacity(decoder.layers.len());
        for l in &decoder.layers {
            let (a, f) = (&l.attention, &l.feed_forward);
            layers.push(LayerWeights {
                attention_norm: norm(&l.attention_norm)?,
                qkv: linear(&a.qkv, Role::Attention)?,
                q_norm: gamma(&a.q_norm)?,
                k_norm: gamma(&a.k_norm)?,
                out: linear(&a.out, Role::Attention)?,
                attention_out_norm: l.attention_out_norm.as_ref().map(norm).transpose()?,
                feed_forward_norm: norm(&l.feed_forward_norm)?,
                up: linear(&f.up, Role::FeedForward)?,
                down: linear(&f.down, Role::FeedForward)?,
                feed_forward_out_norm: l.feed_forward_out_norm.as_ref().map(norm).transpose()?,
            });
        }
        let matrix = |m: &Matrix| operands(store, m, schemes.of(Role::Embedding));
        let ropes = decoder.ropes.iter().map(|rope| {
            rope.tables(options.context).map_err(|m| {
                unsupported(m).help(format!("give --context {} or less", decoder.max_positions))
            })
        });
        Ok(Network {
            decoder,
            options,
            tokens: matrix(&decoder.embedding.tokens)?,
            // a table of positions is small, and every one of its rows is read
            positions: match &decoder.embedding.positions {
                Some(m) => Some(operands(store, m, schemes.unquantized)?),
                None => None,
            },
            ropes: ropes.collect::<Result<_>>()?,
            layers,
            final_norm: norm(&decoder.final_norm)?,
            head: decoder.head.weights.as_ref().map(matrix).transpose()?,
        })
    }

    /// All entry points, `decode` first: it is what reports are about.
    pub fn entries(&self) -> Result<Vec<(String, Graph)>> {
        let chunk = self.options.chunk;
        let mut entries = vec![self.step("decode", 1)?, self.step("prefill", chunk)?];
        for rows in SHORT.into_iter().filter(|rows| *rows < chunk) {
            entries.push(self.step(&format!("prefill_{rows}"), rows)?);
        }
        entries.push(self.head_only()?);
        Ok(entries.into_iter().map(|graph| (graph.name.clone(), graph)).collect())
    }

    /// `rows` tokens through the network, and a sampled one after them.
    fn step(&self, name: &str, rows: usize) -> Result<Graph> {
        let d = self.decoder;
        let mut b = Builder { graph: Graph::new(name), network: self, rows };
        let params = b.graph.add_state("params", DType::I32, [16]);
        let tokens = b.graph.add_state("tokens", DType::I32, [self.options.context + 1]);
        let sampling = b.graph.add_state("sampling", DType::F32, [8]);
        let embedding = b.matrix("embedding", &self.tokens);
        let mut x = b.embedding("embedding", Some(tokens), params, embedding, d.embedding.scale)?;
        if let Some(table) = &self.positions {
            let table = b.matrix("positions", table);
            let at = b.embedding("positions", None, params, table, 1.0)?;
            x = b.binary("positions/add", P::Add, x, at)?;
        }
        for i in 0..d.layers.len() {
            x = b.layer(i, x, params)?;
        }
        if rows > 1 {
            // fewer rows than the state has: the first ones
            b.graph.set_state("hidden", x);
        }
        // a step of one row has no other
        let row = if rows == 1 { x } else { b.last_row(x, params, "active")? };
        let logits = b.logits(row, Some(embedding))?;
        b.graph.set_state("logits", logits);
        let operands = [logits, tokens, params, sampling].map(Some);
        let after = b.emit("sample", "sample", Attrs::new(), &operands)?;
        b.graph.set_state("tokens", after[0]);
        b.graph.set_state("params", after[1]);
        Ok(b.graph)
    }

    /// Logits of any row of the last `prefill`.
    fn head_only(&self) -> Result<Graph> {
        let mut b = Builder { graph: Graph::new("head"), network: self, rows: 1 };
        let params = b.graph.add_state("params", DType::I32, [16]);
        let shape = [self.options.chunk, self.decoder.hidden];
        let hidden = b.graph.add_state("hidden", DType::F32, shape);
        let row = b.last_row(hidden, params, "index")?;
        let logits = b.logits(row, None)?;
        b.graph.set_state("logits", logits);
        Ok(b.graph)
    }
}

/// A weight matrix in a graph.
#[derive(Clone, Copy)]
struct MatrixValue<'a> {
    of: &'a Operands,
    data: ValueId,
    scales: Option<ValueId>,
}

struct Builder<'a> {
    graph: Graph,
    network: &'a Network<'a>,
    rows: usize,
}

impl<'a> Builder<'a> {
    fn layer(&mut self, i: usize, x: ValueId, params: ValueId) -> Result<ValueId> {
        let network = self.network;
        let (w, layer) = (&network.layers[i], &network.decoder.layers[i]);
        let at = |name: &str| format!("layers.{i}/{name}");

        let normed = self.norm(&at("attention_norm"), x, &w.attention_norm)?;
        let qkv = self.linear(&at("qkv"), normed, &w.qkv, "")?;
        let attended = self.attention(i, qkv, params)?;
        let out = self.linear(&at("out"), attended, &w.out, "")?;
        let out = match &w.attention_out_norm {
            Some(norm) => self.norm(&at("attention_out_norm"), out, norm)?,
            None => out,
        };
        let x = self.binary(&at("attention_add"), P::Add, x, out)?;

        let normed = self.norm(&at("feed_forward_norm"), x, &w.feed_forward_norm)?;
        let inner = self.feed_forward_up(&at("up"), normed, &w.up, &layer.feed_forward)?;
        let out = self.linear(&at("down"), inner, &w.down, "")?;
        let out = match &w.feed_forward_out_norm {
            Some(norm) => self.norm(&at("feed_forward_out_norm"), out, norm)?,
            None => out,
        };
        self.binary(&at("feed_forward_add"), P::Add, x, out)
    }

    /// Rotation, cache update and attention of layer `i`: qkv [S, (heads + 2 kv_heads) * head_dim]
    /// to [S, heads * head_dim].
    fn attention(&mut self, i: usize, qkv: ValueId, params: ValueId) -> Result<ValueId> {
        let network = self.network;
        let (d, options) = (network.decoder, network.options);
        let (a, w) = (&d.layers[i].attention, &network.layers[i]);
        let (mut rotary_dim, mut rope_switch) = (0, 0);
        let (cos, sin) = match a.rope {
            None => (None, None),
            Some(r) => {
                let rope = &d.ropes[r];
                let switch = rope.switch(options.context);
                (rotary_dim, rope_switch) = (rope.dim, switch.unwrap_or(0));
                let sets = 1 + usize::from(switch.is_some());
                let shape = [sets * options.context, rope.dim / 2];
                let [cos, sin] = &network.ropes[r];
                let mut table = |name: &str, lazy: &LazyTensor| {
                    self.graph.add_lazy(format!("{name}.{r}"), DType::F32, shape, lazy.clone())
                };
                (Some(table("cos", cos)), Some(table("sin", sin)))
            }
        };
        let slots = options.slots(a.window);
        let (dtype, width) = match options.kv_cache {
            KvCache::F32 => (DType::F32, d.head_dim),
            KvCache::F16 => (DType::F16, d.head_dim),
            KvCache::Int8 => (DType::U32, d.head_dim / 4),
        };
        let mut states = Vec::new();
        for name in ["k", "v"] {
            let name = format!("{name}.{i}");
            let value = self.graph.add_state(name.clone(), dtype, [d.kv_heads, slots, width]);
            states.push((name, value));
        }
        if options.kv_cache == KvCache::Int8 {
            for name in ["ks", "vs"] {
                let name = format!("{name}.{i}");
                let value = self.graph.add_state(name.clone(), DType::F32, [d.kv_heads, slots]);
                states.push((name, value));
            }
        }
        let mut gamma = |name: &str, tensor: &Option<Tensor>| {
            let tensor = tensor.clone()?;
            Some(self.graph.add_const(format!("layers.{i}.{name}"), tensor))
        };
        let (q_norm, k_norm) = (gamma("q_norm", &w.q_norm), gamma("k_norm", &w.k_norm));
        let mut operands = vec![
            Some(qkv),
            cos,
            sin,
            Some(states[0].1),
            Some(states[1].1),
            Some(params),
            q_norm,
            k_norm,
        ];
        operands.extend(states[2..].iter().map(|(_, v)| Some(*v)));
        let attrs = Attrs::new()
            .with("heads", d.heads as i64)
            .with("kv_heads", d.kv_heads as i64)
            .with("head_dim", d.head_dim as i64)
            .with("rotary_dim", rotary_dim as i64)
            .with("rope_switch", rope_switch as i64)
            .with("interleaved", 0)
            .with("window", options.window(a.window).unwrap_or(0) as i64)
            .with("softcap", a.softcap.unwrap_or(0.0))
            .with("scale", a.scale)
            .with("norm_eps", d.norm_eps);
        let path = format!("layers.{i}/attention");
        let results = self.emit(&path, "cached_attention", attrs, &operands)?;
        for ((name, _), after) in states.into_iter().zip(&results[1..]) {
            self.graph.set_state(name, *after);
        }
        Ok(results[0])
    }

    /// The wide half of a feed-forward block: [S, hidden] to [S, inner].
    fn feed_forward_up(
        &mut self,
        path: &str,
        x: ValueId,
        w: &'a LinearWeights,
        f: &FeedForward,
    ) -> Result<ValueId> {
        let (gate, act) = match f.activation {
            Activation::Silu => ("silu", P::Silu),
            Activation::Gelu => ("gelu", P::Gelu),
            Activation::GeluTanh => ("gelu_tanh", P::GeluTanh),
            Activation::Relu => ("", P::Relu),
            Activation::QuickGelu => ("", P::QuickGelu),
        };
        if !f.gated {
            let up = self.linear(path, x, w, "")?;
            return self.body(&format!("{path}/act"), &[up.into()], |_| {
                vec![(act, vec![Arg::Operand(0)])]
            });
        }
        if w.bias.is_none() && !gate.is_empty() {
            return self.linear(path, x, w, gate);
        }
        // a bias comes before the activation: gate and up are columns in turn
        let both = self.linear(path, x, w, "")?;
        let inner = w.matrix.n / 2;
        let columns = |first: usize| {
            let slice = ViewStep::Slice {
                starts: vec![0, first],
                sizes: vec![self.rows, inner],
                steps: vec![1, 2],
            };
            Operand { value: both, view: View::identity().then(slice) }
        };
        let operands = [columns(0), columns(1)];
        self.body(&format!("{path}/gate"), &operands, |_| {
            vec![(act, vec![Arg::Operand(0)]), (P::Mul, vec![Arg::Step(0), Arg::Operand(1)])]
        })
    }

    /// [S, D] tokens (or positions) from a table.
    fn embedding(
        &mut self,
        path: &str,
        tokens: Option<ValueId>,
        params: ValueId,
        table: MatrixValue,
        scale: f64,
    ) -> Result<ValueId> {
        let attrs = Attrs::new()
            .with("scheme", table.of.scheme.name())
            .with("n", table.of.n as i64)
            .with("k", table.of.k as i64)
            .with("rows", self.rows as i64)
            .with("scale", scale);
        let operands = [tokens, Some(params), Some(table.data), table.scales];
        Ok(self.emit(path, "embedding", attrs, &operands)?[0])
    }

    fn last_row(&mut self, x: ValueId, params: ValueId, from: &str) -> Result<ValueId> {
        let attrs = Attrs::new().with("from", from);
        let row = self.emit("last_row", "last_row", attrs, &[Some(x), Some(params)])?[0];
        self.rows = 1;
        Ok(row)
    }

    /// The last norm and the head on one row: [1, hidden] to [1, vocab].
    fn logits(&mut self, row: ValueId, embedding: Option<MatrixValue<'a>>) -> Result<ValueId> {
        let network = self.network;
        let normed = self.norm("final_norm", row, &network.final_norm)?;
        let matrix = match (&network.head, embedding) {
            (Some(head), _) => self.matrix("head", head),
            (None, Some(embedding)) => embedding,
            (None, None) => self.matrix("embedding", &network.tokens),
        };
        let logits = self.product("head", normed, matrix, "")?;
        let Some(cap) = network.decoder.head.softcap else { return Ok(logits) };
        self.body("head/softcap", &[logits.into()], |_| {
            vec![
                (P::Mul, vec![Arg::Operand(0), Arg::Const(1.0 / cap)]),
                (P::Tanh, vec![Arg::Step(0)]),
                (P::Mul, vec![Arg::Step(1), Arg::Const(cap)]),
            ]
        })
    }

    fn norm(&mut self, path: &str, x: ValueId, w: &NormWeights) -> Result<ValueId> {
        let d = self.network.decoder;
        let attrs = Attrs::new().with("axis", 1).with("epsilon", d.norm_eps);
        let gamma = self.graph.add_const(format!("{path}.gamma"), w.gamma.clone());
        let mut operands = vec![Some(x), Some(gamma)];
        let op = match d.norm {
            NormKind::Rms => "rms_norm",
            NormKind::Layer => {
                let beta = w.beta.clone();
                operands.push(beta.map(|b| self.graph.add_const(format!("{path}.beta"), b)));
                "layer_norm"
            }
        };
        Ok(self.emit(path, op, attrs, &operands)?[0])
    }

    /// W x + bias, or gated without bias.
    fn linear(
        &mut self,
        path: &str,
        x: ValueId,
        w: &'a LinearWeights,
        gate: &str,
    ) -> Result<ValueId> {
        let matrix = self.matrix(path, &w.matrix);
        let y = self.product(path, x, matrix, gate)?;
        let Some(bias) = &w.bias else { return Ok(y) };
        let bias = self.graph.add_const(format!("{path}.bias"), bias.clone());
        self.binary(&format!("{path}/bias"), P::Add, y, bias)
    }

    fn product(
        &mut self,
        path: &str,
        x: ValueId,
        matrix: MatrixValue,
        gate: &str,
    ) -> Result<ValueId> {
        let attrs = Attrs::new()
            .with("scheme", matrix.of.scheme.name())
            .with("n", matrix.of.n as i64)
            .with("k", matrix.of.k as i64)
            .with("norm", "")
            .with("norm_eps", self.network.decoder.norm_eps)
            .with("gate", gate);
        let operands = [Some(x), Some(matrix.data), matrix.scales, None];
        Ok(self.emit(path, "linear", attrs, &operands)?[0])
    }

    fn matrix(&mut self, path: &str, of: &'a Operands) -> MatrixValue<'a> {
        let mut add = |name: &str, (dtype, shape, lazy): &(DType, Shape, LazyTensor)| {
            self.graph.add_lazy(format!("{path}.{name}"), *dtype, shape.clone(), lazy.clone())
        };
        let data = add("weight", &of.data);
        let scales = of.scales.as_ref().map(|s| add("scales", s));
        MatrixValue { of, data, scales }
    }

    /// An element-wise operator; `b` may be a vector along the last axis of `a`.
    fn binary(&mut self, path: &str, op: P, a: ValueId, b: ValueId) -> Result<ValueId> {
        let shape = self.graph.value(a).shape.clone();
        let view = match self.graph.value(b).shape == shape {
            true => View::identity(),
            false => View::identity().then(ViewStep::Broadcast { shape }),
        };
        self.body(path, &[a.into(), Operand { value: b, view }], |_| {
            vec![(op, vec![Arg::Operand(0), Arg::Operand(1)])]
        })
    }

    /// A `pointwise` node whose result is its last step.
    fn body(
        &mut self,
        path: &str,
        operands: &[Operand],
        steps: impl Fn(DType) -> Vec<(P, Vec<Arg>)>,
    ) -> Result<ValueId> {
        let dtype = self.graph.value(operands[0].value).dtype;
        let steps: Vec<Step> =
            steps(dtype).into_iter().map(|(op, args)| Step { op, args, dtype }).collect();
        let results = vec![Arg::Step(steps.len() - 1)];
        let operands = operands.iter().cloned().map(Some).collect();
        Ok(self.node(path, "pointwise", Attrs::new(), operands, Body { steps, results })?[0])
    }

    fn emit(
        &mut self,
        path: &str,
        op: &'static str,
        attrs: Attrs,
        operands: &[Option<ValueId>],
    ) -> Result<Vec<ValueId>> {
        let operands = operands.iter().map(|v| v.map(Operand::from)).collect();
        self.node(path, op, attrs, operands, Body::default())
    }

    /// Adds a node with the result types that its operator infers.
    fn node(
        &mut self,
        path: &str,
        op: &'static str,
        attrs: Attrs,
        operands: Vec<Option<Operand>>,
        body: Body,
    ) -> Result<Vec<ValueId>> {
        let mut types = Vec::with_capacity(operands.len());
        for operand in &operands {
            let Some(o) = operand else {
                types.push(None);
                continue;
            };
            let value = self.graph.value(o.value);
            let shape = o.view.apply(&value.shape).ok_or_else(|| {
                invalid(format!("{path}: {} does not apply to {}", o.view, value.shape))
            })?;
            types.push(Some((value.dtype, shape)));
        }
        let results =
            infer_op(op, path, &attrs, &types, &body).map_err(|e| StageError::op(STAGE, e))?;
        let named = results
            .into_iter()
            .enumerate()
            .map(|(i, (d, s))| (if i == 0 { path.to_owned() } else { format!("{path}.{i}") }, d, s))
            .collect();
        let id = self.graph.add_node(op, attrs, operands, named, path);
        if op == "pointwise" {
            let node = self.graph.node_mut(id);
            node.epilogue = body;
            node.epilogue_operands = 0;
        }
        Ok(self.graph.node(id).results.clone())
    }
}
