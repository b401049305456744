//! The device: what it says it can do is what profile `metal-generic` says of Apple's GPUs, as far as
//! kernels can tell.

use crate::compile::Compiler;
use crate::program::CpuProgram;
use drift_bundle::caps::{Api, Capabilities, Features, Limits, MatrixElem, MatrixShape};
use drift_runtime::external::{self, ExternalDevice, Program, Variant};
use drift_runtime::{Device, DeviceInfo, DeviceKind, Result};
use std::sync::Arc;

struct CpuDevice {
    info: DeviceInfo,
    compiler: &'static Compiler,
}

impl ExternalDevice for CpuDevice {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }
    fn load(&self, variant: &Variant) -> Result<Box<dyn Program>> {
        Ok(Box::new(CpuProgram::load(self.compiler, variant)?))
    }
}

/// Why there is no device; `None`: there is one.
pub fn missing() -> Option<String> {
    Compiler::get().err()
}

/// The device, if there is a compiler for it.
///
/// # Errors
/// As [`missing`].
pub fn device() -> Result<Device, String> {
    let compiler = Compiler::get()?;
    Ok(external::device(Arc::new(CpuDevice { info: info(), compiler })))
}

fn info() -> DeviceInfo {
    DeviceInfo {
        index: 0,
        kind: DeviceKind::Cpu,
        driver: "clang".into(),
        api_version: "3.1".into(),
        memory_bytes: 8 << 30,
        capabilities: capabilities(),
    }
}

fn capabilities() -> Capabilities {
    let shape = |ab, acc| MatrixShape { m: 8, n: 8, k: 8, ab, acc };
    let features = [
        Features::F16,
        Features::STORAGE_16BIT,
        Features::STORAGE_8BIT,
        Features::INT8,
        Features::INT64,
        Features::SUBGROUP_BASIC,
        Features::SUBGROUP_ARITHMETIC,
        Features::SUBGROUP_SHUFFLE,
        Features::COOPERATIVE_MATRIX,
        Features::TIMESTAMPS,
        Features::TEXTURE_2D,
        Features::TEXTURE_2D_ARRAY,
        Features::TEXTURE_3D,
    ];
    Capabilities {
        api: Api::Metal,
        device_name: "MSL on the CPU".into(),
        vendor_id: 0,
        device_id: 0,
        features: features.into_iter().fold(Features::default(), Features::union),
        limits: Limits {
            workgroup_memory_bytes: 32 << 10,
            workgroup_invocations: 1024,
            workgroup_size: [1024; 3],
            dispatch_workgroups: [u32::MAX.into(); 3],
            storage_range_bytes: 1 << 30,
            buffer_bytes: 1 << 30,
            storage_buffers: 31,
            images: 128,
            texture_2d: 16_384,
            texture_3d: 2048,
            texture_layers: 2048,
            texel_buffer: 0,
        },
        storage_offset_alignment: 16,
        subgroup_size: 32,
        subgroup_size_min: 32,
        subgroup_size_max: 32,
        matrix_shapes: vec![
            shape(MatrixElem::F16, MatrixElem::F16),
            shape(MatrixElem::F16, MatrixElem::F32),
            shape(MatrixElem::F32, MatrixElem::F32),
        ],
    }
}
