//! `--quantize` on graphs: products with constant matrices read their weights in few bits.
//!
//! Builders of language models choose a scheme per role themselves; here every large constant
//! matrix of an imported graph gets the same one.

use crate::error::{Result, StageError};
use drift_ir::{Arg, Attrs, Def, Graph, LazyTensor, NodeId, Tensor, text};
use drift_ops::quant::{Group, Part, RowSource, Scheme, parts};
use std::io;
use std::sync::Arc;

/// The scheme of `--quantize` for the matrices of an imported graph: one for all of them.
pub fn graph_scheme(name: Option<&str>) -> Result<Option<Scheme>> {
    Ok(match name {
        None | Some("none") => None,
        Some("q4") => Some(Scheme::Q4Groups(Group::G32)),
        Some("q4c") => Some(Scheme::Q4),
        Some("8/4/4") => {
            let m = "--quantize 8/4/4 needs a language model in a folder";
            return Err(StageError::invalid("options", m)
                .help("of a graph, attention and feed-forward look alike: choose q8 or q4"));
        }
        Some(name) => Some(Scheme::parse(name).ok_or_else(|| {
            let names: Vec<&str> = Scheme::ALL.iter().map(|s| s.name()).collect();
            StageError::invalid("options", format!("--quantize {name}: there is no such scheme"))
                .help(format!("schemes: none, {}, q4c, 8/4/4", names.join(", ")))
        })?),
    })
}

/// Weights of at least this many rows and columns are quantized; smaller ones cost little.
const MIN_SIDE: usize = 32;

/// Columns of a constant `[K, N]` as the rows of `W [N, K]`.
struct Columns {
    tensor: Tensor,
    rows: usize,
    columns: usize,
}

impl RowSource for Columns {
    fn rows(&self) -> usize {
        self.rows
    }

    fn columns(&self) -> usize {
        self.columns
    }

    fn read(&self, first: usize, out: &mut [f32]) -> io::Result<()> {
        let size = self.tensor.dtype.bytes();
        let count = out.len() / self.columns;
        for k in 0..self.columns {
            let at = (k * self.rows + first) * size;
            let bytes = self.tensor.bytes().slice(at..at + count * size);
            let line = Tensor::from_bytes(self.tensor.dtype, [count], bytes)
                .ok_or_else(|| io::Error::other("a constant is shorter than its shape"))?;
            for (i, v) in line.to_f32s().into_iter().enumerate() {
                out[i * self.columns + k] = v;
            }
        }
        Ok(())
    }
}

/// Rewrites products with constant matrices into `linear` nodes of `scheme`; gives how many.
pub fn quantize(graph: &mut Graph, scheme: Scheme) -> usize {
    let products: Vec<NodeId> = graph.node_ids().filter(|id| fits(graph, *id)).collect();
    for &id in &products {
        rewrite(graph, id, scheme);
    }
    products.len()
}

/// A product of rows with a constant matrix that is worth it.
fn fits(graph: &Graph, id: NodeId) -> bool {
    let node = graph.node(id);
    let Some(Some(w)) = node.operands.get(1) else { return false };
    let Some(t) = graph.const_of(w.value) else { return false };
    let shape = &t.shape;
    node.op == "matmul"
        && w.view.is_identity()
        && t.dtype.is_float()
        && shape.rank() == 2
        && shape.iter().all(|d| *d >= MIN_SIDE)
}

fn rewrite(graph: &mut Graph, id: NodeId, scheme: Scheme) {
    let Some(w) = graph.node(id).operands[1].as_ref().map(|o| o.value) else { return };
    let Some(tensor) = graph.const_of(w).cloned() else { return };
    let name = graph.value(w).name.clone();
    let (k, n) = (tensor.shape[0], tensor.shape[1]);
    let key = format!("{scheme} of #{:016x}", text::content_hash(&tensor));
    let parts = parts(Arc::new(Columns { tensor, rows: n, columns: k }), scheme);
    let mut add = |part: Part, what: &str| {
        let write = part.write.clone();
        let lazy = LazyTensor::new(format!("{key}, {what}"), move |out| write(out));
        graph.add_value(format!("{name}/{what}"), part.dtype, part.shape, Def::Lazy(lazy))
    };
    let data = add(parts.data, "data");
    let scales = parts.scales.map(|p| add(p, "scales"));
    let node = graph.node_mut(id);
    node.op = "linear";
    node.attrs = Attrs::new()
        .with("scheme", scheme.name())
        .with("n", n as i64)
        .with("k", k as i64)
        .with("norm", "")
        .with("norm_eps", 0.0)
        .with("gate", "");
    // x, data, scales, gamma instead of x, w: what the epilogue reads moves by two
    let epilogue = node.operands.split_off(node.epilogue_operands);
    let x = node.operands[0].take();
    node.operands = vec![x, Some(data.into()), scales.map(Into::into), None];
    node.operands.extend(epilogue);
    let moved = |a: &mut Arg| {
        if let Arg::Operand(i) = a {
            *i += 2;
        }
    };
    node.epilogue_operands += 2;
    node.epilogue.steps.iter_mut().flat_map(|s| &mut s.args).for_each(moved);
    node.epilogue.results.iter_mut().for_each(moved);
}
