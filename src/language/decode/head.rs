//! The first line of a file: what it is, and in which version.

use std::path::Path;
use std::sync::Arc;

use super::fields::Fields;
use super::keys::{ENVIRONMENT, ObjectSpec, POLICY, RUNBOOK, TEST};
use super::reader::{Reader, describe};
use crate::base::{Diagnostics, SourceFile, Span, Spanned};
use crate::language::codes;
use crate::language::yaml::{Limits, parse_yaml};
use crate::model::{YamlValue, YamlValueKind};

const KINDS: [(&str, &str, &ObjectSpec); 4] = [
    ("runbook", "`runbooks/`", &RUNBOOK),
    ("environment", "`runbooks/environments/`", &ENVIRONMENT),
    ("policy", "`runbooks/policy.yaml`", &POLICY),
    ("test", "`runbooks/tests/`", &TEST),
];

/// Reads a file of one kind up to its keys. `None` when the rest cannot be judged.
pub(super) fn open_file<'a>(
    source: &'a Arc<SourceFile>,
    diags: &'a mut Diagnostics,
    kind: &'static str,
    spec: &'static ObjectSpec,
) -> Option<(Reader<'a>, Fields)> {
    let root = parse_yaml(source, &Limits::default(), diags)?;
    let mut reader = Reader { source, diags };
    if !check_format(&mut reader, &root, kind, spec) {
        return None;
    }
    let mut fields = Fields::open(&mut reader, root, spec, kind, "v1")?;
    fields.take(kind);
    Some((reader, fields))
}

fn check_format(reader: &mut Reader<'_>, root: &YamlValue, kind: &str, spec: &ObjectSpec) -> bool {
    let help = format!("write `{kind}: v1` as the first line of the file");
    let YamlValueKind::Map(map) = &root.kind else {
        let found = match describe(root).as_str() {
            "nothing" => "the file is empty".to_owned(),
            found => format!("the file holds {found} instead of a map of keys"),
        };
        reader.error(codes::FORMAT_LINE, found, root.span, "here", &help);
        return false;
    };
    let Some((index, _, (key_span, value))) = map.get_full(kind) else {
        return no_format(reader, root, kind, spec);
    };
    if index > 0 {
        let message = format!("`{kind}: v1` must be the first key");
        reader.error(codes::FORMAT_LINE, message, *key_span, "not first", &help);
    }
    match &value.kind {
        YamlValueKind::Text { text, .. } if text == "v1" => true,
        YamlValueKind::Text { text, .. } if is_newer(text) => {
            reader.error(
                codes::FORMAT_VERSION,
                format!("the format `{kind}: {text}` is newer than this program, which reads v1"),
                value.span,
                "unknown version",
                "install a newer version of this program; `runbook version` shows this one's",
            );
            false
        }
        _ => {
            reader.error(
                codes::FORMAT_VERSION,
                format!("the format must be `v1`, found {}", describe(value)),
                value.span,
                "unknown version",
                &format!("write `{kind}: v1`"),
            );
            true
        }
    }
}

fn is_newer(version: &str) -> bool {
    let number = version
        .strip_prefix('v')
        .and_then(|n| n.parse::<u32>().ok());
    number.is_some_and(|n| n > 1)
}

/// The format line is missing. Goes on only when the other keys look like the right kind of file.
fn no_format(reader: &mut Reader<'_>, root: &YamlValue, kind: &str, spec: &ObjectSpec) -> bool {
    let YamlValueKind::Map(map) = &root.kind else {
        return false;
    };
    let (_, wanted_place, _) = KINDS
        .into_iter()
        .find(|(name, ..)| *name == kind)
        .unwrap_or(KINDS[0]);
    let other = KINDS
        .into_iter()
        .filter(|(name, ..)| *name != kind)
        .find_map(|(name, place, _)| map.get(name).map(|(span, _)| (name, place, *span)));
    if let Some((name, place, span)) = other {
        reader.error(
            codes::WRONG_KIND,
            format!("this file says `{name}:`, but a `{kind}:` file is expected here"),
            span,
            "another kind of file",
            &format!("such files belong into {place}; the place of this kind is {wanted_place}"),
        );
        return false;
    }
    let here = map.first().map_or(root.span, |(_, (span, _))| *span);
    let help = format!("write `{kind}: v1` as the first line of the file");
    let message = format!("the file does not start with `{kind}: v1`");
    reader.error(
        codes::FORMAT_LINE,
        message,
        here,
        "the first key of the file",
        &help,
    );
    map.keys()
        .any(|key| key != "name" && spec.get(key).is_some())
}

/// Reads `name:` and compares it with the file's name.
pub(super) fn file_name(
    reader: &mut Reader<'_>,
    fields: &mut Fields,
    what: &str,
) -> Option<Spanned<String>> {
    let name = reader.text(fields.take("name"))?;
    if !reader.name(&name, what, name.span) {
        return None;
    }
    check_stem(reader, &name, name.span);
    Some(name)
}

fn check_stem(reader: &mut Reader<'_>, name: &str, span: Span) {
    let source = Arc::clone(reader.source);
    let stem = Path::new(&source.path)
        .file_stem()
        .and_then(|stem| stem.to_str());
    if let Some(stem) = stem
        && stem != name
    {
        reader.error(
            codes::NAME_NOT_FILE,
            format!("the name is `{name}`, but the file is `{}`", source.path),
            span,
            "the file has another name",
            &format!("write `name: {stem}`, or rename the file to `{name}.yaml`"),
        );
    }
}
