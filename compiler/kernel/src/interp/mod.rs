//! The interpreter: physical kernels on the CPU. It is the oracle of kernel tests and the
//! `reference` back end of the command line.
//!
//! * f32 arithmetic is real f32; f16 arithmetic rounds after each operation.
//! * An access outside a binding, variable or workgroup array is an error that names the kernel,
//!   the object, the index and the invocation. Shaders run without bounds checks, so a kernel that
//!   passes here on its shapes is the evidence that they may.
//! * A barrier that not all invocations of the workgroup reach is an error, as are matrix
//!   operations in divergent flow.
//! * [`Options::strict`] fills uninitialized private and workgroup memory with NaN and reports
//!   races on workgroup memory between two barriers.
//!
//! ```
//! # use drift_kernel::{*, tensor::*}; use drift_kernel::interp::*;
//! # let arg = |name: &str, access| TensorArg { name: name.into(), elem: Elem::F32,
//! #   stored: [8usize].into(), view: Default::default(), layout: Layout::RowMajor,
//! #   storage: Storage::Buffer, access, base_elems: 0, max_object_bytes: 1 << 27 };
//! let b = Builder::new("double", [8, 1, 1], [1, 1, 1]);
//! let (x, y) = (b.tensor(arg("x", Access::Read)), b.tensor(arg("y", Access::Write)));
//! let i = b.global_id(0);
//! b.store(y, &[i], b.load(x, &[i]) * 2.0);
//! let kernel = virtualize(b.finish()).unwrap();
//!
//! let mut memory = Memory::new();
//! let x = memory.add_f32s(&[1.0; 8]);
//! let y = memory.add_buffer(32);
//! run(&kernel, &memory, &[Bind::all(x), Bind::all(y)], &Options::default()).unwrap();
//! assert_eq!(memory.f32s(y), [2.0; 8]);
//! ```

mod code;
mod compile;
mod machine;
mod math;
mod memory;
mod registers;
mod strict;
mod subgroup;

pub use compile::{Program, compile};
pub use memory::{Bind, Memory, ObjectId};

use crate::ir::Kernel;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// How to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Poison uninitialized memory and look for races.
    pub strict: bool,
    /// Size of subgroups for kernels that are not pinned to one.
    pub subgroup_size: u32,
    /// Threads that share the workgroups; 0 = as many as the machine has.
    pub threads: u32,
}

impl Default for Options {
    fn default() -> Options {
        Options { strict: false, subgroup_size: 32, threads: 0 }
    }
}

impl Options {
    /// For tests: strict, one thread.
    pub fn strict() -> Options {
        Options { strict: true, threads: 1, ..Options::default() }
    }
}

/// Why a kernel could not be compiled or run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterpError {
    pub kernel: String,
    pub what: String,
}

impl InterpError {
    pub(crate) fn new(kernel: &Kernel, what: impl fmt::Display) -> InterpError {
        InterpError { kernel: kernel.name.clone(), what: what.to_string() }
    }
}

impl fmt::Display for InterpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kernel `{}`: {}", self.kernel, self.what)
    }
}
impl std::error::Error for InterpError {}

/// Compiles and runs one dispatch; `binds[i]` is what binding `i` of the kernel refers to.
pub fn run(
    kernel: &Kernel,
    memory: &Memory,
    binds: &[Bind],
    options: &Options,
) -> Result<(), InterpError> {
    compile(kernel, options)?.run(memory, binds, options)
}

impl Program {
    /// Runs all workgroups, on several threads. They start in the order of their numbers, which
    /// chains rely on; otherwise they may only write disjoint elements (the rule of GPUs).
    pub fn run(
        &self,
        memory: &Memory,
        binds: &[Bind],
        options: &Options,
    ) -> Result<(), InterpError> {
        let kernel = &self.kernel;
        let bound = memory::bind(kernel, memory, binds)?;
        let [x, y, z] = kernel.workgroups.map(u64::from);
        let total = x.checked_mul(y).and_then(|n| n.checked_mul(z));
        let Some(total) = total else {
            return Err(InterpError::new(kernel, "2^64 workgroups or more"));
        };
        let available = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
        let threads = match options.threads {
            0 => available,
            n => u64::from(n),
        };
        // a thread costs more than a few small workgroups
        let threads = threads.min(total.div_ceil(4)).max(1);
        let next = AtomicU64::new(0);
        let stop = AtomicBool::new(false);
        let error = Mutex::new(None);
        let chunk = (total / (threads * 8)).clamp(1, 64);
        let work = || {
            let mut machine = machine::Machine::new(self, &bound, options.strict);
            while !stop.load(Ordering::Relaxed) {
                let from = next.fetch_add(chunk, Ordering::Relaxed);
                if from >= total {
                    return;
                }
                for g in from..(from + chunk).min(total) {
                    let id = [g % x, g / x % y, g / x / y].map(|v| v as u32);
                    if let Err(e) = machine.workgroup(id) {
                        stop.store(true, Ordering::Relaxed);
                        let mut slot = error.lock().unwrap_or_else(|p| p.into_inner());
                        slot.get_or_insert(e);
                        return;
                    }
                }
            }
        };
        if threads == 1 {
            work();
        } else {
            std::thread::scope(|s| {
                for _ in 0..threads {
                    s.spawn(work);
                }
            });
        }
        match error.into_inner().unwrap_or_else(|p| p.into_inner()) {
            Some(e) => Err(e),
            None => Ok(()),
        }
    }
}
