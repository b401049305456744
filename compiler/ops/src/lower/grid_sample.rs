//! Reading a value at coordinates that another value holds, interpolated.

use super::Lowering;
use super::map::{Input, Map, all, value_type};
use crate::Result;
use drift_kernel::{Builder, E, Scalar};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Padding {
    Zeros,
    Border,
    Reflection,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Nearest,
    Linear,
    Cubic,
}

struct Sampler {
    padding: Padding,
    mode: Mode,
    align: bool,
}

/// A source coordinate, whether it counts (`None` = always), and its weight (`None` = 1).
type Tap<'b> = (E<'b>, Option<E<'b>>, Option<E<'b>>);

impl Sampler {
    /// Pulls a position into an axis of `n` elements.
    fn pulled<'b>(&self, at: E<'b>, n: usize) -> E<'b> {
        let last = n as f32 - 1.0;
        match self.padding {
            Padding::Zeros => at,
            Padding::Border => at.clamp(0.0f32, last),
            Padding::Reflection => {
                let (low, high) = if self.align { (0.0, last) } else { (-0.5, last + 0.5) };
                let span = high - low;
                if span <= 0.0 {
                    return at * 0.0f32;
                }
                let t = at - low;
                let m = t - (t / (2.0 * span)).floor() * (2.0 * span);
                (m.min(m * -1.0f32 + 2.0 * span) + low).clamp(0.0f32, last)
            }
        }
    }

    fn tap<'b>(&self, b: &'b Builder, at: E<'b>, n: usize, weight: Option<E<'b>>) -> Tap<'b> {
        let last = n as f32 - 1.0;
        let p = self.pulled(at, n);
        let zeros = self.padding == Padding::Zeros;
        let inside = zeros.then(|| p.ge(0.0f32).and(p.le(last)));
        let c = b.assume_max(p.clamp(0.0f32, last).cast(Scalar::U32), n as u64 - 1);
        (c, inside, weight)
    }

    /// Taps for normalized coordinate `u` on an axis of `n` elements.
    fn taps<'b>(&self, b: &'b Builder, u: E<'b>, n: usize) -> Vec<Tap<'b>> {
        let size = n as f32;
        let at = match self.align {
            true => (u + 1.0f32) * ((size - 1.0) / 2.0),
            false => ((u + 1.0f32) * size - 1.0f32) * 0.5f32,
        };
        // linear and nearest pad the coordinate, cubic every tap
        let at = if self.mode == Mode::Cubic { at } else { self.pulled(at, n) };
        match self.mode {
            Mode::Nearest => vec![self.tap(b, at.round(), n, None)],
            Mode::Linear => {
                let low = at.floor();
                let f = at - low;
                vec![
                    self.tap(b, low, n, Some(b.f32(1.0) - f)),
                    self.tap(b, low + 1.0f32, n, Some(f)),
                ]
            }
            Mode::Cubic => {
                let low = at.floor();
                let f = at - low;
                super::resize::cubic_weights(b, f, -0.75)
                    .into_iter()
                    .zip([-1.0f32, 0.0, 1.0, 2.0])
                    .map(|(w, o)| self.tap(b, low + o, n, Some(w)))
                    .collect()
            }
        }
    }
}

/// Lowers a `grid_sample` node.
pub fn lower(l: &mut Lowering<'_>) -> Result<()> {
    let (x, own) = (l.shape(0)?, l.own_shape(0));
    let attrs = &l.node.attrs;
    let sampler = Sampler {
        padding: match attrs.str("padding") {
            Some("border") => Padding::Border,
            Some("reflection") => Padding::Reflection,
            _ => Padding::Zeros,
        },
        mode: match attrs.str("mode") {
            Some("nearest") => Mode::Nearest,
            Some("cubic") => Mode::Cubic,
            _ => Mode::Linear,
        },
        align: attrs.int("align_corners", 0) != 0,
    };
    if x.elems() == 0 {
        return Err(l.unsupported(format!("samples of the empty {x}")));
    }
    let spatial = x.rank() - 2;
    let touched: Vec<usize> = (2..own.rank()).collect();
    Map::new("grid_sample", 10 * own.elems() as u64, touched).lower(
        l,
        |l, k| Ok((Input::of(l, k, 0)?, Input::of(l, k, 1)?)),
        |b, (input, grid), at, lanes| {
            let mut from = vec![at[0]];
            from.extend(&at[2..]);
            from.push(b.u32(0));
            let taps: Vec<Vec<Tap<'_>>> = (0..spatial)
                .map(|a| {
                    // the last spatial axis comes first in the grid
                    from[spatial + 1] = b.u32((spatial - 1 - a) as u32);
                    sampler.taps(b, grid.load(b, &from), x[a + 2])
                })
                .collect();
            let ty = value_type(input.dtype, lanes);
            let mut sum = b.lit_like(0.0, ty);
            super::resize::each_choice(&taps, &mut |choice| {
                let mut at = at[..2].to_vec();
                at.extend(choice.iter().map(|t| t.0));
                let v = input.lanes(b, &at, lanes);
                let v = match all(choice.iter().map(|t| t.1)) {
                    Some(inside) => b.select(inside, v, b.lit_like(0.0, ty)),
                    None => v,
                };
                let weight = choice.iter().filter_map(|t| t.2).reduce(|a, c| a * c);
                sum = match weight {
                    Some(w) => v.fma(w.splat(ty.vector().width), sum),
                    None => v,
                };
            });
            sum
        },
    )
}
