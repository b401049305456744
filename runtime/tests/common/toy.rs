//! A language model of one layer in integers, with its expected tokens computed on the host.
//!
//! Row at position p: k.0\[h, p % slots\] = (token + 1) * (h + 1). The residual stream is the sum over
//! both heads and the last `window` positions j of k * (p - j + 1), modulo 1000. Logits are
//! -|v - stream % V|; the next token is the largest, plus seed + position where the temperature
//! is not 0.

use super::common::*;
use drift_bundle::plan::*;
use drift_runtime::Bundle;

#[derive(Clone, Copy)]
pub struct Toy {
    pub context: u64,
    /// Rows of `prefill`.
    pub chunk: u64,
    pub window: u64,
    pub slots: u64,
    pub vocabulary: u64,
}

pub const SMALL_ROWS: u64 = 4;

impl Toy {
    /// Sees everything, and its cache holds everything.
    pub fn full(context: u64) -> Toy {
        Toy { context, chunk: 16, window: context, slots: context, vocabulary: 50 }
    }

    /// Sees a window; its cache is a ring.
    pub fn ring(context: u64) -> Toy {
        Toy { window: 5, slots: 24, ..Toy::full(context) }
    }

    fn wgsl(&self, rows: u64, hidden: bool) -> String {
        let Toy { window, slots, vocabulary, .. } = *self;
        let keep = if hidden { "hidden[r] = stream;" } else { "" };
        format!(
            "@group(0) @binding(0) var<storage, read_write> params: array<i32>;
             @group(0) @binding(1) var<storage, read_write> tokens: array<i32>;
             @group(0) @binding(2) var<storage, read_write> sampling: array<f32>;
             @group(0) @binding(3) var<storage, read_write> logits: array<f32>;
             @group(0) @binding(4) var<storage, read_write> hidden: array<f32>;
             @group(0) @binding(5) var<storage, read_write> k: array<f32>;
             @compute @workgroup_size(1) fn main() {{
                 let p0 = params[0];
                 let n = min(params[1], {rows});
                 var stream = 0.0;
                 for (var r = 0; r < n; r++) {{
                     let p = p0 + r;
                     let token = f32(tokens[p] + 1);
                     k[p % {slots}] = token;
                     k[{slots} + p % {slots}] = token * 2.0;
                     stream = 0.0;
                     for (var j = max(0, p + 1 - {window}); j <= p; j++) {{
                         stream += (k[j % {slots}] + k[{slots} + j % {slots}]) * f32(p - j + 1);
                     }}
                     stream = stream % 1000.0;
                     {keep}
                 }}
                 for (var v = 0; v < {vocabulary}; v++) {{
                     logits[v] = -abs(f32(v) - stream % {vocabulary}.0);
                 }}
                 var next = i32(stream % {vocabulary}.0);
                 if (sampling[0] != 0.0) {{ next = (next + params[3] + p0 + n) % {vocabulary}; }}
                 tokens[p0 + n] = next;
                 params[0] = p0 + n;
                 params[1] = 1;
             }}"
        )
    }

    /// `weight` is all the WEIGHTS section holds.
    pub fn bundle(&self, weight: f32) -> Bundle {
        let mut b = PlanBuilder::new();
        let mut binds = Vec::new();
        let states = [
            ("params", ElemType::I32, vec![16]),
            ("tokens", ElemType::I32, vec![self.context + 1]),
            ("sampling", ElemType::F32, vec![8]),
            ("logits", ElemType::F32, vec![1, self.vocabulary]),
            ("hidden", ElemType::F32, vec![self.chunk, 1]),
            ("k.0", ElemType::F32, vec![2, self.slots, 1]),
        ];
        for (name, elem, shape) in states {
            let object = b.buffer(ObjectRole::State, shape.iter().product::<u64>() * 4);
            b.state(name, elem, &shape, object, 0);
            binds.push(b.whole(object));
        }
        b.weights(&[weight]);
        let steps = [
            ("decode".to_owned(), 1, false),
            ("prefill".to_owned(), self.chunk, true),
            (format!("prefill_{SMALL_ROWS}"), SMALL_ROWS, false),
        ];
        for (i, (name, rows, hidden)) in steps.iter().enumerate() {
            match i {
                0 => b.plan.entry_points[0].name = name.clone(),
                _ => b.entry(name),
            }
            let p = b.pipeline(&self.wgsl(*rows, *hidden), 1, &[WRITE; 6]);
            b.dispatch(p, [1, 1, 1], &binds, name);
        }
        b.entry("head");
        let wgsl = format!(
            "@group(0) @binding(0) var<storage, read> params: array<i32>;
             @group(0) @binding(1) var<storage, read_write> logits: array<f32>;
             @group(0) @binding(2) var<storage, read> hidden: array<f32>;
             @compute @workgroup_size(1) fn main() {{
                 for (var v = 0; v < {0}; v++) {{
                     logits[v] = -abs(f32(v) - hidden[params[2]] % {0}.0);
                 }}
             }}",
            self.vocabulary
        );
        let p = b.pipeline(&wgsl, 1, &[READ, WRITE, READ]);
        let head = [binds[0].clone(), binds[3].clone(), binds[4].clone()];
        b.dispatch(p, [1, 1, 1], &head, "head");
        b.bundle()
    }

    /// The residual stream behind these tokens.
    pub fn stream(&self, tokens: &[u32]) -> u64 {
        let newest_first = tokens.iter().rev().take(self.window as usize);
        let sum: u64 = (1..).zip(newest_first).map(|(i, t)| u64::from(t + 1) * 3 * i).sum();
        sum % 1000
    }

    pub fn logits(&self, tokens: &[u32]) -> Vec<f32> {
        let at = (self.stream(tokens) % self.vocabulary) as f32;
        (0..self.vocabulary).map(|v| -(v as f32 - at).abs()).collect()
    }

    /// `prompt` and `n` greedy tokens.
    pub fn expected(&self, prompt: &[u32], n: usize) -> Vec<u32> {
        let mut all = prompt.to_vec();
        for _ in 0..n {
            all.push((self.stream(&all) % self.vocabulary) as u32);
        }
        all
    }
}
