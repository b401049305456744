//! Bindings for an API that lets a dispatch write to a buffer only if it binds that buffer in no
//! other way: WebGPU.
//!
//! There, a buffer that one dispatch binds for writing may be bound again only for writing, too (a
//! usage scope holds one kind of usage per buffer: WebGPU specification, "Synchronization"), and
//! ranges bound for writing must not overlap ("Encoder Bind Groups Alias a Writable Resource").
//! Plans do both, since all intermediates share an arena and results may take their operand's place.
//! So ranges with one start become one binding, and what is only read from a buffer that is also
//! written is declared writable.

use drift_bundle::plan::Bind;
use drift_kernel::{Access, BindingId, BindingType, Expr, Kernel, MatrixPlace, Stmt};
use std::fmt;

/// Two bindings of one dispatch overlap and cannot be one: their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Overlap(String, String);

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the bindings {} and {} overlap, and one of them is written", self.0, self.1)
    }
}

/// Rewrites the bindings of one dispatch as above.
pub(super) fn exclusive(kernel: &mut Kernel, binds: &mut Vec<Bind>) -> Result<(), Overlap> {
    let object = |at: usize| buffer(&binds[at]).map(|range| range.0);
    for at in 0..binds.len() {
        let written = |other: usize| {
            kernel.bindings[other].access != Access::Read && object(other) == object(at)
        };
        if object(at).is_some() && (0..binds.len()).any(written) {
            kernel.bindings[at].access = Access::ReadWrite;
        }
    }
    while let Some((keep, gone)) = overlapping(kernel, binds) {
        let Some((bind, ty)) = joined(kernel, binds, keep, gone) else {
            let name = |at: usize| kernel.bindings[at].name.clone();
            return Err(Overlap(name(keep), name(gone)));
        };
        binds[keep] = bind;
        kernel.bindings[keep].ty = ty;
        kernel.bindings[keep].access = Access::ReadWrite;
        kernel.bindings.remove(gone);
        binds.remove(gone);
        rename(kernel, |at| match at as usize {
            at if at == gone => keep as u32,
            at if at > gone => at as u32 - 1,
            at => at as u32,
        });
    }
    Ok(())
}

/// Object, start and end of a buffer binding.
fn buffer(bind: &Bind) -> Option<(u32, u64, u64)> {
    match bind {
        Bind::Buffer { object, offset, bytes } => Some((*object, *offset, offset + bytes)),
        Bind::Image { .. } => None,
    }
}

/// Two buffer bindings, ascending, that overlap and of which one is written.
fn overlapping(kernel: &Kernel, binds: &[Bind]) -> Option<(usize, usize)> {
    let written = |at: usize| kernel.bindings[at].access != Access::Read;
    (0..binds.len()).find_map(|b| {
        let this = buffer(&binds[b])?;
        let with = |a: &usize| {
            let Some(other) = buffer(&binds[*a]) else { return false };
            let meet = other.0 == this.0 && other.1 < this.2 && this.1 < other.2;
            meet && (written(*a) || written(b))
        };
        (0..b).find(with).map(|a| (a, b))
    })
}

/// What serves as both of two bindings: the longer one, where they start together and have elements
/// of one type (an entry point may see fewer rows of a state than there are).
fn joined(kernel: &Kernel, binds: &[Bind], a: usize, b: usize) -> Option<(Bind, BindingType)> {
    let (BindingType::Buffer { elem, len }, BindingType::Buffer { elem: other, len: more }) =
        (&kernel.bindings[a].ty, &kernel.bindings[b].ty)
    else {
        return None;
    };
    let start = |at: usize| buffer(&binds[at]).map(|range| (range.0, range.1));
    let longer = if more > len { b } else { a };
    let fits = elem == other && start(a) == start(b);
    fits.then(|| (binds[longer].clone(), kernel.bindings[longer].ty.clone()))
}

/// Gives every mention of a binding another number.
fn rename(kernel: &mut Kernel, number: impl Fn(u32) -> u32) {
    let change = |id: &mut BindingId| id.0 = number(id.0);
    for expr in &mut kernel.exprs {
        match expr {
            Expr::Buffer { binding, .. } | Expr::Image { binding, .. } => change(binding),
            Expr::MatrixLoad { from: MatrixPlace::Buffer(binding), .. } => change(binding),
            _ => {}
        }
    }
    rename_in(&mut kernel.body, &change);
}

fn rename_in(block: &mut [Stmt], change: &impl Fn(&mut BindingId)) {
    for stmt in block {
        match stmt {
            Stmt::StoreBuffer { binding, .. } | Stmt::StoreImage { binding, .. } => change(binding),
            Stmt::StoreMatrix { to: MatrixPlace::Buffer(binding), .. } => change(binding),
            Stmt::If { yes, no, .. } => {
                rename_in(yes, change);
                rename_in(no, change);
            }
            Stmt::For { body, .. } => rename_in(body, change),
            _ => {}
        }
    }
}
