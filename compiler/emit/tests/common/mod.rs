//! Physical kernels by hand: bindings without logical tensors.
#![allow(dead_code)]

use drift_bundle::caps::ImageKind;
use drift_emit::{Dialect, DialectOptions, EmittedShader, emit};
use drift_kernel::*;
use drift_spirv_val::{Env, validate_spirv};

pub const TEXT: [Dialect; 2] = [Dialect::Msl, Dialect::Wgsl];

pub fn buffer(name: &str, scalar: Scalar, width: u8, len: u64, access: Access) -> Binding {
    Binding {
        name: name.to_owned(),
        tensor: TensorId(0),
        part: 0,
        access,
        ty: BindingType::Buffer { elem: Vector { scalar, width }, len },
    }
}

pub fn image(name: &str, kind: ImageKind, texel: Scalar, access: Access) -> Binding {
    Binding {
        name: name.to_owned(),
        tensor: TensorId(0),
        part: 0,
        access,
        ty: BindingType::Image { kind, texel, extent: [16, 16, 4] },
    }
}

/// A kernel of 64 invocations to a workgroup and 4 workgroups.
pub fn kernel(name: &str, bindings: Vec<Binding>, write: impl FnOnce(&Builder)) -> Kernel {
    let b = Builder::new(name, [64, 1, 1], [4, 1, 1]);
    write(&b);
    Kernel { bindings, ..b.finish() }
}

pub fn load<'b>(b: &'b Builder, binding: u32, index: E<'b>, ty: Type) -> E<'b> {
    b.ordered(Expr::Buffer { binding: BindingId(binding), index: index.id }, ty)
}

pub fn store<'b>(b: &'b Builder, binding: u32, index: E<'b>, value: E<'b>) {
    b.stmt(Stmt::StoreBuffer { binding: BindingId(binding), index: index.id, value: value.id });
}

pub fn emitted(kernel: &Kernel, dialect: Dialect) -> EmittedShader {
    emit(kernel, dialect, &DialectOptions::default()).unwrap_or_else(|error| panic!("{error}"))
}

pub fn text(kernel: &Kernel, dialect: Dialect) -> String {
    emitted(kernel, dialect).text().expect("a text dialect").to_owned()
}

/// The SPIR-V words, after a current validator has accepted them.
pub fn spirv(kernel: &Kernel) -> Vec<u32> {
    let words = emitted(kernel, Dialect::SpirV).words().expect("SPIR-V");
    let matrices = kernel.exprs.iter().any(|e| matches!(e, Expr::MatrixMulAdd { .. }));
    // cooperative matrices are an extension to Vulkan 1.3; all else runs on 1.1
    let env = if matrices { Env::Vulkan13 } else { Env::Vulkan11 };
    if let Err(error) = validate_spirv(&words, env) {
        panic!("spirv-val on `{}`: {error}", kernel.name);
    }
    words
}

/// Emits in every dialect that has a writer; SPIR-V passes spirv-val.
pub fn everywhere(kernel: &Kernel) {
    spirv(kernel);
    for dialect in TEXT {
        assert!(text(kernel, dialect).contains(drift_emit::ENTRY_POINT));
    }
}

/// Operands of all instructions with an opcode.
pub fn instructions(words: &[u32], opcode: u32) -> Vec<Vec<u32>> {
    let mut out = Vec::new();
    let mut at = 5;
    while at < words.len() {
        let len = (words[at] >> 16) as usize;
        if words[at] & 0xffff == opcode {
            out.push(words[at + 1..at + len].to_vec());
        }
        at += len;
    }
    out
}

pub fn capabilities(words: &[u32]) -> Vec<u32> {
    instructions(words, 17).into_iter().map(|c| c[0]).collect()
}

/// `y[i] = f(x[i])`.
pub fn map_of(
    scalar: Scalar,
    width: u8,
    f: impl for<'b> Fn(&'b Builder, E<'b>) -> E<'b>,
) -> Kernel {
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
