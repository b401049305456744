//! Matrices of weights with more bytes than one binding spans, read by one kernel per part of their
//! rows.
//!
//! A head of 256,000 rows has 1.2 GB in f16, and WebGPU promises 8 bindings of 128 MiB. A tensor can
//! be cut into several bindings of one kernel, too, but these are soon used up, and every load then
//! chooses among them; rows of weights are independent of each other, so several kernels with a
//! binding each do the same work at the same cost per row. All kernels that read a matrix cut it
//! alike, so that a head and an embedding table which are one stay one in memory.

use super::{ArgRef, KernelArgs, Lowering, Out};
use crate::Result;
use drift_ir::{Def, Shape, View};
use drift_kernel::tensor::{Elem, Layout, Storage};
use drift_kernel::{Access, Builder, E, TensorArg, TensorId};

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

impl<'a> Lowering<'a> {
    /// Operand `i`, a constant matrix or list: of its rows those of [`Lowering::rows`].
    pub fn operand_rows(&self, k: &KernelArgs, i: usize) -> Result<TensorId> {
        let (Some(rows), Some(Some(operand))) = (self.rows, self.node.operands.get(i)) else {
            return self.operand(k, i);
        };
        let (elem, stored) = constant_rows(self, i)
            .ok_or_else(|| self.unsupported(format!("operand {i} cannot be read in parts")))?;
        let row_elems: usize = stored[1..].iter().product();
        let mut part = stored.clone();
        part[0] = rows.count;
        let arg = TensorArg {
            name: format!("x{i}"),
            elem,
            stored: part,
            view: View::identity(),
            layout: Layout::RowMajor,
            storage: Storage::Buffer,
            access: Access::Read,
            base_elems: 0,
            max_object_bytes: self.target.max_object_bytes,
        };
        let offset = (rows.first * row_elems) as u64 * elem.bytes();
        Ok(k.push_at(arg, ArgRef::Value(operand.value), offset))
    }

    /// The store of elements `first` to `first + count` of the only row of the result, bound to
    /// these alone: kernels that differ only in where they write are one, and none waits for
    /// another. `None` where the result does not lie so that it can be bound like this.
    pub fn out_range(&self, k: &KernelArgs, first: usize, count: usize) -> Option<Out<'a>> {
        let (node, value) = (self.node, self.node.results[0]);
        let place = self.result_placement(0);
        let stored = &self.graph.value(value).shape;
        let offset = first as u64 * place.elem.bytes();
        let fits = node.epilogue.is_empty()
            && node.store_view.is_identity()
            && place.layout == Layout::RowMajor
            && place.storage == Storage::Buffer
            && place.base_elems == 0
            && stored.last().is_some_and(|last| *last == stored.elems())
            && offset.is_multiple_of(ALIGNMENT);
        fits.then(|| {
            let arg = TensorArg {
                name: "y0".to_owned(),
                elem: place.elem,
                stored: [1, count].into(),
                view: View::identity(),
                layout: Layout::RowMajor,
                storage: Storage::Buffer,
                access: Access::Write,
                base_elems: 0,
                max_object_bytes: self.target.max_object_bytes,
            };
            let t = k.push_at(arg, ArgRef::Value(value), offset);
            let dtype = self.graph.value(value).dtype;
            Out::plain(node, t, dtype)
        })
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
