//! View operators that no neighbour could absorb: copies.

use super::Lowering;
use super::map::{Input, Map};
use crate::Result;
use drift_ir::{Shape, View, ViewStep};

/// Lowers `reshape`, `transpose`, `slice` and `expand`.
pub fn lower(l: &mut Lowering<'_>) -> Result<()> {
    let attrs = &l.node.attrs;
    let sizes = |name: &str| attrs.usizes(name).unwrap_or_default();
    let step = match l.node.op {
        "reshape" => ViewStep::Reshape { shape: Shape(sizes("shape")) },
        "expand" => ViewStep::Broadcast { shape: l.own_shape(0) },
        "transpose" => ViewStep::Transpose { perm: sizes("perm") },
        _ => ViewStep::Slice {
            starts: sizes("starts"),
            sizes: sizes("sizes"),
            steps: attrs.ints("steps").unwrap_or(&[]).to_vec(),
        },
    };
    let view = View::identity().then(step);
    Map::new(l.node.op, 0, []).lower(
        l,
        |l, k| Input::viewed(l, k, 0, view, None),
        |b, x, at, axis| x.lanes(b, at, axis),
    )
}
