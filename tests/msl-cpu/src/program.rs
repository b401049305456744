//! A loaded variant. Everything runs at once, in the order of the calls.

use crate::compile::Compiler;
use crate::library::Library;
use crate::objects::Objects;
use drift_bundle::plan::{ObjectRole, Step};
use drift_runtime::external::{Fetch, Fetched, Nanos, Program, SubmitNumber, Variant};
use drift_runtime::{Result, RuntimeError};
use std::time::{Duration, Instant};

/// Kernels of one call of clang: more of them at once save its start, fewer are made in parallel.
const BATCH: usize = 16;

pub struct CpuProgram {
    variant: Variant,
    objects: Objects,
    libraries: Vec<Library>,
    /// Of each pipeline: its library and its place there.
    kernels: Vec<(usize, usize)>,
    outputs: Vec<Vec<Vec<u8>>>,
    fetched: Fetched,
}

fn refused(log: impl std::fmt::Display) -> RuntimeError {
    RuntimeError::Compiler { log: log.to_string() }
}

impl CpuProgram {
    pub fn load(compiler: &Compiler, variant: &Variant) -> Result<CpuProgram> {
        let plan = variant.plan();
        // equal shaders are compiled once
        let mut distinct: Vec<(&str, &str)> = Vec::new();
        let mut kernels = Vec::new();
        for p in &plan.pipelines {
            let text = std::str::from_utf8(variant.shader(p.shader)).map_err(refused)?;
            let kernel = (text, p.shader_entry.as_str());
            let place = distinct.iter().position(|k| *k == kernel).unwrap_or(distinct.len());
            if place == distinct.len() {
                distinct.push(kernel);
            }
            kernels.push((place / BATCH, place % BATCH));
        }
        let batches: Vec<&[(&str, &str)]> = distinct.chunks(BATCH).collect();
        let libraries = in_parallel(&batches, |batch| Library::new(compiler, batch));
        let libraries = libraries.into_iter().collect::<Result<Vec<_>, String>>();
        let bytes = variant.weights().len() as u64;
        let objects = Objects::new(plan, variant.weights())
            .ok_or(RuntimeError::OutOfMemory { what: "the objects of the plan".into(), bytes })?;
        let zeros = |e: &drift_bundle::plan::EntryPoint| {
            let bytes =
                |io: &drift_bundle::plan::Io| vec![0; io.device_bytes().unwrap_or(0) as usize];
            e.outputs.iter().map(bytes).collect()
        };
        Ok(CpuProgram {
            outputs: plan.entry_points.iter().map(zeros).collect(),
            variant: variant.clone(),
            objects,
            libraries: libraries.map_err(refused)?,
            kernels,
            fetched: Fetched::default(),
        })
    }

    /// Runs an entry point; `timed` gets the label and the time of each dispatch.
    fn replay(&mut self, entry: usize, mut timed: impl FnMut(u32, Nanos)) -> Result<()> {
        let plan = self.variant.plan();
        for step in &plan.entry_points[entry].steps {
            match step {
                Step::Dispatch { pipeline, workgroups, binds, label } => {
                    let start = Instant::now();
                    let p = &plan.pipelines[*pipeline as usize];
                    let (library, kernel) = self.kernels[*pipeline as usize];
                    let slots: Vec<_> = binds.iter().map(|b| self.objects.slot(plan, b)).collect();
                    let (library, size) = (&self.libraries[library], p.workgroup_size);
                    // SAFETY: the slots are parts of our objects, which nobody else has now.
                    let ran = unsafe { library.dispatch(kernel, *workgroups, size, &slots) };
                    ran.map_err(|e| {
                        let text = String::from_utf8_lossy(self.variant.shader(p.shader));
                        let node = &plan.labels[*label as usize];
                        refused(format_args!("`{node}`: {e}\n{text}"))
                    })?;
                    timed(*label, start.elapsed().as_nanos() as Nanos);
                }
                Step::Barrier => {}
                Step::Copy { src, src_offset, dst, dst_offset, bytes } => {
                    self.objects.copy((*src, *src_offset), (*dst, *dst_offset), *bytes);
                }
            }
        }
        Ok(())
    }
}

/// `f` of each, on as many threads as there are cores.
fn in_parallel<T: Sync, R: Send>(items: &[T], f: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut out = Vec::with_capacity(items.len());
    for part in items.chunks(threads) {
        std::thread::scope(|scope| {
            let running: Vec<_> = part.iter().map(|item| scope.spawn(|| f(item))).collect();
            out.extend(running.into_iter().map(|r| r.join().expect("compiling does not panic")));
        });
    }
    out
}

impl Program for CpuProgram {
    fn write(
        &mut self,
        object: u32,
        offset: u64,
        bytes: u64,
        fill: &mut dyn FnMut(&mut [u8]) -> Result<()>,
    ) -> Result<()> {
        fill(&mut self.objects.bytes_mut(object)[offset as usize..][..bytes as usize])
    }

    fn read(&mut self, object: u32, offset: u64, out: &mut [u8]) -> Result<()> {
        out.copy_from_slice(&self.objects.bytes(object)[offset as usize..][..out.len()]);
        Ok(())
    }

    fn submit(&mut self, entry: usize, times: u32, fetch: Option<Fetch>) -> Result<SubmitNumber> {
        for _ in 0..times {
            self.replay(entry, |_, _| ())?;
        }
        if times > 0 {
            let outputs = &self.variant.plan().entry_points[entry].outputs;
            for (io, out) in outputs.iter().zip(&mut self.outputs[entry]) {
                let from = &self.objects.bytes(io.object)[io.offset as usize..][..out.len()];
                out.copy_from_slice(from);
            }
        }
        let part = |f: Fetch| {
            self.objects.bytes(f.object)[f.offset as usize..][..f.bytes as usize].to_vec()
        };
        Ok(self.fetched.push(fetch.map(part).unwrap_or_default()))
    }

    fn wait(&mut self) -> Result<()> {
        Ok(())
    }

    fn wait_for(&mut self, _: SubmitNumber) -> Result<()> {
        Ok(())
    }

    fn fetched(&self, submit: SubmitNumber) -> Option<&[u8]> {
        self.fetched.get(submit)
    }

    fn output(&self, entry: usize, output: usize) -> &[u8] {
        &self.outputs[entry][output]
    }

    fn reset_state(&mut self) -> Result<()> {
        let objects = self.variant.plan().objects.iter().zip(0u32..);
        let states = objects.filter(|(o, _)| o.role == ObjectRole::State);
        states.for_each(|(_, i)| self.objects.bytes_mut(i).fill(0));
        Ok(())
    }

    fn profile(&mut self, entry: usize) -> Result<Vec<(u32, Nanos)>> {
        let mut rows = Vec::new();
        self.replay(entry, |label, nanos| rows.push((label, nanos)))?;
        Ok(rows)
    }

    fn bench(&mut self, entry: usize, n: u32) -> Result<Vec<Nanos>> {
        let mut all = Vec::new();
        for _ in 0..n {
            let mut sum = 0;
            self.replay(entry, |_, nanos| sum += nanos)?;
            all.push(sum);
        }
        Ok(all)
    }

    /// Nothing is ever in flight.
    fn set_timeout(&mut self, _: Duration) {}
}
