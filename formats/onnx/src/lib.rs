//! drift-onnx
