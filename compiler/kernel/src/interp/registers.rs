//! Register assignment: temporaries whose lifetimes do not meet share blocks, so that the register
//! file stays in the cache. A linear scan over the code tree; what is read inside a loop and was
//! written before it lives until the loop ends.

use super::code::*;
use super::compile::Program;
use std::collections::HashMap;

pub(super) fn matrix_blocks(rows: u32, cols: u32, subgroups: u32) -> u32 {
    (rows * cols * subgroups).div_ceil(W as u32)
}

#[derive(Clone, Copy, Debug)]
struct Life {
    first: u32,
    last: u32,
    blocks: u32,
}

/// Rewrites temporaries of `program` to shared blocks. Variables, constants and builtins keep
/// blocks of their own.
pub(super) fn assign(program: &mut Program, lane_blocks: u32, subgroups: u32) {
    let mut code = std::mem::take(&mut program.code);
    let mut lives: HashMap<u32, Life> = HashMap::new();
    let mut fixed: Vec<u32> = program.constants.iter().map(|(r, _)| r.at).collect();
    fixed.extend(program.builtins.iter().map(|(r, _)| r.at));
    let fixed: std::collections::HashSet<u32> = fixed.into_iter().collect();
    let vars = program.var_blocks;
    let mut at = 0;
    let mut loops = Vec::new();
    let scan = &mut Scan { lives: &mut lives, lane_blocks, subgroups };
    scan.code(&mut code, &mut at, &mut loops, &|r| r < vars || fixed.contains(&r));

    // constants and builtins right behind the variables
    let mut next = vars;
    let mut place: HashMap<u32, u32> = HashMap::new();
    for (r, _) in &mut program.constants {
        place.insert(r.at, next);
        r.at = next;
        next += 1;
    }
    for (r, _) in &mut program.builtins {
        place.insert(r.at, next);
        r.at = next;
        next += if r.uniform { 1 } else { lane_blocks };
    }
    let mut order: Vec<(u32, Life)> = lives.into_iter().collect();
    order.sort_by_key(|&(r, l)| (l.first, r));
    // ends of lives in progress, and free blocks by size
    let mut busy: std::collections::BTreeSet<(u32, u32, u32)> = Default::default();
    let mut free: HashMap<u32, Vec<u32>> = HashMap::new();
    for (r, life) in order {
        while let Some(&(last, blocks, at)) = busy.first() {
            if last >= life.first {
                break;
            }
            busy.pop_first();
            free.entry(blocks).or_default().push(at);
        }
        let at = free.entry(life.blocks).or_default().pop().unwrap_or_else(|| {
            let at = next;
            next += life.blocks;
            at
        });
        busy.insert((life.last, life.blocks, at));
        place.insert(r, at);
    }
    rewrite(&mut code, &|r| place.get(&r).copied().unwrap_or(r));
    program.code = code;
    program.blocks = next;
}

struct Scan<'a> {
    lives: &'a mut HashMap<u32, Life>,
    lane_blocks: u32,
    subgroups: u32,
}

impl Scan<'_> {
    fn code(
        &mut self,
        code: &mut [Op],
        at: &mut u32,
        loops: &mut Vec<(u32, u32)>,
        fixed: &impl Fn(u32) -> bool,
    ) {
        for op in code {
            *at += 1;
            let now = *at;
            let blocks = match op {
                Op::MatrixZero { d }
                | Op::MatrixCopy { d, .. }
                | Op::MatrixLoad { d, .. }
                | Op::MatrixMulAdd { d, .. }
                | Op::MatrixScaleAdd { d, .. } => {
                    Some(matrix_blocks(d.rows, d.cols, self.subgroups))
                }
                _ => None,
            };
            let lives = &mut *self.lives;
            let lane_blocks = self.lane_blocks;
            op.regs(|r, written| {
                if fixed(r.at) {
                    return;
                }
                if written {
                    let one = if r.uniform { 1 } else { lane_blocks };
                    let blocks = blocks.unwrap_or(one);
                    lives.entry(r.at).or_insert(Life { first: now, last: now, blocks });
                } else if let Some(life) = lives.get_mut(&r.at) {
                    life.last = life.last.max(now);
                    // loops entered since it was written run again
                    for &(start, end) in loops.iter() {
                        if start >= life.first {
                            life.last = life.last.max(end);
                            break;
                        }
                    }
                }
            });
            match op {
                Op::If { cond, yes, no } => {
                    let cond = *cond;
                    self.code(yes, at, loops, fixed);
                    // the condition is read again for the other branch
                    if let Some(life) = self.lives.get_mut(&cond.at) {
                        life.last = life.last.max(*at);
                    }
                    self.code(no, at, loops, fixed);
                }
                Op::For { counter, to, body, .. } => {
                    let (counter, to) = (*counter, *to);
                    let end = now + 1 + count(body);
                    loops.push((now, end));
                    self.code(body, at, loops, fixed);
                    loops.pop();
                    *at = (*at).max(end);
                    // the loop itself reads these until it ends
                    for r in [counter, to] {
                        if let Some(life) = self.lives.get_mut(&r.at) {
                            life.last = life.last.max(end);
                        }
                    }
                }
                _ => {}
            }
        }
    }
}

fn count(code: &[Op]) -> u32 {
    code.iter()
        .map(|op| match op {
            Op::If { yes, no, .. } => 1 + count(yes) + count(no),
            Op::For { body, .. } => 2 + count(body),
            _ => 1,
        })
        .sum()
}

fn rewrite(code: &mut [Op], place: &impl Fn(u32) -> u32) {
    for op in code {
        op.regs(|r, _| r.at = place(r.at));
        match op {
            Op::If { yes, no, .. } => {
                rewrite(yes, place);
                rewrite(no, place);
            }
            Op::For { body, .. } => rewrite(body, place),
            _ => {}
        }
    }
}
