//! Corrections to the words of a SPIR-V module.
//!
//! naga declares more than a compute kernel needs and has no words for some of what the IR says:
//! - capabilities: any f16 type makes naga declare 16-bit uniform buffers, which nothing here uses,
//!   and `Float16`, which a kernel that only loads, converts and stores does without;
//! - initializers: naga zeroes every function variable, the IR writes before it reads;
//! - explicit layouts: an `ArrayStride` on an array outside of a buffer is invalid in Vulkan
//!   (VUID-StandaloneSpirv-None-10684);
//! - loops: `Unroll` and `DontUnroll`;
//! - matrices of integers and in packed words, which have stand-ins (`matrices`);
//! - loads and stores of what workgroups hand each other are volatile, so that a loop that waits
//!   repeats them;
//! - memory: under the Vulkan memory model, which cooperative matrices bring along, accesses to
//!   workgroup memory are private to an invocation unless they say otherwise, and a barrier makes
//!   nothing available or visible by itself.

mod matrices;

use crate::needs::computes_f16;
use crate::stand_in::{StandIn, scales, stand_ins};
use drift_kernel::{BindingType, Block, Kernel, Scalar, Stmt, Unroll};
use std::collections::{HashMap, HashSet};

/// What the IR knows and the words do not say.
pub struct Facts {
    stores_f16: bool,
    computes_f16: bool,
    /// Hints of the loops, in the order in which they open.
    unroll: Vec<Unroll>,
    stand_ins: Vec<StandIn>,
    /// Products in i32 are scaled.
    scales: bool,
}

impl Facts {
    pub fn of(kernel: &Kernel) -> Result<Facts, String> {
        let mut unroll = Vec::new();
        hints(&kernel.body, &mut unroll);
        let stores_f16 = kernel.bindings.iter().any(
            |b| matches!(b.ty, BindingType::Buffer { elem, .. } if elem.scalar == Scalar::F16),
        );
        let stand_ins = stand_ins(kernel)?;
        let (computes_f16, scales) = (computes_f16(kernel), scales(kernel));
        Ok(Facts { stores_f16, computes_f16, unroll, stand_ins, scales })
    }
}

/// Loops of a block in order, without those that no `Break` or `Return` lets be reached.
fn hints(block: &Block, out: &mut Vec<Unroll>) {
    for stmt in block {
        match stmt {
            Stmt::If { yes, no, .. } => {
                hints(yes, out);
                hints(no, out);
            }
            Stmt::For { body, unroll, .. } => {
                out.push(*unroll);
                hints(body, out);
            }
            Stmt::Break | Stmt::Return => return,
            _ => {}
        }
    }
}

// Numbers of the SPIR-V specification, version 1.6, sections 3.2 to 3.52.
mod op {
    pub const EXTENSION: u32 = 10;
    pub const EXT_INST: u32 = 12;
    pub const CAPABILITY: u32 = 17;
    pub const TYPE_INT: u32 = 21;
    pub const TYPE_FLOAT: u32 = 22;
    pub const TYPE_VECTOR: u32 = 23;
    pub const TYPE_STRUCT: u32 = 30;
    pub const TYPE_ARRAY: u32 = 28;
    pub const CONSTANT: u32 = 43;
    pub const CONSTANT_NULL: u32 = 46;
    pub const FUNCTION: u32 = 54;
    pub const VARIABLE: u32 = 59;
    pub const LOAD: u32 = 61;
    pub const STORE: u32 = 62;
    pub const ACCESS_CHAIN: u32 = 65;
    pub const DECORATE: u32 = 71;
    pub const CONVERT_S_TO_F: u32 = 111;
    pub const F_CONVERT: u32 = 115;
    pub const BITCAST: u32 = 124;
    pub const F_SUB: u32 = 131;
    pub const F_MUL: u32 = 133;
    pub const CONTROL_BARRIER: u32 = 224;
    pub const LOOP_MERGE: u32 = 246;
    pub const TYPE_COOPERATIVE_MATRIX: u32 = 4456;
    pub const COOPERATIVE_MATRIX_LOAD: u32 = 4457;
    pub const COOPERATIVE_MATRIX_STORE: u32 = 4458;
    pub const COOPERATIVE_MATRIX_MUL_ADD: u32 = 4459;
}
const CAPABILITY_FLOAT16: u32 = 9;
const CAPABILITY_STORAGE_16BIT: u32 = 4433;
const CAPABILITY_UNIFORM_16BIT: u32 = 4434;
const CAPABILITY_VULKAN_MEMORY_MODEL: u32 = 5345;
const DECORATION_ARRAY_STRIDE: u32 = 6;
const DECORATION_COHERENT: u32 = 23;
const STORAGE_CLASS_WORKGROUP: u32 = 4;
const STORAGE_CLASS_FUNCTION: u32 = 7;
const LOOP_CONTROL_UNROLL: u32 = 1;
const LOOP_CONTROL_DONT_UNROLL: u32 = 2;
const MEMORY_VOLATILE: u32 = 1;
const MEMORY_NON_PRIVATE_POINTER: u32 = 0x20;
const SEMANTICS_MAKE_AVAILABLE_AND_VISIBLE: u32 = 0x2000 | 0x4000;
const HEADER_WORDS: usize = 5;

fn instructions(words: &[u32]) -> Result<Vec<&[u32]>, String> {
    let mut out = Vec::new();
    let mut rest = words.get(HEADER_WORDS..).ok_or("a module without a header")?;
    while let Some(&first) = rest.first() {
        let len = (first >> 16) as usize;
        if len == 0 || len > rest.len() {
            return Err(format!("an instruction of {len} words where {} are left", rest.len()));
        }
        let (instruction, tail) = rest.split_at(len);
        out.push(instruction);
        rest = tail;
    }
    Ok(out)
}

fn opcode(instruction: &[u32]) -> u32 {
    instruction[0] & 0xffff
}

/// A literal string operand: UTF-8, four bytes to a word, ended by a zero byte.
fn string(operands: &[u32]) -> Vec<u8> {
    operands.iter().flat_map(|w| w.to_le_bytes()).take_while(|b| *b != 0).collect()
}

/// What one look over the module finds.
#[derive(Default)]
struct Survey {
    nulls: HashSet<u32>,
    arrays: HashSet<u32>,
    /// Types that are members of structs: the contents of buffers.
    members: HashSet<u32>,
    /// Id -> (type, value) of one-word constants.
    constants: HashMap<u32, (u32, u32)>,
    workgroup_pointers: HashSet<u32>,
    /// To what workgroups hand each other: naga calls nothing else coherent.
    handed_pointers: HashSet<u32>,
    vulkan_memory_model: bool,
}

impl Survey {
    fn of(instructions: &[&[u32]]) -> Survey {
        let mut out = Survey::default();
        for i in instructions {
            match (opcode(i), &i[1..]) {
                (op::CAPABILITY, [CAPABILITY_VULKAN_MEMORY_MODEL]) => {
                    out.vulkan_memory_model = true;
                }
                (op::CONSTANT_NULL, [_, id]) => {
                    out.nulls.insert(*id);
                }
                (op::CONSTANT, [ty, id, value]) => {
                    out.constants.insert(*id, (*ty, *value));
                }
                (op::TYPE_ARRAY, [id, ..]) => {
                    out.arrays.insert(*id);
                }
                (op::TYPE_STRUCT, [_, members @ ..]) => out.members.extend(members),
                (op::DECORATE, [id, DECORATION_COHERENT]) => {
                    out.handed_pointers.insert(*id);
                }
                (op::ACCESS_CHAIN, [_, id, base, ..]) if out.handed_pointers.contains(base) => {
                    out.handed_pointers.insert(*id);
                }
                (op::VARIABLE, [_, id, STORAGE_CLASS_WORKGROUP, ..]) => {
                    out.workgroup_pointers.insert(*id);
                }
                (op::ACCESS_CHAIN, [_, id, base, ..]) if out.workgroup_pointers.contains(base) => {
                    out.workgroup_pointers.insert(*id);
                }
                _ => {}
            }
        }
        out
    }
}

/// The corrected module.
pub fn correct(words: &[u32], facts: &Facts) -> Result<Vec<u32>, String> {
    let all = instructions(words)?;
    let survey = Survey::of(&all);
    if survey.vulkan_memory_model && !survey.handed_pointers.is_empty() {
        return Err("matrices beside what workgroups hand each other".to_owned());
    }
    let mut out = words[..HEADER_WORDS].to_vec();
    let mut hints = facts.unroll.iter();
    // old semantics -> new, both ids of constants
    let mut semantics: HashMap<u32, u32> = HashMap::new();
    let mut functions_begun = false;
    let mut matrices = matrices::Matrices::new(facts, &all);
    matrices.capabilities(&all, &mut out);
    for i in all.iter().copied() {
        if matrices.rewrite(i, &mut out) {
            continue;
        }
        match (opcode(i), &i[1..]) {
            (op::CAPABILITY, [CAPABILITY_UNIFORM_16BIT]) => {}
            (op::CAPABILITY, [CAPABILITY_STORAGE_16BIT]) if !facts.stores_f16 => {}
            (op::CAPABILITY, [CAPABILITY_FLOAT16]) if !facts.computes_f16 => {}
            // part of SPIR-V 1.3
            (op::EXTENSION, name) if string(name) == b"SPV_KHR_16bit_storage" => {}
            (op::DECORATE, [target, DECORATION_ARRAY_STRIDE, _])
                if survey.arrays.contains(target) && !survey.members.contains(target) => {}
            (op::VARIABLE, [ty, id, STORAGE_CLASS_FUNCTION, init])
                if survey.nulls.contains(init) =>
            {
                instruction(op::VARIABLE, &[*ty, *id, STORAGE_CLASS_FUNCTION], &mut out);
            }
            (op::LOOP_MERGE, [merge, next, control]) => {
                let hint = hints.next().ok_or("more loops than the kernel has")?;
                let control = control
                    | match hint {
                        Unroll::Default => 0,
                        Unroll::Full => LOOP_CONTROL_UNROLL,
                        Unroll::Never => LOOP_CONTROL_DONT_UNROLL,
                    };
                instruction(op::LOOP_MERGE, &[*merge, *next, control], &mut out);
            }
            // without memory operands, as naga writes them
            (code @ op::LOAD, [.., p]) | (code @ op::STORE, [p, _])
                if survey.handed_pointers.contains(p) =>
            {
                let mut operands = i[1..].to_vec();
                operands.push(MEMORY_VOLATILE);
                instruction(code, &operands, &mut out);
            }
            (op::FUNCTION, _) if survey.vulkan_memory_model && !functions_begun => {
                functions_begun = true;
                semantics = visible_semantics(&all, &survey, &mut out)?;
                out.extend_from_slice(i);
            }
            (op::CONTROL_BARRIER, [execution, memory, old]) if survey.vulkan_memory_model => {
                let new = semantics.get(old).copied().unwrap_or(*old);
                instruction(op::CONTROL_BARRIER, &[*execution, *memory, new], &mut out);
            }
            (code, operands) if survey.vulkan_memory_model => {
                let pointer = match (code, operands) {
                    // without memory operands, as naga writes them
                    (op::LOAD, [_, _, p]) | (op::STORE, [p, _]) => Some(p),
                    (op::COOPERATIVE_MATRIX_LOAD, [_, _, p, _, _]) => Some(p),
                    (op::COOPERATIVE_MATRIX_STORE, [p, _, _, _]) => Some(p),
                    _ => None,
                };
                if pointer.is_some_and(|p| survey.workgroup_pointers.contains(p)) {
                    let mut operands = operands.to_vec();
                    operands.push(MEMORY_NON_PRIVATE_POINTER);
                    instruction(code, &operands, &mut out);
                } else {
                    out.extend_from_slice(i);
                }
            }
            _ => out.extend_from_slice(i),
        }
    }
    match hints.next() {
        None => Ok(out),
        Some(_) => Err("fewer loops than the kernel has".to_owned()),
    }
}

/// Declares, for each semantics of a barrier, the same with availability and visibility.
fn visible_semantics(
    all: &[&[u32]],
    survey: &Survey,
    out: &mut Vec<u32>,
) -> Result<HashMap<u32, u32>, String> {
    let mut new = HashMap::new();
    for i in all {
        let (op::CONTROL_BARRIER, [_, _, old]) = (opcode(i), &i[1..]) else { continue };
        if new.contains_key(old) {
            continue;
        }
        let &(ty, value) =
            survey.constants.get(old).ok_or("a barrier whose semantics are no constant")?;
        let id = out[3]; // the header's bound: one more than the largest id
        out[3] += 1;
        let value = value | SEMANTICS_MAKE_AVAILABLE_AND_VISIBLE;
        instruction(op::CONSTANT, &[ty, id, value], out);
        new.insert(*old, id);
    }
    Ok(new)
}

fn instruction(code: u32, operands: &[u32], out: &mut Vec<u32>) {
    out.push(((operands.len() as u32 + 1) << 16) | code);
    out.extend_from_slice(operands);
}
