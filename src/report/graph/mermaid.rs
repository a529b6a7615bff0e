//! The DAG as a Mermaid flowchart, for Markdown pages.

use super::section::{Node, Section, Undo};
use crate::plan::Plan;
use crate::report::style::Style;
use crate::report::text::one_line;

/// The drawing as Mermaid.
pub fn graph_mermaid(plan: &Plan) -> String {
    let mut out = String::from("flowchart TD\n");
    out.push_str(&section_mermaid(&Section::steps(plan), "  "));
    let finally = Section::finally(plan);
    if !finally.nodes.is_empty() {
        out.push_str("  subgraph finally_steps [\"finally\"]\n");
        out.push_str(&section_mermaid(&finally, "    "));
        out.push_str("  end\n");
    }
    out.push_str("  classDef gate fill:#fff3cd,stroke:#b8860b,color:#000\n");
    out.push_str("  classDef undoable stroke:#2e7d32,stroke-width:2px\n");
    out.push_str("  classDef irreversible stroke:#c62828,stroke-width:3px\n");
    out
}

fn section_mermaid(section: &Section, indent: &str) -> String {
    let mut out = String::new();
    for node in &section.nodes {
        let (open, close) = if node.gate { ("{{", "}}") } else { ("[", "]") };
        out.push_str(&format!(
            "{indent}{}{open}\"{}\"{close}{}\n",
            key(node),
            label(node),
            class(node)
        ));
    }
    for (need, step) in section.edges() {
        out.push_str(&format!(
            "{indent}{} --> {}\n",
            key(&section.nodes[need]),
            key(&section.nodes[step])
        ));
    }
    out
}

/// A step may be called `end` or `class`, which are words of Mermaid; the prefix keeps them apart.
fn key(node: &Node) -> String {
    format!("s_{}", node.id)
}

fn class(node: &Node) -> &'static str {
    match (node.gate, &node.undo) {
        (true, _) => ":::gate",
        (false, Undo::By(_)) => ":::undoable",
        (false, Undo::Irreversible) => ":::irreversible",
        (false, Undo::None) => "",
    }
}

fn label(node: &Node) -> String {
    let mut lines = vec![node.id.clone(), node.title().to_owned()];
    lines.extend(node.undo_words());
    let lines: Vec<String> = lines.iter().map(|line| escaped(line)).collect();
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
}
