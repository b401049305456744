//! Matrices of weights with more bytes than one binding spans, read by one kernel per part of their
//! rows.
//!
//! A head of 256,000 rows has 1.2 GB in f16, and WebGPU promises 8 bindings of 128 MiB. A tensor can
//! be cut into several bindings of one kernel, too, but these are soon used up, and every load then
//! chooses among them; rows of weights are independent of each other, so several kernels with a
//! binding each do the same work at the same cost per row. All kernels that read a matrix cut it
//! alike, so that a head and an embedding table which are one stay one in memory.

use super::Lowering;
use drift_ir::{Def, Shape};
use drift_kernel::tensor::{Elem, Layout};
use drift_kernel::{Builder, E};

/// Bindings start at multiples of this many bytes on every device.
pub const ALIGNMENT: u64 = 256;
/// Rows in a part are a multiple of this where that leaves little unused: parts of a row of results
/// then start where bindings may.
const MANY: usize = 256;
/// And always of this: pairs of gated rows stay together, as do groups of four columns.
const FEW: usize = 8;

/// Some rows of a matrix of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rows {
    pub first: usize,
    pub count: usize,
}

impl Rows {
    /// Whether a row of the whole matrix is one of these.
    pub fn contain<'b>(self, row: E<'b>) -> E<'b> {
        let end = (self.first + self.count) as u32;
        row.ge(self.first as u32).and(row.lt(end))
    }

    /// The number of such a row among these.
    pub fn local<'b>(self, b: &'b Builder, row: E<'b>) -> E<'b> {
        b.assume_max(row - self.first as u32, self.count as u64 - 1)
    }
}

/// Element type and shape in memory of constant operand `i`, if it lies there as the node sees it,
/// row by row.
pub(super) fn constant_rows(l: &Lowering<'_>, i: usize) -> Option<(Elem, Shape)> {
    let operand = l.node.operands.get(i)?.as_ref()?;
    let value = l.graph.value(operand.value);
    let elem = match &value.def {
        Def::Lazy(_) => l.lazy_placement(value.dtype).elem,
        Def::Const(_) => super::elem_of(value.dtype, l.const_elem(operand.value)),
        _ => return None,
    };
    (operand.view.is_identity() && value.shape.rank() > 0).then(|| (elem, value.shape.clone()))
}

/// The parts in which constant operands (a matrix and what goes with its rows) are read, so that
/// none of them spans more than a binding may: `None` where no cut is needed, or none is possible.
pub fn parts(l: &Lowering<'_>, operands: &[usize]) -> Option<Vec<Rows>> {
    let most = l.target.max_object_bytes;
    let mut longest = 0;
    let mut rows = None;
    let mut aligned = FEW;
    for &i in operands.iter().filter(|i| l.has(**i)) {
        let (elem, shape) = constant_rows(l, i)?;
        if *rows.get_or_insert(shape[0]) != shape[0] {
            return None;
        }
        let row_elems = shape[1..].iter().product::<usize>() as u64;
        let row_bytes =
            Layout::RowMajor.extent_elems(&[1, row_elems as usize].into()) * elem.bytes();
        while !(aligned as u64 * row_bytes).is_multiple_of(ALIGNMENT) {
            aligned *= 2;
        }
        longest = row_bytes.max(longest);
    }
    let rows = rows?;
    if longest.saturating_mul(rows as u64) <= most {
        return None;
    }
    let fit = (most / longest) as usize;
    let granule = if fit >= 4 * MANY { MANY.max(aligned) } else { aligned };
    let largest = fit / granule * granule;
    if largest == 0 {
        return None;
    }
    let each = rows.div_ceil(rows.div_ceil(largest)).next_multiple_of(granule);
    let part = |first| Rows { first, count: each.min(rows - first) };
    Some((0..rows).step_by(each).map(part).collect())
}
