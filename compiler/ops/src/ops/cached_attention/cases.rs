//! Small decoders' worth of attention: every feature of the operator, at small sizes.

use super::{CachedAttention, attrs};
use crate::data::{sample, sample_f32};
use crate::def::Case;
use drift_ir::{DType, Tensor};

/// What a case is made of.
struct Spec {
    a: CachedAttention,
    position: usize,
    active: usize,
    norms: bool,
    /// Length of the text, as far as the host knows.
    text: usize,
}

const fn spec(rows: usize, heads: usize, kv_heads: usize, head_dim: usize) -> Spec {
    let a = CachedAttention {
        rows,
        heads,
        kv_heads,
        head_dim,
        context: 24,
        rotary_dim: head_dim,
        rope_switch: 0,
        interleaved: false,
        window: 0,
        softcap: 0.0,
        scale: 0.25,
        norm_eps: 1e-6,
        int8: false,
    };
    Spec { a, position: 0, active: rows, norms: false, text: 0 }
}

impl Spec {
    fn at(mut self, position: usize, active: usize) -> Spec {
        (self.position, self.active) = (position, active);
        self
    }

    fn with(mut self, f: impl FnOnce(&mut CachedAttention)) -> Spec {
        f(&mut self.a);
        self
    }

    /// Two sets of angles, the second for texts of more than `switch` tokens.
    fn switch(mut self, switch: usize, text: usize) -> Spec {
        (self.a.rope_switch, self.text) = (switch, text);
        self
    }

    fn norms(mut self) -> Spec {
        self.norms = true;
        self
    }

    fn case(self, name: &str) -> Case {
        let a = &self.a;
        let width = (a.heads + 2 * a.kv_heads) * a.head_dim;
        let rotates = a.rotary_dim > 0;
        let positions = self.position + a.rows;
        let rows = if a.rope_switch > 0 { 2 * positions } else { positions };
        let half = a.rotary_dim / 2;
        let angle = |i: usize| {
            let (p, j) = (i / half.max(1), i % half.max(1));
            // the second set turns slower
            let p = if p < positions { p as f64 } else { (p - positions) as f64 / 3.0 };
            p / 10_000f64.powf(j as f64 / half as f64)
        };
        let table = |f: fn(f64) -> f64| {
            let v: Vec<f64> = (0..rows * half).map(|i| f(angle(i))).collect();
            rotates.then(|| Tensor::from_f64s(DType::F32, [rows, half], &v))
        };
        let cache = |seed: u64| match a.int8 {
            false => sample_f32(seed, [a.kv_heads, a.context, a.head_dim]),
            true => {
                let n = a.kv_heads * a.context * a.head_dim;
                let bytes: Vec<i64> =
                    sample_f32(seed, [n]).to_f64s().iter().map(|x| (x * 63.5) as i64).collect();
                let t = Tensor::from_i64s(DType::I8, [n], &bytes);
                let shape = [a.kv_heads, a.context, a.head_dim / 4];
                Tensor::from_bytes(DType::U32, shape, t.bytes().clone()).expect("as many bytes")
            }
        };
        let scales = |seed: u64| {
            let v: Vec<f64> = sample_f32(seed, [a.kv_heads * a.context])
                .to_f64s()
                .iter()
                .map(|x| (x.abs() + 0.5) / 128.0)
                .collect();
            a.int8.then(|| Tensor::from_f64s(DType::F32, [a.kv_heads, a.context], &v))
        };
        let gamma = |seed: u64| self.norms.then(|| sample_f32(seed, [a.head_dim]));
        let mut params = vec![0; 16];
        (params[0], params[1]) = (self.position as i64, self.active as i64);
        params[super::TEXT] = self.text as i64;
        let operands = vec![
            Some(sample(1, DType::F32, [a.rows, width])),
            table(f64::cos),
            table(f64::sin),
            Some(cache(2)),
            Some(cache(3)),
            Some(Tensor::from_i64s(DType::I32, [16], &params)),
            gamma(4),
            gamma(5),
            scales(6),
            scales(7),
        ];
        Case { name: name.into(), attrs: attrs(a), operands, body: drift_ir::Body::default() }
    }
}

pub fn cases() -> Vec<Case> {
    let none = |a: &mut CachedAttention| a.rotary_dim = 0;
    let int8 = |a: &mut CachedAttention| a.int8 = true;
    let ring = |a: &mut CachedAttention| (a.window, a.context) = (7, 12);
    vec![
        // one row
        spec(1, 4, 4, 8).case("decode first token"),
        spec(1, 4, 4, 8).at(13, 1).case("decode mha"),
        spec(1, 8, 2, 16).at(17, 1).case("decode gqa"),
        spec(1, 3, 1, 32).at(23, 1).case("decode mqa full context"),
        spec(1, 2, 2, 16).with(none).at(5, 1).case("decode without rope"),
        spec(1, 4, 2, 16).with(|a| a.interleaved = true).at(9, 1).case("decode interleaved"),
        spec(1, 4, 2, 32).with(|a| a.rotary_dim = 12).at(9, 1).case("decode partial rope"),
        spec(1, 4, 2, 16).at(9, 1).switch(10, 0).case("decode rope before its switch"),
        spec(1, 4, 2, 16).at(10, 1).switch(10, 0).case("decode rope after its switch"),
        spec(3, 2, 1, 16).at(2, 3).switch(10, 11).case("rope of a text that will be long"),
        spec(20, 2, 1, 16).at(2, 9).switch(10, 0).case("rows, rope after its switch"),
        spec(1, 4, 2, 16).norms().at(11, 1).case("decode norms"),
        spec(1, 4, 2, 16).with(ring).at(6, 1).case("decode window edge"),
        spec(1, 4, 2, 16).with(ring).at(31, 1).case("decode ring wraps"),
        spec(1, 4, 2, 16).with(|a| a.softcap = 1.5).at(14, 1).case("decode softcap"),
        spec(1, 4, 2, 16).with(int8).at(15, 1).case("decode int8"),
        spec(1, 6, 2, 20).with(int8).norms().at(4, 1).case("decode int8 norms"),
        spec(1, 8, 1, 128).with(|a| a.context = 150).at(140, 1).case("decode dh 128"),
        spec(1, 2, 1, 256).with(|a| a.context = 40).at(33, 1).case("decode dh 256"),
        spec(1, 2, 1, 80).at(20, 1).case("decode dh 80"),
        spec(1, 2, 2, 96).at(20, 1).case("decode dh 96"),
        spec(1, 2, 1, 6).at(10, 1).case("decode dh 6"),
        spec(1, 2, 1, 10).with(|a| a.interleaved = true).at(10, 1).case("decode dh 10"),
        // caches worth splitting
        spec(1, 4, 1, 16).with(|a| a.context = 300).at(299, 1).case("decode long"),
        spec(1, 2, 2, 16).with(|a| a.context = 300).at(3, 1).case("decode long, early"),
        spec(1, 4, 2, 24).with(|a| a.context = 200).at(180, 1).norms().case("decode long norms"),
        spec(1, 4, 2, 16)
            .with(|a| (a.int8, a.context) = (true, 200))
            .at(150, 1)
            .norms()
            .case("decode long int8"),
        spec(1, 4, 2, 16)
            .with(|a| (a.window, a.context) = (150, 160))
            .at(500, 1)
            .case("decode long ring"),
        spec(4, 4, 2, 16).with(|a| a.context = 200).at(170, 3).case("four rows, long"),
        spec(3, 2, 1, 8)
            .with(|a| (a.window, a.context) = (140, 160))
            .at(330, 3)
            .case("three rows, long ring"),
        spec(16, 4, 2, 32).with(|a| a.context = 300).at(250, 16).case("16 rows, long"),
        spec(8, 4, 2, 64).with(|a| a.context = 200).at(170, 7).case("8 rows, long"),
        spec(10, 4, 1, 64)
            .with(|a| (a.window, a.context) = (150, 192))
            .at(300, 10)
            .case("10 rows, long ring"),
        // a few rows
        spec(5, 4, 2, 16).case("five rows"),
        spec(5, 4, 2, 16).at(12, 5).case("five rows later"),
        spec(5, 4, 2, 16).at(12, 3).case("three of five rows"),
        spec(5, 4, 2, 16).with(ring).at(30, 5).case("five rows in a ring"),
        spec(5, 4, 2, 16).with(|a| a.window = 3).at(12, 5).case("five rows in a short window"),
        spec(4, 6, 2, 12).with(int8).norms().at(9, 4).case("four rows int8"),
        spec(3, 4, 1, 8).with(|a| a.rotary_dim = 4).norms().at(2, 2).case("partial rope norms"),
        // many rows
        spec(16, 4, 2, 32).with(|a| a.context = 40).at(20, 16).case("16 rows"),
        spec(16, 4, 2, 32).with(|a| a.context = 40).at(21, 9).case("9 of 16 rows"),
        spec(16, 2, 2, 16)
            .with(|a| (a.window, a.context) = (10, 32))
            .at(45, 16)
            .case("16 in a ring"),
        spec(64, 4, 2, 32).with(|a| a.context = 96).at(0, 64).case("prefill"),
        spec(64, 4, 1, 16).with(|a| a.context = 128).at(50, 50).case("prefill second chunk"),
        spec(64, 2, 2, 16)
            .with(|a| (a.window, a.context, a.softcap) = (24, 96, 2.0))
            .at(70, 64)
            .case("prefill window softcap"),
        spec(64, 2, 1, 16)
            .with(|a| (a.int8, a.context) = (true, 80))
            .at(11, 60)
            .case("prefill int8"),
        spec(40, 3, 3, 24).with(|a| a.context = 48).at(3, 37).norms().case("prefill odd"),
        spec(64, 2, 1, 128).with(|a| a.context = 96).at(20, 64).case("prefill dh 128"),
        spec(32, 2, 1, 256).with(|a| a.context = 64).at(20, 32).case("prefill dh 256"),
    ]
}
