//! Where the rows of a weight matrix come from.

use std::io;
use std::sync::Arc;

/// A matrix that gives its rows as f32, from several threads at once.
pub trait RowSource: Send + Sync {
    /// Outputs of the product.
    fn rows(&self) -> usize;
    /// Inputs of the product: K, without padding.
    fn columns(&self) -> usize;
    /// Rows from `first` on, as many as `out` holds (a multiple of `columns`), row-major.
    fn read(&self, first: usize, out: &mut [f32]) -> io::Result<()>;
}

/// A matrix in memory.
#[derive(Clone, Debug)]
pub struct Dense {
    columns: usize,
    data: Vec<f32>,
}

impl Dense {
    /// `None` when `data` is no whole number of rows.
    pub fn new(columns: usize, data: Vec<f32>) -> Option<Dense> {
        data.len().is_multiple_of(columns).then_some(Dense { columns, data })
    }
}

impl RowSource for Dense {
    fn rows(&self) -> usize {
        self.data.len() / self.columns
    }
    fn columns(&self) -> usize {
        self.columns
    }
    fn read(&self, first: usize, out: &mut [f32]) -> io::Result<()> {
        out.copy_from_slice(&self.data[first * self.columns..][..out.len()]);
        Ok(())
    }
}

/// Matrices of equal width, one below the other: q, k and v as one product.
pub struct Stacked(Vec<Arc<dyn RowSource>>);

impl Stacked {
    /// `None` when there is none, or their widths differ.
    pub fn new(parts: Vec<Arc<dyn RowSource>>) -> Option<Stacked> {
        let columns = parts.first()?.columns();
        parts.iter().all(|p| p.columns() == columns).then_some(Stacked(parts))
    }
}

impl RowSource for Stacked {
    fn rows(&self) -> usize {
        self.0.iter().map(|p| p.rows()).sum()
    }
    fn columns(&self) -> usize {
        self.0[0].columns()
    }
    fn read(&self, first: usize, out: &mut [f32]) -> io::Result<()> {
        let columns = self.columns();
        let (mut start, mut rest) = (0, out);
        let mut at = first;
        for part in &self.0 {
            let end = start + part.rows();
            if at < end && !rest.is_empty() {
                let take = ((end - at) * columns).min(rest.len());
                let (now, later) = rest.split_at_mut(take);
                part.read(at - start, now)?;
                at += take / columns;
                rest = later;
            }
            start = end;
        }
        Ok(())
    }
}

/// Two matrices of one shape, row by row in turn: gate and up of a gated product.
pub struct Interleaved(Arc<dyn RowSource>, Arc<dyn RowSource>);

impl Interleaved {
    /// `None` when the shapes differ. Row 2j is row j of `even`, row 2j + 1 that of `odd`.
    pub fn new(even: Arc<dyn RowSource>, odd: Arc<dyn RowSource>) -> Option<Interleaved> {
        let same = even.rows() == odd.rows() && even.columns() == odd.columns();
        same.then_some(Interleaved(even, odd))
    }
}

impl RowSource for Interleaved {
    fn rows(&self) -> usize {
        2 * self.0.rows()
    }
    fn columns(&self) -> usize {
        self.0.columns()
    }
    fn read(&self, first: usize, out: &mut [f32]) -> io::Result<()> {
        let columns = self.columns();
        let last = first + out.len() / columns;
        for (parity, source) in [&self.0, &self.1].into_iter().enumerate() {
            // rows j with first <= 2j + parity < last
            let from = first.saturating_sub(parity).div_ceil(2);
            let to = last.saturating_sub(parity).div_ceil(2);
            if from >= to {
                continue;
            }
            let mut rows = vec![0.0; (to - from) * columns];
            source.read(from, &mut rows)?;
            for (i, row) in rows.chunks_exact(columns).enumerate() {
                let at = 2 * (from + i) + parity - first;
                out[at * columns..][..columns].copy_from_slice(row);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::data::sample_f32;
    use crate::quant::Scheme;

    /// One row of random length and spread through a scheme: each weight may err by what `bound`
    /// gives for the scales found, and packing what came back changes nothing.
    pub fn checked_round_trip(
        scheme: Scheme,
        case: u64,
        bound: impl Fn(&[u8], &[f32]) -> Vec<f32>,
    ) {
        let k = 1 + (case as usize * 37) % 300;
        let spread = 10f32.powi(case as i32 % 7 - 3);
        let mut row: Vec<f32> =
            sample_f32(case + 1, [k]).to_f32s().iter().map(|w| w * spread).collect();
        if case.is_multiple_of(3) {
            row[k / 2] *= 20.0; // an outlier
        }
        if case.is_multiple_of(5) {
            row.iter_mut().skip(k / 3).take(70).for_each(|w| *w = 0.0);
        }
        let mut data = vec![0; scheme.data_row_bytes(k)];
        let mut scales = vec![0; scheme.scales_row_bytes(k)];
        scheme.search_row(&row, &mut scales);
        scheme.pack_row(&row, &scales, &mut data);
        let mut back = vec![0.0; k];
        scheme.unpack_row(&data, &scales, &mut back);
        let bounds = bound(&scales, &row);
        for (i, ((w, got), bound)) in row.iter().zip(&back).zip(bounds).enumerate() {
            let e = (w - got).abs();
            assert!(
                e <= bound,
                "{scheme}, case {case}, weight {i}: {got} for {w}, allowed {bound}"
            );
        }
        let mut again = data.clone();
        scheme.pack_row(&back, &scales, &mut again);
        assert_eq!(again, data, "{scheme}, case {case}: packing is not idempotent");
        // padding stands for zeros
        let padded = scheme.padded_k(k);
        let mut wide = vec![0.0; padded];
        scheme.unpack_row(&data, &scales, &mut wide);
        assert!(wide[k..].iter().all(|w| *w == 0.0), "{scheme}: padding is not 0");
    }

    fn dense(first: f32, rows: usize, columns: usize) -> Arc<dyn RowSource> {
        let data = (0..rows * columns).map(|i| first + i as f32).collect();
        Arc::new(Dense::new(columns, data).unwrap())
    }

    fn rows(source: &dyn RowSource, first: usize, n: usize) -> Vec<f32> {
        let mut out = vec![f32::NAN; n * source.columns()];
        source.read(first, &mut out).unwrap();
        out
    }

    #[test]
    fn stacked_and_interleaved_blocks_are_pieces_of_the_whole() {
        let stacked =
            Stacked::new(vec![dense(0.0, 3, 2), dense(100.0, 1, 2), dense(200.0, 4, 2)]).unwrap();
        let interleaved = Interleaved::new(dense(0.0, 5, 2), dense(100.0, 5, 2)).unwrap();
        let sources: [&dyn RowSource; 2] = [&stacked, &interleaved];
        for source in sources {
            let whole = rows(source, 0, source.rows());
            for first in 0..source.rows() {
                for n in 0..=source.rows() - first {
                    assert_eq!(rows(source, first, n), whole[2 * first..2 * (first + n)]);
                }
            }
        }
        assert_eq!(rows(&stacked, 2, 3), [4., 5., 100., 101., 200., 201.]);
        assert_eq!(rows(&interleaved, 1, 3), [100., 101., 2., 3., 102., 103.]);
    }

    #[test]
    fn sources_that_do_not_fit_are_refused() {
        assert!(Dense::new(3, vec![0.0; 4]).is_none());
        assert!(Stacked::new(vec![]).is_none());
        assert!(Stacked::new(vec![dense(0.0, 1, 2), dense(0.0, 1, 3)]).is_none());
        assert!(Interleaved::new(dense(0.0, 1, 2), dense(0.0, 2, 2)).is_none());
    }
}
