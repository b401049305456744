//! States between runs: read, written, handed on from run to run while several are in flight.

mod common;
use common::*;
use drift_bundle::plan::*;
use drift_runtime::*;

/// Words of the state `log`.
const LOG: u64 = 1 << 16;

/// Entry points `add` (x is added to the sum, which is noted in the log) and `twice` (the sum
/// doubles), over the states `sum` i32\[2\] (sum, runs so far), `step` i32\[1\] and `log` i32\[LOG\].
fn counter() -> Bundle {
    let mut b = PlanBuilder::new();
    let small = b.buffer(ObjectRole::State, 512);
    let log = b.buffer(ObjectRole::State, LOG * 4);
    b.state("sum", ElemType::I32, &[2], small, 0);
    b.state("step", ElemType::I32, &[1], small, 256);
    b.state("log", ElemType::I32, &[LOG], log, 0);
    let head = "@group(0) @binding(0) var<storage, read_write> sum: array<i32>;
         @group(0) @binding(1) var<storage, read_write> step: array<i32>;
         @group(0) @binding(2) var<storage, read_write> log: array<i32>;
         @compute @workgroup_size(1) fn main() {";
    let part = |offset| Bind::Buffer { object: small, offset, bytes: 8 };
    let binds = [part(0), part(256), b.whole(log)];
    for (name, body) in [("add", "sum[0] += step[0];"), ("twice", "sum[0] *= 2;")] {
        let wgsl = format!("{head} {body} log[sum[1]] = sum[0]; sum[1] += 1; }}");
        let p = b.pipeline(&wgsl, 1, &[WRITE, WRITE, WRITE]);
        if name == "twice" {
            b.entry(name);
        } else {
            b.plan.entry_points[0].name = name.into();
        }
        b.dispatch(p, [1, 1, 1], &binds, name);
    }
    b.bundle()
}

fn ints(session: &mut Session, name: &str, from: u64, n: usize) -> Vec<i32> {
    let mut bytes = vec![0xaa; n * 4];
    session.read_state(name, from * 4, &mut bytes).unwrap();
    bytes.chunks(4).map(|b| i32::from_le_bytes(b.try_into().unwrap())).collect()
}

fn bytes(values: &[i32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

#[test]
fn runs_in_flight_hand_on_their_state() {
    let Some(device) = device() else { return };
    let mut s = session(&device, &counter());
    assert_eq!(ints(&mut s, "sum", 0, 2), [0, 0], "states start at zero");
    s.write_state("step", 0, &bytes(&[1])).unwrap();
    s.submit_n(100).unwrap();
    for _ in 0..20 {
        s.submit().unwrap();
    }
    assert_eq!(ints(&mut s, "sum", 0, 2), [120, 120]);
    assert_eq!(ints(&mut s, "log", 0, 120), (1..=120).collect::<Vec<i32>>());
    // Entry points alternate without waiting.
    s.write_state("sum", 0, &bytes(&[1, 0])).unwrap();
    let mut expected = 1;
    for i in 0..6 {
        s.set_entry(if i % 2 == 0 { "add" } else { "twice" }).unwrap();
        s.submit_n(2).unwrap();
        expected = if i % 2 == 0 { expected + 2 } else { expected * 4 };
    }
    assert_eq!(ints(&mut s, "sum", 0, 2), [expected, 12]);
    s.reset_state().unwrap();
    assert_eq!(ints(&mut s, "sum", 0, 1), [0]);
    assert_eq!(ints(&mut s, "log", LOG - 1, 1), [0]);
    assert_clean(&device);
}

/// Each write is seen by the runs after it and by none before, although nobody waits.
#[test]
fn writes_keep_their_place_among_runs() {
    let Some(device) = device() else { return };
    let mut s = session(&device, &counter());
    let mut expected = Vec::new();
    let mut sum = 0;
    for step in 1..40 {
        s.write_state("step", 0, &bytes(&[step])).unwrap();
        s.submit_n(2).unwrap();
        for _ in 0..2 {
            sum += step;
            expected.push(sum);
        }
    }
    assert_eq!(ints(&mut s, "log", 0, expected.len()), expected);
    assert_clean(&device);
}

#[test]
fn fetches_travel_with_their_submit() {
    let Some(device) = device() else { return };
    let mut s = session(&device, &counter());
    s.write_state("step", 0, &bytes(&[3])).unwrap();
    let mut tickets = Vec::new();
    for i in 0..8u64 {
        tickets.push(s.submit_fetch(2, "log", i * 8, 8).unwrap());
    }
    for (i, ticket) in (0i32..).zip(&tickets) {
        let got = s.fetched(*ticket).unwrap().to_vec();
        assert_eq!(got, bytes(&[i * 6 + 3, i * 6 + 6]));
    }
    // Without a run, and without bytes.
    let last = s.submit_fetch(0, "sum", 4, 4).unwrap();
    assert_eq!(s.fetched(last).unwrap(), bytes(&[16]));
    let none = s.submit_fetch(1, "sum", 8, 0).unwrap();
    assert!(s.fetched(none).unwrap().is_empty());
    // The first ones have been given up by now.
    let e = s.fetched(tickets[0]).unwrap_err();
    assert_eq!(e.to_string(), "fetched state: given up: too many submits and reads since");
    assert_eq!(s.fetched(tickets[7]).unwrap(), bytes(&[45, 48]));
    let e = s.submit_fetch(1, "log", 0, Ticket::MOST_BYTES + 4).unwrap_err();
    assert!(e.to_string().contains("65540 bytes cannot travel with a run, at most 65536"), "{e}");
    assert_clean(&device);
}

#[test]
fn large_states_are_written_and_read_in_parts() {
    let Some(device) = device() else { return };
    let mut s = session(&device, &counter());
    let values: Vec<i32> = (0..LOG as i32).map(|i| i.wrapping_mul(0x9E37_79B9u32 as i32)).collect();
    s.submit_n(3).unwrap();
    s.write_state("log", 0, &bytes(&values)).unwrap();
    assert!(ints(&mut s, "log", 0, LOG as usize) == values);
    assert_eq!(ints(&mut s, "log", 17, 40_000), values[17..40_017]);
    s.write_state("log", 40, &bytes(&[7; 30_000])).unwrap();
    let all = ints(&mut s, "log", 0, LOG as usize);
    assert!(all[..10] == values[..10] && all[10..30_010] == [7; 30_000]);
    assert!(all[30_010..] == values[30_010..]);
    assert_clean(&device);
}

#[test]
fn states_are_named_and_bounded() {
    let Some(device) = device() else { return };
    let mut s = session(&device, &counter());
    let names: Vec<(&str, &[u64])> =
        s.state_info().iter().map(|io| (io.name.as_str(), &io.shape[..])).collect();
    assert_eq!(names, [("sum", &[2][..]), ("step", &[1]), ("log", &[LOG])]);
    let e = s.read_state("k.0", 0, &mut [0; 4]).unwrap_err();
    assert_eq!(e.kind(), RuntimeErrorKind::Input);
    assert_eq!(e.to_string(), "state \"k.0\": no such state; there are: sum, step, log");
    for (offset, n) in [(0, 12), (8, 4), (u64::MAX, 4), (9, 0)] {
        let e = s.read_state("sum", offset, &mut vec![0; n]).unwrap_err().to_string();
        assert_eq!(e, format!("state \"sum\": offset {offset} + {n} bytes, the state has 8"));
        let again = s.write_state("sum", offset, &vec![0; n]).unwrap_err().to_string();
        assert_eq!(again, e);
        assert_eq!(s.submit_fetch(1, "sum", offset, n as u64).unwrap_err().to_string(), e);
    }
    s.read_state("sum", 8, &mut []).unwrap();
    s.write_state("sum", 8, &[]).unwrap();
    // `step` lies behind `sum` in the same object and is out of reach.
    s.write_state("sum", 4, &bytes(&[5])).unwrap();
    assert_eq!((ints(&mut s, "sum", 0, 2), ints(&mut s, "step", 0, 1)), (vec![0, 5], vec![0]));
    assert_clean(&device);
}
