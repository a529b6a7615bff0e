//! The codes of this room: RB00xx for YAML itself, RB01xx for the structure of a file.

use crate::base::{Code, CodePage};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $title:literal;)*) => {
        $($(#[$doc])* pub const $name: Code = Code($code);)*

        /// Every code of this room with its page.
        pub static CODES: &[CodePage] = &[
            $(CodePage {
                code: $name,
                title: $title,
                page: include_str!(concat!("../../docs/errors/", $code, ".md")),
            },)*
        ];
    };
}

codes! {
    /// The text is not YAML.
    YAML_SYNTAX = "RB0001", "the file is not valid YAML";
    /// The bytes are not UTF-8.
    NOT_UTF8 = "RB0002", "the file is not UTF-8 text";
    /// A NUL byte, another control character, or a byte order mark inside the text.
    FORBIDDEN_CHARACTER = "RB0003", "a character that a file may not hold";
    /// A tab where only spaces may indent.
    TAB_INDENT = "RB0004", "a tab is used as indentation";
    /// A key twice in one map.
    DUPLICATE_KEY = "RB0005", "a key stands twice in one map";
    /// A key that is a number, a boolean, null, a list or a map.
    KEY_NOT_TEXT = "RB0006", "a key is not text";
    /// The file or one text in it is too long.
    TOO_LARGE = "RB0007", "the file or a text in it is too large";
    /// Lists and maps are nested too deep.
    TOO_DEEP = "RB0008", "lists and maps are nested too deep";
    /// Too many values, counted after aliases are expanded.
    TOO_MANY_VALUES = "RB0009", "too many values in one file";
    /// An alias without its anchor, or inside it.
    BAD_ALIAS = "RB0010", "an alias does not refer to a finished value";
    /// A YAML tag.
    TAG = "RB0011", "YAML tags are not part of the language";
    /// The merge key `<<`.
    MERGE_KEY = "RB0012", "the merge key `<<` is not part of the language";
    /// A second document in one file.
    MANY_DOCUMENTS = "RB0013", "a file holds one document";
    /// A number that cannot be carried exactly, or that is ambiguous.
    BAD_NUMBER = "RB0014", "a number that cannot be carried exactly";

    /// The format line is missing or not first.
    FORMAT_LINE = "RB0101", "a file starts with its format";
    /// The file is of another kind.
    WRONG_KIND = "RB0102", "the file is of another kind";
    /// The format version is not known.
    FORMAT_VERSION = "RB0103", "the format version is not known to this program";
    /// A key that is not permitted here.
    UNKNOWN_KEY = "RB0104", "a key is not known here";
    /// A required key is missing.
    MISSING_KEY = "RB0105", "a required key is missing";
    /// A value of the wrong type.
    WRONG_TYPE = "RB0106", "a value has the wrong type";
    /// A value of the right type that is not permitted.
    BAD_VALUE = "RB0107", "a value is not permitted here";
    /// Two steps with one id.
    DUPLICATE_STEP = "RB0108", "two steps have the same id";
    /// A name or id that is spelled wrongly.
    BAD_NAME = "RB0109", "a name or id is spelled in a way that is not allowed";
    /// `name` is not the file's name.
    NAME_NOT_FILE = "RB0110", "the name is not the file's name";
    /// A part of the language that this version does not have yet.
    NOT_YET = "RB0111", "this part of the language is not supported yet";
    /// Keys that do not go together.
    KEY_CONFLICT = "RB0112", "keys that do not go together";
    /// A default that its own parameter would refuse.
    BAD_DEFAULT = "RB0113", "a default that its parameter would refuse";
    /// A text that names no source of a secret.
    BAD_SOURCE = "RB0114", "a secret needs a source";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_page_and_every_page_its_code() {
        for page in CODES {
            let head = format!("# {}: ", page.code);
            assert!(page.page.starts_with(&head), "{} starts wrongly", page.code);
            for part in ["## Wrong", "## Right", "## Why"] {
                assert!(page.page.contains(part), "{} lacks `{part}`", page.code);
            }
        }
        let mut listed: Vec<&str> = CODES.iter().map(|p| p.code.0).collect();
        listed.sort_unstable();
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/errors");
        let mut on_disk: Vec<String> = std::fs::read_dir(folder)
            .expect("the folder of pages")
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| name.starts_with("RB00") || name.starts_with("RB01"))
            .map(|name| name.trim_end_matches(".md").to_owned())
            .collect();
        on_disk.sort_unstable();
        assert_eq!(listed, on_disk);
    }
}
