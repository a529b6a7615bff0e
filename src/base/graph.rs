//! A directed acyclic graph over dense indices: order, cycles, reachability.
//!
//! The one place that knows petgraph. Indices never leave the caller's table of names.

use petgraph::algo::{tarjan_scc, toposort};
use petgraph::graph::{DiGraph, NodeIndex};

/// A directed graph that was proved free of cycles. Edge `a → b` means: `b` needs `a`.
#[derive(Debug, Clone, Default)]
pub struct Dag {
    needs: Vec<Vec<usize>>,
    dependents: Vec<Vec<usize>>,
    order: Vec<usize>,
}

/// A cycle: each node needs the next, the last needs the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cycle(pub Vec<usize>);

impl Dag {
    /// Builds the graph from each node's needs. Needs out of range are ignored.
    ///
    /// # Errors
    /// Every cycle (one per strongly connected component), each as a shortest circle.
    pub fn new(needs: Vec<Vec<usize>>) -> Result<Self, Vec<Cycle>> {
        let count = needs.len();
        let mut graph = DiGraph::<(), ()>::with_capacity(count, count);
        for _ in 0..count {
            graph.add_node(());
        }
        let mut dependents = vec![Vec::new(); count];
        for (node, list) in needs.iter().enumerate() {
            for &need in list.iter().filter(|n| **n < count) {
                graph.add_edge(NodeIndex::new(need), NodeIndex::new(node), ());
                dependents[need].push(node);
            }
        }
        match toposort(&graph, None) {
            Ok(_) => Ok(Self {
                order: stable_order(&needs, &dependents),
                needs,
                dependents,
            }),
            Err(_) => Err(cycles(&graph, &needs)),
        }
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.needs.len()
    }

    /// Whether there is no node.
    pub fn is_empty(&self) -> bool {
        self.needs.is_empty()
    }

    /// What `node` needs directly.
    pub fn needs(&self, node: usize) -> &[usize] {
        &self.needs[node]
    }

    /// What needs `node` directly.
    pub fn dependents(&self, node: usize) -> &[usize] {
        &self.dependents[node]
    }

    /// Every node after all that it needs; ties in index order, so the order is stable.
    pub fn order(&self) -> &[usize] {
        &self.order
    }

    /// Which nodes must come before `node`, directly or not (not itself), as flags by index.
    pub fn ancestors(&self, node: usize) -> Vec<bool> {
        reach(node, &self.needs)
    }

    /// The layer of every node: 0 without needs, else one more than its deepest need.
    pub fn layers(&self) -> Vec<usize> {
        let mut layer = vec![0; self.len()];
        for &node in &self.order {
            layer[node] = self.needs[node]
                .iter()
                .map(|n| layer[*n] + 1)
                .max()
                .unwrap_or(0);
        }
        layer
    }
}

fn stable_order(needs: &[Vec<usize>], dependents: &[Vec<usize>]) -> Vec<usize> {
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;

    let mut missing: Vec<usize> = needs.iter().map(Vec::len).collect();
    let mut ready: BinaryHeap<Reverse<usize>> = (0..needs.len())
        .filter(|n| missing[*n] == 0)
        .map(Reverse)
        .collect();
    let mut order = Vec::with_capacity(needs.len());
    while let Some(Reverse(node)) = ready.pop() {
        order.push(node);
        for &next in &dependents[node] {
            missing[next] -= 1;
            if missing[next] == 0 {
                ready.push(Reverse(next));
            }
        }
    }
    order
}

fn reach(start: usize, edges: &[Vec<usize>]) -> Vec<bool> {
    let mut seen = vec![false; edges.len()];
    let mut stack = edges[start].clone();
    while let Some(node) = stack.pop() {
        if !std::mem::replace(&mut seen[node], true) {
            stack.extend(&edges[node]);
        }
    }
    seen
}

fn cycles(graph: &DiGraph<(), ()>, needs: &[Vec<usize>]) -> Vec<Cycle> {
    let mut found: Vec<Cycle> = tarjan_scc(graph)
        .into_iter()
        .map(|component| component.iter().map(|n| n.index()).collect::<Vec<_>>())
        .filter(|c| c.len() > 1 || needs[c[0]].contains(&c[0]))
        .map(|component| Cycle(shortest_circle(&component, needs)))
        .collect();
    found.sort_by_key(|c| c.0.iter().min().copied());
    found
}

/// Breadth-first search from the component's smallest node back to itself.
fn shortest_circle(component: &[usize], needs: &[Vec<usize>]) -> Vec<usize> {
    let start = component.iter().min().copied().unwrap_or(0);
    let inside: std::collections::HashSet<usize> = component.iter().copied().collect();
    let mut previous = std::collections::HashMap::new();
    let mut queue = std::collections::VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        for &need in needs[node].iter().filter(|n| inside.contains(n)) {
            if need == start {
                let mut path = vec![node];
                let mut at = node;
                while at != start {
                    at = previous[&at];
                    path.push(at);
                }
                path.reverse();
                return path;
            }
            if let std::collections::hash_map::Entry::Vacant(entry) = previous.entry(need) {
                entry.insert(node);
                queue.push_back(need);
            }
        }
    }
    component.to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_stably_and_reaches() {
        let dag = Dag::new(vec![vec![], vec![0], vec![0], vec![1, 2]]).expect("acyclic");
        assert_eq!(dag.order(), [0, 1, 2, 3]);
        assert_eq!(dag.layers(), [0, 1, 1, 2]);
        assert_eq!(dag.ancestors(3), [true, true, true, false]);
    }

    #[test]
    fn shows_every_circle() {
        let needs = vec![vec![1], vec![2], vec![0], vec![3], vec![]];
        let cycles = Dag::new(needs).expect_err("cyclic");
        assert_eq!(cycles, [Cycle(vec![0, 1, 2]), Cycle(vec![3])]);
    }
}
