//! The DAG in the DOT language of Graphviz.

use super::section::{Node, Section, Undo};
use crate::plan::Plan;
use crate::report::style::Style;
use crate::report::text::one_line;

/// The drawing as DOT; `dot -Tsvg` reads it.
pub fn graph_dot(plan: &Plan) -> String {
    let mut out = format!(
        "digraph {} {{\n  rankdir=TB;\n  node [shape=box, style=rounded, fontname=\"sans-serif\"];\n",
        quoted(&plan.runbook.name)
    );
    out.push_str(&section_dot(&Section::steps(plan), "  "));
    let finally = Section::finally(plan);
    if !finally.nodes.is_empty() {
        out.push_str("  subgraph cluster_finally {\n    label=\"finally\";\n    style=dashed;\n");
        out.push_str(&section_dot(&finally, "    "));
        out.push_str("  }\n");
    }
    out.push_str("}\n");
    out
}

fn section_dot(section: &Section, indent: &str) -> String {
    let mut out = String::new();
    for node in &section.nodes {
        out.push_str(&format!(
            "{indent}{} [label={}{}];\n",
            quoted(&node.id),
            label(node),
            look(node)
        ));
    }
    for (need, step) in section.edges() {
        out.push_str(&format!(
            "{indent}{} -> {};\n",
            quoted(&section.nodes[need].id),
            quoted(&section.nodes[step].id)
        ));
    }
    out
}

fn look(node: &Node) -> &'static str {
    match (node.gate, &node.undo) {
        (true, _) => ", shape=hexagon, style=filled, fillcolor=\"#fff3cd\"",
        (false, Undo::By(_)) => ", color=\"#2e7d32\"",
        (false, Undo::Irreversible) => ", color=\"#c62828\", penwidth=2",
        (false, Undo::None) => "",
    }
}

fn label(node: &Node) -> String {
    let mut lines = vec![node.id.clone(), node.title().to_owned()];
    lines.extend(node.undo_words());
    let lines: Vec<String> = lines.iter().map(|line| escaped(line)).collect();
    format!("\"{}\"", lines.join("\\n"))
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text))
}

fn escaped(text: &str) -> String {
    one_line(text, Style::plain(80))
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixtures::{plan_of, restart_plan, step};

    #[test]
    fn the_example() {
        insta::assert_snapshot!(graph_dot(&restart_plan()));
    }

    #[test]
    fn labels_cannot_break_out() {
        let mut bad = step("a", "shell", &[]);
        bad.name = Some("x\"]; evil [label=\"\\".to_owned());
        let text = graph_dot(&plan_of(vec![bad]));
        assert!(
            text.contains(r#"[label="a\nx\"]; evil [label=\"\\"];"#),
            "{text}"
        );
    }
}
