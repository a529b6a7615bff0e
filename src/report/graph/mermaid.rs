//! The DAG as a Mermaid flowchart, for Markdown pages.

use super::section::{Node, Section, Undo};
use crate::plan::Plan;
use crate::report::style::Style;
use crate::report::text::one_line;

/// The drawing as Mermaid. A sub-runbook is a subgraph below the step that calls it.
pub fn graph_mermaid(plan: &Plan) -> String {
    let mut out = String::from("flowchart TD\n");
    sections_mermaid(&Section::all(plan), "", "  ", &mut out);
    out.push_str("  classDef gate fill:#fff3cd,stroke:#b8860b,color:#000\n");
    if out.contains(":::demanded") {
        out.push_str(
            "  classDef demanded fill:#fff3cd,stroke:#b8860b,stroke-dasharray:6 4,color:#000\n",
        );
    }
    out.push_str("  classDef undoable stroke:#2e7d32,stroke-width:2px\n");
    out.push_str("  classDef irreversible stroke:#c62828,stroke-width:3px\n");
    out
}

fn sections_mermaid(sections: &[(&str, Section)], of: &str, indent: &str, out: &mut String) {
    for (heading, section) in sections {
        if heading.is_empty() {
            section_mermaid(section, indent, out);
            continue;
        }
        let word = heading.split(',').next().unwrap_or_default();
        out.push_str(&format!("{indent}subgraph {of}{word}_steps [\"{word}\"]\n"));
        section_mermaid(section, &format!("{indent}  "), out);
        out.push_str(&format!("{indent}end\n"));
    }
}

fn section_mermaid(section: &Section, indent: &str, out: &mut String) {
    for node in &section.nodes {
        let (open, close) = match (node.gate, &node.each) {
            (true, _) => ("{{", "}}"),
            (false, Some(_)) => ("[[", "]]"),
            (false, None) => ("[", "]"),
        };
        out.push_str(&format!(
            "{indent}{}{open}\"{}\"{close}{}\n",
            key(node),
            label(node),
            class(node)
        ));
        if let Some(inner) = &node.inner {
            let of = format!("{}-", key(node));
            out.push_str(&format!(
                "{indent}subgraph {of}runbook [\"runbook {}\"]\n",
                escaped(&inner.runbook)
            ));
            sections_mermaid(&inner.sections, &of, &format!("{indent}  "), out);
            out.push_str(&format!(
                "{indent}end\n{indent}{} -.-> {of}runbook\n",
                key(node)
            ));
        }
    }
    for (need, step) in section.edges() {
        out.push_str(&format!(
            "{indent}{} --> {}\n",
            key(&section.nodes[need]),
            key(&section.nodes[step])
        ));
    }
}

/// A step may be called `end` or `class`, which are words of Mermaid; the prefix keeps them apart. A
/// hyphen cannot stand in an id of ours, so paths stay distinct.
fn key(node: &Node) -> String {
    format!("s_{}", node.full.replace('/', "-"))
}

fn class(node: &Node) -> &'static str {
    match (node.gate, &node.undo) {
        (true, _) if node.demanded => ":::demanded",
        (true, _) => ":::gate",
        (false, Undo::By(_)) => ":::undoable",
        (false, Undo::Irreversible) => ":::irreversible",
        (false, Undo::None) => "",
    }
}

fn label(node: &Node) -> String {
    let lines: Vec<String> = node.lines().iter().map(|line| escaped(line)).collect();
    lines.join("<br/>")
}

/// Mermaid's own entity codes; a label may hold HTML and Markdown otherwise.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in one_line(text, Style::plain(80)).chars() {
        match c {
            '"' | '#' | '&' | '<' | '>' | '`' | '\\' | '*' | '_' | ';' | '[' | ']' | '{' | '}' => {
                out.push_str(&format!("#{};", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixtures::{plan_of, restart_plan, step};

    #[test]
    fn the_example() {
        insta::assert_snapshot!(graph_mermaid(&restart_plan()));
    }

    #[test]
    fn labels_cannot_break_out() {
        let mut bad = step("end", "shell", &[]);
        bad.name = Some("\"] --> x<script>".to_owned());
        let text = graph_mermaid(&plan_of(vec![bad]));
        assert!(
            text.contains(r##"s_end["end<br/>#34;#93; --#62; x#60;script#62;"]"##),
            "{text}"
        );
    }

    #[test]
    fn a_gate_that_the_policy_demands_looks_different() {
        let plan = crate::report::fixtures_gates::protected_plan();
        let drawing = graph_mermaid(&plan);
        assert_eq!(
            drawing
                .matches("s_approval{{\"approval<br/>Demanded by the policy\"}}:::demanded")
                .count(),
            1,
            "{drawing}"
        );
    }
}
