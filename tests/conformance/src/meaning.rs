//! What outputs mean, for networks whose raw numbers do not say it: the class, the boxes.

/// Whether an output says the same as the expected one; `Ok` for networks without a rule here.
pub fn same(network: &str, got: &[f64], want: &[f64]) -> Result<(), String> {
    match network {
        "cls_mnist8" | "cls_resnet20_cifar10" => same_classes(got, want, 10, 0.0),
        // kinds of cats are one or two quanta (0.17) of the int8 output apart
        "cls_shufflenetv2_int8" => same_classes(got, want, 1000, 0.6),
        "det_yolox_nano" => same_boxes(&yolox(got), &yolox(want)),
        _ => Ok(()),
    }
}

fn best(row: &[f64]) -> usize {
    (0..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best })
}

/// In every row the expected class is the largest, or at most `slack` below it.
fn same_classes(got: &[f64], want: &[f64], classes: usize, slack: f64) -> Result<(), String> {
    for (g, w) in got.chunks_exact(classes).zip(want.chunks_exact(classes)) {
        let (is, should) = (best(g), best(w));
        if g[is] - g[should] > slack {
            return Err(format!("class {is} instead of {should}"));
        }
    }
    Ok(())
}

/// A detection in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detection {
    pub class: usize,
    pub score: f64,
    /// Left, top, right, bottom.
    pub corners: [f64; 4],
}

/// Detections with a score of at least this count.
const SCORE: f64 = 0.3;

/// Decodes YOLOX at 416 x 416 pixels: per cell of the grids of stride 8, 16 and 32 an offset of the
/// centre in cells, the logarithm of the size in cells, the objectness, and 80 classes.
fn yolox(out: &[f64]) -> Vec<Detection> {
    let cells = [8usize, 16, 32].into_iter().flat_map(|stride| {
        let n = 416 / stride;
        (0..n * n).map(move |i| ((i % n) as f64, (i / n) as f64, stride as f64))
    });
    let decode = |(row, (x, y, stride)): (&[f64], (f64, f64, f64))| {
        let class = best(&row[5..]);
        let (cx, cy) = ((row[0] + x) * stride, (row[1] + y) * stride);
        let (w, h) = (row[2].exp() * stride, row[3].exp() * stride);
        let corners = [cx - w / 2.0, cy - h / 2.0, cx + w / 2.0, cy + h / 2.0];
        Detection { class, score: row[4] * row[5 + class], corners }
    };
    out.chunks_exact(85).zip(cells).map(decode).collect()
}

/// Shared part of the area of two boxes, 0 to 1.
fn overlap(a: &[f64; 4], b: &[f64; 4]) -> f64 {
    let side = |l: f64, r: f64| (r - l).max(0.0);
    let area = |c: &[f64; 4]| side(c[0], c[2]) * side(c[1], c[3]);
    let both = side(a[0].max(b[0]), a[2].min(b[2])) * side(a[1].max(b[1]), a[3].min(b[3]));
    both / (area(a) + area(b) - both).max(f64::MIN_POSITIVE)
}

/// Cell by cell the same object, nearly as sure, in nearly the same place.
fn same_boxes(got: &[Detection], want: &[Detection]) -> Result<(), String> {
    for (g, w) in got.iter().zip(want).filter(|(g, w)| g.score >= SCORE || w.score >= SCORE) {
        let near = (g.score - w.score).abs() < 0.05;
        if !near || g.class != w.class || overlap(&g.corners, &w.corners) < 0.9 {
            return Err(format!("{g:?} instead of {w:?}"));
        }
    }
    match want.iter().filter(|w| w.score >= SCORE).count() {
        0 => Err("nothing was to be detected: a test that cannot fail".into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_are_compared_by_place_class_and_score() {
        let d = Detection { class: 3, score: 0.8, corners: [0.0, 0.0, 10.0, 10.0] };
        assert!(same_boxes(&[d], &[d]).is_ok());
        assert!(same_boxes(&[Detection { class: 4, ..d }], &[d]).is_err());
        assert!(same_boxes(&[Detection { score: 0.7, ..d }], &[d]).is_err());
        assert!(same_boxes(&[Detection { corners: [2.0, 0.0, 12.0, 10.0], ..d }], &[d]).is_err());
        assert!((overlap(&[0.0, 0.0, 2.0, 2.0], &[1.0, 0.0, 3.0, 2.0]) - 1.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn classes_are_the_largest() {
        assert!(same_classes(&[0.0, 2.0, 1.0], &[0.5, 9.0, 1.0], 3, 0.0).is_ok());
        assert!(same_classes(&[0.0, 2.0, 3.0], &[0.5, 9.0, 1.0], 3, 0.5).is_err());
        assert!(same_classes(&[0.0, 2.0, 2.4], &[0.5, 9.0, 1.0], 3, 0.5).is_ok());
    }
}
