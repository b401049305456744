//! Sliding windows: what `auto_pad`, `pads`, `strides`, `dilations` and `ceil_mode` come down to.

use crate::Result;
use crate::import::ImportCtx;
use drift_ir::{Attrs, Shape};

/// A window over the spatial axes of `[N, C, spatial..]`, everything explicit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    pub kernel: Vec<usize>,
    pub strides: Vec<usize>,
    pub dilations: Vec<usize>,
    pub begin: Vec<usize>,
    pub end: Vec<usize>,
}

impl Window {
    pub fn rank(&self) -> usize {
        self.kernel.len()
    }

    /// Reads the normalized attributes (`strides`, `dilations`, `pads`) of a node.
    pub fn of(attrs: &Attrs, kernel: &[usize]) -> Option<Window> {
        let n = kernel.len();
        let list = |name: &str, len: usize| attrs.usizes(name).filter(|v| v.len() == len);
        let pads = list("pads", 2 * n)?;
        let w = Window {
            kernel: kernel.to_vec(),
            strides: list("strides", n)?,
            dilations: list("dilations", n)?,
            begin: pads[..n].to_vec(),
            end: pads[n..].to_vec(),
        };
        let positive = |v: &[usize]| v.iter().all(|x| *x > 0);
        (positive(&w.kernel) && positive(&w.strides) && positive(&w.dilations)).then_some(w)
    }

    /// The node attributes of this window, without the kernel.
    pub fn attrs(&self) -> Attrs {
        let pads: Vec<usize> = self.begin.iter().chain(&self.end).copied().collect();
        Attrs::new()
            .with("strides", self.strides.as_slice())
            .with("dilations", self.dilations.as_slice())
            .with("pads", pads)
    }

    /// Span of the window on axis `i`, dilation included; `None` on overflow.
    pub fn span(&self, i: usize) -> Option<usize> {
        self.dilations[i].checked_mul(self.kernel[i].checked_sub(1)?)?.checked_add(1)
    }

    /// Output size of axis `i` for an input of size `dim`. `None` when the window does not fit.
    pub fn out(&self, i: usize, dim: usize, ceil: bool) -> Option<usize> {
        let padded = dim.checked_add(self.begin[i])?.checked_add(self.end[i])?;
        let room = padded.checked_sub(self.span(i)?)?;
        let steps = if ceil { room.div_ceil(self.strides[i]) } else { room / self.strides[i] };
        // a window may not start in the end padding
        if ceil && steps > 0 && steps * self.strides[i] >= dim + self.begin[i] {
            return Some(steps);
        }
        Some(steps + 1)
    }
}

/// Reads an ONNX list attribute of `n` positive sizes; ones when absent.
fn positive(c: &ImportCtx, name: &str, n: usize) -> Result<Vec<usize>> {
    let Some(v) = c.attrs.ints(name) else { return Ok(vec![1; n]) };
    let sizes: Option<Vec<usize>> =
        v.iter().map(|x| usize::try_from(*x).ok().filter(|x| *x > 0)).collect();
    sizes
        .filter(|s| s.len() == n)
        .ok_or_else(|| c.invalid(format!("{name} {v:?} needs {n} positive sizes")))
}

/// Explicit begin and end pads, checked not to be negative.
pub fn explicit_pads(c: &ImportCtx, n: usize) -> Result<(Vec<usize>, Vec<usize>)> {
    let Some(p) = c.attrs.ints("pads") else { return Ok((vec![0; n], vec![0; n])) };
    if p.len() != 2 * n {
        return Err(c.invalid(format!("pads {p:?} need {} entries", 2 * n)));
    }
    if p.iter().any(|x| *x < 0) {
        return Err(c
            .unsupported(format!("negative pads {p:?}"))
            .help("crop with a Slice in front of this node"));
    }
    let p: Vec<usize> = p.iter().map(|x| *x as usize).collect();
    Ok((p[..n].to_vec(), p[n..].to_vec()))
}

/// The window of a convolution or pooling node over `shape` (`[N, C, spatial..]`), `auto_pad`
/// resolved.
pub fn import_window(c: &ImportCtx, shape: &Shape, kernel: Vec<usize>) -> Result<Window> {
    let n = kernel.len();
    if shape.rank() != n + 2 {
        return Err(c.invalid(format!(
            "a window of {n} axes needs a value of rank {}, not {shape}",
            n + 2
        )));
    }
    if n == 0 || n > 3 {
        return Err(c.unsupported(format!("{n} spatial axes; 1, 2 and 3 are supported")));
    }
    if let Some(k) = c.attrs.ints("kernel_shape")
        && k.iter().map(|x| usize::try_from(*x).ok()).collect::<Option<Vec<_>>>().as_ref()
            != Some(&kernel)
    {
        return Err(c.invalid(format!("kernel_shape {k:?} differs from the weights' {kernel:?}")));
    }
    if kernel.contains(&0) {
        return Err(c.invalid(format!("an empty window {kernel:?}")));
    }
    let mut w = Window {
        strides: positive(c, "strides", n)?,
        dilations: positive(c, "dilations", n)?,
        begin: vec![0; n],
        end: vec![0; n],
        kernel,
    };
    match c.attrs.str("auto_pad").unwrap_or("NOTSET") {
        "NOTSET" | "" => (w.begin, w.end) = explicit_pads(c, n)?,
        "VALID" => {}
        mode @ ("SAME_UPPER" | "SAME_LOWER") => {
            for i in 0..n {
                let dim = shape[i + 2];
                let out = dim.div_ceil(w.strides[i]);
                let total = w
                    .span(i)
                    .and_then(|s| out.saturating_sub(1).checked_mul(w.strides[i])?.checked_add(s))
                    .ok_or_else(|| c.invalid("the window is too large"))?
                    .saturating_sub(dim);
                let (small, large) = (total / 2, total - total / 2);
                let upper = mode == "SAME_UPPER";
                (w.begin[i], w.end[i]) = if upper { (small, large) } else { (large, small) };
            }
        }
        mode => return Err(c.invalid(format!("auto_pad {mode:?} is not known"))),
    }
    Ok(w)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(k: usize, s: usize, d: usize, b: usize, e: usize) -> Window {
        Window {
            kernel: vec![k],
            strides: vec![s],
            dilations: vec![d],
            begin: vec![b],
            end: vec![e],
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(window(3, 2, 1, 1, 1).out(0, 224, false), Some(112));
        assert_eq!(window(3, 1, 2, 0, 0).out(0, 7, false), Some(3));
        assert_eq!(window(3, 2, 1, 0, 0).out(0, 4, true), Some(2));
        // the last window would start in the padding
        assert_eq!(window(1, 2, 1, 0, 1).out(0, 2, true), Some(1));
        assert_eq!(window(5, 1, 1, 0, 0).out(0, 4, false), None);
        assert_eq!(window(usize::MAX, 1, 2, 0, 0).out(0, 4, false), None);
    }
}
