//! The DAG as a self-contained SVG picture.

use super::layout::{Layout, Sizes, layout};
use super::section::{Node, Section, Undo};
use crate::plan::Plan;
use crate::report::style::Style;
use crate::report::text::{clip, one_line};

const SIZES: Sizes = Sizes {
    width: 236.0,
    height: 62.0,
    gap_x: 28.0,
    gap_y: 44.0,
    lane: 12.0,
};
const MARGIN: f64 = 28.0;
const HEADING: f64 = 46.0;

const CSS: &str = "\
text{font-family:system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif;fill:#1f2933}\
.bg{fill:#ffffff}.h{font-size:18px;font-weight:600}.sub{font-size:12px;fill:#66727f}\
.id{font-size:14px;font-weight:600}.t{font-size:12px}.u{font-size:11px;fill:#2e7d32}\
.x .u{fill:#b3261e}.n rect{fill:#f5f7fa;stroke:#9aa5b1;stroke-width:1.2}\
.y rect{stroke:#2e7d32}.x rect{stroke:#b3261e;stroke-width:2}\
.g path{fill:#fff3cd;stroke:#b8860b;stroke-width:1.6}\
.d path{stroke-dasharray:6 4}\
.f rect{fill:#eef2ff;stroke-dasharray:5 3}.frame{fill:none;stroke:#9aa5b1;stroke-dasharray:6 5}\
.e{fill:none;stroke:#7b8794;stroke-width:1.5}.a{fill:#7b8794}";

/// A part of the drawing with its heading; all but the first stand in a frame.
struct Part {
    heading: String,
    section: Section,
    layout: Layout,
    dashed: bool,
}

/// All parts, what is called below what calls it.
fn parts(sections: Vec<(&'static str, Section)>, of: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut inner = Vec::new();
    for (heading, section) in sections {
        for node in &section.nodes {
            if let Some(called) = &node.inner {
                let title = format!("{} = runbook {}", node.full, called.runbook);
                inner.push((title, called.sections.clone()));
            }
        }
        let layout = layout(&section, SIZES);
        let heading = match (of, heading) {
            (of, "") => of.to_owned(),
            ("", heading) => heading.to_owned(),
            (of, heading) => format!("{of}: {heading}"),
        };
        parts.push(Part {
            dashed: !heading.is_empty(),
            heading,
            section,
            layout,
        });
    }
    for (title, sections) in inner {
        parts.extend(self::parts(sections, &title));
    }
    parts
}

/// The drawing as SVG; works in a browser and in every viewer, without scripts or outside fonts.
pub fn graph_svg(plan: &Plan) -> String {
    let parts = parts(Section::all(plan), "");
    let wide = parts
        .iter()
        .map(|part| part.layout.width)
        .fold(360.0, f64::max);
    let high: f64 = parts.iter().map(Part::height).sum();
    let (total_width, total_height) = (wide + 2.0 * MARGIN, MARGIN + HEADING + high + MARGIN);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{total_width:.0}\" height=\"{total_height:.0}\" \
         viewBox=\"0 0 {total_width:.0} {total_height:.0}\" role=\"img\">\n\
         <title>{title}</title>\n<style>{CSS}</style>\n\
         <rect class=\"bg\" width=\"100%\" height=\"100%\"/>\n\
         <text class=\"h\" x=\"{MARGIN}\" y=\"38\">{title}</text>\n",
        title = escaped(&plan.runbook.name, (wide / 10.5) as usize),
    );
    let subtitle = plan.runbook.title.as_deref().unwrap_or_default();
    out.push_str(&format!(
        "<text class=\"sub\" x=\"{MARGIN}\" y=\"56\">{}</text>\n",
        escaped(subtitle, (wide / 6.6) as usize)
    ));
    let mut top = MARGIN + HEADING;
    for part in &parts {
        let left = MARGIN + (wide - part.layout.width) / 2.0;
        if part.heading.is_empty() {
            out.push_str(&section_svg(
                &part.section,
                &part.layout,
                (left, top),
                false,
            ));
        } else {
            out.push_str(&format!(
                "<rect class=\"frame\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"{h:.1}\" rx=\"10\"/>\n\
                 <text class=\"sub\" x=\"{tx:.1}\" y=\"{ty:.1}\">{heading}</text>\n",
                x = MARGIN / 2.0,
                y = top + 32.0,
                w = wide + MARGIN,
                h = part.layout.height + 52.0,
                tx = MARGIN,
                ty = top + 52.0,
                heading = escaped(&part.heading, (wide / 6.6) as usize),
            ));
            let origin = (left, top + 66.0);
            out.push_str(&section_svg(
                &part.section,
                &part.layout,
                origin,
                part.dashed,
            ));
        }
        top += part.height();
    }
    out.push_str("</svg>\n");
    out
}

impl Part {
    fn height(&self) -> f64 {
        let frame = if self.heading.is_empty() { 0.0 } else { 92.0 };
        self.layout.height + frame
    }
}

fn section_svg(section: &Section, layout: &Layout, origin: (f64, f64), finally: bool) -> String {
    let moved = |(x, y): (f64, f64)| (x + origin.0, y + origin.1);
    let mut out = String::new();
    for edge in &layout.edges {
        let from = moved(layout.tops[edge.need]);
        let to = moved(layout.tops[edge.step]);
        let via: Vec<(f64, f64)> = edge.via.iter().copied().map(moved).collect();
        out.push_str(&edge_svg(from, &via, to));
    }
    for (node, top) in section.nodes.iter().zip(&layout.tops) {
        out.push_str(&node_svg(node, moved(*top), finally));
    }
    out
}

/// From the bottom of a box, straight through the free lane of every layer between, to the arrow
/// on top of the other box.
fn edge_svg(from: (f64, f64), via: &[(f64, f64)], to: (f64, f64)) -> String {
    let (mut x, mut y) = (from.0, from.1 + SIZES.height);
    let mut path = format!("M{x:.1} {y:.1}");
    let mut curve = |to_x: f64, to_y: f64, x: f64, y: f64| {
        let middle = (y + to_y) / 2.0;
        path.push_str(&format!(
            " C{x:.1} {middle:.1} {to_x:.1} {middle:.1} {to_x:.1} {to_y:.1}"
        ));
    };
    for (lane_x, lane_y) in via {
        curve(*lane_x, *lane_y, x, y);
        (x, y) = (*lane_x, lane_y + SIZES.height);
        curve(x, y, x, *lane_y);
    }
    let tip = to.1 - 7.0;
    curve(to.0, tip, x, y);
    format!(
        "<path class=\"e\" d=\"{path}\"/><path class=\"a\" d=\"M{:.1} {tip:.1}h8l-4 7z\"/>\n",
        to.0 - 4.0
    )
}

fn node_svg(node: &Node, (x, y): (f64, f64), finally: bool) -> String {
    let (w, h) = (SIZES.width, SIZES.height);
    let left = x - w / 2.0;
    let mut class = String::from(if node.gate { "g" } else { "n" });
    if node.demanded {
        class.push_str(" d");
    }
    if finally {
        class.push_str(" f");
    }
    class.push_str(match node.undo {
        Undo::None => "",
        Undo::By(_) => " y",
        Undo::Irreversible => " x",
    });
    let shape = if node.gate {
        let (cut, half) = (16.0, h / 2.0);
        format!(
            "<path d=\"M{:.1} {y:.1}h{:.1}l{cut} {half}l-{cut} {half}h-{:.1}l-{cut} -{half}z\"/>",
            left + cut,
            w - 2.0 * cut,
            w - 2.0 * cut
        )
    } else {
        format!("<rect x=\"{left:.1}\" y=\"{y:.1}\" width=\"{w}\" height=\"{h}\" rx=\"8\"/>")
    };
    let inset = left + if node.gate { 24.0 } else { 12.0 };
    let undo = node.undo_words();
    let first = if undo.is_some() { y + 20.0 } else { y + 27.0 };
    let id = if node.gate {
        format!("gate: {}", node.id)
    } else {
        node.id.clone()
    };
    let title = match &node.each {
        Some(each) => format!("{each}: {}", node.title()),
        None => node.title().to_owned(),
    };
    let mut out = format!(
        "<g class=\"{class}\"><title>{}</title>{shape}\
         <text class=\"id\" x=\"{inset:.1}\" y=\"{first:.1}\">{}</text>\
         <text class=\"t\" x=\"{inset:.1}\" y=\"{:.1}\">{}</text>",
        escaped(
            &format!("{}: {} ({})", node.id, node.title(), node.uses),
            400
        ),
        escaped(&id, 24),
        first + 17.0,
        escaped(&title, 32),
    );
    if let Some(undo) = undo {
        out.push_str(&format!(
            "<text class=\"u\" x=\"{inset:.1}\" y=\"{:.1}\">{}</text>",
            first + 33.0,
            escaped(&undo, 34)
        ));
    }
    out.push_str("</g>\n");
    out
}

/// Clipped, safe, and escaped for XML text.
fn escaped(text: &str, columns: usize) -> String {
    let style = Style::plain(columns);
    clip(&one_line(text, style), columns, style)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixtures::{plan_of, restart_plan, step};

    #[test]
    fn every_step_and_edge_is_in_the_picture() {
        let plan = restart_plan();
        let svg = graph_svg(&plan);
        assert_eq!(svg.matches("<g class=").count(), 6);
        assert_eq!(svg.matches("class=\"e\"").count(), 4);
        assert!(svg.contains("gate: go") && svg.contains("undone by service.start"));
        assert!(svg.contains("class=\"frame\"") && svg.contains("cannot be undone"));
    }

    #[test]
    fn text_cannot_become_markup() {
        let mut bad = step("a", "shell", &[]);
        bad.name = Some("</text><script>alert(1)</script>\x1b".to_owned());
        let svg = graph_svg(&plan_of(vec![bad]));
        assert!(!svg.contains("<script") && !svg.contains('\x1b'));
        assert!(svg.contains("&lt;/text&gt;&lt;script&gt;"), "{svg}");
    }

    #[test]
    fn an_empty_plan_is_a_picture_too() {
        let svg = graph_svg(&plan_of(Vec::new()));
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn a_gate_that_the_policy_demands_looks_different() {
        let plan = crate::report::fixtures_gates::protected_plan();
        let drawing = graph_svg(&plan);
        assert_eq!(
            drawing
                .matches("<g class=\"g d\"><title>approval: Demanded by the policy")
                .count(),
            1,
            "{drawing}"
        );
    }
}
