//! Checks names inside one graph and puts its nodes in dependency order.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use crate::error::{OnnxError, clip};
use crate::model::Node;

/// A name that a graph uses and does not define itself.
pub(crate) struct FreeName {
    pub(crate) name: String,
    /// Who uses it, for messages.
    pub(crate) user: String,
}

/// Names that a graph defines besides its nodes' results.
pub(crate) struct Scope<'a> {
    /// The graph in messages.
    pub(crate) label: &'a str,
    pub(crate) inputs: Vec<&'a str>,
    pub(crate) initializers: Vec<&'a str>,
    pub(crate) outputs: Vec<&'a str>,
}

pub(crate) struct Linked {
    pub(crate) nodes: Vec<Node>,
    pub(crate) free: Vec<FreeName>,
    /// The file's order was not a dependency order.
    pub(crate) reordered: bool,
}

#[derive(Clone, Copy)]
enum Def {
    Input,
    Initializer,
    Node(usize),
}

/// Links `nodes`; `inner_free[i]` are the free names of the subgraphs of node `i`.
///
/// Names bind to the innermost graph that defines them. Every name is defined at most once per
/// graph, except that an input may also be an initializer.
pub(crate) fn link(
    scope: &Scope<'_>,
    mut nodes: Vec<Node>,
    inner_free: Vec<Vec<FreeName>>,
) -> Result<Linked, OnnxError> {
    for (node, free) in nodes.iter_mut().zip(&inner_free) {
        let mut seen = HashSet::new();
        node.captures =
            free.iter().filter(|f| seen.insert(&f.name)).map(|f| f.name.clone()).collect();
    }
    let defs = definitions(scope, &nodes)?;

    let mut free = Vec::new();
    // Edges from the node that defines to the node that uses.
    let mut users: Vec<Vec<u32>> = vec![Vec::new(); nodes.len()];
    let mut waits = vec![0u32; nodes.len()];
    let mut in_order = true;
    for (i, (node, inner)) in nodes.iter().zip(inner_free).enumerate() {
        let mut depend = |name: &str| match defs.get(name) {
            Some(Def::Node(j)) => {
                in_order &= *j < i;
                users[*j].push(i as u32);
                waits[i] += 1;
                true
            }
            Some(_) => true,
            None => false,
        };
        for name in node.inputs.iter().filter(|name| !name.is_empty()) {
            if !depend(name) {
                free.push(FreeName { name: name.clone(), user: node.label() });
            }
        }
        for name in inner {
            if !depend(&name.name) {
                free.push(name);
            }
        }
    }
    for name in &scope.outputs {
        if !defs.contains_key(name) {
            free.push(FreeName {
                name: (*name).to_string(),
                user: format!("the result list of {}", scope.label),
            });
        }
    }
    if in_order {
        return Ok(Linked { nodes, free, reordered: false });
    }

    // Kahn's algorithm; of the nodes that are ready, the first in the file goes first.
    let mut waiting = waits.clone();
    let mut ready: BinaryHeap<Reverse<usize>> =
        (0..nodes.len()).filter(|i| waiting[*i] == 0).map(Reverse).collect();
    let mut rank = vec![usize::MAX; nodes.len()];
    let mut placed = 0;
    while let Some(Reverse(i)) = ready.pop() {
        rank[i] = placed;
        placed += 1;
        for user in &users[i] {
            let user = *user as usize;
            waiting[user] -= 1;
            if waiting[user] == 0 {
                ready.push(Reverse(user));
            }
        }
    }
    if placed < nodes.len() {
        let nodes = cycle(&nodes, &rank, &users);
        return Err(OnnxError::Cycle { graph: scope.label.to_string(), nodes });
    }
    let mut sorted: Vec<(usize, Node)> = rank.into_iter().zip(nodes).collect();
    sorted.sort_by_key(|(rank, _)| *rank);
    let nodes = sorted.into_iter().map(|(_, node)| node).collect();
    Ok(Linked { nodes, free, reordered: true })
}

fn definitions<'a>(
    scope: &Scope<'a>,
    nodes: &'a [Node],
) -> Result<HashMap<&'a str, Def>, OnnxError> {
    let mut defs = HashMap::new();
    let describe = |def: Def| match def {
        Def::Input => "a graph input".to_string(),
        Def::Initializer => "an initializer".to_string(),
        Def::Node(i) => nodes[i].label(),
    };
    let twice = |name: &str, first: Def, second: Def| OnnxError::DuplicateName {
        graph: scope.label.to_string(),
        name: clip(name, 200),
        first: describe(first),
        second: describe(second),
    };
    for name in &scope.inputs {
        if let Some(first) = defs.insert(*name, Def::Input) {
            return Err(twice(name, first, Def::Input));
        }
    }
    for name in &scope.initializers {
        if let Some(first @ Def::Initializer) = defs.insert(*name, Def::Initializer) {
            return Err(twice(name, first, Def::Initializer));
        }
    }
    for (i, node) in nodes.iter().enumerate() {
        for name in node.outputs.iter().filter(|name| !name.is_empty()) {
            if let Some(first) = defs.insert(name.as_str(), Def::Node(i)) {
                return Err(twice(name, first, Def::Node(i)));
            }
        }
    }
    Ok(defs)
}

/// Labels of the nodes of one cycle, in the direction of data, the first repeated at the end. At
/// most 12 labels.
fn cycle(nodes: &[Node], rank: &[usize], users: &[Vec<u32>]) -> Vec<String> {
    // Every node that was not placed waits for another one that was not placed: walking from user
    // to definition must come round.
    let stuck = |i: usize| rank[i] == usize::MAX;
    let mut before = vec![usize::MAX; nodes.len()];
    for (i, users) in users.iter().enumerate().filter(|(i, _)| stuck(*i)) {
        for user in users {
            before[*user as usize] = i;
        }
    }
    let Some(mut at) = (0..nodes.len()).find(|i| stuck(*i)) else { return Vec::new() };
    let mut visited = vec![false; nodes.len()];
    while !visited[at] {
        visited[at] = true;
        at = before[at];
    }
    let mut ring = vec![at];
    let mut next = before[at];
    while next != at {
        ring.push(next);
        next = before[next];
    }
    ring.push(at);
    ring.reverse();
    let total = ring.len();
    let mut labels: Vec<String> =
        ring.iter().take(11).map(|i| format!("`{}`", nodes[*i].path)).collect();
    if total > 11 {
        labels.push(format!("… ({} nodes)", total - 1));
    }
    labels
}
