//! The text form: printing and parsing are inverse, and errors name their place.

use drift_ir::text::content_hash;
use drift_ir::{
    Arg, Attr, Attrs, Body, DType, Graph, Operand, PointwiseOp, Shape, Step, Tensor, View,
    ViewStep, dot, parse, print, verify,
};
use proptest::prelude::*;

const OPS: [&str; 5] = ["conv", "matmul", "pointwise", "split", "top_k"];

fn op(name: &str) -> Option<&'static str> {
    OPS.iter().copied().find(|o| *o == name)
}

const EXAMPLE: &str = r#"graph "g" {
  %0 = input "x" f32[1,3,8,8]
  %1 = input "r" f32[1,8,8,16]
  %2 = const f32[16,3,3,3] splat(0.25)  // "w"
  %3 = const f32[16] [0.0,1.0,2.0,3.0,4.0,5.0,6.0,7.0,8.0,9.0,10.0,11.0,12.0,13.0,14.0,-1.5e-7]
  %4 = conv(%0, %2, %3; %1.transpose[0,3,1,2]) {group=1, mode="a \"b\"", pads=[1,1,1,1], s=0.5} epilogue { t0 = add(acc, o3); t1 = relu(t0); return t1 } store.transpose[0,2,3,1] -> f32[1,8,8,16]  // "net/conv"
  %5, %6 = split(%4, _) {axis=1} -> f32[1,4,8,16], f32[1,4,8,16]
  %7, %8 = pointwise(%5, %6.slice([0,3,0,0],[1,4,8,16],[1,-1,1,1])) { t0:bool = greater(o0, 0.5); t1 = where(t0, o0, o1); return t1, t0 } -> f32[1,4,8,16], bool[1,4,8,16]
  output "y" %7
  output "z" %8
}
"#;

#[test]
fn example_round_trips_and_verifies() {
    let g = parse(EXAMPLE, &op).unwrap();
    assert_eq!(print(&g), EXAMPLE);
    verify(&g).unwrap();
    let d = dot(&g);
    assert!(d.contains("net/conv") && d.contains("n0 -> n1"), "{d}");
}

#[test]
fn generators_and_hashes() {
    let text = "graph \"g\" { %0 = const f32[20] random(7) %1 = const i64[20] random(7, 2, 5) output \"y\" %0 output \"z\" %1 }";
    let g = parse(text, &op).unwrap();
    let t = g.const_of(g.outputs[0].1).unwrap();
    assert!(t.to_f64s().iter().all(|v| (-1.0..1.0).contains(v)));
    assert!(t.splat_f64().is_none());
    let ints = g.const_of(g.outputs[1].1).unwrap().to_i64s();
    assert!(ints.iter().all(|v| (2..5).contains(v)), "{ints:?}");
    let printed = print(&g);
    assert!(printed.contains(&format!("#{:016x}", content_hash(t))), "{printed}");
    let e = parse(&printed, &op).unwrap_err();
    assert!(e.message.contains("not in the text") && e.line == 2, "{e}");
    let store = [g.const_of(g.outputs[0].1).unwrap(), g.const_of(g.outputs[1].1).unwrap()];
    let find = |h| store.iter().find(|t| content_hash(t) == h).map(|t| (*t).clone());
    assert_eq!(print(&drift_ir::parse::parse_with(&printed, &op, &find).unwrap()), printed);
}

#[test]
fn parse_errors_name_line_and_reason() {
    let wrap = |line: &str| format!("graph \"g\" {{\n  %0 = input \"x\" f32[2]\n{line}\n}}\n");
    for (line, want) in [
        ("%1 = nosuch(%0) -> f32[2]", "`nosuch` is not an operator"),
        ("%1 = conv(%7) -> f32[2]", "%7 is read before"),
        ("%1 = conv(%0) -> f99[2]", "`f99` is not a dtype"),
        ("%0 = conv(%0) -> f32[2]", "%0 is defined twice"),
        ("%1 = conv(%0.fold[1]) -> f32[2]", "`fold` is not a view step"),
        ("%1 = pointwise(%0) { t0 = sing(o0); return t0 } -> f32[2]", "`sing` is not"),
        ("%1 = const f32[3] [1,2]", "2 elements given for shape [3]"),
        ("%1 = const f32[99999999999] splat(1)", "generated constants end at"),
        ("%1 = const f32[4294967296,4294967296,4294967296] splat(1)", "too many elements"),
        ("%1 = const u8[1] [300]", "not a value of u8"),
        ("%1 = conv(%0) -> f32[2], f32[2]", "1 results but 2 types"),
        ("%1 = conv(%0) {a=1, a=2} -> f32[2]", "given twice"),
        ("output \"y", "closing quote"),
    ] {
        let e = parse(&wrap(line), &op).unwrap_err();
        assert!(e.message.contains(want), "{line}: {e}");
        assert!(e.line >= 3, "{line}: {e}");
    }
    assert!(parse("", &op).is_err());
}

#[test]
fn verifier_names_the_node() {
    let cases = [
        (
            "%1 = pointwise(%0) { t0 = add(o0); return t0 } -> f32[2]  // \"n\"",
            "1 arguments, not 2",
        ),
        (
            "%1 = pointwise(%0) { t0 = add(o0, o1); return t0 } -> f32[2]  // \"n\"",
            "o1, which is absent",
        ),
        ("%1 = pointwise(%0) { t0 = neg(t0); return t0 } -> f32[2]  // \"n\"", "t0 before"),
        (
            "%1 = pointwise(%0) { t0 = neg(acc); return t0 } -> f32[2]  // \"n\"",
            "acc in a pointwise",
        ),
        ("%1 = pointwise(%0) { t0 = neg(o0); return t0 } -> f32[3]  // \"n\"", "runs over [3]"),
        ("%1 = pointwise(%0) { t0 = less(o0, 1); return t0 } -> f32[2]  // \"n\"", "expected bool"),
        (
            "%1 = pointwise(%0) { t0:i32 = neg(o0); return t0 } -> i32[2]  // \"n\"",
            "argument of f32",
        ),
        ("%1 = pointwise(%0) { return o0, o0 } -> f32[2]  // \"n\"", "2 values for 1 results"),
        ("%1 = conv(%0.reshape[3]) -> f32[2]  // \"n\"", "does not apply"),
        ("%1 = conv(%0; %0) -> f32[2]  // \"n\"", "no epilogue"),
        (
            "%1 = conv(%0; %0) epilogue { t0 = add(acc, o0); return t0 } -> f32[2]  // \"n\"",
            "of the main",
        ),
        ("%1 = conv(%0) store.broadcast[4,2] -> f32[4,2]  // \"n\"", "cannot be a store view"),
        (
            "%1 = conv(%0; %0) epilogue { t0 = add(acc, o1); return t0 } store.reshape[1,2] -> f32[2]  // \"n\"",
            "result 0 is [2], expected [1,2]",
        ),
    ];
    for (line, want) in cases {
        let text = format!("graph \"g\" {{ %0 = input \"x\" f32[2]\n{line}\noutput \"y\" %1 }}");
        let g = parse(&text, &op).unwrap();
        match verify(&g) {
            Ok(()) => panic!("{line}: passed"),
            Err(e) => {
                assert!(e.message.contains(want), "{line}: {e}");
                assert!(e.place.contains("\"n\""), "{line}: {e}");
            }
        }
    }
}

#[test]
fn verifier_finds_broken_ssa() {
    let mut g = parse(EXAMPLE, &op).unwrap();
    let nodes: Vec<_> = g.node_ids().collect();
    let late = g.node(nodes[1]).results[0];
    g.node_mut(nodes[0]).operands[0] = Some(Operand {
        value: late,
        view: View::identity().then(ViewStep::Reshape { shape: [1, 8, 8, 8].into() }),
    });
    let e = verify(&g).unwrap_err();
    assert!(e.message.contains("cycle"), "{e}");

    let mut g = parse(EXAMPLE, &op).unwrap();
    g.remove_node(nodes[0]);
    let e = verify(&g).unwrap_err();
    assert!(e.message.contains("nothing defines"), "{e}");
}

/// Random small graphs of unary and binary nodes with attributes, views, epilogues and constants.
fn graphs() -> impl Strategy<Value = Graph> {
    let step = (0..3usize, 0..64usize, 0..64usize, any::<f64>(), any::<i64>(), "[ -~é\n]{0,6}");
    let tensors = proptest::collection::vec((0..13usize, 0..40usize, any::<u64>()), 0..4);
    (tensors, proptest::collection::vec(step, 1..8)).prop_map(|(tensors, steps)| {
        let mut g = Graph::new("p");
        let mut values = vec![g.add_input("x", DType::F32, [2, 3])];
        let mut consts = Vec::new();
        for (d, n, bits) in tensors {
            let dtype = DType::ALL[d];
            let bytes: Vec<u8> = (0..n * dtype.bytes())
                .map(|i| {
                    if dtype == DType::Bool {
                        (bits >> (i % 8)) as u8 & 1
                    } else {
                        bits.rotate_left(i as u32 * 7) as u8
                    }
                })
                .collect();
            let n = if n > 16 { 16 } else { n };
            let t = Tensor::from_bytes(dtype, [n], bytes[..n * dtype.bytes()].to_vec().into());
            consts.push(g.add_const(format!("c{d}"), t.unwrap()));
        }
        for (kind, a, b, f, i, s) in steps {
            let (a, b) = (values[a % values.len()], values[b % values.len()]);
            let view = View::identity().then(ViewStep::Transpose { perm: vec![1, 0] });
            let back = view.clone().then(ViewStep::Transpose { perm: vec![1, 0] });
            let body = |x, y| Body {
                steps: vec![
                    Step {
                        op: PointwiseOp::Greater,
                        args: vec![x, Arg::Const(f)],
                        dtype: DType::Bool,
                    },
                    Step {
                        op: PointwiseOp::Where,
                        args: vec![Arg::Step(0), y, x],
                        dtype: DType::F32,
                    },
                ],
                results: vec![Arg::Step(1)],
            };
            let shape = Shape::from([2, 3]);
            let id = if kind == 0 {
                let id = g.add_node(
                    "pointwise",
                    Attrs::new(),
                    vec![Some(a.into()), Some(Operand { value: b, view: back })],
                    vec![("r".into(), DType::F32, shape)],
                    s,
                );
                g.node_mut(id).epilogue = body(Arg::Operand(0), Arg::Operand(1));
                id
            } else {
                let attrs = Attrs::new()
                    .with("f", f)
                    .with("fs", vec![f, 1.0])
                    .with("i", i)
                    .with("is", vec![i, -1])
                    .with("none", Vec::<f64>::new())
                    .with("s", s.as_str())
                    .with("t", Attr::Tensor(Tensor::from_f32([1], &[f as f32])));
                let mut operands: Vec<Option<Operand>> = vec![Some(a.into()), None];
                operands.extend(consts.iter().map(|c| Some((*c).into())));
                let id =
                    g.add_node("conv", attrs, operands, vec![("r".into(), DType::F32, shape)], s);
                if kind == 2 {
                    let node = g.node_mut(id);
                    node.operands.push(Some(Operand { value: b, view: back }));
                    node.epilogue = body(Arg::Acc, Arg::Operand(node.operands.len() - 1));
                }
                id
            };
            values.push(g.node(id).results[0]);
        }
        g.outputs.push(("y".into(), *values.last().unwrap()));
        g
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn parse_inverts_print(g in graphs()) {
        verify(&g).unwrap();
        let text = print(&g);
        let store: Vec<Tensor> = g
            .value_ids()
            .filter_map(|v| g.const_of(v).cloned())
            .chain(g.node_ids().filter_map(|n| g.node(n).attrs.tensor("t").cloned()))
            .collect();
        let find = |h| store.iter().find(|t| content_hash(t) == h).cloned();
        let back = drift_ir::parse::parse_with(&text, &op, &find).unwrap();
        verify(&back).unwrap();
        prop_assert_eq!(print(&back), text);
    }

    #[test]
    fn parser_is_total(cut in 0..EXAMPLE.len(), with in "[ -~]{0,3}") {
        let mut text = EXAMPLE.to_owned();
        text.replace_range(cut..cut + 1, &with);
        if let Ok(g) = parse(&text, &op) {
            let _ = verify(&g);
        }
        let _ = parse(&EXAMPLE[..cut], &op);
    }
}
