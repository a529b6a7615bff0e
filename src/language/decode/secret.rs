//! Where a secret is to be had.

use super::reader::Reader;
use crate::language::codes;
use crate::model::{SecretSource, YamlValue, YamlValueKind};

/// Reads a source. The words of a finding never show the text, which may be the secret itself.
pub(super) fn read_source(r: &mut Reader<'_>, value: &YamlValue) -> Option<SecretSource> {
    let problem = match &value.kind {
        YamlValueKind::Text { text, .. } => match text.parse::<SecretSource>() {
            Ok(source) => return Some(source),
            Err(problem) => problem.to_string(),
        },
        _ => "this is no text".to_owned(),
    };
    r.error(
        codes::BAD_SOURCE,
        format!("a secret needs a source: {problem}"),
        value.span,
        "no source",
        "write e.g. `env:API_TOKEN`; when a secret stood here, change it: this file has been read by others",
    );
    None
}
