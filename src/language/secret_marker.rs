//! The text that stands for a secret until a handler is called.

/// What an expression sees in place of a secret's value. `name` is that of `Plan.secrets`.
pub fn marker(name: &str) -> String {
    format!("\u{2063}[secret {name}]\u{2063}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_readable_text_between_invisible_separators() {
        assert_eq!(
            marker("params.token"),
            "\u{2063}[secret params.token]\u{2063}"
        );
    }
}
