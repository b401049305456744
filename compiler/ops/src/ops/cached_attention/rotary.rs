//! Normalization and rotary embedding of one head, on the host.

/// `x / sqrt(mean(x²) + eps) * gamma`.
pub fn rms(x: &mut [f64], gamma: &[f64], eps: f64) {
    let mean = x.iter().map(|v| v * v).sum::<f64>() / x.len() as f64;
    let inv = 1.0 / (mean + eps).sqrt();
    x.iter_mut().zip(gamma).for_each(|(v, g)| *v *= inv * g);
}

/// Rotates the first `2 * cos.len()` elements by pairs: (i, i + half), or (2i, 2i + 1) when
/// `interleaved`.
pub fn rotate(x: &mut [f64], cos: &[f64], sin: &[f64], interleaved: bool) {
    let half = cos.len();
    for i in 0..half {
        let (a, b) = if interleaved { (2 * i, 2 * i + 1) } else { (i, i + half) };
        let (u, v) = (x[a], x[b]);
        x[a] = u * cos[i] - v * sin[i];
        x[b] = v * cos[i] + u * sin[i];
    }
}
