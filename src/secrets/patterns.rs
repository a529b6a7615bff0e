//! The forms in which a value may turn up in what a step prints.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use zeroize::Zeroizing;

use crate::base::Value;

/// A line of a text of several lines is a secret of its own from this length on: the lines of a key
/// are, the words around them are not.
const LINE: usize = 8;
/// Longer forms are looked for piece by piece, so that little of a stream must be held back, and so that
/// a part of a long secret is found as well.
const LONGEST: usize = 192;
/// Shorter pieces of an encoded form would turn up by chance.
const PIECE: usize = 6;

const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// As most programs encode a path.
const PATH: &AsciiSet = &UNRESERVED.remove(b'/');

/// A form of a value, overwritten when it is dropped.
pub(super) type Pattern = Zeroizing<Vec<u8>>;

/// Every form of a value that is looked for, some of them twice: as it is, line by line, as base64 at each of the three
/// alignments (RFC 4648, both alphabets), percent-encoded (RFC 3986 and forms), escaped for JSON,
/// quoted for a shell, in hexadecimal.
pub(super) fn of(value: &str) -> Vec<Pattern> {
    let mut patterns = Vec::new();
    let mut add = |text: Vec<u8>| {
        let text = Zeroizing::new(text);
        if text.is_empty() {
            return;
        }
        // Of nearly equal length, so that no piece is so short that it turns up by chance.
        let count = text.len().div_ceil(LONGEST);
        for piece in text.chunks(text.len().div_ceil(count)) {
            patterns.push(Zeroizing::new(piece.to_vec()));
        }
    };
    add(value.into());
    let trimmed = value.trim();
    add(trimmed.into());
    if trimmed.contains('\n') {
        // The head and foot of a PEM text say nothing.
        let lines = trimmed.lines().map(str::trim);
        let body: Vec<&str> = lines.filter(|line| !line.starts_with("-----")).collect();
        for line in &body {
            if line.len() >= LINE {
                add((*line).into());
            }
        }
        // Where line ends are looked through, a short last line goes with those before it.
        let joined = Zeroizing::new(body.concat());
        if joined.len() >= LINE {
            add(joined.as_bytes().into());
        }
    }
    for alphabet in [alphabet::STANDARD, alphabet::URL_SAFE] {
        base64(value.as_bytes(), &alphabet, &mut add);
        // `echo "$SECRET" | base64` encodes the line end too.
        base64(format!("{value}\n").as_bytes(), &alphabet, &mut add);
    }
    for set in [UNRESERVED, PATH] {
        let encoded = utf8_percent_encode(value, set).to_string();
        add(lower_hex(&encoded).into());
        add(encoded.replace("%20", "+").into());
        add(lower_hex(&encoded.replace("%20", "+")).into());
        add(encoded.into());
    }
    for json in json_forms(value) {
        add(json.into());
    }
    for quoted in shell_forms(value) {
        add(quoted.into());
    }
    let hex: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
    let all_encoded: String = value.bytes().map(|byte| format!("%{byte:02x}")).collect();
    add(all_encoded.to_uppercase().into());
    add(all_encoded.into());
    add(hex.to_uppercase().into());
    add(hex.into());
    patterns
}

/// What of the encoded text depends on the value alone, wherever it stands in what is encoded; and the
/// whole, when it is encoded by itself.
fn base64(value: &[u8], alphabet: &alphabet::Alphabet, add: &mut impl FnMut(Vec<u8>)) {
    let engine = GeneralPurpose::new(alphabet, GeneralPurposeConfig::new());
    let whole = engine.encode(value);
    let unpadded = whole.trim_end_matches('=').len();
    if unpadded >= PIECE {
        add(whole.as_bytes()[..unpadded].to_vec());
        add(whole.into());
    }
    for before in 0..3 {
        let mut shifted = Zeroizing::new(vec![0; before]);
        shifted.extend_from_slice(value);
        let encoded = Zeroizing::new(engine.encode(&*shifted));
        // Each letter holds six bits: those that hold a bit of what stands before or after are left out.
        let first = (before * 8).div_ceil(6);
        let last = shifted.len() * 8 / 6;
        if last >= first + PIECE {
            add(encoded.as_bytes()[first..last].to_vec());
        }
    }
}

fn lower_hex(encoded: &str) -> String {
    let mut out = String::with_capacity(encoded.len());
    let mut left = 0_u8;
    for c in encoded.chars() {
        if c == '%' {
            left = 3;
        }
        out.push(if left > 0 { c.to_ascii_lowercase() } else { c });
        left = left.saturating_sub(1);
    }
    out
}

fn json_forms(value: &str) -> Vec<String> {
    let quoted = Value::from(value).to_string();
    let inner = quoted[1..quoted.len() - 1].to_owned();
    let ascii: String = inner
        .encode_utf16()
        .map(|unit| match u8::try_from(unit) {
            Ok(byte) if byte.is_ascii() => char::from(byte).to_string(),
            _ => format!("\\u{unit:04x}"),
        })
        .collect();
    // A JSON text inside a JSON text.
    let twice = Value::from(inner.as_str()).to_string();
    let twice = twice[1..twice.len() - 1].to_owned();
    vec![inner.replace('/', "\\/"), ascii, twice, inner]
}

fn shell_forms(value: &str) -> Vec<String> {
    let mut forms = vec![value.replace('\'', r"'\''"), value.replace('\'', "'\"'\"'")];
    let mut doubled = String::new();
    let mut slashed = String::new();
    for c in value.chars() {
        if matches!(c, '"' | '\\' | '$' | '`') {
            doubled.push('\\');
        }
        if !(c.is_alphanumeric() || "-_./:=@%+,".contains(c)) {
            slashed.push('\\');
        }
        doubled.push(c);
        slashed.push(c);
    }
    forms.extend([doubled, slashed]);
    if let Ok(quoted) = shlex::try_quote(value) {
        forms.push(quoted.into_owned());
    }
    forms
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(value: &str) -> Vec<String> {
        of(value)
            .iter()
            .map(|pattern| String::from_utf8_lossy(pattern).into_owned())
            .collect()
    }

    #[test]
    fn the_usual_forms_are_there() {
        let texts = texts("p@ss w/rd'\"é");
        for form in [
            "p@ss w/rd'\"é",
            "p%40ss%20w%2Frd%27%22%C3%A9",
            "p%40ss%20w%2frd%27%22%c3%a9",
            "p%40ss+w/rd%27%22%C3%A9",
            "p@ss w/rd'\\\"é",
            "p@ss w\\/rd'\\\"é",
            "p@ss w/rd'\\\"\\u00e9",
            "p@ss w/rd'\\''\"é",
            "cEBzcyB3L3JkJyLDqQ==",
        ] {
            assert!(texts.iter().any(|text| text == form), "{form} in {texts:?}");
        }
    }

    #[test]
    fn a_long_form_is_cut_into_pieces_that_are_all_of_it() {
        let value: String = (0..5_000)
            .map(|n| char::from(b'a' + n as u8 % 23))
            .collect();
        let texts = texts(&value);
        assert!(
            texts
                .iter()
                .all(|text| (100..=LONGEST).contains(&text.len()))
        );
        let mut rest = value.as_str();
        while let Some(piece) = texts.iter().find(|text| rest.starts_with(text.as_str())) {
            rest = &rest[piece.len()..];
        }
        assert_eq!(rest, "");
    }

    #[test]
    fn lines_of_a_key_count_and_its_head_does_not() {
        let texts = texts("-----BEGIN KEY-----\nMIIBVgIBADANBgkq\nab\n-----END KEY-----\n");
        assert!(texts.iter().any(|text| text == "MIIBVgIBADANBgkq"));
        assert!(
            !texts
                .iter()
                .any(|text| text == "-----BEGIN KEY-----" || text == "ab")
        );
    }

    proptest! {
        #[test]
        fn base64_is_found_at_every_alignment(
            value in "[ -~]{6,20}",
            before in proptest::collection::vec(any::<u8>(), 0..5),
            after in proptest::collection::vec(any::<u8>(), 0..5),
        ) {
            let mut all = before;
            all.extend_from_slice(value.as_bytes());
            all.extend(after);
            for alphabet in [alphabet::STANDARD, alphabet::URL_SAFE] {
                let engine = GeneralPurpose::new(&alphabet, GeneralPurposeConfig::new());
                let encoded = engine.encode(&all);
                prop_assert!(texts(&value).iter().any(|text| encoded.contains(text.as_str())));
            }
        }
    }
}
