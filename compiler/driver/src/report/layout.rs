//! Where the nodes of a graph are drawn.
//!
//! Layered drawing in the manner of Sugiyama: nodes get layers by longest path, long edges get a
//! waypoint on every layer they pass, orders within layers are improved by barycenters, and positions
//! by averaging neighbours. Networks are long and thin, so the layers are then broken into columns
//! like the text of a newspaper, preferably where few edges cross; that way a whole network of a
//! thousand nodes fits a screen.

use super::view::GraphView;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// Pixels of a node at zoom 1.
pub(super) const NODE_WIDTH: f32 = 150.0;
pub(super) const NODE_HEIGHT: f32 = 38.0;
const WAYPOINT_WIDTH: f32 = 14.0;
const GAP_X: f32 = 16.0;
const LAYER_HEIGHT: f32 = 66.0;
const COLUMN_GAP: f32 = 90.0;
/// Edges between columns run in the gutters, side by side.
const LANES: usize = 8;
const LANE_WIDTH: f32 = 7.0;
/// How far they keep from the nodes above and below.
const LEAD: f32 = 11.0;
/// Width over height that columns aim at.
const ASPECT: f32 = 1.9;
const MAX_COLUMNS: usize = 48;
/// Edges over more layers than this are drawn directly, and so are all when there are too many.
const MAX_SPAN: usize = 24;
const MAX_WAYPOINTS: usize = 40_000;
const ORDER_SWEEPS: usize = 6;
const POSITION_SWEEPS: usize = 8;

/// A drawing, in pixels, y downwards.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GraphLayout {
    /// Center of each node, in the order of the graph's nodes.
    pub centers: Vec<(f32, f32)>,
    pub edges: Vec<EdgePath>,
    pub width: f32,
    pub height: f32,
}

/// From the bottom of a node to the top of another, by way of some points.
#[derive(Clone, Debug, PartialEq)]
pub struct EdgePath {
    /// Indices of nodes.
    pub from: usize,
    pub to: usize,
    pub points: Vec<(f32, f32)>,
}

/// Something that takes room on a layer.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Cell {
    Node,
    Waypoint,
}

/// Lays out a graph. Any input is fine: cycles are broken, unknown operands left out.
pub fn layout_graph(graph: &GraphView) -> GraphLayout {
    if graph.nodes.is_empty() {
        return GraphLayout::default();
    }
    let edges = forward_edges(graph);
    let layers = layers(graph.nodes.len(), &edges);
    let mut sheet = Sheet::new(&layers, &edges);
    sheet.order_cells();
    let columns = sheet.columns();
    sheet.position_cells(&columns);
    sheet.finish(&layers, &edges, &columns)
}

/// Edges (from, to) as node indices, each pointing forward in one topological order.
fn forward_edges(graph: &GraphView) -> Vec<(usize, usize)> {
    let n = graph.nodes.len();
    let mut index_of: HashMap<u64, usize> = HashMap::with_capacity(n);
    for (i, node) in graph.nodes.iter().enumerate() {
        index_of.entry(node.id).or_insert(i);
    }
    let mut edges: Vec<(usize, usize)> = Vec::new();
    for (to, node) in graph.nodes.iter().enumerate() {
        let from = node.inputs.iter().filter_map(|id| index_of.get(id).copied());
        edges.extend(from.filter(|&from| from != to).map(|from| (from, to)));
    }
    edges.sort_unstable();
    edges.dedup();

    let mut successors: Vec<Vec<usize>> = vec![Vec::new(); n];
    let mut waiting_for = vec![0usize; n];
    for &(from, to) in &edges {
        successors[from].push(to);
        waiting_for[to] += 1;
    }
    let mut ready: BinaryHeap<Reverse<usize>> =
        (0..n).filter(|&i| waiting_for[i] == 0).map(Reverse).collect();
    let mut position = vec![usize::MAX; n];
    let mut next_unplaced = 0;
    for place in 0..n {
        let node = loop {
            match ready.pop() {
                Some(Reverse(i)) if position[i] == usize::MAX => break i,
                Some(_) => {}
                // Only cycles are left: the first node goes, its incoming edges fall away.
                None => {
                    while position[next_unplaced] != usize::MAX {
                        next_unplaced += 1;
                    }
                    break next_unplaced;
                }
            }
        };
        position[node] = place;
        for &to in &successors[node] {
            waiting_for[to] = waiting_for[to].saturating_sub(1);
            if waiting_for[to] == 0 {
                ready.push(Reverse(to));
            }
        }
    }
    edges.retain(|&(from, to)| position[from] < position[to]);
    edges.sort_unstable_by_key(|&(from, to)| (position[to], position[from]));
    edges
}

/// Longest path from any source. Sources move down to just above their first reader.
fn layers(n: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let mut layer = vec![0usize; n];
    let mut has_input = vec![false; n];
    // Edges are sorted by the target's place in a topological order.
    for &(from, to) in edges {
        layer[to] = layer[to].max(layer[from] + 1);
        has_input[to] = true;
    }
    let mut first_reader = vec![usize::MAX; n];
    for &(from, to) in edges {
        first_reader[from] = first_reader[from].min(layer[to]);
    }
    for i in 0..n {
        if !has_input[i] && first_reader[i] != usize::MAX {
            layer[i] = first_reader[i].saturating_sub(1);
        }
    }
    layer
}

/// Cells on layers, with links between neighbouring layers.
struct Sheet {
    /// Cells 0..n are the nodes.
    cells: Vec<Cell>,
    layer_of: Vec<usize>,
    rows: Vec<Vec<usize>>,
    above: Vec<Vec<usize>>,
    below: Vec<Vec<usize>>,
    /// Cells of each edge, from source to target.
    chains: Vec<Vec<usize>>,
    x: Vec<f32>,
}

/// First layer of each column, and one past the last layer at the end.
type Columns = Vec<usize>;

impl Sheet {
    fn new(layers: &[usize], edges: &[(usize, usize)]) -> Self {
        let mut sheet = Sheet {
            cells: vec![Cell::Node; layers.len()],
            layer_of: layers.to_vec(),
            rows: vec![Vec::new(); layers.iter().max().map_or(0, |l| l + 1)],
            above: vec![Vec::new(); layers.len()],
            below: vec![Vec::new(); layers.len()],
            chains: Vec::with_capacity(edges.len()),
            x: Vec::new(),
        };
        for &(from, to) in edges {
            let mut chain = vec![from];
            let span = layers[to].saturating_sub(layers[from]);
            if span <= MAX_SPAN && sheet.cells.len() < layers.len() + MAX_WAYPOINTS {
                for layer in layers[from] + 1..layers[to] {
                    chain.push(sheet.cells.len());
                    sheet.cells.push(Cell::Waypoint);
                    sheet.layer_of.push(layer);
                    sheet.above.push(Vec::new());
                    sheet.below.push(Vec::new());
                }
            }
            chain.push(to);
            for pair in chain.windows(2) {
                if sheet.layer_of[pair[0]] + 1 == sheet.layer_of[pair[1]] {
                    sheet.below[pair[0]].push(pair[1]);
                    sheet.above[pair[1]].push(pair[0]);
                }
            }
            sheet.chains.push(chain);
        }
        for (cell, &layer) in sheet.layer_of.iter().enumerate() {
            sheet.rows[layer].push(cell);
        }
        sheet.x = vec![0.0; sheet.cells.len()];
        sheet
    }

    fn width(&self, cell: usize) -> f32 {
        match self.cells[cell] {
            Cell::Node => NODE_WIDTH,
            Cell::Waypoint => WAYPOINT_WIDTH,
        }
    }

    fn row_width(&self, row: &[usize]) -> f32 {
        row.iter().map(|&c| self.width(c) + GAP_X).sum::<f32>().max(NODE_WIDTH + GAP_X)
    }

    /// Sorts each row by the mean place of its neighbours, down and up in turn.
    fn order_cells(&mut self) {
        let mut place = vec![0.0f32; self.cells.len()];
        for row in &self.rows {
            for (i, &cell) in row.iter().enumerate() {
                place[cell] = i as f32;
            }
        }
        for sweep in 0..ORDER_SWEEPS {
            let down = sweep % 2 == 0;
            let count = self.rows.len();
            for k in 0..count {
                let layer = if down { k } else { count - 1 - k };
                let mut keyed: Vec<(f32, usize)> = self.rows[layer]
                    .iter()
                    .map(|&cell| {
                        let near = if down { &self.above[cell] } else { &self.below[cell] };
                        let mean = near.iter().map(|&c| place[c]).sum::<f32>() / near.len() as f32;
                        (if near.is_empty() { place[cell] } else { mean }, cell)
                    })
                    .collect();
                keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
                for (i, &(_, cell)) in keyed.iter().enumerate() {
                    place[cell] = i as f32;
                    self.rows[layer][i] = cell;
                }
            }
        }
    }

    /// Where to break the layers into columns.
    fn columns(&self) -> Columns {
        let count = self.rows.len();
        // Links that a break above each layer would cut.
        let cost: Vec<usize> = (0..count)
            .map(|layer| self.rows[layer].iter().map(|&c| self.above[c].len()).sum())
            .collect();
        let mut best: Option<(f32, Columns)> = None;
        for columns in 1..=count.min(MAX_COLUMNS) {
            let target = count.div_ceil(columns);
            let slack = target / 5;
            let mut starts = vec![0usize];
            loop {
                let from = starts.last().copied().unwrap_or(0);
                if from + target + slack >= count {
                    break;
                }
                // The cheapest break near the wanted one; among equals the nearest.
                let wanted = from + target;
                let at = (wanted - slack.min(target - 1)..=wanted + slack)
                    .min_by_key(|&at| (cost[at], at.abs_diff(wanted)))
                    .unwrap_or(wanted);
                starts.push(at);
            }
            starts.push(count);
            let width: f32 = starts
                .windows(2)
                .map(|s| {
                    self.rows[s[0]..s[1]].iter().map(|r| self.row_width(r)).fold(0.0, f32::max)
                        + COLUMN_GAP
                })
                .sum();
            let tallest = starts.windows(2).map(|s| s[1] - s[0]).max().unwrap_or(1);
            let aspect = width / (tallest as f32 * LAYER_HEIGHT);
            let off = (aspect / ASPECT).ln().abs();
            if best.as_ref().is_none_or(|(o, _)| off < *o) {
                best = Some((off, starts));
            }
        }
        best.map_or_else(|| vec![0, count], |(_, starts)| starts)
    }

    /// Moves cells towards the mean of their neighbours, keeping order and distance.
    fn position_cells(&mut self, columns: &Columns) {
        for column in columns.windows(2) {
            for layer in column[0]..column[1] {
                let row = self.rows[layer].clone();
                let mut at = -self.row_width(&row) / 2.0;
                for &cell in &row {
                    let width = self.width(cell) + GAP_X;
                    self.x[cell] = at + width / 2.0;
                    at += width;
                }
            }
            for sweep in 0..POSITION_SWEEPS {
                let down = sweep % 2 == 0;
                for k in 0..column[1] - column[0] {
                    let layer = if down { column[0] + k } else { column[1] - 1 - k };
                    self.relax_row(layer, down, column[0]..column[1]);
                }
            }
        }
    }

    fn relax_row(&mut self, layer: usize, down: bool, column: std::ops::Range<usize>) {
        let row = self.rows[layer].clone();
        let wanted: Vec<f32> = row
            .iter()
            .map(|&cell| {
                let near = if down { &self.above[cell] } else { &self.below[cell] };
                let near = near.iter().filter(|&&c| column.contains(&self.layer_of[c]));
                let (sum, count) = near.fold((0.0, 0), |(s, n), &c| (s + self.x[c], n + 1));
                if count == 0 { self.x[cell] } else { sum / count as f32 }
            })
            .collect();
        let apart = |i: usize| (self.width(row[i - 1]) + self.width(row[i])) / 2.0 + GAP_X;
        // Two placements that keep their distances, from the left and from the right; so does
        // their mean.
        let mut left = wanted.clone();
        for i in 1..row.len() {
            left[i] = left[i].max(left[i - 1] + apart(i));
        }
        let mut right = wanted;
        for i in (1..row.len()).rev() {
            right[i - 1] = right[i - 1].min(right[i] - apart(i));
        }
        for (i, &cell) in row.iter().enumerate() {
            self.x[cell] = (left[i] + right[i]) / 2.0;
        }
    }

    fn finish(
        mut self,
        layers: &[usize],
        edges: &[(usize, usize)],
        columns: &Columns,
    ) -> GraphLayout {
        let mut left = 0.0f32;
        let mut height = 0.0f32;
        let mut y = vec![0.0f32; self.rows.len()];
        // Left edge of each column's cells; the gutter is before it.
        let mut left_of = Vec::with_capacity(columns.len());
        for column in columns.windows(2) {
            left_of.push(left + COLUMN_GAP / 2.0);
            let (mut low, mut high) = (f32::MAX, f32::MIN);
            for &cell in self.rows[column[0]..column[1]].iter().flatten() {
                let half = self.width(cell) / 2.0;
                low = low.min(self.x[cell] - half);
                high = high.max(self.x[cell] + half);
            }
            let shift = left - low + COLUMN_GAP / 2.0;
            for (k, row) in self.rows[column[0]..column[1]].iter().enumerate() {
                let middle = k as f32 * LAYER_HEIGHT + LAYER_HEIGHT / 2.0;
                y[column[0] + k] = middle;
                height = height.max(middle + LAYER_HEIGHT / 2.0);
                for &cell in row {
                    self.x[cell] += shift;
                }
            }
            left += (high - low).max(0.0) + COLUMN_GAP;
        }
        let center = |cell: usize| (self.x[cell], y[self.layer_of[cell]]);
        let column_of = |cell: usize| columns.partition_point(|&s| s <= self.layer_of[cell]) - 1;
        let half = NODE_HEIGHT / 2.0;
        let mut crossing = 0usize;
        let paths = edges
            .iter()
            .zip(&self.chains)
            .map(|(&(from, to), chain)| {
                let mut points = vec![(center(from).0, center(from).1 + half)];
                for pair in chain.windows(2) {
                    let (source, target) = (center(pair[0]), center(pair[1]));
                    let (a, b) = (column_of(pair[0]), column_of(pair[1]));
                    if a != b {
                        // Below the row, up the gutter, over the columns between, and down again.
                        let lane = (crossing % LANES) as f32 * LANE_WIDTH + GAP_X - COLUMN_GAP;
                        crossing += 1;
                        let (under, over) = (source.1 + half + LEAD, target.1 - half - LEAD);
                        let (up, down) = (left_of[a + 1] + lane, left_of[b] + lane);
                        points.extend([(source.0, under), (up, under)]);
                        if a + 1 != b {
                            points.extend([(up, -LEAD), (down, -LEAD)]);
                        }
                        points.extend([(down, over), (target.0, over)]);
                    }
                    points.push(target);
                }
                if let Some(last) = points.last_mut() {
                    last.1 -= half;
                }
                EdgePath { from, to, points }
            })
            .collect();
        GraphLayout {
            centers: (0..layers.len()).map(center).collect(),
            edges: paths,
            width: left,
            height,
        }
    }
}
