//! The `reference` back end: a bundle's reference variant on the interpreter.

use crate::error::{CliError, Result, Status};
use drift_bundle::caps::Api;
use drift_bundle::plan::{self, EntryPoint, Io, ObjectKind, Plan, Step, TexelFormat};
use drift_bundle::{Bundle, Contents, Section};
use drift_driver::shaders::kernel_from_bytes;
use drift_kernel::interp::{self, Bind, Memory, ObjectId, Options, Program};
use drift_kernel::{Kernel, Scalar};
use drift_runtime::{OutputTensor, Outputs, TensorRef, read_output, write_input};

/// A bundle loaded into the interpreter.
pub struct ReferenceSession {
    contents: Contents,
    variant: usize,
    memory: Memory,
    objects: Vec<ObjectId>,
    kernels: Vec<Kernel>,
    /// Per entry point, once it was run, and dispatch in order: pipelines share code, not dispatch
    /// sizes.
    programs: Vec<Option<Vec<Program>>>,
}

impl ReferenceSession {
    /// Loads the reference variant of a bundle.
    pub fn open(bytes: &[u8]) -> Result<ReferenceSession> {
        let bundle = Bundle::parse(bytes).map_err(|e| CliError::bad(e.to_string()))?;
        let Some(variant) = bundle.variants().position(|v| v.requirements.api == Api::Reference)
        else {
            return Err(CliError::new(
                Status::Unsupported,
                "the bundle has no variant for the reference interpreter",
            )
            .help("compile with --target reference beside the other targets"));
        };
        let mut memory = Memory::new();
        let mut kernels = Vec::new();
        let mut objects = Vec::new();
        let mut programs = Vec::new();
        if let Some(v) = bundle.variants().nth(variant) {
            for o in &v.plan.objects {
                objects.push(object(&mut memory, &o.kind));
            }
            for u in &v.plan.uploads {
                let from = u.weights_offset as usize;
                let data = &bundle.weights()[from..from + u.bytes as usize];
                let mut words = data.to_vec();
                words.resize(data.len().next_multiple_of(4), 0);
                memory.write(objects[u.object as usize], u.object_offset, &words);
            }
            for blob in v.shaders().iter() {
                kernels.push(kernel_from_bytes(blob)?);
            }
            programs.resize_with(v.plan.entry_points.len(), || None);
        }
        let contents = bundle.into_contents();
        Ok(ReferenceSession { contents, variant, memory, objects, kernels, programs })
    }

    pub fn plan(&self) -> &Plan {
        &self.contents.variants[self.variant].plan
    }

    pub fn inputs(&self) -> &[Io] {
        main_entry(self.plan()).map_or(&[], |e| &e.inputs)
    }

    /// Sets the inputs and runs the first entry point.
    pub fn run(&mut self, inputs: &[(&str, TensorRef<'_>)]) -> Result<Outputs> {
        let Some(entry) = main_entry(self.plan()) else {
            return Err(CliError::bad("the bundle has no entry point"));
        };
        for io in &entry.inputs {
            let Some((_, tensor)) = inputs.iter().find(|(n, _)| *n == io.name) else {
                return Err(CliError::bad(format!("no array for input {}", io.name)));
            };
            let bytes = io.elems().unwrap_or(0) * io.device_elem.bytes();
            let mut staged = vec![0u8; bytes.next_multiple_of(4) as usize];
            write_input(io, tensor, &mut staged[..bytes as usize])?;
            self.memory.write(self.objects[io.object as usize], io.offset, &staged);
        }
        self.run_entry(0)?;
        let outputs = main_entry(self.plan()).map_or(&[][..], |e| &e.outputs);
        let tensors = outputs
            .iter()
            .map(|io| {
                let bytes = io.elems().unwrap_or(0) * io.device_elem.bytes();
                let raw = self.memory.read(self.objects[io.object as usize], io.offset, bytes);
                OutputTensor {
                    name: io.name.clone(),
                    elem: io.elem,
                    shape: io.shape.clone(),
                    bytes: read_output(io, &raw),
                }
            })
            .collect();
        Ok(Outputs { tensors })
    }

    /// Runs an entry point with inputs and states as they are.
    pub fn run_entry(&mut self, entry: usize) -> Result {
        if self.programs[entry].is_none() {
            let compiled = self.compile(entry)?;
            self.programs[entry] = Some(compiled);
        }
        let mut programs = self.programs[entry].iter().flatten();
        for step in &self.plan().entry_points[entry].steps {
            match step {
                Step::Barrier => {}
                Step::Copy { src, src_offset, dst, dst_offset, bytes } => {
                    let data = self.memory.read(self.objects[*src as usize], *src_offset, *bytes);
                    self.memory.write(self.objects[*dst as usize], *dst_offset, &data);
                }
                Step::Dispatch { binds, .. } => {
                    let binds: Vec<Bind> = binds.iter().map(|b| self.bind(b)).collect();
                    if let Some(program) = programs.next() {
                        program
                            .run(&self.memory, &binds, &Options::default())
                            .map_err(|e| CliError::bad(format!("interpreter: {e}")))?;
                    }
                }
            }
        }
        Ok(())
    }

    fn compile(&self, entry: usize) -> Result<Vec<Program>> {
        let plan = self.plan();
        let mut out = Vec::new();
        for step in &plan.entry_points[entry].steps {
            let Step::Dispatch { pipeline, workgroups, .. } = step else { continue };
            let shader = plan.pipelines[*pipeline as usize].shader as usize;
            let mut kernel = self.kernels[shader].clone();
            kernel.workgroups = *workgroups;
            let program = interp::compile(&kernel, &Options::default());
            out.push(program.map_err(|e| CliError::bad(e.to_string()))?);
        }
        Ok(out)
    }

    /// The same by name.
    pub fn run_named(&mut self, name: &str) -> Result {
        let entry = self.plan().entry_points.iter().position(|e| e.name == name);
        let entry = entry
            .ok_or_else(|| CliError::bad(format!("the bundle has no entry point `{name}`")))?;
        self.run_entry(entry)
    }

    /// Bytes of a state, as the runs so far leave it.
    pub fn read_state(&self, name: &str, offset: u64, out: &mut [u8]) -> Result {
        let (object, at) = self.state(name, offset, out.len())?;
        out.copy_from_slice(&self.memory.read(object, at, out.len() as u64));
        Ok(())
    }

    /// Overwrites bytes of a state.
    pub fn write_state(&self, name: &str, offset: u64, data: &[u8]) -> Result {
        let (object, at) = self.state(name, offset, data.len())?;
        // memory is of words: what is around the bytes stays
        let (first, end) = (at / 4 * 4, (at + data.len() as u64).next_multiple_of(4));
        let mut words = self.memory.read(object, first, end - first);
        words[(at - first) as usize..][..data.len()].copy_from_slice(data);
        self.memory.write(object, first, &words);
        Ok(())
    }

    /// Object and byte offset of a part of a state.
    fn state(&self, name: &str, offset: u64, bytes: usize) -> Result<(ObjectId, u64)> {
        let io = self.plan().states.iter().find(|io| io.name == name);
        let io = io.ok_or_else(|| CliError::bad(format!("the bundle has no state `{name}`")))?;
        match offset.checked_add(bytes as u64) {
            Some(end) if end <= io.device_bytes().unwrap_or(0) => {
                Ok((self.objects[io.object as usize], io.offset + offset))
            }
            _ => Err(CliError::bad(format!("state `{name}` has no {bytes} bytes at {offset}"))),
        }
    }

    /// Tells the weights of one model from those of another.
    pub fn weights_hash(&self) -> u64 {
        let weights = self.contents.sections.iter().find(|s| s.section == Section::Weights);
        weights.map_or(0, |s| s.hash)
    }

    fn bind(&self, bind: &plan::Bind) -> Bind {
        match bind {
            plan::Bind::Buffer { object, offset, bytes } => Bind {
                object: self.objects[*object as usize],
                offset_bytes: *offset,
                len_bytes: Some(*bytes),
            },
            plan::Bind::Image { object } => Bind::all(self.objects[*object as usize]),
        }
    }
}

fn main_entry(plan: &Plan) -> Option<&EntryPoint> {
    plan.entry_points.first()
}

fn object(memory: &mut Memory, kind: &ObjectKind) -> ObjectId {
    match kind {
        ObjectKind::Buffer { bytes } => memory.add_buffer(*bytes),
        ObjectKind::Image { kind, format, extent } => {
            let texel = match format {
                TexelFormat::Rgba32Float => Scalar::F32,
                TexelFormat::Rgba16Float => Scalar::F16,
            };
            memory.add_image(*kind, texel, *extent)
        }
    }
}
