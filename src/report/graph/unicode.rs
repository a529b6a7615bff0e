//! The DAG in the terminal: one row a step, in an order that respects the needs, edges as lanes on
//! the left.
//!
//! Each lane carries one step's result downwards. A row of a fork has one source and a row of a join
//! has one target, so that no two edges can be mistaken for each other; where an edge crosses a lane,
//! the lane is drawn and the edge passes behind it.

use super::section::{FINALLY, Inner, Node, Section, Undo};
use crate::plan::Plan;
use crate::report::style::{Paint, Style, Symbol};
use crate::report::text::{clip, one_line, width};

/// Columns that the words of a node need at least.
const WORDS: usize = 30;

/// The drawing, what is called below what calls it. When more steps run side by side than the width
/// can show, a list by stages instead.
pub fn graph_text(plan: &Plan, style: Style) -> String {
    let mut out = String::new();
    for (heading, section) in Section::all(plan) {
        if !heading.is_empty() {
            out.push_str(&format!("\n{}\n", style.paint(Paint::Dim, heading)));
        }
        out.push_str(&section_text(&section, symbol_of(heading), style));
    }
    out
}

fn symbol_of(heading: &str) -> Symbol {
    if heading == FINALLY {
        Symbol::Finally
    } else {
        Symbol::Step
    }
}

fn section_text(section: &Section, symbol: Symbol, style: Style) -> String {
    let most = (style.width.saturating_sub(WORDS) / 2).max(4);
    let Some(rows) = Lanes::draw(section, most) else {
        return stages(section, symbol, style);
    };
    let lanes = rows.iter().map(|row| row.cells.len()).max().unwrap_or(0);
    let words = Words::new(section, lanes * 2 + 1, symbol, style);
    let mut out = String::new();
    for row in &rows {
        out.push_str(&words.row(row));
        let node = row.node.and_then(|i| section.nodes.get(i));
        if let Some(inner) = node.and_then(|node| node.inner.as_ref()) {
            out.push_str(&words.inner(row, inner));
        }
    }
    out
}

/// What stands in one cell of the drawing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Blank,
    Down,
    Across,
    Node,
    /// `├`: down, and a branch to the right.
    DownRight,
    /// `┤`: down, and a branch to the left.
    DownLeft,
    /// `╮`: from the left, down.
    FromLeft,
    /// `╭`: from the right, down.
    FromRight,
    /// `╯`: from above, to the left.
    ToLeft,
    /// `┴`: from above, joining what passes to the left.
    Joining,
}

impl Mark {
    fn glyph(self, style: Style) -> &'static str {
        let (unicode, ascii) = match self {
            Self::Blank => (" ", " "),
            Self::Down => ("│", "|"),
            Self::Across => ("─", "-"),
            Self::Node => ("●", "o"),
            Self::DownRight => ("├", "+"),
            Self::DownLeft => ("┤", "+"),
            Self::FromLeft => ("╮", "."),
            Self::FromRight => ("╭", "."),
            Self::ToLeft => ("╯", "'"),
            Self::Joining => ("┴", "^"),
        };
        if style.unicode { unicode } else { ascii }
    }
}

/// One row: a mark per lane, and between two lanes whether an edge passes.
#[derive(Debug)]
struct Row {
    cells: Vec<Mark>,
    across: Option<(usize, usize)>,
    node: Option<usize>,
    /// Of a node's row: the lanes that go on below it.
    below: Vec<Mark>,
}

/// A lane: whose result it carries, and how many still want it.
#[derive(Debug, Clone, Copy)]
struct Lane {
    source: usize,
    wanted: usize,
}

#[derive(Debug, Default)]
struct Lanes {
    lanes: Vec<Option<Lane>>,
    rows: Vec<Row>,
}

impl Lanes {
    /// The rows, unless they would take more than `most` lanes.
    fn draw(section: &Section, most: usize) -> Option<Vec<Row>> {
        let mut this = Self::default();
        for &node in section.dag.order() {
            let column = this.arrive(section.dag.needs(node));
            this.node(node, column, section.dag.dependents(node).len());
            if this.lanes.len() > most {
                return None;
            }
        }
        Some(this.rows)
    }

    /// Leads all that a node needs into one column, and gives that column.
    fn arrive(&mut self, needs: &[usize]) -> usize {
        let rows_before = self.rows.len();
        let mut incoming: Vec<usize> = Vec::new();
        for &need in needs {
            let Some(column) = self.column_of(need) else {
                continue;
            };
            incoming.push(self.take(column));
        }
        incoming.sort_unstable();
        let target = match incoming.as_slice() {
            [] => self.free_column(0),
            [only] => *only,
            [first, .., last] => {
                self.join(*first, *last, &incoming);
                *first
            }
        };
        if self.rows.len() == rows_before && !self.rows.is_empty() {
            let cells = self.marks();
            self.push(cells, None, None);
        }
        target
    }

    fn column_of(&self, source: usize) -> Option<usize> {
        self.lanes
            .iter()
            .position(|lane| lane.is_some_and(|lane| lane.source == source))
    }

    /// One edge out of a lane: the lane itself for the last one, else a branch. The column that is
    /// given stays marked as taken by nobody's source until the node is drawn.
    fn take(&mut self, column: usize) -> usize {
        match &mut self.lanes[column] {
            Some(lane) if lane.wanted > 1 => lane.wanted -= 1,
            Some(lane) => {
                lane.source = usize::MAX;
                return column;
            }
            None => return column,
        }
        let target = self.free_column(column);
        self.fork(column, target);
        self.reserve(target);
        target
    }

    fn reserve(&mut self, column: usize) {
        self.lanes[column] = Some(Lane {
            source: usize::MAX,
            wanted: 1,
        });
    }

    /// The free column nearest to another, to its right if there is a choice.
    fn free_column(&mut self, near: usize) -> usize {
        let free = |i: &usize| self.lanes[*i].is_none();
        let found = (0..self.lanes.len())
            .filter(free)
            .min_by_key(|i| (i.abs_diff(near), *i < near));
        found.unwrap_or_else(|| {
            self.lanes.push(None);
            self.lanes.len() - 1
        })
    }

    fn marks(&self) -> Vec<Mark> {
        self.lanes
            .iter()
            .map(|lane| match lane {
                Some(_) => Mark::Down,
                None => Mark::Blank,
            })
            .collect()
    }

    fn push(&mut self, mut cells: Vec<Mark>, across: Option<(usize, usize)>, node: Option<usize>) {
        if let Some((from, to)) = across {
            for cell in &mut cells[from..=to] {
                if *cell == Mark::Blank {
                    *cell = Mark::Across;
                }
            }
        }
        self.rows.push(Row {
            cells,
            across,
            node,
            below: Vec::new(),
        });
    }

    fn fork(&mut self, source: usize, target: usize) {
        let mut cells = self.marks();
        let (from, to) = (source.min(target), source.max(target));
        if target > source {
            cells[source] = Mark::DownRight;
            cells[target] = Mark::FromLeft;
        } else {
            cells[source] = Mark::DownLeft;
            cells[target] = Mark::FromRight;
        }
        self.push(cells, Some((from, to)), None);
    }

    fn join(&mut self, first: usize, last: usize, incoming: &[usize]) {
        let mut cells = self.marks();
        for &column in incoming {
            cells[column] = Mark::Joining;
        }
        cells[first] = Mark::DownRight;
        cells[last] = Mark::ToLeft;
        self.push(cells, Some((first, last)), None);
        for &column in &incoming[1..] {
            self.lanes[column] = None;
        }
    }

    fn node(&mut self, node: usize, column: usize, wanted: usize) {
        let mut cells = self.marks();
        cells[column] = Mark::Node;
        self.push(cells, None, Some(node));
        self.lanes[column] = (wanted > 0).then_some(Lane {
            source: node,
            wanted,
        });
        let below = self.marks();
        if let Some(row) = self.rows.last_mut() {
            row.below = below;
        }
    }
}

/// Sets the words beside the lanes.
struct Words<'a> {
    section: &'a Section,
    left: usize,
    ids: usize,
    symbol: Symbol,
    style: Style,
}

impl<'a> Words<'a> {
    fn new(section: &'a Section, left: usize, symbol: Symbol, style: Style) -> Self {
        let ids = section.nodes.iter().map(|node| node.id.len()).max();
        Self {
            section,
            left,
            ids: ids.unwrap_or(0).min(24),
            symbol,
            style,
        }
    }

    /// The drawing of a sub-runbook, beside the lanes that pass it.
    fn inner(&self, row: &Row, inner: &Inner) -> String {
        let style = self.style;
        let mut lanes = String::new();
        for mark in &row.below {
            lanes.push_str(&style.paint(Paint::Dim, mark.glyph(style)));
            lanes.push(' ');
        }
        let blank = self.left.saturating_sub(row.below.len() * 2);
        lanes.push_str(&" ".repeat(blank));
        let narrow = Style {
            width: style.width.saturating_sub(self.left + 2).max(WORDS),
            ..style
        };
        let mut out = String::new();
        for (heading, section) in &inner.sections {
            let heading = match *heading {
                "" => format!("runbook {}", one_line(&inner.runbook, style)),
                heading => heading.to_owned(),
            };
            out.push_str(&format!("{lanes}  {}\n", style.paint(Paint::Dim, &heading)));
            for line in section_text(section, symbol_of(&heading), narrow).lines() {
                out.push_str(format!("{lanes}  {line}").trim_end());
                out.push('\n');
            }
        }
        out
    }

    fn row(&self, row: &Row) -> String {
        let style = self.style;
        let node = row.node.and_then(|i| self.section.nodes.get(i));
        let mut line = String::new();
        for (i, mark) in row.cells.iter().enumerate() {
            match (mark, node) {
                (Mark::Node, Some(node)) => {
                    let (symbol, paint) = look(node, self.symbol);
                    line.push_str(&style.paint(paint, style.symbol(symbol)));
                }
                _ => line.push_str(&style.paint(Paint::Dim, mark.glyph(style))),
            }
            let passes = row.across.is_some_and(|(from, to)| i >= from && i < to);
            let between = if passes { Mark::Across } else { Mark::Blank };
            line.push_str(&style.paint(Paint::Dim, between.glyph(style)));
        }
        if let Some(node) = node {
            let used = row.cells.len() * 2;
            line.push_str(&" ".repeat(self.left.saturating_sub(used)));
            line.push_str(&words(
                node,
                self.ids,
                style.width.saturating_sub(self.left),
                style,
            ));
        }
        format!("{}\n", line.trim_end())
    }
}

fn look(node: &Node, symbol: Symbol) -> (Symbol, Paint) {
    if node.gate {
        (Symbol::Gate, Paint::Care)
    } else {
        (symbol, Paint::Name)
    }
}

/// `id  name or action  ↺ undoing action`.
fn words(node: &Node, ids: usize, room: usize, style: Style) -> String {
    let undo = match &node.undo {
        Undo::None => String::new(),
        Undo::By(uses) => format!(
            "  {} {}",
            style.symbol(Symbol::Undone),
            one_line(uses, style)
        ),
        Undo::Irreversible => format!("  {} cannot be undone", style.symbol(Symbol::Care)),
    };
    let gap = " ".repeat(ids.saturating_sub(node.id.len()) + 2);
    let paint = if node.gate { Paint::Care } else { Paint::Bold };
    let left = room.saturating_sub(node.id.len() + gap.len());
    let title = match &node.each {
        Some(each) => one_line(&format!("{each}: {}", node.title()), style),
        None => one_line(node.title(), style),
    };
    let title = clip(
        &title,
        left.saturating_sub(width(&undo)).max(left.min(12)),
        style,
    );
    let undo = clip(&undo, left.saturating_sub(width(&title)), style);
    format!(
        "{}{gap}{title}{}",
        style.paint(paint, &node.id),
        style.paint(Paint::Dim, &undo)
    )
}

/// The list for graphs too wide to draw: what can run side by side stands together.
fn stages(section: &Section, symbol: Symbol, style: Style) -> String {
    let layers = section.dag.layers();
    let last = layers.iter().max().copied().unwrap_or(0);
    let mut by_layer: Vec<Vec<usize>> = vec![Vec::new(); last + 1];
    for (node, layer) in layers.iter().enumerate() {
        by_layer[*layer].push(node);
    }
    let ids = section.nodes.iter().map(|n| n.id.len()).max().unwrap_or(0);
    let ids = ids.min(24);
    let mut out = String::from("too many steps side by side to draw; by stages:\n");
    for (stage, nodes) in by_layer.iter().enumerate() {
        let side = match nodes.len() {
            1 => String::new(),
            n => format!(", {n} steps side by side"),
        };
        let heading = format!("stage {}{side}", stage + 1);
        out.push_str(&format!("{}\n", style.paint(Paint::Dim, &heading)));
        for &i in nodes {
            let node = &section.nodes[i];
            let (symbol, paint) = look(node, symbol);
            let needs: Vec<&str> = section
                .dag
                .needs(i)
                .iter()
                .map(|need| section.nodes[*need].id.as_str())
                .collect();
            let head = words(node, ids, style.width.saturating_sub(4) * 2 / 3, style);
            let needs = if needs.is_empty() {
                String::new()
            } else {
                let room = (style.width / 3).saturating_sub(10);
                format!("  needs {}", clip(&needs.join(", "), room, style))
            };
            out.push_str(&format!(
                "  {} {head}{}\n",
                style.paint(paint, style.symbol(symbol)),
                style.paint(Paint::Dim, &needs)
            ));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::report::fixtures::{plan_of, restart_plan, step};

    /// Walks every line of the drawing from each node down, as an eye would.
    fn traced(rows: &[Row]) -> BTreeSet<(usize, usize)> {
        let mut edges = BTreeSet::new();
        for (r, row) in rows.iter().enumerate() {
            let Some(source) = row.node else { continue };
            let c = row
                .cells
                .iter()
                .position(|m| *m == Mark::Node)
                .expect("a node");
            follow(rows, r + 1, c, 'v', source, &mut edges);
        }
        edges
    }

    fn follow(
        rows: &[Row],
        r: usize,
        c: usize,
        way: char,
        source: usize,
        edges: &mut BTreeSet<(usize, usize)>,
    ) {
        let Some(row) = rows.get(r) else { return };
        let mark = row.cells.get(c).copied().unwrap_or(Mark::Blank);
        let passes = |c: usize| row.across.is_some_and(|(from, to)| c >= from && c < to);
        let mut go = |way: char| match way {
            'v' => follow(rows, r + 1, c, 'v', source, edges),
            '>' if passes(c) => follow(rows, r, c + 1, '>', source, edges),
            '<' if c > 0 && passes(c - 1) => follow(rows, r, c - 1, '<', source, edges),
            _ => panic!("a line ends in the air at row {r}, lane {c}"),
        };
        match (way, mark) {
            ('v', Mark::Node) => {
                edges.insert((source, row.node.expect("a node")));
            }
            ('v', Mark::Down) => go('v'),
            ('v', Mark::DownRight) => {
                go('v');
                // In a join the line to the right comes from there; only a fork leads there.
                if row.cells[c + 1..].iter().find(|m| ends(**m)) == Some(&Mark::FromLeft) {
                    go('>');
                }
            }
            ('v', Mark::DownLeft) => {
                go('v');
                go('<');
            }
            ('v', Mark::ToLeft | Mark::Joining) => go('<'),
            // No arm upwards: no line here.
            ('v', Mark::Blank | Mark::Across | Mark::FromLeft | Mark::FromRight) => {}
            ('>', Mark::Across | Mark::Down) => go('>'),
            ('>', Mark::FromLeft) => go('v'),
            ('<', Mark::Across | Mark::Down | Mark::Joining) => go('<'),
            ('<', Mark::FromRight | Mark::DownRight) => go('v'),
            other => panic!("{other:?} at row {r}, lane {c}"),
        }
    }

    fn ends(mark: Mark) -> bool {
        matches!(mark, Mark::FromLeft | Mark::ToLeft | Mark::Joining)
    }

    fn section(needs: &[&[usize]]) -> Section {
        let name = |i: usize| format!("s{i}");
        let steps = needs
            .iter()
            .enumerate()
            .map(|(i, list)| {
                let list: Vec<String> = list.iter().map(|n| name(*n)).collect();
                let list: Vec<&str> = list.iter().map(String::as_str).collect();
                step(&name(i), "shell", &list)
            })
            .collect();
        Section::steps(&plan_of(steps))
    }

    #[test]
    fn the_example_and_a_graph_with_forks_and_joins() {
        let style = Style::plain(80);
        let mut out = graph_text(&restart_plan(), style);
        let forked = section(&[&[], &[0], &[0], &[0], &[1, 2], &[3, 4], &[], &[0, 6], &[5]]);
        out.push_str(&section_text(&forked, Symbol::Step, style));
        insta::assert_snapshot!(out);
        assert!(out.lines().all(|line| width(line) <= 80));
    }

    #[test]
    fn a_wide_graph_is_listed_by_stages() {
        let mut needs: Vec<Vec<usize>> = vec![vec![]];
        needs.extend((0..100).map(|_| vec![0]));
        needs.push((1..=100).collect());
        let needs: Vec<&[usize]> = needs.iter().map(Vec::as_slice).collect();
        let text = section_text(&section(&needs), Symbol::Step, Style::plain(80));
        assert!(text.contains("stage 2, 100 steps side by side"), "{text}");
        assert!(text.lines().all(|line| width(line) <= 80), "{text}");
        assert_eq!(text.matches('●').count(), 102);
    }

    proptest! {
        #[test]
        fn every_edge_is_drawn_and_no_other(
            picks in prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 0..4), 1..24)
        ) {
            let needs: Vec<Vec<usize>> = picks
                .iter()
                .enumerate()
                .map(|(i, list)| match i {
                    0 => Vec::new(),
                    _ => list.iter().map(|pick| pick.index(i)).collect::<BTreeSet<_>>().into_iter().collect(),
                })
                .collect();
            let needs: Vec<&[usize]> = needs.iter().map(Vec::as_slice).collect();
            let section = section(&needs);
            let rows = Lanes::draw(&section, usize::MAX).expect("no limit");
            prop_assert_eq!(traced(&rows), section.edges().collect());
            prop_assert_eq!(rows.iter().filter(|row| row.node.is_some()).count(), needs.len());
        }
    }

    #[test]
    fn a_gate_that_the_policy_demands_is_named_so() {
        let plan = crate::report::fixtures_gates::protected_plan();
        let text = graph_text(&plan, Style::plain(80));
        assert!(text.contains("approval  Demanded by the policy"), "{text}");
    }
}
