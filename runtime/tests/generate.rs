//! The generator, on a toy language model whose tokens the host can compute.

mod common;
#[path = "common/toy.rs"]
mod toy;
use common::*;
use drift_runtime::generate::{Generator, Sampling};
use drift_runtime::*;
use std::ops::ControlFlow;
use toy::*;

fn generator(device: &Device, toy: Toy) -> Generator {
    Generator::new(session(device, &toy.bundle(1.0))).unwrap_or_else(|e| panic!("{e}"))
}

fn prompt(n: usize) -> Vec<u32> {
    (0..n as u32).map(|i| (i * 17 + 5) % 50).collect()
}

#[test]
fn prompts_of_any_length_and_the_tokens_after_them() {
    let Some(device) = device() else { return };
    for toy in [Toy::full(128), Toy::ring(128)] {
        let mut g = generator(&device, toy);
        assert_eq!((g.context(), g.vocabulary(), g.chunk()), (128, 50, 16));
        for n in [1, 2, 4, 5, 15, 16, 17, 20, 21, 37, 70] {
            g.truncate(0).unwrap();
            g.prefill(&prompt(n)).unwrap();
            let expected = toy.expected(&prompt(n), 40);
            assert_eq!(g.decode(40).unwrap(), expected[n..], "{n}");
            assert_eq!(g.tokens(), expected);
            assert_eq!((g.position(), g.room()), (n + 40, 89 - n));
        }
    }
    assert_clean(&device);
}

#[test]
fn pieces_are_as_good_as_one() {
    let Some(device) = device() else { return };
    for toy in [Toy::full(200), Toy::ring(200)] {
        let mut g = generator(&device, toy);
        let mut expected = Vec::new();
        for (turn, n) in [3, 1, 20, 0, 7].into_iter().enumerate() {
            // In the middle of it, tokens that the host gave and tokens that the device chose.
            g.prefill(&prompt(n)).unwrap();
            expected.extend(prompt(n));
            for count in [0, 1, turn, 5] {
                g.decode(count).unwrap();
                expected = toy.expected(&expected, count);
            }
            assert_eq!(g.tokens(), expected);
        }
    }
    assert_clean(&device);
}

#[test]
fn a_caller_that_stops_leaves_no_trace() {
    let Some(device) = device() else { return };
    for toy in [Toy::full(300), Toy::ring(300)] {
        let mut g = generator(&device, toy);
        g.prefill(&prompt(9)).unwrap();
        let expected = toy.expected(&prompt(9), 120);
        for stop in [1, 2, 3, 10, 11, 30, 63] {
            let mut given = Vec::new();
            let from = g.position();
            let count = g
                .decode_with(150, |id| {
                    given.push(id);
                    match given.len() == stop {
                        true => ControlFlow::Break(()),
                        false => ControlFlow::Continue(()),
                    }
                })
                .unwrap();
            assert_eq!(count, stop);
            assert_eq!(given, expected[from..from + stop]);
            assert_eq!(g.tokens(), &expected[..from + stop]);
        }
    }
    assert_clean(&device);
}

#[test]
fn a_shorter_sequence_goes_on_as_if_it_had_never_been_longer() {
    let Some(device) = device() else { return };
    let toy = Toy::full(128);
    let mut g = generator(&device, toy);
    g.prefill(&prompt(30)).unwrap();
    g.decode(20).unwrap();
    let all = g.tokens().to_vec();
    for length in [45, 44, 30, 29, 12, 1] {
        g.truncate(length).unwrap();
        // The last token goes in again ...
        assert_eq!(g.decode(4).unwrap(), toy.expected(&all[..length], 4)[length..]);
        g.truncate(length).unwrap();
        // ... or others come behind it.
        g.prefill(&[7, 8]).unwrap();
        let expected = toy.expected(&[&all[..length], &[7, 8]].concat(), 3);
        assert_eq!(g.decode(3).unwrap(), expected[length + 2..]);
        g.truncate(length).unwrap();
    }
    g.truncate(0).unwrap();
    let e = g.decode(1).unwrap_err();
    assert_eq!(e.to_string(), "decode: there is no token to go on from");
    assert_eq!(
        g.truncate(1).unwrap_err().to_string(),
        "truncate: 1 tokens are more than the 0 there are"
    );
    assert_clean(&device);
}

#[test]
fn rings_go_back_as_far_as_they_hold() {
    let Some(device) = device() else { return };
    let toy = Toy::ring(200);
    let mut g = generator(&device, toy);
    g.prefill(&prompt(20)).unwrap();
    // Nothing was overwritten yet: 24 slots.
    g.truncate(3).unwrap();
    g.prefill(&prompt(60)).unwrap();
    let all = [prompt(3), prompt(60)].concat();
    let e = g.truncate(46).unwrap_err();
    assert_eq!(
        e.to_string(),
        "truncate: 46 tokens cannot be gone back to: 63 went through a sliding window, which holds \
         what the last 16 see; start again from 0"
    );
    assert_eq!(g.tokens(), all, "an error changes nothing");
    g.truncate(47).unwrap();
    let e = g.decode(1).unwrap_err();
    assert!(e.to_string().starts_with("truncate: 46 tokens cannot"), "{e}");
    g.prefill(&[1]).unwrap();
    let expected = toy.expected(&[all[..47].to_vec(), vec![1]].concat(), 10);
    assert_eq!(g.decode(10).unwrap(), expected[48..]);
    g.truncate(0).unwrap();
    g.prefill(&prompt(5)).unwrap();
    assert_eq!(g.decode(9).unwrap(), toy.expected(&prompt(5), 9)[5..]);
    assert_clean(&device);
}

#[test]
fn the_context_has_an_end() {
    let Some(device) = device() else { return };
    let toy = Toy::full(40);
    let mut g = generator(&device, toy);
    let e = g.prefill(&prompt(41)).unwrap_err();
    assert_eq!(e.kind(), RuntimeErrorKind::ContextFull);
    assert_eq!(
        e.to_string(),
        "the context is full: 41 tokens behind 0, and it holds 40; shorten the sequence, or compile \
         with a larger --context"
    );
    assert_eq!(g.position(), 0);
    g.prefill(&prompt(30)).unwrap();
    assert_eq!(g.room(), 11);
    let e = g.decode(12).unwrap_err();
    assert!(e.to_string().contains("12 tokens behind 30, and it holds 40"), "{e}");
    // The last token needs no room: it is not read any more.
    assert_eq!(g.decode(11).unwrap(), toy.expected(&prompt(30), 11)[30..]);
    assert_eq!((g.position(), g.room()), (41, 0));
    assert_eq!(g.decode(1).unwrap_err().kind(), RuntimeErrorKind::ContextFull);
    assert_eq!(g.prefill(&[1]).unwrap_err().kind(), RuntimeErrorKind::ContextFull);
    g.truncate(39).unwrap();
    assert_eq!(g.decode(2).unwrap(), toy.expected(&prompt(30), 11)[39..]);
    // A prompt that fills it all still says what comes after it.
    g.truncate(0).unwrap();
    g.prefill(&prompt(40)).unwrap();
    assert_eq!(g.decode(1).unwrap(), toy.expected(&prompt(40), 1)[40..]);
    assert_clean(&device);
}

#[test]
fn saved_sequences_go_on_in_other_sessions() {
    let Some(device) = device() else { return };
    for (toy, n) in [(Toy::full(128), 21), (Toy::ring(128), 21), (Toy::ring(128), 70)] {
        let mut g = generator(&device, toy);
        let expected = toy.expected(&prompt(n), 40);
        g.prefill(&prompt(n)).unwrap();
        let fresh = g.save().unwrap();
        g.decode(10).unwrap();
        let later = g.save().unwrap();
        g.decode(10).unwrap();
        let mut other = generator(&device, toy);
        other.prefill(&[9; 33]).unwrap();
        for (saved, from) in [(&later, n + 10), (&fresh, n)] {
            other.restore(saved).unwrap();
            assert_eq!(other.tokens(), &expected[..from]);
            assert_eq!(other.decode(15).unwrap(), expected[from..from + 15]);
        }
        // Only what is in use is kept: full caches of 20 more tokens are larger.
        let used = if toy.slots < n as u64 { toy.slots } else { n as u64 };
        let head = 8 + 4 + 8 + 4 * 8 + 4 + 4 + 4 * n as u64 + 4 + 3 + 4 * 8 + 8;
        assert_eq!(fresh.len() as u64, head + 2 * used * 4);
        // An empty sequence is one, too.
        g.truncate(0).unwrap();
        let empty = g.save().unwrap();
        other.restore(&empty).unwrap();
        assert_eq!(other.position(), 0);
    }
    assert_clean(&device);
}

#[test]
fn saved_bytes_are_checked() {
    let Some(device) = device() else { return };
    let toy = Toy::full(64);
    let mut g = generator(&device, toy);
    g.prefill(&prompt(10)).unwrap();
    let saved = g.save().unwrap();
    let refused = |g: &mut Generator, bytes: &[u8], expected: &str| {
        let e = g.restore(bytes).unwrap_err();
        assert_eq!(e.kind(), RuntimeErrorKind::Input);
        assert!(e.to_string().contains(expected), "{e}");
        assert_eq!(g.position(), 10, "an error changes nothing");
    };
    refused(&mut g, &[], "0 bytes are too few");
    refused(&mut g, b"PK\x03\x04 and so on", "other bytes than `save` gives");
    for at in (8..saved.len()).step_by(3) {
        let mut bad = saved.clone();
        bad[at] ^= 4;
        assert!(g.restore(&bad).is_err(), "byte {at}");
    }
    for len in 0..saved.len() {
        assert!(g.restore(&saved[..len]).is_err(), "{len} bytes");
    }
    // What lies, but with a right checksum, is found too.
    for at in 20..saved.len() - 8 {
        let mut bad = saved.clone();
        bad[at] = bad[at].wrapping_add(0x80);
        let end = bad.len() - 8;
        let sum = drift_bundle::hash64(&bad[..end]);
        bad[end..].copy_from_slice(&sum.to_le_bytes());
        if g.restore(&bad).is_ok() {
            // a cached number, `reach`, or the announced length
            assert!(g.position() == 10 && (at >= 139 || (36..52).contains(&at)), "byte {at}");
        }
    }
    g.restore(&saved).unwrap();
    let mut longer = generator(&device, Toy { slots: 80, ..toy });
    let e = longer.restore(&saved).unwrap_err().to_string();
    assert!(e.contains("cache \"k.0\" of 2 heads, 64 slots and 4 bytes each, but"), "{e}");
    let mut other = Generator::new(session(&device, &toy.bundle(2.0))).unwrap();
    let e = other.restore(&saved).unwrap_err().to_string();
    assert!(e.contains("made with another model"), "{e}");
    assert_clean(&device);
}

#[test]
fn logits_of_every_position() {
    let Some(device) = device() else { return };
    let toy = Toy::ring(128);
    let mut g = generator(&device, toy);
    let ids = prompt(40);
    let mut seen = 0;
    g.prefill_logits(&ids, |position, logits| {
        assert_eq!(position, seen);
        assert_eq!(logits, toy.logits(&ids[..=position]), "{position}");
        seen += 1;
        Ok(())
    })
    .unwrap();
    assert_eq!(seen, 40);
    let expected = toy.expected(&ids, 12);
    assert_eq!(g.decode(12).unwrap(), expected[40..]);
    assert_eq!(g.logits().unwrap(), toy.logits(&expected[..51]));
    // The token that was given, but not read, gets its logits first.
    g.prefill_logits(&[3], |position, logits| {
        let all = [&expected[..], &[3]].concat();
        assert_eq!(logits, toy.logits(&all[..=position]), "{position}");
        assert!(position >= 51);
        Ok(())
    })
    .unwrap();
    assert_clean(&device);
}

#[test]
fn settings_reach_the_device_and_are_checked() {
    let Some(device) = device() else { return };
    let toy = Toy::full(64);
    let mut g = generator(&device, toy);
    g.set_sampling(&Sampling { temperature: 0.5, seed: 11, ..Sampling::GREEDY }).unwrap();
    g.prefill(&prompt(6)).unwrap();
    let mut expected = prompt(6);
    for _ in 0..12 {
        let next = toy.stream(&expected) % toy.vocabulary + 11 + expected.len() as u64;
        expected.push((next % toy.vocabulary) as u32);
    }
    assert_eq!(g.decode(12).unwrap(), expected[6..]);
    let mut state = [0; 32];
    let all = Sampling {
        temperature: 0.5,
        top_k: 40,
        top_p: 0.9,
        min_p: 0.1,
        repetition_penalty: 1.25,
        penalty_window: 64,
        seed: 0,
    };
    g.set_sampling(&all).unwrap();
    g.session_mut().read_state("sampling", 0, &mut state).unwrap();
    let floats: Vec<f32> =
        state.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    assert_eq!(floats, [0.5, 40.0, 0.9, 1.25, 0.1, 64.0, 0.0, 0.0]);
    for (bad, expected) in [
        (Sampling { temperature: -1.0, ..all }, "temperature: -1 is not 0 or more"),
        (Sampling { temperature: f32::NAN, ..all }, "temperature: NaN is not 0 or more"),
        (Sampling { top_p: 0.0, ..all }, "top_p: 0 is not more than 0 and at most 1"),
        (Sampling { min_p: 1.5, ..all }, "min_p: 1.5 is not 0 to 1"),
        (Sampling { repetition_penalty: f32::INFINITY, ..all }, "is not more than 0"),
    ] {
        let e = g.set_sampling(&bad).unwrap_err().to_string();
        assert!(e.contains(expected), "{e}");
        assert_eq!(*g.sampling(), all);
    }
    let e = g.prefill(&[3, 50]).unwrap_err();
    assert_eq!(e.to_string(), "token id: 50 is not below 50, their number");
    assert_clean(&device);
}

/// What LongRoPE models go by: the length of the text, before the first piece of it is run.
#[test]
fn the_length_of_the_text_is_announced() {
    let Some(device) = device() else { return };
    let mut g = generator(&device, Toy::full(64));
    let announced = |g: &mut Generator| {
        let mut word = [0; 4];
        g.session_mut().read_state("params", 16, &mut word).unwrap();
        u32::from_le_bytes(word)
    };
    g.prefill(&prompt(40)).unwrap();
    assert_eq!(announced(&mut g), 40);
    g.truncate(3).unwrap();
    g.prefill(&prompt(5)).unwrap();
    assert_eq!(announced(&mut g), 40, "the caches were filled with this in mind");
    g.announce(60);
    g.prefill(&prompt(1)).unwrap();
    assert_eq!(announced(&mut g), 60);
    let saved = g.save().unwrap();
    g.truncate(0).unwrap();
    g.prefill(&prompt(7)).unwrap();
    assert_eq!(announced(&mut g), 7);
    g.restore(&saved).unwrap();
    g.decode(2).unwrap();
    assert_eq!(announced(&mut g), 60);
    assert_clean(&device);
}

#[test]
fn other_bundles_are_no_language_models() {
    let Some(device) = device() else { return };
    let e = Generator::new(session(&device, &saxpy(4, 1.0, &[0.0; 4]))).map(|_| ()).unwrap_err();
    assert_eq!(
        e.to_string(),
        "generate: state \"tokens\" is missing: no bundle of a language model"
    );
}
