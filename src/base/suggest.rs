//! "Did you mean": the nearest known name.

/// The known name nearest to `wanted`, if any is near enough to be a misspelling of it.
pub fn did_you_mean<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = wanted.to_lowercase();
    known
        .into_iter()
        .map(|name| {
            (
                strsim::damerau_levenshtein(&lower, &name.to_lowercase()),
                name,
            )
        })
        .filter(|(distance, name)| {
            let longest = name.chars().count().max(wanted.chars().count());
            *distance <= longest.div_ceil(3)
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_misspellings_only() {
        let known = ["service", "grace", "timeout"];
        assert_eq!(did_you_mean("servcie", known), Some("service"));
        assert_eq!(did_you_mean("TIMEOUT", known), Some("timeout"));
        assert_eq!(did_you_mean("replicas", known), None);
    }
}
