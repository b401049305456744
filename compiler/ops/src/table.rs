//! The table of operators: one word per file of `ops/`.

use crate::def::OpDef;

macro_rules! ops {
    ($($module:ident)*) => {
        /// Every operator, in the order of the list.
        pub static OPS: &[&OpDef] = &[$(&crate::ops::$module::OP,)*];
    };
}

ops! {
    // views
    reshape transpose slice expand
    split depth_to_space shape
    // element-wise
    pointwise bias_gelu
    // constants
    constant range eye_like window
    // linear algebra
    matmul gemm einsum conv conv_transpose qlinear
    // windows, reductions, normalizations
    pool reduce arg_reduce softmax log_softmax hardmax
    batch_norm layer_norm rms_norm instance_norm group_norm lrn lp_norm
    // data movement
    concat pad gather gather_elements gather_nd scatter_elements scatter_nd tensor_scatter
    reverse_sequence one_hot top_k trilu cumsum non_zero
    // images
    resize grid_sample affine_grid col2im non_max_suppression
    // recurrent
    lstm gru rnn
    // language models
    linear embedding last_row sample
    attention cached_attention rotary_embedding
    // quantization
    quantize_linear dequantize_linear dynamic_quantize_linear matmul_nbits
}

/// The operator of an IR node.
pub fn find_op(name: &str) -> Option<&'static OpDef> {
    OPS.iter().copied().find(|d| d.name == name)
}

/// The operator that imports an ONNX operator in an opset version. `Err` has the known version
/// ranges (inclusive), none when the name is unknown.
pub fn find_onnx(
    domain: &str,
    op_type: &str,
    opset: i64,
) -> Result<&'static OpDef, Vec<(i64, i64)>> {
    let mut known = Vec::new();
    for def in OPS {
        for n in def.onnx.iter().filter(|n| n.domain == domain && n.name == op_type) {
            if (n.since..=n.until).contains(&opset) {
                return Ok(def);
            }
            known.push((n.since, n.until));
        }
    }
    Err(known)
}
