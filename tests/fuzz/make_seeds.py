"""Writes seeds/onnx_read: small models that hold one of everything the reader knows.

Needs the Python package `onnx`. Run from this folder; the files are committed.
"""

import numpy as np
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper


def value(name, dtype=T.FLOAT, shape=("n", 4)):
    return h.make_tensor_value_info(name, dtype, shape)


def save(name, graph, opset=17, functions=(), ir=8, **opsets):
    imports = [h.make_opsetid("", opset)] + [h.make_opsetid(d, v) for d, v in opsets.items()]
    model = h.make_model(graph, opset_imports=imports, functions=list(functions), ir_version=ir)
    with open(f"seeds/onnx_read/{name}", "wb") as file:
        file.write(model.SerializeToString())


weights = numpy_helper.from_array(np.arange(16, dtype=np.float32).reshape(4, 4), "w")
typed = h.make_tensor("b", T.FLOAT, [4], [0.0, 1.0, -1.0, 0.5])
chain = [h.make_node("MatMul", ["x", "w"], ["m"]), h.make_node("Add", ["m", "b"], ["y"], name="add")]
save("matmul", h.make_graph(chain, "g", [value("x")], [value("y")], [weights, typed]))

# Initializers that are also inputs (IR 3), nodes out of order.
inputs = [value("x"), value("w", shape=(4, 4)), value("b", shape=(4,))]
save("ir3", h.make_graph(chain[::-1], "g", inputs, [value("y")], [weights, typed]), opset=8, ir=3)

# Subgraphs that read names of the graph around them.
then = h.make_graph([h.make_node("Relu", ["x"], ["t"])], "then", [], [value("t")])
other = h.make_graph([h.make_node("Add", ["x", "b"], ["e"])], "else", [], [value("e")], [typed])
branch = h.make_node("If", ["c"], ["y"], then_branch=then, else_branch=other)
save("if", h.make_graph([branch], "g", [value("x"), value("c", T.BOOL, [])], [value("y")]))

# A function, an own domain.
body = [h.make_node("Sigmoid", ["a"], ["s"]), h.make_node("Mul", ["a", "s"], ["r"])]
silu = h.make_function("own", "Silu", ["a"], ["r"], body, [h.make_opsetid("", 17)])
call = h.make_node("Silu", ["x"], ["y"], domain="own")
save("function", h.make_graph([call], "g", [value("x")], [value("y")]), functions=[silu], own=1)

# Every attribute kind and many tensor types.
tensors = [
    h.make_tensor("f16", T.FLOAT16, [2], np.array([1, 2], np.float16)),
    h.make_tensor("bf16", T.BFLOAT16, [2], [1.0, 2.0]),
    h.make_tensor("i64", T.INT64, [2], [-1, 1 << 40]),
    h.make_tensor("i8", T.INT8, [3], [-128, 0, 127]),
    h.make_tensor("u8", T.UINT8, [3], b"\x00\x80\xff", raw=True),
    h.make_tensor("f64", T.DOUBLE, [1], [1e300]),
    h.make_tensor("u64", T.UINT64, [1], [1 << 63]),
    h.make_tensor("bool", T.BOOL, [2], [True, False]),
    h.make_tensor("str", T.STRING, [2], [b"a", b""]),
    h.make_tensor("i4", T.INT4, [3], [-8, 0, 7]),
    h.make_tensor("none", T.FLOAT, [0, 4], []),
]
sparse = h.make_sparse_tensor(
    h.make_tensor("sv", T.FLOAT, [2], [1.0, 2.0]), h.make_tensor("si", T.INT64, [2], [0, 5]), [8]
)
kinds = [
    h.make_node("Constant", [], ["k0"], value=typed),
    h.make_node("Constant", [], ["k1"], value_ints=[1, 2]),
    h.make_node("Constant", [], ["k2"], value_floats=[1.0, float("nan")]),
    h.make_node("Constant", [], ["k3"], value_string=b"text"),
    h.make_node("Constant", [], ["k4"], value_strings=[b"a", b"b"]),
    h.make_node("Constant", [], ["k5"], sparse_value=sparse),
    h.make_node("LeakyRelu", ["x"], ["y"], alpha=0.1, name="act"),
    h.make_node("Clip", ["y", "", "k1"], ["z"]),
]
graph = h.make_graph(kinds, "g", [value("x")], [value("z")], tensors)
graph.sparse_initializer.append(sparse)
save("kinds", graph, opset=21, ir=10)

# External data (there is no folder to look in: an error, but a read one).
outside = h.make_tensor("w", T.FLOAT, [4, 4], [0.0] * 16)
outside.ClearField("float_data")
outside.data_location = T.EXTERNAL
for key, text in (("location", "../w.bin"), ("offset", "4096"), ("length", "64")):
    outside.external_data.add(key=key, value=text)
save("external", h.make_graph(chain, "g", [value("x")], [value("y")], [outside, typed]))

# Sequences, maps, optionals as value types.
sequence = h.make_tensor_sequence_value_info("s", T.FLOAT, None)
split = h.make_node("SplitToSequence", ["x"], ["s"], axis=0)
save("sequence", h.make_graph([split], "g", [value("x")], [sequence]))
