//! Concatenation where the parts cannot be written in place: each invocation finds its part.

use super::Lowering;
use super::map::{Input, Map, Part, stores_quads};
use crate::Result;
use drift_kernel::{Builder, E};

/// Parts that one kernel reads: with the result and epilogue operands below eight bindings, the
/// least that WebGPU offers.
const PARTS: usize = 6;

/// Lowers a `concat` node.
pub fn lower(l: &mut Lowering<'_>) -> Result<()> {
    let own = l.own_shape(0);
    let axis = l.node.attrs.int("axis", 0);
    let axis = own.axis(axis).ok_or_else(|| l.unsupported(format!("axis {axis} of {own}")))?;
    let mut parts = Vec::new();
    let mut start = 0;
    for i in 0..l.node.epilogue_operands {
        let len = l.shape(i)?[axis];
        if len > 0 {
            parts.push((i, start, len));
        }
        start += len;
    }
    // a kernel per few parts, unless four neighbours of different parts must be written together
    let parts_at_once = if stores_quads(l) { parts.len().max(1) } else { PARTS };
    for group in parts.chunks(parts_at_once) {
        let (_, begin, _) = group[0];
        let end = group.last().map_or(begin, |p| p.1 + p.2);
        // four neighbours come from one part when parts start at multiples of four
        let aligned = group.iter().all(|p| p.1.is_multiple_of(4));
        let touched = if aligned { vec![] } else { vec![axis] };
        let mut map = Map::new("concat", 0, touched);
        map.part = Some(Part { axis, start: begin, len: end - begin });
        map.lower(
            l,
            |l, k| {
                group
                    .iter()
                    .map(|&(i, start, len)| Ok((Input::of(l, k, i)?, start, start + len)))
                    .collect::<Result<Vec<_>>>()
            },
            |b, parts, at, lanes| pick(b, parts, at, axis, lanes),
        )?;
    }
    Ok(())
}

fn pick<'b>(
    b: &'b Builder,
    parts: &[(Input, usize, usize)],
    at: &[E<'b>],
    axis: usize,
    lanes: Option<usize>,
) -> E<'b> {
    let read = |(x, start, _): &(Input, usize, usize)| {
        let mut from = at.to_vec();
        if *start > 0 {
            from[axis] = from[axis] - *start as u32;
        }
        x.lanes(b, &from, lanes)
    };
    if let [one] = parts {
        return read(one);
    }
    let value = b.var_uninit("value", super::map::value_type(parts[0].0.dtype, lanes));
    fn chain<'b>(
        b: &'b Builder,
        parts: &[(Input, usize, usize)],
        c: E<'b>,
        store: &dyn Fn(&(Input, usize, usize)),
    ) {
        match parts {
            [] => {}
            [last] => store(last),
            [first, rest @ ..] => {
                b.if_else(c.lt(first.2 as u32), || store(first), || chain(b, rest, c, store))
            }
        }
    }
    chain(b, parts, at[axis], &|p| value.set(read(p)));
    value.get()
}
