//! A layered layout (Sugiyama, Tagawa and Toda 1981): layers by depth, few crossings, straight edges.

use super::section::Section;

/// Beyond so many bends, long edges are drawn without them: a hostile plan cannot cost us more.
const MOST_BENDS: usize = 20_000;

/// Sizes of a drawing, in pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) gap_x: f64,
    pub(super) gap_y: f64,
    /// Width kept free for an edge that passes a layer.
    pub(super) lane: f64,
}

/// An edge, and where it passes the layers between: the middle, and the layer's top.
#[derive(Debug)]
pub(super) struct Edge {
    pub(super) need: usize,
    pub(super) step: usize,
    pub(super) via: Vec<(f64, f64)>,
}

/// Where everything stands.
#[derive(Debug)]
pub(super) struct Layout {
    /// Centre of each node's top edge, by node.
    pub(super) tops: Vec<(f64, f64)>,
    pub(super) edges: Vec<Edge>,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// A node or a bend of a long edge, in its layer.
struct Item {
    layer: usize,
    wide: f64,
    above: Vec<usize>,
    below: Vec<usize>,
    x: f64,
}

pub(super) fn layout(section: &Section, sizes: Sizes) -> Layout {
    let node_layers = section.dag.layers();
    let mut items: Vec<Item> = node_layers
        .iter()
        .map(|layer| item(*layer, sizes.width))
        .collect();
    let bends = add_edges(section, &node_layers, &mut items, sizes.lane);
    let depth = node_layers.iter().max().map_or(0, |layer| layer + 1);
    let mut layers: Vec<Vec<usize>> = vec![Vec::new(); depth];
    for (i, item) in items.iter().enumerate() {
        layers[item.layer].push(i);
    }
    for round in 0..8 {
        order_layers(&mut layers, &items, round % 2 == 0);
    }
    place(&layers, &mut items, sizes.gap_x);
    let left = items
        .iter()
        .map(|item| item.x - item.wide / 2.0)
        .fold(f64::INFINITY, f64::min);
    let right = items
        .iter()
        .map(|item| item.x + item.wide / 2.0)
        .fold(0.0, f64::max);
    let left = if left.is_finite() { left } else { 0.0 };
    let top = |i: usize| {
        let item: &Item = &items[i];
        (
            item.x - left,
            item.layer as f64 * (sizes.height + sizes.gap_y),
        )
    };
    Layout {
        tops: (0..section.nodes.len()).map(top).collect(),
        edges: bends
            .into_iter()
            .map(|(need, step, via)| Edge {
                need,
                step,
                via: via.into_iter().map(top).collect(),
            })
            .collect(),
        width: (right - left).max(0.0),
        height: depth as f64 * (sizes.height + sizes.gap_y)
            - sizes.gap_y.min(depth as f64 * sizes.gap_y),
    }
}

fn item(layer: usize, wide: f64) -> Item {
    Item {
        layer,
        wide,
        above: Vec::new(),
        below: Vec::new(),
        x: 0.0,
    }
}

/// Links the items, putting a bend into every layer that an edge passes.
fn add_edges(
    section: &Section,
    layers: &[usize],
    items: &mut Vec<Item>,
    lane: f64,
) -> Vec<(usize, usize, Vec<usize>)> {
    let mut edges = Vec::new();
    let mut bends = 0;
    for (need, step) in section.edges() {
        let span = layers[step] - layers[need];
        bends += span - 1;
        let mut via = Vec::new();
        let mut last = need;
        if bends <= MOST_BENDS {
            for layer in layers[need] + 1..layers[step] {
                items.push(item(layer, lane));
                let bend = items.len() - 1;
                link(items, last, bend);
                via.push(bend);
                last = bend;
            }
            link(items, last, step);
        }
        edges.push((need, step, via));
    }
    edges
}

fn link(items: &mut [Item], above: usize, below: usize) {
    items[above].below.push(below);
    items[below].above.push(above);
}

/// One sweep: every layer sorted by the mean place of its neighbours in the layer before.
fn order_layers(layers: &mut [Vec<usize>], items: &[Item], downwards: bool) {
    let mut rank = vec![0usize; items.len()];
    for layer in layers.iter() {
        for (place, i) in layer.iter().enumerate() {
            rank[*i] = place;
        }
    }
    let count = layers.len();
    for step in 1..count {
        let at = if downwards { step } else { count - 1 - step };
        let layer = &mut layers[at];
        let mut keyed: Vec<(f64, usize)> = layer
            .iter()
            .map(|i| {
                let near = if downwards {
                    &items[*i].above
                } else {
                    &items[*i].below
                };
                let own = rank[*i] as f64;
                (
                    mean(near.iter().map(|n| rank[*n] as f64)).unwrap_or(own),
                    *i,
                )
            })
            .collect();
        keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
        for (place, (_, i)) in keyed.iter().enumerate() {
            rank[*i] = place;
            layer[place] = *i;
        }
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0usize), |(sum, n), v| (sum + v, n + 1));
    (count > 0).then(|| sum / count as f64)
}

/// Gives every item its x: as near to its neighbours as the order in its layer allows.
fn place(layers: &[Vec<usize>], items: &mut [Item], gap: f64) {
    for layer in layers {
        let wanted: Vec<f64> = vec![0.0; layer.len()];
        set_row(layer, items, &wanted, gap);
    }
    for round in 0..12 {
        let downwards = round % 2 == 0;
        let count = layers.len();
        for step in 0..count {
            let at = if downwards { step } else { count - 1 - step };
            let wanted: Vec<f64> = layers[at]
                .iter()
                .map(|i| {
                    let near = if downwards {
                        &items[*i].above
                    } else {
                        &items[*i].below
                    };
                    mean(near.iter().map(|n| items[*n].x)).unwrap_or(items[*i].x)
                })
                .collect();
            set_row(&layers[at], items, &wanted, gap);
        }
    }
}

/// Least squares under "each right of the one before": pool adjacent violators.
fn set_row(layer: &[usize], items: &mut [Item], wanted: &[f64], gap: f64) {
    let mut offsets = Vec::with_capacity(layer.len());
    let mut offset = 0.0;
    for (place, i) in layer.iter().enumerate() {
        if let Some(before) = place.checked_sub(1).map(|p| layer[p]) {
            offset += (items[before].wide + items[*i].wide) / 2.0 + gap;
        }
        offsets.push(offset);
    }
    // Pools of (sum, count).
    let mut pools: Vec<(f64, usize)> = Vec::new();
    for (want, offset) in wanted.iter().zip(&offsets) {
        pools.push((want - offset, 1));
        while let [.., (sum_a, n_a), (sum_b, n_b)] = pools.as_slice() {
            if sum_a / *n_a as f64 <= sum_b / *n_b as f64 {
                break;
            }
            let merged = (sum_a + sum_b, n_a + n_b);
            pools.truncate(pools.len() - 2);
            pools.push(merged);
        }
    }
    let bases = pools
        .iter()
        .flat_map(|(sum, n)| std::iter::repeat_n(sum / *n as f64, *n));
    for ((i, base), offset) in layer.iter().zip(bases).zip(offsets) {
        items[*i].x = base + offset;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixtures::{plan_of, step};

    const SIZES: Sizes = Sizes {
        width: 100.0,
        height: 40.0,
        gap_x: 20.0,
        gap_y: 30.0,
        lane: 10.0,
    };

    #[test]
    fn a_diamond_is_symmetric_and_nothing_overlaps() {
        let plan = plan_of(vec![
            step("a", "shell", &[]),
            step("b", "shell", &["a"]),
            step("c", "shell", &["a"]),
            step("d", "shell", &["b", "c", "a"]),
        ]);
        let layout = layout(&Section::steps(&plan), SIZES);
        let x: Vec<f64> = layout.tops.iter().map(|top| top.0).collect();
        let y: Vec<f64> = layout.tops.iter().map(|top| top.1).collect();
        assert_eq!(y, [0.0, 70.0, 70.0, 140.0]);
        assert!((x[1] - x[2]).abs() >= 120.0);
        let bend = layout
            .edges
            .iter()
            .find(|e| (e.need, e.step) == (0, 3))
            .expect("edge");
        assert_eq!(bend.via.len(), 1);
        // The passing edge keeps clear of both boxes.
        for node in [1, 2] {
            assert!(
                (bend.via[0].0 - x[node]).abs() >= 55.0 + 20.0 - 1e-6,
                "{layout:?}"
            );
        }
        assert_eq!(layout.height, 180.0);
    }
}
