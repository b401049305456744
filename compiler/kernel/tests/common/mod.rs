//! Runs kernels on the interpreter with host tensors as arguments.
#![allow(dead_code)]

use drift_ir::{Shape, Tensor, View};
use drift_kernel::interp::{Bind, Memory, ObjectId, Options, run};
use drift_kernel::tensor::{pack, unpack};
use drift_kernel::*;

pub fn arg(name: &str, shape: &Shape, access: Access) -> TensorArg {
    TensorArg {
        name: name.into(),
        elem: Elem::F32,
        stored: shape.clone(),
        view: View::identity(),
        layout: Layout::RowMajor,
        storage: Storage::Buffer,
        access,
        base_elems: 0,
        max_object_bytes: 1 << 27,
    }
}

/// f32 quads of a value in an image, as [`Memory::write_image`] takes them.
pub fn image_quads(arg: &TensorArg, values: &Tensor) -> Vec<f32> {
    // the image holds the slots in another order; let a kernel say which
    let n: usize = arg.image_extent().unwrap().iter().map(|&x| x as usize).product();
    let mut out = vec![0f32; n * 4];
    let values = values.to_f32s();
    for (row, at) in image_places(arg).into_iter().enumerate() {
        out[at] = values[row];
    }
    out
}

/// Word of each element (row-major) in an image.
pub fn image_places(arg: &TensorArg) -> Vec<usize> {
    let Storage::Image(kind) = arg.storage else { panic!("an image") };
    let extent = arg.image_extent().unwrap();
    let mut s = builder::State::default();
    let strides = arg.stored.strides();
    (0..arg.stored.elems())
        .map(|i| {
            let coord: Vec<ExprId> = arg
                .stored
                .iter()
                .zip(&strides)
                .map(|(&d, &st)| s.lit_u32((i / st % d) as u32))
                .collect();
            let (texel, lane) = arg.texel_expr(&mut s, kind, &coord).unwrap();
            let texel: Vec<u32> = texel.iter().map(|&e| s.as_u32(e).unwrap()).collect();
            let mut at = 0usize;
            for k in (0..texel.len()).rev() {
                at = at * extent[k] as usize + texel[k] as usize;
            }
            at * 4 + s.as_u32(lane).unwrap() as usize
        })
        .collect()
}

/// Objects of one tensor in memory.
pub fn place(memory: &mut Memory, arg: &TensorArg, values: Option<&Tensor>) -> Vec<Bind> {
    if let Storage::Image(kind) = arg.storage {
        let texel = if arg.elem == Elem::F32 { Scalar::F32 } else { Scalar::F16 };
        let id = memory.add_image(kind, texel, arg.image_extent().unwrap());
        if let Some(v) = values {
            memory.write_image(id, &image_quads(arg, v));
        }
        return vec![Bind::all(id)];
    }
    let total = arg.elem.extent_bytes(arg.base_elems + arg.extent_elems()) as usize;
    let mut bytes = vec![0u8; total.next_multiple_of(4)];
    if let Some(v) = values {
        let packed = pack(&arg.layout, arg.elem, v).unwrap();
        let at = (arg.base_elems * arg.elem.bytes()) as usize;
        bytes[at..at + packed.len()].copy_from_slice(&packed);
    } else {
        // garbage that must not be read, and whose survival in padding would show: NaN
        bytes.fill(0xff);
    }
    let mut at = 0;
    arg.object_elems()
        .iter()
        .map(|&n| {
            let len = arg.elem.extent_bytes(n) as usize;
            let id = memory.add_bytes(&bytes[at..at + len]);
            at += len;
            Bind::all(id)
        })
        .collect()
}

/// The value of a tensor in memory.
pub fn read(memory: &Memory, arg: &TensorArg, binds: &[Bind]) -> Tensor {
    if let Storage::Image(_) = arg.storage {
        let words = memory.f32s(binds[0].object);
        let v: Vec<f32> = image_places(arg).into_iter().map(|at| words[at]).collect();
        return Tensor::from_f32(arg.stored.clone(), &v);
    }
    let bytes = raw(memory, binds);
    unpack(
        &arg.layout,
        arg.elem,
        &arg.stored,
        &bytes[(arg.base_elems * arg.elem.bytes()) as usize..],
    )
    .unwrap()
}

/// All bytes of the objects of a tensor.
pub fn raw(memory: &Memory, binds: &[Bind]) -> Vec<u8> {
    binds.iter().flat_map(|b| memory.read(b.object, 0, memory.len_bytes(b.object))).collect()
}

/// Virtualizes and runs `kernel`; `inputs[i]` is the value of tensor `i` where it is read.
/// Returns the values of all tensors afterwards.
pub fn execute(kernel: Kernel, inputs: &[Option<Tensor>]) -> Result<Vec<Tensor>, String> {
    validate(&kernel).map_err(|e| e.to_string())?;
    let kernel = virtualize(kernel).map_err(|e| e.to_string())?;
    validate(&kernel).map_err(|e| format!("{e}\n{}", print(&kernel)))?;
    let mut memory = Memory::new();
    let binds: Vec<Vec<Bind>> = kernel
        .tensors
        .iter()
        .zip(inputs)
        .map(|(arg, v)| place(&mut memory, arg, v.as_ref()))
        .collect();
    run(&kernel, &memory, &binds.concat(), &Options::strict()).map_err(|e| e.to_string())?;
    Ok(kernel.tensors.iter().zip(&binds).map(|(arg, b)| read(&memory, arg, b)).collect())
}

pub fn ramp(shape: &Shape) -> Tensor {
    // exact in f16
    let v: Vec<f32> = (0..shape.elems()).map(|i| (i % 2039) as f32 - 500.0).collect();
    Tensor::from_f32(shape.clone(), &v)
}

pub fn noise(shape: &Shape, seed: u32) -> Tensor {
    let mut x = seed.wrapping_mul(747_796_405).wrapping_add(1);
    let v: Vec<f32> = (0..shape.elems())
        .map(|_| {
            x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (x >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect();
    Tensor::from_f32(shape.clone(), &v)
}

pub fn object(id: u32) -> ObjectId {
    ObjectId(id)
}
