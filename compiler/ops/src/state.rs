//! Operators that update a state where it lies.

/// Pairs (operand, result) that share memory: the result is the operand with some elements
/// replaced. The kernels bind the result only; what they do not write keeps its value.
pub fn updates(op: &str) -> &'static [(usize, usize)] {
    match op {
        // k, v and, for int8 caches, their scales
        "cached_attention" => &[(3, 1), (4, 2), (8, 3), (9, 4)],
        // tokens, params
        "sample" => &[(1, 0), (2, 1)],
        _ => &[],
    }
}
