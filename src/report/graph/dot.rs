//! The DAG in the DOT language of Graphviz.

use super::section::{Inner, Node, Section, Undo};
use crate::plan::Plan;
use crate::report::style::Style;
use crate::report::text::one_line;

/// The drawing as DOT; `dot -Tsvg` reads it. A sub-runbook is a cluster below the step that calls it.
pub fn graph_dot(plan: &Plan) -> String {
    let mut out = format!(
        "digraph {} {{\n  rankdir=TB;\n  compound=true;\n  node [shape=box, style=rounded, fontname=\"sans-serif\"];\n",
        quoted(&plan.runbook.name)
    );
    sections_dot(&Section::all(plan), "", "  ", &mut out);
    out.push_str("}\n");
    out
}

/// The lists of one runbook: its steps as they are, each of the others in a frame.
fn sections_dot(sections: &[(&str, Section)], of: &str, indent: &str, out: &mut String) {
    for (heading, section) in sections {
        if heading.is_empty() {
            section_dot(section, indent, out);
            continue;
        }
        let word = heading.split(',').next().unwrap_or_default();
        let name = quoted(&format!("cluster_{of}{word}"));
        out.push_str(&format!(
            "{indent}subgraph {name} {{\n{indent}  label={};\n{indent}  style=dashed;\n",
            quoted(word)
        ));
        section_dot(section, &format!("{indent}  "), out);
        out.push_str(&format!("{indent}}}\n"));
    }
}

fn section_dot(section: &Section, indent: &str, out: &mut String) {
    for node in &section.nodes {
        out.push_str(&format!(
            "{indent}{} [label={}{}];\n",
            quoted(&node.full),
            label(node),
            look(node)
        ));
        if let Some(inner) = &node.inner {
            inner_dot(node, inner, indent, out);
        }
    }
    for (need, step) in section.edges() {
        out.push_str(&format!(
            "{indent}{} -> {};\n",
            quoted(&section.nodes[need].full),
            quoted(&section.nodes[step].full)
        ));
    }
}

fn inner_dot(node: &Node, inner: &Inner, indent: &str, out: &mut String) {
    let name = quoted(&format!("cluster_{}", node.full));
    let label = quoted(&format!("runbook {}", inner.runbook));
    out.push_str(&format!(
        "{indent}subgraph {name} {{\n{indent}  label={label};\n{indent}  style=rounded;\n"
    ));
    let of = format!("{}/", node.full);
    sections_dot(&inner.sections, &of, &format!("{indent}  "), out);
    out.push_str(&format!("{indent}}}\n"));
    let first = inner
        .sections
        .iter()
        .flat_map(|(_, section)| &section.nodes)
        .next();
    if let Some(first) = first {
        out.push_str(&format!(
            "{indent}{} -> {} [lhead={name}, style=dotted];\n",
            quoted(&node.full),
            quoted(&first.full)
        ));
    }
}

fn look(node: &Node) -> String {
    let each = match node.each {
        Some(_) => ", peripheries=2",
        None => "",
    };
    format!("{}{each}", colour(node))
}

fn colour(node: &Node) -> &'static str {
    match (node.gate, &node.undo) {
        (true, _) if node.demanded => {
            ", shape=hexagon, style=\"filled,dashed\", fillcolor=\"#fff3cd\""
        }
        (true, _) => ", shape=hexagon, style=filled, fillcolor=\"#fff3cd\"",
        (false, Undo::By(_)) => ", color=\"#2e7d32\"",
        (false, Undo::Irreversible) => ", color=\"#c62828\", penwidth=2",
        (false, Undo::None) => "",
    }
}

fn label(node: &Node) -> String {
    let lines: Vec<String> = node.lines().iter().map(|line| escaped(line)).collect();
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

    #[test]
    fn a_gate_that_the_policy_demands_looks_different() {
        let plan = crate::report::fixtures_gates::protected_plan();
        let drawing = graph_dot(&plan);
        assert_eq!(
            drawing.matches("style=\"filled,dashed\"").count(),
            1,
            "{drawing}"
        );
    }
}
