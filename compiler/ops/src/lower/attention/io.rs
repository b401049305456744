//! Where an attention kernel's queries, keys and values come from, and where its result goes.

use super::plan::Plan;
use drift_kernel::builder::S;
use drift_kernel::{Builder, E};

/// Score of a key that a row does not see; far below any that counts, and finite.
pub const HIDDEN: f32 = -1e30;
/// The lowest score of a key that is seen.
pub const LOWEST: f32 = -5e29;

/// A row of queries.
#[derive(Clone, Copy, Debug)]
pub struct Row<'b> {
    /// Number of the row in its key head.
    pub row: E<'b>,
    pub token: E<'b>,
    /// Query head within the group.
    pub member: E<'b>,
}

/// One workgroup.
#[derive(Debug)]
pub struct Work<'b> {
    pub b: &'b Builder,
    /// Number of the invocation; neighbours are in one subgroup.
    pub local: E<'b>,
    /// Key head (of all batches).
    pub head: E<'b>,
    pub split: E<'b>,
    pub first_row: E<'b>,
    pub plan: Plan,
    pub group: u32,
    /// Rows of the key head.
    pub rows: u32,
}

/// Memory of a workgroup for its queries times the factor: `rows x quads` of four elements, zeros
/// behind the last.
#[derive(Clone, Copy, Debug)]
pub struct Queries<'b> {
    pub memory: S<'b>,
    /// Quads of a row.
    pub quads: u32,
}

impl<'b> Work<'b> {
    /// Row number `r` of the workgroup; the last one for those past the end.
    pub fn row(&self, r: impl drift_kernel::builder::IntoExpr<'b>) -> Row<'b> {
        let row = (self.first_row + r).min(self.rows - 1);
        Row { row, token: row / self.group, member: row % self.group }
    }

    /// This split's part of the keys `lo..hi`: the first and their number.
    pub fn share(&self, lo: E<'b>, hi: E<'b>) -> (E<'b>, E<'b>) {
        let all = hi.max(lo) - lo;
        let splits = self.plan.splits - u32::from(self.plan.fresh);
        if splits == 1 && !self.plan.fresh {
            return (lo, all);
        }
        // whole groups of eight, so that splits start where vector loads are aligned
        let each = ((all + (splits - 1)) / splits + 7u32) / 8u32 * 8u32;
        let done = (self.split * each).min(all);
        (lo + done, (all - done).min(each))
    }

    /// Runs `f` for each of `count` numbers, the invocations side by side.
    pub fn each(&self, count: u32, f: impl FnOnce(E<'b>)) {
        let (b, size) = (self.b, self.plan.size);
        let turns = count.div_ceil(size);
        b.for_(0u32, turns, 1, |turn| {
            let i = turn * size + self.local;
            if count.is_multiple_of(size) {
                f(i);
            } else {
                b.if_(i.lt(count), || f(i));
            }
        });
    }
}

/// Keys and values of a range.
pub trait Keys<'b> {
    /// Elements `d .. d + 4` of key `t`, before its scale; zeros past the end.
    fn key(&self, w: &Work<'b>, t: E<'b>, d: E<'b>) -> E<'b>;
    fn value(&self, w: &Work<'b>, t: E<'b>, d: E<'b>) -> E<'b>;
    /// Scales of key and value.
    fn scales(&self, _w: &Work<'b>, _t: E<'b>) -> Option<[E<'b>; 2]> {
        None
    }
    /// Whether [`Keys::scales`] gives any.
    fn scaled(&self) -> bool {
        false
    }
    /// Whether a row sees key `t`; `None` = all do.
    fn visible(&self, _w: &Work<'b>, _row: &Row<'b>, _t: E<'b>) -> Option<E<'b>> {
        None
    }
    /// What is added to a score (in units of e), at least [`LOWEST`].
    fn mask(&self, _w: &Work<'b>, _row: &Row<'b>, _t: E<'b>) -> Option<E<'b>> {
        None
    }
}

/// Where a kernel's data comes from and goes to.
pub trait Io<'b>: Keys<'b> {
    /// Elements `d .. d + 4` of a query, times the factor; zeros past the end.
    fn query(&self, w: &Work<'b>, row: &Row<'b>, d: E<'b>) -> E<'b>;
    /// Elements of a query.
    fn head_dim(&self) -> usize;
    /// Fills the memory of queries.
    fn prepare(&self, w: &Work<'b>, to: Queries<'b>) {
        let b = w.b;
        let quads = self.head_dim().div_ceil(4) as u32;
        w.each(w.plan.rows * to.quads, |i| {
            let (r, quad) = (i / to.quads, i % to.quads);
            let inside = quads == to.quads;
            let d = if inside { quad } else { quad.min(quads - 1) } * 4u32;
            let q = self.query(w, &w.row(r), d);
            let filled = || b.select(quad.lt(quads).splat(4), q, b.zero4());
            to.memory.store(i, if inside { q } else { filled() });
        });
    }
    /// The first key that some row of the workgroup sees, and one past the last.
    fn range(&self, w: &Work<'b>) -> (E<'b>, E<'b>);
    /// The new tokens, if their keys are not in the range: the position of the first, and their
    /// number. No more than a block.
    fn fresh(&self, _w: &Work<'b>) -> Option<(E<'b>, E<'b>)> {
        None
    }
    /// Keys and values of the new tokens, by position like the others.
    fn fresh_keys(&self) -> Option<&dyn Keys<'b>> {
        None
    }
    /// Stores elements `d .. d + 4` of the result.
    fn store(&self, w: &Work<'b>, row: &Row<'b>, d: E<'b>, value: E<'b>);
}
