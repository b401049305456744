//! OpenCL C: what is written, and where it says what a processor without checks must not do.

mod common;
use common::*;
use drift_bundle::caps::{Features, ImageKind};
use drift_emit::{Dialect, DialectOptions, EmitError, Needs, emit};
use drift_kernel::*;

fn cl(kernel: &Kernel) -> String {
    text(kernel, Dialect::OpenClC)
}

/// `y[i] = f(x[i])`.
fn map(scalar: Scalar, width: u8, f: impl for<'b> Fn(&'b Builder, E<'b>) -> E<'b>) -> Kernel {
    let bindings = vec![
        buffer("x", scalar, width, 256, Access::Read),
        buffer("y", scalar, width, 256, Access::Write),
    ];
    kernel("map", bindings, |b| {
        let i = b.global_id(0);
        let x = load(b, 0, i, Type::vec(scalar, width));
        store(b, 1, i, f(b, x));
    })
}

/// The line that stores the result.
fn stored(kernel: &Kernel) -> String {
    let text = cl(kernel);
    let line = text.lines().find_map(|l| l.trim().strip_prefix("y[global_x] = "));
    line.unwrap_or_else(|| panic!("no store in\n{text}")).trim_end_matches(';').to_owned()
}

#[test]
fn a_whole_kernel() {
    let k = map(Scalar::F32, 4, |_, x| (x * 2.0 + 1.0).max(0.0));
    let want = "\
__kernel __attribute__((reqd_work_group_size(64, 1, 1)))
void kernel_main(
    __global const uchar *x_bytes,
    const ulong x_offset,
    __global uchar *y_bytes,
    const ulong y_offset)
{
    __global const float4 *x = (__global const float4 *)(x_bytes + x_offset);
    __global float4 *y = (__global float4 *)(y_bytes + y_offset);
    const uint global_x = get_global_id(0);
    y[global_x] = fmax(x[global_x] * (float4)(2.0f) + (float4)(1.0f), (float4)(0.0f));
}
";
    assert_eq!(cl(&k), want);
}
