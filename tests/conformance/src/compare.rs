//! Comparison of an output with what it should be.

/// How far an output may be off, by bounds of which one must hold.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tolerance {
    /// Of the largest |expected| value.
    pub relative: f64,
    /// The manifest's own absolute tolerance of this output, 0 if it has none.
    pub absolute: f64,
    /// The manifest's tolerance element by element: |error| <= atol + rtol * |expected|.
    pub atol: f64,
    pub rtol: f64,
}

impl Tolerance {
    /// Largest |error| allowed beside values of this scale.
    pub fn limit(&self, scale: f64) -> f64 {
        (self.relative * scale).max(self.absolute)
    }

    /// Whether every element is within the manifest's tolerance.
    pub fn holds_each(&self, got: &[f64], want: &[f64]) -> bool {
        let near =
            |(g, w): (&f64, &f64)| g == w || (g - w).abs() <= self.atol + self.rtol * w.abs();
        self.atol + self.rtol > 0.0 && got.iter().zip(want).all(near)
    }
}

/// The worst element of an output.
#[derive(Clone, Copy, Debug)]
pub struct Worst {
    /// Infinite where one side is not a number and the other is, or where an infinity is missed.
    pub error: f64,
    pub index: usize,
    pub got: f64,
    pub want: f64,
    /// Largest finite |expected|.
    pub scale: f64,
}

/// Finds the worst element; both sides have the same number of elements.
pub fn worst(got: &[f64], want: &[f64]) -> Worst {
    assert_eq!(got.len(), want.len(), "number of elements");
    let scale = want.iter().filter(|v| v.is_finite()).fold(0.0f64, |m, v| m.max(v.abs()));
    let mut out = Worst { error: 0.0, index: 0, got: 0.0, want: 0.0, scale };
    for (index, (&got, &want)) in got.iter().zip(want).enumerate() {
        let same = got == want || (got.is_nan() && want.is_nan());
        let error = match (got - want).abs() {
            _ if same => 0.0,
            e if e.is_nan() => f64::INFINITY,
            e => e,
        };
        if error > out.error {
            out = Worst { error, index, got, want, scale };
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_and_infinity_are_never_close() {
        assert_eq!(worst(&[f64::NAN], &[1.0]).error, f64::INFINITY);
        assert_eq!(worst(&[1.0], &[f64::NAN]).error, f64::INFINITY);
        assert_eq!(worst(&[1e30], &[f64::INFINITY]).error, f64::INFINITY);
        assert_eq!(worst(&[f64::NAN, f64::INFINITY], &[f64::NAN, f64::INFINITY]).error, 0.0);
        let w = worst(&[1.0, 2.5], &[1.0, 2.0]);
        assert_eq!((w.error, w.index, w.scale), (0.5, 1, 2.0));
    }

    #[test]
    fn either_bound_passes() {
        let t = Tolerance { relative: 1e-3, absolute: 0.5, ..Tolerance::default() };
        assert_eq!(t.limit(10.0), 0.5);
        assert_eq!(t.limit(1000.0), 1.0);
        assert!(!t.holds_each(&[1.0], &[1.0]), "no tolerance by element was given");
        let t = Tolerance { atol: 0.1, rtol: 0.01, ..t };
        assert!(t.holds_each(&[101.0, 0.1], &[100.0, 0.0]));
        assert!(!t.holds_each(&[101.2], &[100.0]));
        assert!(!t.holds_each(&[f64::NAN], &[100.0]));
    }
}
