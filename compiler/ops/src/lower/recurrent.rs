//! LSTM, GRU and RNN: the whole recurrence in one dispatch. A workgroup runs one batch row through
//! time with its states in workgroup memory: invocations first share the rows of the product with
//! the recurrent weights, then the hidden units.

use super::map::Input;
use super::steps::apply;
use super::stored::to_stored;
use super::{KernelArgs, Lowering};
use crate::Result;
use drift_ir::{DType, PointwiseOp as P, View};
use drift_kernel::builder::S;
use drift_kernel::{Builder, E, Layout, Scalar, Type};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cell {
    Lstm { input_forget: bool },
    Gru { linear: bool },
    Rnn,
}

impl Cell {
    fn gates(self) -> usize {
        match self {
            Cell::Lstm { .. } => 4,
            Cell::Gru { .. } => 3,
            Cell::Rnn => 1,
        }
    }
}

struct Recurrence {
    cell: Cell,
    steps: usize,
    rows: usize,
    hidden: usize,
    /// Units (and gate rows) that one invocation takes at a time: 4 or 1.
    width: u8,
    activations: Vec<P>,
    clip: f32,
    reverse: bool,
    invocations: u32,
}

fn activation(name: &str) -> Option<P> {
    Some(match name {
        "Sigmoid" => P::Sigmoid,
        "Tanh" => P::Tanh,
        "Relu" => P::Relu,
        "HardSigmoid" => P::HardSigmoid,
        "Softsign" => P::Softsign,
        "Softplus" => P::Softplus,
        _ => return None,
    })
}

impl Recurrence {
    fn of(l: &Lowering<'_>) -> Result<Recurrence> {
        let attrs = &l.node.attrs;
        let cell = match l.node.op {
            "lstm" => Cell::Lstm { input_forget: attrs.int("input_forget", 0) != 0 },
            "gru" => Cell::Gru { linear: attrs.int("linear_before_reset", 0) != 0 },
            _ => Cell::Rnn,
        };
        let (x, r) = (l.shape(0)?, l.shape(1)?);
        let hidden = r[1];
        let names = attrs.str("activations").unwrap_or("");
        let activations = names.split(',').map(activation).collect::<Option<Vec<_>>>();
        let activations =
            activations.ok_or_else(|| l.unsupported(format!("activations {names:?}")))?;
        let width = if hidden.is_multiple_of(4) { 4u8 } else { 1 };
        let limits = &l.target.caps.limits;
        let work = (cell.gates() * hidden / usize::from(width)).next_power_of_two() as u64;
        let invocations = work.min(limits.workgroup_invocations).clamp(1, 1024) as u32;
        let bytes = 4 * hidden * (cell.gates() + 3);
        if bytes as u64 > limits.workgroup_memory_bytes {
            return Err(l.unsupported(format!(
                "{hidden} hidden units need {bytes} bytes of workgroup memory, the device has {}",
                limits.workgroup_memory_bytes
            )));
        }
        Ok(Recurrence {
            cell,
            steps: x[0],
            rows: x[1],
            hidden,
            width,
            activations,
            clip: attrs.float("clip", 0.0) as f32,
            reverse: attrs.int("reverse", 0) != 0,
            invocations,
        })
    }

    fn ty(&self) -> Type {
        Type::vec(Scalar::F32, self.width)
    }

    /// Blocks of `width` units.
    fn blocks(&self) -> u32 {
        (self.hidden / usize::from(self.width)) as u32
    }

    fn lanes(&self, axis: usize) -> Option<usize> {
        (self.width == 4).then_some(axis)
    }

    fn act<'b>(&self, b: &'b Builder, i: usize, x: E<'b>) -> E<'b> {
        let op = self.activations[i];
        let parameters = [b.lit_like(0.2, self.ty()), b.lit_like(0.5, self.ty())];
        let args = if op == P::HardSigmoid { [&[x][..], &parameters].concat() } else { vec![x] };
        apply(b, op, &args, DType::F32)
    }

    fn clipped<'b>(&self, x: E<'b>) -> E<'b> {
        if self.clip > 0.0 { x.clamp(-self.clip, self.clip) } else { x }
    }

    /// Runs `f` for the blocks `from..to` that this invocation takes.
    fn each<'b>(&self, b: &'b Builder, from: u32, to: u32, f: impl FnOnce(E<'b>)) {
        let count = to - from;
        let local = b.local_index();
        let turns = count.div_ceil(self.invocations);
        b.for_(0u32, turns, 1, |turn| {
            let i = turn * self.invocations + local;
            if turns * self.invocations == count {
                f(i + from);
            } else {
                b.if_(i.lt(count), || f(i + from));
            }
        });
    }

    /// `sums[block] = recurrent[block rows] · state` for the gate blocks `from..to`.
    fn product<'b>(
        &self,
        b: &'b Builder,
        r: &Input,
        sums: S<'b>,
        state: S<'b>,
        from: u32,
        to: u32,
    ) {
        let w = u32::from(self.width);
        self.each(b, from, to, |block| {
            let acc = b.var("sum", b.lit_like(0.0, self.ty()));
            b.for_(0u32, self.blocks(), 1, |j| {
                let h = state.load(j);
                let mut sum = acc.get();
                for lane in 0..self.width {
                    let at = [block * w, j * w + u32::from(lane)];
                    let weights = r.lanes(b, &at, self.lanes(0));
                    sum = weights.fma(h.lane(lane).splat(self.width), sum);
                }
                acc.set(sum);
            });
            sums.store(block, acc.get());
        });
    }
}

/// Lowers `lstm`, `gru` and `rnn` nodes.
pub fn lower(l: &mut Lowering<'_>) -> Result<()> {
    let r = Recurrence::of(l)?;
    if l.own_shape(1).elems() == 0 {
        return Ok(());
    }
    if !l.node.epilogue.is_empty() {
        return Err(l.unsupported("something is fused behind one of its results"));
    }
    if r.rows > 65_535 {
        return Err(l.unsupported(format!("a batch of {}", r.rows)));
    }
    let k = l.kernel(l.node.op, [r.invocations, 1, 1], [r.rows as u32, 1, 1]);
    emit(l, &k, &r)?;
    let flops = 2 * r.steps * r.rows * r.cell.gates() * r.hidden * r.hidden;
    l.kernels.push(k.finish(flops as u64));
    Ok(())
}

fn emit(l: &Lowering<'_>, k: &KernelArgs, r: &Recurrence) -> Result<()> {
    let optional = |i: usize| if l.has(i) { Input::of(l, k, i).map(Some) } else { Ok(None) };
    let gates = Input::of(l, k, 0)?;
    // four rows side by side, neighbouring rows next to each other: invocations read in line
    let layout = Layout::Slices4 { channel: 0, order: vec![1, 0] };
    let layout = (r.width == 4).then_some(layout);
    let weights = Input::viewed(l, k, 1, View::identity(), layout)?;
    let initial = optional(2)?;
    let (cell0, peep, late, lens) = match r.cell {
        Cell::Lstm { .. } => (optional(3)?, optional(4)?, None, optional(5)?),
        Cell::Gru { .. } => (None, None, optional(3)?, optional(4)?),
        Cell::Rnn => (None, None, None, optional(3)?),
    };
    let out = l.out(k, &View::identity())?;
    let b = &k.b;
    let (blocks, w) = (r.blocks(), u32::from(r.width));
    let n = b.workgroup_id(0);
    let memory = |name: &str, len: u32| b.shared(name, Scalar::F32, r.width, len);
    let h = memory("h", blocks);
    let sums = memory("sums", blocks * r.cell.gates() as u32);
    let zero = || b.lit_like(0.0, r.ty());
    let is_lstm = matches!(r.cell, Cell::Lstm { .. });
    let c = is_lstm.then(|| memory("c", blocks));
    let late_product = r.cell == (Cell::Gru { linear: false });
    let scaled = late_product.then(|| memory("scaled", blocks));
    r.each(b, 0, blocks, |u| {
        let at = [n, u * w];
        let start = |x: &Option<Input>| match x {
            Some(x) => x.lanes(b, &at, r.lanes(1)),
            None => zero(),
        };
        h.store(u, start(&initial));
        if let Some(c) = c {
            c.store(u, start(&cell0));
        }
    });
    b.barrier();
    let len = match &lens {
        Some(x) => x.index(b, &[n]).clamp(0i32, r.steps as i32).cast(Scalar::U32),
        None => b.u32(r.steps as u32),
    };
    b.for_(0u32, r.steps as u32, 1, |step| {
        // rows whose sequence has ended keep their states; their results are 0
        let active = lens.is_some().then(|| step.lt(len));
        let t = match (r.reverse, active) {
            (false, _) => step,
            (true, None) => b.u32(r.steps as u32 - 1) - step,
            (true, Some(a)) => b.select(a, len - 1u32 - step, step),
        };
        step_body(&StepBody {
            r,
            b,
            h,
            c,
            sums,
            scaled,
            gates: &gates,
            weights: &weights,
            peep: &peep,
            late: &late,
            n,
            t,
            active,
            out: &out,
        });
    });
    r.each(b, 0, blocks, |u| {
        let at = [n, u * w];
        store(b, r, &out, 1, &at, h.load(u));
        if let Some(c) = c {
            store(b, r, &out, 2, &at, c.load(u));
        }
    });
    Ok(())
}

fn store<'b>(
    b: &'b Builder,
    r: &Recurrence,
    out: &super::Out<'_>,
    result: usize,
    at: &[E<'b>],
    v: E<'b>,
) {
    let v = to_stored(b, v, DType::F32);
    match r.width {
        4 => b.store4(out.result(result), at, at.len() - 1, v),
        _ => b.store(out.result(result), at, v),
    }
}

/// One step of time inside the kernel.
struct StepBody<'a, 'b> {
    r: &'a Recurrence,
    b: &'b Builder,
    h: S<'b>,
    c: Option<S<'b>>,
    sums: S<'b>,
    scaled: Option<S<'b>>,
    gates: &'a Input,
    weights: &'a Input,
    peep: &'a Option<Input>,
    late: &'a Option<Input>,
    n: E<'b>,
    t: E<'b>,
    active: Option<E<'b>>,
    out: &'a super::Out<'a>,
}

impl<'b> StepBody<'_, 'b> {
    /// Input contribution plus recurrent sum of gate `g` for unit block `u`.
    fn gate(&self, g: u32, u: E<'b>) -> E<'b> {
        self.input(g, u) + self.sums.load(u + g * self.r.blocks())
    }

    fn input(&self, g: u32, u: E<'b>) -> E<'b> {
        let block = u + g * self.r.blocks();
        let at = [self.t, self.n, block * u32::from(self.r.width)];
        self.gates.lanes(self.b, &at, self.r.lanes(2))
    }

    fn peephole(&self, g: u32, u: E<'b>, cell: E<'b>, x: E<'b>) -> E<'b> {
        match self.peep {
            Some(p) => {
                let at = (u + g * self.r.blocks()) * u32::from(self.r.width);
                p.lanes(self.b, &[at], self.r.lanes(0)).fma(cell, x)
            }
            None => x,
        }
    }

    /// Makes `new` the state of block `u` and writes it out.
    fn finish(&self, u: E<'b>, old: E<'b>, new: E<'b>) {
        let (b, r) = (self.b, self.r);
        let (h, y) = match self.active {
            Some(a) => (b.select(a, new, old), b.select(a, new, b.lit_like(0.0, r.ty()))),
            None => (new, new),
        };
        self.h.store(u, h);
        store(b, r, self.out, 0, &[self.t, self.n, u * u32::from(r.width)], y);
    }
}

fn step_body(s: &StepBody<'_, '_>) {
    let (r, b, blocks) = (s.r, s.b, s.r.blocks());
    let one = b.lit_like(1.0, r.ty());
    match r.cell {
        Cell::Lstm { input_forget } => {
            let c = s.c.expect("an LSTM has a cell state");
            r.product(b, s.weights, s.sums, s.h, 0, 4 * blocks);
            b.barrier();
            r.each(b, 0, blocks, |u| {
                let cell = c.load(u);
                let input = r.act(b, 0, r.clipped(s.peephole(0, u, cell, s.gate(0, u))));
                let forget = match input_forget {
                    true => one - input,
                    false => r.act(b, 0, r.clipped(s.peephole(2, u, cell, s.gate(2, u)))),
                };
                let next = forget * cell + input * r.act(b, 1, r.clipped(s.gate(3, u)));
                let output = r.act(b, 0, r.clipped(s.peephole(1, u, next, s.gate(1, u))));
                let new = output * r.act(b, 2, next);
                c.store(u, s.active.map_or(next, |a| b.select(a, next, cell)));
                s.finish(u, s.h.load(u), new);
            });
        }
        Cell::Gru { linear } => {
            let rows = if linear { 3 } else { 2 };
            r.product(b, s.weights, s.sums, s.h, 0, rows * blocks);
            b.barrier();
            if let Some(scaled) = s.scaled {
                r.each(b, 0, blocks, |u| {
                    let reset = r.act(b, 0, r.clipped(s.gate(1, u)));
                    scaled.store(u, reset * s.h.load(u));
                });
                b.barrier();
                r.product(b, s.weights, s.sums, scaled, 2 * blocks, 3 * blocks);
                b.barrier();
            }
            r.each(b, 0, blocks, |u| {
                let old = s.h.load(u);
                let z = r.act(b, 0, r.clipped(s.gate(0, u)));
                let mut inner = s.sums.load(u + 2 * blocks);
                if let Some(x) = s.late {
                    inner = inner + x.lanes(b, &[u * u32::from(r.width)], r.lanes(0));
                }
                if linear {
                    inner = inner * r.act(b, 0, r.clipped(s.gate(1, u)));
                }
                let candidate = r.act(b, 1, r.clipped(s.input(2, u) + inner));
                s.finish(u, old, (one - z) * candidate + z * old);
            });
        }
        Cell::Rnn => {
            r.product(b, s.weights, s.sums, s.h, 0, blocks);
            b.barrier();
            r.each(b, 0, blocks, |u| {
                let new = r.act(b, 0, r.clipped(s.gate(0, u)));
                s.finish(u, s.h.load(u), new);
            });
        }
    }
    b.barrier();
}
