#![no_main]

use drift_bundle::Bundle;
use drift_fuzz::{Parts, seal, table};
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(bundle) = Bundle::parse(bytes) {
        bundle.variants().for_each(|variant| variant.shaders().iter().for_each(|_| ()));
        let _ = (bundle.verify(), bundle.weights(), bundle.debug());
    }
});

// Mostly changes the contents of one section and repairs sizes and checksums around it.
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let parts = Parts::split(&data[..size]).filter(|parts| !parts.is_empty());
    let (Some(mut parts), 1..) = (parts, seed % 16) else {
        return fuzzer_mutate(data, size, max_size);
    };
    let index = (seed as usize / 16) % parts.len();
    let (tag, body) = parts.section(index);
    match seed % 16 {
        // Kind, codec, alignment, variant.
        1 => {
            fuzzer_mutate(tag, 8, 8);
        }
        // Sizes and offsets that lie under a checksum that is right.
        2 => {
            let table = table(&parts);
            let (end, table_bytes) = (table.end, table.len());
            fuzzer_mutate(&mut data[table], table_bytes, table_bytes);
            seal(data, end);
            return size;
        }
        3 => parts.remove(index),
        4 => parts.repeat(index),
        _ => {
            let used = body.len();
            let most = used + (max_size - size).min(64);
            // libFuzzer refuses to mutate nothing into nothing.
            if most == 0 {
                return size;
            }
            body.resize(most, 0);
            let now = fuzzer_mutate(body, used, most);
            body.truncate(now);
        }
    }
    let file = parts.join();
    if file.len() > max_size {
        return fuzzer_mutate(data, size, max_size);
    }
    data[..file.len()].copy_from_slice(&file);
    file.len()
});
