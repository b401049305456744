//! Our header reader and the one of the `safetensors` crate agree, on whole and on damaged files.

use drift_weights::WeightStore;
use proptest::prelude::*;
use safetensors::SafeTensors;

fn sample() -> Vec<u8> {
    let header = r#"{"__metadata__":{"format":"pt"},"w":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"b":{"dtype":"BF16","shape":[3],"data_offsets":[16,22]},"e":{"dtype":"I64","shape":[0,4],"data_offsets":[22,22]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(0..22);
    bytes
}

/// What we accept, the crate accepts with the same content. The other way round, we may refuse more:
/// rare dtypes, names given twice, files that look like another format.
fn compare(bytes: &[u8]) {
    let theirs = SafeTensors::deserialize(bytes);
    match WeightStore::from_bytes(bytes.to_vec()) {
        Ok(ours) => {
            let theirs = theirs.unwrap();
            assert_eq!(ours.len(), theirs.len());
            for view in ours.iter() {
                let other = theirs.tensor(view.name).unwrap();
                let shape: Vec<u64> = other.shape().iter().map(|d| *d as u64).collect();
                assert_eq!((view.shape, view.data), (&shape[..], other.data()));
            }
        }
        Err(err) => {
            let text = err.to_string();
            let stricter = err.is_unsupported()
                || text.contains("given twice")
                || text.contains("is not a safetensors");
            assert!(theirs.is_err() || stricter, "only we refuse: {text}");
        }
    }
}

#[test]
fn whole_and_truncated_files() {
    let bytes = sample();
    assert_eq!(WeightStore::from_bytes(bytes.clone()).unwrap().len(), 3);
    for len in 0..=bytes.len() {
        compare(&bytes[..len]);
    }
}

#[test]
fn every_bit_flip() {
    let mut bytes = sample();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            bytes[at] ^= 1 << bit;
            compare(&bytes);
            bytes[at] ^= 1 << bit;
        }
    }
}

/// Offsets whose sum with the header's length passes 2^64. The crate's reader adds them up.
#[test]
fn offsets_near_the_end_of_the_address_space() {
    let size = (1u64 << 61) - 1;
    let entries: Vec<String> = (0..8)
        .map(|i| {
            let (start, end) = (i * size, (i + 1) * size);
            format!(r#""t{i}":{{"dtype":"U8","shape":[{size}],"data_offsets":[{start},{end}]}}"#)
        })
        .collect();
    let header = format!("{{{}}}", entries.join(","));
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    let err = WeightStore::from_bytes(bytes.clone()).unwrap_err().to_string();
    assert!(err.contains("`t0`: its data end at byte 2305843009213693951"), "{err}");
    let theirs = std::panic::catch_unwind(|| SafeTensors::deserialize(&bytes).is_err());
    assert_eq!(theirs.is_err(), cfg!(debug_assertions), "the reason in src/header.rs has changed");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn several_edits(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0u8..3, any::<u8>()), 1..5),
    ) {
        let mut bytes = sample();
        for (at, action, value) in edits {
            let at = at.index(bytes.len());
            match action {
                0 => bytes[at] = value,
                1 => bytes.insert(at, value),
                _ => drop(bytes.remove(at)),
            }
        }
        compare(&bytes);
    }
}
