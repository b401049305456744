//! What the products with cooperative matrices share: a workgroup's tile of both operands in
//! workgroup memory, in lines of 16-byte granules along K, and the way of the sums through the same
//! memory to the epilogue.
//!
//! All of it lies in one array of u32 quads: operands are packed words, sums are bits of f32 or
//! i32. A line is one granule longer than what it holds, so that the eight lines of which a matrix
//! load reads a granule each lie in different banks.

use super::Linear;
use super::weights::Weights;
use crate::Result;
use crate::lower::{KernelArgs, Lowering, Out};
use crate::ops::linear::DATA;
use drift_kernel::builder::{S, V};
use drift_kernel::{Builder, Component, E, Matrix, MatrixRole, Scalar};

/// Tile of a workgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Rows of x.
    pub rows: u32,
    /// Rows of the weights.
    pub columns: u32,
    /// Elements along K that are in workgroup memory at a time.
    pub step: u32,
    /// Subgroups along rows and columns.
    pub subgroups: [u32; 2],
}

/// The matrices of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    pub left: Matrix,
    pub right: Matrix,
    pub sum: Matrix,
}

impl Format {
    const fn new(depth: u32, component: Component, sum: Component) -> Format {
        Format {
            left: Matrix { rows: 16, cols: depth, role: MatrixRole::A, component },
            right: Matrix { rows: depth, cols: 16, role: MatrixRole::B, component },
            sum: Matrix { rows: 16, cols: 16, role: MatrixRole::C, component: sum },
        }
    }

    pub const F16: Format = Format::new(16, Component::F16, Component::F32);
    pub const I8: Format = Format::new(32, Component::I8, Component::I32);

    /// Elements in a granule of 16 bytes.
    pub const fn in_granule(&self) -> u32 {
        16 / self.left.component.bytes()
    }
}

/// Words in a granule, and along K in a matrix of either format.
const GRANULE: u32 = 4;
const MATRIX_WORDS: u32 = 8;
/// Words between the rows of sums.
const SUM_PAD: u32 = 4;

impl Plan {
    pub const fn invocations(&self) -> u32 {
        32 * self.subgroups[0] * self.subgroups[1]
    }

    /// Rows vary fastest: workgroups that run together share weights, which are read once.
    pub fn workgroups(&self, p: &Linear) -> [u32; 3] {
        let tiles = |n: usize, tile: u32| n.div_ceil(tile as usize) as u32;
        [tiles(p.m, self.rows), tiles(p.n, self.columns), 1]
    }

    const fn pitch(&self, f: &Format) -> u32 {
        self.step / f.in_granule() + 1
    }

    /// Granules of both operands.
    const fn tile(&self, f: &Format) -> u32 {
        (self.rows + self.columns) * self.pitch(f)
    }

    /// 16 x 16 matrices along rows and columns of a subgroup's part.
    const fn matrices(&self) -> [u32; 2] {
        [self.rows / 16 / self.subgroups[0], self.columns / 16 / self.subgroups[1]]
    }

    /// Rows of `turn` matrices along the rows of each subgroup.
    const fn band(&self, turn: u32) -> u32 {
        16 * self.subgroups[0] * turn
    }

    /// Granules that their sums take.
    const fn staged(&self, turn: u32) -> u32 {
        self.band(turn) * (self.columns + SUM_PAD) / GRANULE
    }

    /// Matrices along the rows whose sums pass through memory at a time: as many as fit where the
    /// operands were.
    fn turn(&self, f: &Format) -> u32 {
        let high = self.matrices()[0];
        let fits = |t: &u32| high.is_multiple_of(*t) && self.staged(*t) <= self.tile(f);
        (1..=high).rev().find(fits).unwrap_or(1)
    }

    fn granules(&self, f: &Format) -> u32 {
        self.tile(f).max(self.staged(self.turn(f)))
    }

    pub fn memory_bytes(&self, f: &Format) -> u32 {
        16 * self.granules(f)
    }
}

/// The weights and the store of a product.
pub fn operands<'a>(l: &Lowering<'a>, p: &Linear, k: &KernelArgs) -> Result<(Weights, Out<'a>)> {
    let w = Weights::of(l, k, DATA, (p.spec.scheme, p.n, p.k))?;
    Ok((w, p.out(l, k)?))
}

/// Where the elements of one operand come from.
pub trait Fill<'b> {
    /// Granules that an invocation loads at a time.
    fn granules(&self) -> u32;
    /// Registers for one such load.
    fn registers(&self, b: &'b Builder) -> Vec<V<'b>>;
    /// Starts to load elements `k..` of line `line` of the operand.
    fn load(&self, b: &'b Builder, line: E<'b>, k: E<'b>, to: &[V<'b>]);
    /// What was loaded from `k` on, in granules.
    fn take(&self, b: &'b Builder, k: E<'b>, from: &[V<'b>]) -> Vec<E<'b>>;
}

/// One load of an invocation.
struct Share<'b> {
    /// Line in the tile, and granule in the line.
    line: E<'b>,
    granule: E<'b>,
    /// Present where not every invocation has one.
    inside: Option<E<'b>>,
    /// Registers for the next step.
    next: Vec<V<'b>>,
}

/// One operand on its way into workgroup memory.
struct Side<'b, 'f> {
    fill: &'f dyn Fill<'b>,
    /// First line in the operand, and how many it has.
    first: E<'b>,
    limit: u32,
    /// First granule in memory.
    at: u32,
    pitch: u32,
    in_granule: u32,
    shares: Vec<Share<'b>>,
}

/// The order in which invocations go through eight lines of four granules, a nibble each: four
/// granules of two neighbours, or two of four, then lie in different banks. Longer lines do so in
/// their own order.
const ORDER: u32 = 0x7362_5140;

impl<'b, 'f> Side<'b, 'f> {
    fn new(
        b: &'b Builder,
        plan: &Plan,
        f: &Format,
        fill: &'f dyn Fill<'b>,
        lines: u32,
        (first, limit, at): (E<'b>, usize, u32),
    ) -> Side<'b, 'f> {
        let invocations = plan.invocations();
        let granules = plan.step / f.in_granule();
        let wide = granules / fill.granules();
        let count = lines * wide;
        let shares = (0..count.div_ceil(invocations))
            .map(|turn| {
                let i = b.local_index() + turn * invocations;
                let complete = (turn + 1) * invocations <= count;
                let line = i / wide;
                let line = match granules {
                    4 => line / 8u32 * 8u32 + b.u32(ORDER).shr(line % 8u32 * 4u32).and(7u32),
                    _ => line,
                };
                Share {
                    line,
                    granule: i % wide * fill.granules(),
                    inside: (!complete).then(|| i.lt(count)),
                    next: fill.registers(b),
                }
            })
            .collect();
        let pitch = plan.pitch(f);
        let in_granule = f.in_granule();
        Side { fill, first, limit: limit as u32, at, pitch, in_granule, shares }
    }

    /// Starts a load of the step at depth `k`.
    fn load(&self, b: &'b Builder, k: E<'b>) {
        for share in &self.shares {
            guarded(b, share.inside, || {
                // past the last line: some line, whose sums are dropped
                let line = (self.first + share.line).min(self.limit - 1);
                self.fill.load(b, line, k + share.granule * self.in_granule, &share.next);
            });
        }
    }

    /// Puts what was loaded from `k` on into memory.
    fn keep(&self, b: &'b Builder, memory: S<'b>, k: E<'b>) {
        for share in &self.shares {
            guarded(b, share.inside, || {
                let to = share.line * self.pitch + share.granule + self.at;
                let k = k + share.granule * self.in_granule;
                for (i, quad) in (0u32..).zip(self.fill.take(b, k, &share.next)) {
                    memory.store(to + i, quad);
                }
            });
        }
    }
}

fn guarded(b: &Builder, inside: Option<E<'_>>, f: impl FnOnce()) {
    match inside {
        Some(cond) => b.if_(cond, f),
        None => f(),
    }
}

/// The operands of a product.
pub struct Operands<'b, 'f> {
    pub left: &'f dyn Fill<'b>,
    pub right: &'f dyn Fill<'b>,
    /// Elements along K, whole steps.
    pub depth: u32,
}

struct Product<'b, 'f> {
    b: &'b Builder,
    plan: Plan,
    format: Format,
    memory: S<'b>,
    left: Side<'b, 'f>,
    right: Side<'b, 'f>,
    /// Row and column of the subgroup in its workgroup.
    row: E<'b>,
    column: E<'b>,
    /// Sums of 16 x 16 elements, by rows.
    sums: Vec<Vec<V<'b>>>,
    /// Their scalar.
    sum: Scalar,
    steps: u32,
}

impl<'b> Product<'b, '_> {
    /// The matrix at word `word` of lines `line..` of the left or right operand.
    fn matrix(&self, left: bool, line: E<'b>, word: u32) -> E<'b> {
        let pitch = self.plan.pitch(&self.format);
        let first = if left { 0 } else { self.plan.rows * pitch };
        let from = (line * pitch + first) * GRANULE + word;
        let matrix = if left { self.format.left } else { self.format.right };
        self.memory.load_matrix(matrix, from, pitch * GRANULE, left)
    }

    /// Multiplies what is in memory.
    fn multiply(&self) {
        let b = self.b;
        let [high, wide] = self.plan.matrices();
        for i in 0..self.plan.step * self.format.left.component.bytes() / (4 * MATRIX_WORDS) {
            let word = i * MATRIX_WORDS;
            let lefts: Vec<E<'b>> = (0..high)
                .map(|r| self.matrix(true, self.row * (16 * high) + r * 16, word))
                .collect();
            for c in 0..wide {
                let right = self.matrix(false, self.column * (16 * wide) + c * 16, word);
                for (left, sums) in lefts.iter().zip(&self.sums) {
                    let sum = sums[c as usize];
                    sum.set(b.matrix_mul_add(*left, right, sum.get()));
                }
            }
        }
    }

    /// Starts the loads of step `i`, or of the last one past it: no branch, and no load past the
    /// end.
    fn load(&self, i: E<'b>) {
        let k = i.min(self.steps - 1) * self.plan.step;
        self.left.load(self.b, k);
        self.right.load(self.b, k);
    }

    /// Multiplies step by step; the loads of a step are under way during the step before.
    fn run(&self) {
        let b = self.b;
        self.load(b.u32(0));
        b.for_(0u32, self.steps, 1, |i| {
            let k = i * self.plan.step;
            self.left.keep(b, self.memory, k);
            self.right.keep(b, self.memory, k);
            b.barrier();
            self.load(i + 1u32);
            self.multiply();
            b.barrier();
        });
    }

    /// Stores the sums, as many matrices along the rows of each subgroup at a time as fit into
    /// memory: `store(row, column, sums)` gets `lanes` neighbours of a row as quads of f32.
    fn store(
        &self,
        p: &Linear,
        at: [E<'b>; 2],
        lanes: u32,
        store: &dyn Fn(E<'b>, E<'b>, &[E<'b>]),
    ) {
        let (b, plan) = (self.b, &self.plan);
        let [high, wide] = plan.matrices();
        let turn = plan.turn(&self.format);
        let stride = plan.columns + SUM_PAD;
        for (t, sums) in (0u32..).zip(self.sums.chunks(turn as usize)) {
            if t > 0 {
                b.barrier();
            }
            for (i, sums) in (0u32..).zip(sums) {
                for (c, sum) in (0u32..).zip(sums) {
                    let line = self.row * (16 * turn) + i * 16;
                    let to = line * stride + self.column * (16 * wide) + c * 16;
                    self.memory.store_matrix(sum.get(), to, stride, true);
                }
            }
            b.barrier();
            let units = plan.columns / lanes;
            let count = plan.band(turn) * units;
            for part in 0..count.div_ceil(plan.invocations()) {
                let i = b.local_index() + part * plan.invocations();
                let (r, unit) = (i / units, i % units);
                let m = r / (16 * turn) * (16 * high) + r % (16 * turn) + t * turn * 16;
                let (m, n) = (at[0] + m, at[1] + unit * lanes);
                let mut inside = Vec::new();
                if !count.is_multiple_of(plan.invocations()) {
                    inside.push(i.lt(count));
                }
                if !p.m.is_multiple_of(plan.rows as usize) {
                    inside.push(m.lt(p.m as u32));
                }
                if !p.n.is_multiple_of(plan.columns as usize) {
                    inside.push(n.lt(p.n as u32));
                }
                let inside = inside.into_iter().reduce(|x, y| x.and(y));
                guarded(b, inside, || {
                    let quad = |q: u32| {
                        let at = r * (stride / 4) + unit * (lanes / 4) + q;
                        self.memory.load(at).bitcast(self.sum).cast(Scalar::F32)
                    };
                    let quads: Vec<E<'b>> = (0..lanes / 4).map(quad).collect();
                    store(m, n, &quads);
                });
            }
        }
    }
}

/// The product of a tile and its store: `store(row, column, sums)` gets `lanes` neighbouring sums of
/// a row (of the result, but for lanes past its end) as quads of f32.
pub fn product<'b>(
    b: &'b Builder,
    p: &Linear,
    plan: &Plan,
    format: &Format,
    operands: &Operands<'b, '_>,
    lanes: u32,
    store: &dyn Fn(E<'b>, E<'b>, &[E<'b>]),
) {
    b.set_subgroup_size(32);
    let memory = b.shared("tile", Scalar::U32, 4, plan.granules(format));
    let at = [b.workgroup_id(0) * plan.rows, b.workgroup_id(1) * plan.columns];
    let below = plan.rows * plan.pitch(format);
    let left = Side::new(b, plan, format, operands.left, plan.rows, (at[0], p.m, 0));
    let right = Side::new(b, plan, format, operands.right, plan.columns, (at[1], p.n, below));
    let [sub_rows, sub_columns] = plan.subgroups;
    let id = b.subgroup_id();
    let [high, wide] = plan.matrices();
    let this = Product {
        b,
        plan: *plan,
        format: *format,
        memory,
        left,
        right,
        row: id / sub_columns % sub_rows,
        column: id % sub_columns,
        sums: (0..high)
            .map(|_| (0..wide).map(|_| b.var("sum", b.matrix_zero(format.sum))).collect())
            .collect(),
        sum: if format.sum.component == Component::I32 { Scalar::I32 } else { Scalar::F32 },
        steps: operands.depth / plan.step,
    };
    this.run();
    this.store(p, at, lanes, store);
}
