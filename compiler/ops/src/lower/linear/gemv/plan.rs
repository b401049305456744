//! How the few-row kernel is cut for a device.

use crate::lower::linear::Linear;
use crate::lower::{Link, Target};
use crate::quant::Scheme;
use drift_bundle::caps::Features;

/// Rows of x up to which the kernel is used.
pub const MOST_ROWS: usize = 16;

/// Sums that an invocation keeps: rows of weights times rows of x.
const MOST_SUMS: u32 = 64;

/// The cut of the work.
///
/// A *team* of invocations walks a *block* of weight rows along K; each of its invocations loads
/// one *unit* (16 bytes where words are packed) per row and step. Steps whose loads are under way
/// together are a *tile*.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Invocations of a workgroup.
    pub invocations: u32,
    /// Invocations of a team.
    pub team: u32,
    /// A team is a subgroup.
    pub subgroups: bool,
    /// Rows of weights in a block.
    pub rows: u32,
    /// Steps in a tile.
    pub steps: u32,
    /// Tiles along the part of K that is in workgroup memory at a time.
    pub tiles: u32,
    /// Such parts.
    pub chunks: u32,
    /// x is rounded to int8.
    pub int8: bool,
    /// Invocations can exchange values without workgroup memory.
    pub shuffles: bool,
    pub workgroups: u32,
    /// Blocks that a team walks, one after the other.
    pub turns: u32,
    /// Cut like all other products of one row, whatever its size, to be a link of a chain.
    pub chained: bool,
}

/// Weights that one load of an invocation brings.
pub const fn unit(scheme: Scheme) -> u32 {
    match scheme {
        Scheme::F32 | Scheme::F16 => 4,
        Scheme::Q8 | Scheme::Q8Groups(_) => 16,
        Scheme::Q4 | Scheme::Q4Groups(_) => 32,
    }
}

/// Compute units from which on a device is large: one workgroup on each, as many invocations as
/// keep its memory busy.
const LARGE: u32 = 64;

/// Invocations of a workgroup in a chain, where the device has as many: all links have the same, and
/// half of what a large device takes on a compute unit, so that two may be there.
const LINK: u64 = 512;

/// Loads that an invocation of a link has under way.
const LINK_LOADS: u32 = 4;

/// Invocations of a workgroup of every link of a chain.
pub fn link_invocations(target: &Target) -> u32 {
    let limits = &target.caps.limits;
    limits.workgroup_invocations.min(limits.workgroup_size[0]).min(LINK) as u32
}

/// What is chosen by measurement.
struct Cut {
    invocations: u32,
    rows: u32,
    /// Loads that an invocation has under way.
    loads: u32,
}

impl Cut {
    fn small(p: &Linear) -> Cut {
        Cut { invocations: 256, rows: if p.m <= 4 { 4 } else { 2 }, loads: 4 }
    }

    fn link(target: &Target, p: &Linear, units: u32) -> Cut {
        let each = (p.n as u32).div_ceil(units);
        let pairs = p.spec.gate.is_some() || each > 16;
        Cut {
            invocations: link_invocations(target),
            rows: if pairs { 2 } else { 1 },
            loads: LINK_LOADS,
        }
    }

    fn large(p: &Linear, units: u32) -> Cut {
        // one turn of rows in pairs is quicker than two of single ones
        let each = (p.n as u32).div_ceil(units);
        let pairs = p.m > 1 || p.spec.gate.is_some() || (32 < each && each <= 64);
        let rows = if pairs { 2 } else { 1 };
        // sums of several rows of x need the registers of fewer invocations
        Cut { invocations: if p.m <= 2 { 1024 } else { 512 }, rows, loads: 4 }
    }
}

/// Teams of a workgroup that has `blocks` blocks to walk: as many as leave few of them idle in the
/// last turn.
fn balanced(blocks: u32, most: u32) -> u32 {
    // a compute unit has four schedulers
    let fours = |n: u32| n.next_multiple_of(4).min(most);
    if blocks <= most {
        return fours(blocks.max(1));
    }
    let candidates = || (most / 2..=most).filter(|t| t.is_multiple_of(4)).rev();
    let walked = |t: u32| blocks.div_ceil(t) * t;
    let least = candidates().map(walked).min().unwrap_or(blocks);
    // many teams are worth 3%
    candidates().find(|&t| 100 * walked(t) <= 103 * least).unwrap_or(most)
}

impl Plan {
    /// `None` when there are too many rows for the device's workgroup memory.
    pub fn of(target: &Target, p: &Linear) -> Option<Plan> {
        if p.m > MOST_ROWS {
            return None;
        }
        let caps = &target.caps;
        let limits = &caps.limits;
        let fixed = caps.subgroup_size_min == caps.subgroup_size_max;
        let size = caps.subgroup_size_max;
        let subgroups = fixed
            && (4..=64).contains(&size)
            && caps.features.contains(Features::SUBGROUP_ARITHMETIC)
            && caps.features.contains(Features::SUBGROUP_BASIC);
        let team = if subgroups { size } else { 32 };
        let most = limits.workgroup_invocations.min(limits.workgroup_size[0]) as u32;
        let units = (target.full_invocations / 1024) as u32;
        let large = units >= LARGE && subgroups;
        let chained = target.chains && large && p.m == 1;
        let mut cut = match large {
            true if chained => Cut::link(target, p, units),
            true => Cut::large(p, units),
            false => Cut::small(p),
        };
        while cut.rows > 2 && cut.rows * p.m as u32 > MOST_SUMS {
            cut.rows /= 2;
        }
        let mut plan = Plan {
            invocations: cut.invocations.min(most).max(team),
            team,
            subgroups,
            rows: cut.rows,
            steps: 0,
            tiles: 0,
            chunks: 1,
            int8: target.int8_activations && !p.spec.scheme.is_float(),
            shuffles: subgroups && team >= 8 && caps.features.contains(Features::SUBGROUP_SHUFFLE),
            workgroups: 0,
            turns: 0,
            chained,
        };
        if large && !plan.chained {
            plan.invocations = team * balanced(plan.blocks(p).div_ceil(units), plan.teams());
        }
        // fewer teams have more loads under way; loads of floats are smaller
        let few = large && plan.invocations <= 512 && p.m == 1 && !chained;
        let float = p.spec.scheme.is_float();
        let loads = cut.loads << (u32::from(few) + u32::from(float));
        plan.cut_k(p, (loads / plan.rows).max(1), limits.workgroup_memory_bytes)?;
        // x is prepared once per workgroup: no more workgroups than the device runs at a time,
        // unless x comes in parts
        let most = match plan.chunks {
            1 if large => units,
            1 => 1024,
            _ => 65_535,
        };
        let blocks = plan.blocks(p);
        plan.workgroups = match plan.chained && plan.chunks == 1 {
            // teams may idle, compute units not
            true => blocks.min(units),
            false => blocks.div_ceil(plan.teams()).min(most),
        };
        plan.turns = blocks.div_ceil(plan.workgroups * plan.teams());
        Some(plan)
    }

    /// Blocks of weight rows.
    pub fn blocks(&self, p: &Linear) -> u32 {
        (p.n as u32).div_ceil(self.rows)
    }

    /// Chooses steps, tiles and chunks.
    fn cut_k(&mut self, p: &Linear, most_steps: u32, memory_bytes: u64) -> Option<()> {
        let units = (p.spec.scheme.padded_k(p.k) as u32).div_ceil(unit(p.spec.scheme));
        let total = units.div_ceil(self.team);
        // a long tile that wastes nothing at the end, or little
        let waste = |steps: u32| total.next_multiple_of(steps) - total;
        let most_steps = most_steps.min(total);
        let exact = (most_steps.div_ceil(2)..=most_steps).rev().find(|&s| waste(s) == 0);
        let close = || (1..=most_steps).rev().find(|&s| 5 * waste(s) <= total);
        self.steps = exact.or_else(close)?;
        let tiles = total.div_ceil(self.steps);
        // room for sums of teams beside x
        let fixed = u64::from(self.scratch_words(p)) * 4 + 64;
        let per_tile = self.tile_units() as u64 * self.unit_bytes(p) * p.m as u64;
        let fits = (memory_bytes.checked_sub(fixed)? / per_tile) as u32;
        if fits == 0 {
            return None;
        }
        self.chunks = tiles.div_ceil(fits);
        self.tiles = tiles.div_ceil(self.chunks);
        Some(())
    }

    /// Whether the kernel makes x of a block's result itself: of one row that is in workgroup memory
    /// at once, and in registers before.
    pub fn makes_x(&self, p: &Linear) -> bool {
        let rounds = p.k.div_ceil(4 * self.invocations as usize);
        let made = p.rows.is_some();
        p.spec.post.is_some() && !made && p.m == 1 && self.chunks == 1 && rounds <= 4
    }

    /// Whether the kernel can be a link of a chain: all of x that it waits for comes at once.
    ///
    /// Chains made decode steps faster on an H200 (Llama 3.1 8B q8 by 11 %, q4g32 by 17 %, 1B q4g32 by
    /// 16 %), but not where a product has fewer than [`LINK_LOADS`] loads under way, because steps do
    /// not divide a row, or single rows of many tiles (1B q8 was slower by 19 %, 3B q4g32 by 17 %,
    /// Gemma 2 2B q4g32 by 5 %).
    pub fn link(&self) -> Link {
        let few = self.rows * self.steps < LINK_LOADS && self.tiles > 1;
        match self.chained {
            false => Link::No,
            true if few || self.rows == 1 && self.tiles > 2 || self.chunks > 1 => Link::Slow,
            true => Link::Yes,
        }
    }

    /// Whether some teams have no block at all.
    pub fn idles(&self, p: &Linear) -> bool {
        self.chunks == 1
            && self.turns == 1
            && self.workgroups * self.teams() > self.blocks(p)
            && self.chained
    }

    pub fn teams(&self) -> u32 {
        self.invocations / self.team
    }

    /// Units of a row in a tile.
    pub fn tile_units(&self) -> u32 {
        self.team * self.steps
    }

    /// Units of a row of x in workgroup memory.
    pub fn chunk_units(&self) -> u32 {
        self.tile_units() * self.tiles
    }

    /// Bytes of workgroup memory for one unit of one row of x.
    fn unit_bytes(&self, p: &Linear) -> u64 {
        let unit = u64::from(unit(p.spec.scheme));
        match (self.int8, unit) {
            (false, _) => 4 * unit,
            // integers, their scale, and their sum for the offset of 4-bit weights
            (true, 32) => unit + 8,
            (true, _) => unit + 4,
        }
    }

    /// Words of workgroup memory for sums across invocations.
    pub fn scratch_words(&self, p: &Linear) -> u32 {
        let squares = if p.spec.norm.is_some() { self.square_parts(p) * p.m as u32 } else { 0 };
        let squares = squares + if p.spec.post.is_some() { self.teams() } else { 0 };
        squares + if self.subgroups { 0 } else { super::BATCH * self.invocations }
    }

    /// Parts that the sum of squares of one row comes in.
    pub fn square_parts(&self, p: &Linear) -> u32 {
        if p.m == 1 { self.teams() } else { 1 }
    }
}
