"""Makes tests/contrib: models of one contrib operator each, with onnxruntime's results.

    pip install onnx onnxruntime; python contrib.py [FOLDER]

Each test is one model. What it is given and what comes out are among its initializers, as `in:NAME` and
`out:NAME`; inputs named in `const` are initializers that the operator reads.
"""

import os
import shutil
import sys

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

OUT = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "contrib")
MS = "com.microsoft"
TYPES = {
    np.dtype(np.float32): TensorProto.FLOAT,
    np.dtype(np.float16): TensorProto.FLOAT16,
    np.dtype(np.int32): TensorProto.INT32,
    np.dtype(np.int64): TensorProto.INT64,
    np.dtype(np.uint8): TensorProto.UINT8,
}


def floats(seed, *shape):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def ints(*values):
    return np.array(values, dtype=np.int32)


def case(name, op, inputs, outputs, const=(), domain=MS, same=None, **attrs):
    """`inputs`: (name, array or None) in the operator's order; `same`: inputs that mean the same, in a
    form that the CPU provider has."""
    model, feeds = made(name, op, inputs, outputs, const, domain, attrs)
    oracle, fed = (model, feeds) if same is None else made(name, op, same, outputs, const, domain, attrs)
    results = run(name, oracle, fed)
    if results is None:
        return
    for value, array in zip(model.graph.output, results):
        value.CopyFrom(info(value.name, array))
    wanted = zip((o for o in outputs if o), results)
    for kind, arrays in (("in", feeds.items()), ("out", wanted)):
        tensors = [numpy_helper.from_array(a, f"{kind}:{n}") for n, a in arrays]
        model.graph.initializer.extend(tensors)
    onnx.save(model, os.path.join(OUT, f"{name}.onnx"))


def info(name, array):
    return helper.make_tensor_value_info(name, TYPES[array.dtype], array.shape)


def made(name, op, inputs, outputs, const, domain, attrs):
    """A model of one node, and what it is fed with."""
    given = [(n, a) for n, a in inputs if a is not None]
    names = [n if a is not None else "" for n, a in inputs]
    while names and not names[-1]:
        names.pop()
    node = helper.make_node(op, names, outputs, domain=domain, **attrs)
    graph = helper.make_graph(
        [node],
        name,
        [info(n, a) for n, a in given if n not in const],
        [helper.make_empty_tensor_value_info(o) for o in outputs if o],
        [numpy_helper.from_array(a, n) for n, a in given if n in const],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid(MS, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    return model, {n: a for n, a in given if n not in const}


def run(name, model, feeds):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = ort.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
        return session.run(None, feeds)
    except Exception as e:  # a form that the CPU provider lacks
        print(f"left out {name}: {str(e)[:200]}")
        return None


def tables(rows, half):
    angle = np.outer(np.arange(rows), 1.0 / 10.0 ** (np.arange(half) / half))
    return np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)


def grouped(name, batch=1, rows=1, held=0, total=None, lengths=None, heads=4, kv=2, d=16, capacity=0,
            packed=False, rotary=None, positions=None, bias=False, turned=None, **attrs):
    """`held` rows are in the past of each text (or as `lengths` - `rows` says), of `capacity`."""
    total = total or held + rows
    lengths = lengths or [total] * batch
    past = [None, None]
    if held or capacity:
        past = [floats(s, batch, kv, capacity or held, d) for s in (4, 5)]
        for b in range(batch):
            for p in past:
                p[b, :, lengths[b] - rows:] = 0
    q, k, v = floats(1, batch, rows, heads * d), floats(2, batch, rows, kv * d), floats(3, batch, rows, kv * d)
    if packed:
        q, k, v = np.concatenate([q, k, v], axis=2), None, None
    cos = sin = None
    if rotary is not None:
        cos, sin = tables(16, (turned or d) // 2)
        attrs.update(do_rotary=1, rotary_interleaved=rotary)
    inputs = [
        ("query", q), ("key", k), ("value", v), ("past_key", past[0]), ("past_value", past[1]),
        ("seqlens_k", ints(*[n - 1 for n in lengths])),
        ("total_sequence_length", np.array(total, dtype=np.int32)),
        ("cos", cos), ("sin", sin), ("position_ids", positions),
        ("bias", floats(6, 1, heads, rows, total) if bias else None),
    ]
    case(f"grouped_{name}", "GroupQueryAttention", inputs, ["y", "present_key", "present_value"],
         const=("total_sequence_length", "cos", "sin"), num_heads=heads, kv_num_heads=kv, **attrs)


def multi(name, query, key=None, value=None, outputs=("y",), heads=2, **more):
    order = ["bias", "mask", "attention_bias", "past_key", "past_value"]
    attrs = {k: v for k, v in more.items() if k not in order}
    inputs = [("query", query), ("key", key), ("value", value)] + [(n, more.get(n)) for n in order]
    case(f"multi_{name}", "MultiHeadAttention", inputs, list(outputs), num_heads=heads, **attrs)


def stacked(name, query, parts):
    """Parts `[batch, rows, heads * size]` as one `[batch, rows, heads, parts, size]`."""
    heads = lambda a: a.reshape(*a.shape[:2], 2, -1)
    whole = np.stack([heads(p) for p in parts], axis=3)
    plain = ([query] if query is not None else []) + parts
    packed = [query, whole] if query is not None else [whole]
    named = lambda arrays: list(zip(["query", "key", "value"], arrays))
    case(f"multi_{name}", "MultiHeadAttention", named(packed), ["y"], same=named(plain), num_heads=2)


def projected(name, outputs=("y",), heads=2, **more):
    order = ["bias", "mask", "past", "attention_bias"]
    attrs = {k: v for k, v in more.items() if k not in order}
    inputs = [("x", floats(1, 2, 5, 6)), ("weights", floats(2, 6, 24))] + [(n, more.get(n)) for n in order]
    case(f"projected_{name}", "Attention", inputs, list(outputs), const=("weights", "bias"), num_heads=heads, **attrs)


def rotary(name, x, positions, half, **attrs):
    cos, sin = tables(16, half)
    inputs = [("x", x), ("position_ids", positions), ("cos", cos), ("sin", sin)]
    case(f"rotary_{name}", "RotaryEmbedding", inputs, ["y"], const=("cos", "sin"), **attrs)


def bits(name, bits, block, k=64, n=8, zeros=False, scales=np.float32, **more):
    r = np.random.default_rng(7)
    blocks = -(-k // block)
    w = r.integers(0, 256, (n, blocks, block * bits // 8)).astype(np.uint8)
    s = r.uniform(0.01, 0.1, (n * blocks,)).astype(np.float16).astype(scales)
    z = None
    if zeros:
        z = r.integers(0, 256, (n, -(-blocks * bits // 8))).astype(np.uint8)
        z = z if more.get("flat") is None else z.reshape(-1)
    inputs = [("x", floats(1, 2, 3, k)), ("w", w), ("s", s), ("z", z)]
    case(f"bits_{name}", "MatMulNBits", inputs, ["y"], const=("w", "s", "z"), K=k, N=n, bits=bits, block_size=block)


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    os.makedirs(OUT)
    grouped("prompt", rows=5)
    grouped("prompt_rotary", batch=2, rows=4, rotary=0)
    grouped("prompt_packed", rows=5, packed=True, rotary=1, local_window_size=3)
    grouped("prompt_softcap", rows=4, softcap=0.5, scale=0.7)
    grouped("prompt_partial", rows=4, d=32, turned=16, rotary=0)
    grouped("prompt_in_a_buffer", rows=4, capacity=7, rotary=0)
    grouped("decode", held=6, rotary=0)
    grouped("decode_batch", batch=2, held=6, lengths=[7, 4], rotary=0)
    grouped("decode_packed", held=6, packed=True, rotary=1)
    grouped("decode_in_a_buffer", held=5, capacity=9, rotary=0)
    grouped("decode_window", batch=2, held=6, lengths=[7, 5], local_window_size=3)
    grouped("decode_bias", held=4, bias=True)
    grouped("decode_rows", rows=3, held=4, rotary=0)
    grouped("decode_positions", held=4, rotary=0, positions=np.array([[2]], dtype=np.int64))
    grouped("both_ways", rows=4, causal=0)

    x, k, v = floats(1, 2, 4, 16), floats(2, 2, 5, 16), floats(3, 2, 5, 12)
    multi("self", x, floats(2, 2, 4, 16), floats(3, 2, 4, 16), bias=floats(4, 48))
    multi("cross", x, k, v)
    multi("lengths", x, k, v, mask=ints(5, 3))
    multi("padding", x, k, v, mask=ints(1, 1, 1, 0, 1, 0, 1, 1, 0, 0).reshape(2, 5))
    multi("mask", x, k, v, mask=(np.arange(40).reshape(2, 4, 5) % 3 > 0).astype(np.int32))
    multi("bias", x, k, v, attention_bias=floats(5, 1, 2, 4, 5), scale=0.3)
    multi("causal", x, floats(2, 2, 4, 16), floats(3, 2, 4, 16), unidirectional=1)
    multi("cached", x, floats(2, 2, 4, 16), floats(3, 2, 4, 16), ("y", "pk", "pv"),
          past_key=floats(6, 2, 2, 3, 8), past_value=floats(7, 2, 2, 3, 8))
    multi("cached_causal", x, floats(2, 2, 4, 16), floats(3, 2, 4, 16), ("y", "pk", "pv"), unidirectional=1,
          past_key=floats(6, 2, 2, 3, 8), past_value=floats(7, 2, 2, 3, 8))
    multi("heads_apart", x, floats(2, 2, 2, 5, 8), floats(3, 2, 2, 5, 8))
    stacked("packed", None, [x, floats(2, 2, 4, 16), floats(3, 2, 4, 16)])
    stacked("packed_keys", x, [k, floats(3, 2, 5, 16)])

    bias = floats(3, 24)
    projected("plain", bias=bias)
    projected("lengths", bias=bias, mask=ints(5, 3))
    projected("ends_and_starts", bias=bias, mask=ints(5, 4, 0, 1))
    projected("padding", bias=bias, mask=ints(1, 1, 1, 0, 0, 1, 1, 1, 1, 0).reshape(2, 5))
    projected("causal", bias=bias, unidirectional=1)
    projected("cached", ("y", "present"), bias=bias, past=floats(4, 2, 2, 2, 3, 4), unidirectional=1)
    projected("bias", bias=bias, attention_bias=floats(5, 2, 2, 5, 5))
    projected("uneven", bias=bias, qkv_hidden_sizes=[6, 6, 12])

    rows = np.array([[0, 1, 2, 3], [4, 5, 6, 7]], dtype=np.int64)
    rotary("flat", floats(1, 2, 4, 24), rows, 4)
    rotary("offset", floats(1, 2, 4, 24), np.array([3], dtype=np.int64), 4)
    rotary("heads", floats(1, 2, 3, 4, 8), rows, 4)
    rotary("neighbours", floats(1, 2, 3, 4, 8), rows, 4, interleaved=1)
    rotary("partial", floats(1, 2, 4, 24), rows, 2, num_heads=3, rotary_embedding_dim=4)

    x, y, g, b = floats(1, 2, 3, 8), floats(2, 2, 3, 8), floats(3, 8), floats(4, 8)
    case("skip_rms", "SkipSimplifiedLayerNormalization", [("x", x), ("s", y), ("g", g)], ["y", "", "", "sum"])
    case("skip_rms_bias", "SkipSimplifiedLayerNormalization", [("x", x), ("s", y), ("g", g), ("b", b)], ["y"], epsilon=1e-3)
    case("skip_norm", "SkipLayerNormalization", [("x", x), ("s", y), ("g", g), ("b", b), ("c", floats(5, 8))], ["y", "", "", "sum"])
    case("skip_norm_row", "SkipLayerNormalization", [("x", x), ("s", floats(2, 3, 8)), ("g", g)], ["y"])
    case("rms", "SimplifiedLayerNormalization", [("x", x), ("g", g)], ["y"], domain="", axis=-1, epsilon=1e-3)

    bits("4", 4, 32)
    bits("4_zeros", 4, 16, zeros=True)
    bits("4_zeros_odd", 4, 32, k=96, zeros=True)
    bits("4_ragged", 4, 32, k=80)
    bits("8", 8, 32)
    bits("8_zeros", 8, 32, zeros=True)

    a, c = floats(1, 2, 3, 4), floats(2, 2, 5, 4)
    case("matmul", "FusedMatMul", [("a", a), ("b", c)], ["y"], transB=1, alpha=0.5)
    case("matmul_batch", "FusedMatMul", [("a", floats(1, 3, 2, 4)), ("b", c.transpose(0, 2, 1).copy())], ["y"], transBatchA=1)
    case("quick_gelu", "QuickGelu", [("x", x)], ["y"], alpha=1.3)
    case("fast_gelu", "FastGelu", [("x", x), ("b", b)], ["y"])
    case("bias_gelu", "BiasGelu", [("x", x), ("b", b)], ["y"])


main()
