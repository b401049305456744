//! Building bodies: joining two, dropping what nothing reads.

use drift_ir::{Arg, Body, DType, Node, Operand, PointwiseOp, Step};

/// A body under construction together with the operands it reads. Equal operands and equal steps
/// are kept once.
#[derive(Debug)]
pub struct BodyBuilder {
    pub operands: Vec<Option<Operand>>,
    /// Operands before this one belong to the main operator and are not shared with the body.
    first: usize,
    pub steps: Vec<Step>,
}

impl BodyBuilder {
    /// `main` are the operands of the main operator (none for a `pointwise` node).
    pub fn new(main: &[Option<Operand>]) -> BodyBuilder {
        BodyBuilder { operands: main.to_vec(), first: main.len(), steps: Vec::new() }
    }

    pub fn operand(&mut self, operand: Operand) -> Arg {
        let operand = Some(operand);
        let found = self.operands[self.first..].iter().position(|o| *o == operand);
        Arg::Operand(
            self.first
                + found.unwrap_or_else(|| {
                    self.operands.push(operand);
                    self.operands.len() - 1 - self.first
                }),
        )
    }

    pub fn step(&mut self, op: PointwiseOp, args: Vec<Arg>, dtype: DType) -> Arg {
        let step = Step { op, args, dtype };
        Arg::Step(self.steps.iter().position(|s| *s == step).unwrap_or_else(|| {
            self.steps.push(step);
            self.steps.len() - 1
        }))
    }

    /// Appends `body`; its results here. `map` gives the argument for `acc` and for operands.
    pub fn inline(&mut self, body: &Body, mut map: impl FnMut(&mut Self, Arg) -> Arg) -> Vec<Arg> {
        let mut steps: Vec<Arg> = Vec::with_capacity(body.steps.len());
        let mut resolve = |b: &mut Self, steps: &[Arg], arg: &Arg| match *arg {
            Arg::Step(i) => steps[i],
            Arg::Const(_) => *arg,
            Arg::Acc | Arg::Operand(_) => map(b, *arg),
        };
        for step in &body.steps {
            let args = step.args.iter().map(|a| resolve(self, &steps, a)).collect();
            let arg = self.step(step.op, args, step.dtype);
            steps.push(arg);
        }
        body.results.iter().map(|a| resolve(self, &steps, a)).collect()
    }

    /// The finished body and all operands: steps and body operands that nothing reads are gone.
    pub fn finish(self, results: Vec<Arg>) -> (Body, Vec<Option<Operand>>) {
        prune(&Body { steps: self.steps, results }, self.operands, self.first)
    }
}

/// Drops steps and body operands (from `first` on) that no result depends on.
pub fn prune(
    body: &Body,
    operands: Vec<Option<Operand>>,
    first: usize,
) -> (Body, Vec<Option<Operand>>) {
    let mut live_steps = vec![false; body.steps.len()];
    let mut live_operands = vec![false; operands.len()];
    live_operands[..first].fill(true);
    let mut stack = body.results.clone();
    while let Some(arg) = stack.pop() {
        match arg {
            Arg::Step(i) if !std::mem::replace(&mut live_steps[i], true) => {
                stack.extend(body.steps[i].args.iter().copied());
            }
            Arg::Operand(i) => live_operands[i] = true,
            _ => {}
        }
    }
    let renumber = |live: &[bool]| {
        let count = |n: &mut usize, l: &bool| {
            *n += usize::from(*l);
            Some(*n - usize::from(*l))
        };
        live.iter().scan(0, count).collect()
    };
    let (steps_at, operands_at): (Vec<usize>, Vec<usize>) =
        (renumber(&live_steps), renumber(&live_operands));
    let map = |a: &Arg| match *a {
        Arg::Step(i) => Arg::Step(steps_at[i]),
        Arg::Operand(i) => Arg::Operand(operands_at[i]),
        other => other,
    };
    let steps = body
        .steps
        .iter()
        .zip(&live_steps)
        .filter(|(_, l)| **l)
        .map(|(s, _)| Step { op: s.op, args: s.args.iter().map(map).collect(), dtype: s.dtype })
        .collect();
    let results = body.results.iter().map(map).collect();
    let operands = operands.into_iter().zip(live_operands).filter(|(_, l)| *l).map(|(o, _)| o);
    (Body { steps, results }, operands.collect())
}

/// Index of the first operand that the body of `node` may read.
pub fn first_body_operand(node: &Node) -> usize {
    if node.op == "pointwise" { 0 } else { node.epilogue_operands }
}

/// `node` with another body over the same operands; what the new body does not read is dropped.
pub fn with_body(node: &Node, body: &Body) -> Node {
    let first = first_body_operand(node);
    let (epilogue, operands) = prune(body, node.operands.clone(), first);
    Node { epilogue, operands, ..node.clone() }
}

/// Rough cost of a step against one multiplication: built-in functions count 8.
pub fn step_cost(op: PointwiseOp) -> usize {
    use PointwiseOp as P;
    match op {
        P::Identity | P::Cast => 0,
        P::Add | P::Sub | P::Mul | P::Min | P::Max | P::Neg | P::Abs | P::Relu | P::Clip => 1,
        P::Equal | P::Less | P::LessEqual | P::Greater | P::GreaterEqual | P::Where => 1,
        P::And | P::Or | P::Xor | P::Not | P::BitAnd | P::BitOr | P::BitXor | P::BitNot => 1,
        P::LeakyRelu | P::PRelu | P::HardSigmoid | P::HardSwish | P::ThresholdedRelu => 2,
        P::Div | P::Reciprocal | P::Sqrt | P::Rsqrt | P::Floor | P::Ceil | P::Round => 4,
        _ => 8,
    }
}

pub fn cost(body: &Body) -> usize {
    body.steps.iter().map(|s| step_cost(s.op)).sum()
}
