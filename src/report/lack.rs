//! Who is still to vote, in words.

use crate::run::Lack;

/// `1 of dba: bob or eve`; without names when anybody will do.
pub fn who_is_missing(lack: &Lack) -> String {
    let what = format!("{} of {}", lack.count, lack.role);
    let people = lack.people.as_slice();
    match people {
        [] => what,
        _ => format!("{what}: {}", one_of(people)),
    }
}

/// `bob`, `bob or eve`, `ada, bob or eve`.
pub(crate) fn one_of(people: &[String]) -> String {
    match people {
        [] => "nobody".to_owned(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} or {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_a_choice() {
        let lack = |people: &[&str]| Lack {
            count: 1,
            role: "dba".to_owned(),
            people: people.iter().map(|name| (*name).to_owned()).collect(),
        };
        for (people, text) in [
            (&[][..], "1 of dba"),
            (&["bob"][..], "1 of dba: bob"),
            (&["ada", "bob", "eve"][..], "1 of dba: ada, bob or eve"),
        ] {
            assert_eq!(who_is_missing(&lack(people)), text);
        }
    }
}
