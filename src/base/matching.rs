//! Places that only certain people can take: can distinct people take all of them?

use std::collections::{BTreeMap, BTreeSet};

/// Whether distinct people can take all places: of each entry so many, by those that it names. Someone
/// named in two entries takes a place of one of them.
pub fn can_fill(places: &[(u32, BTreeSet<&str>)]) -> bool {
    // More places than people can never be taken; so the search below is bounded by people.
    let possible = |(count, people): &(u32, BTreeSet<&str>)| *count as usize <= people.len();
    if !places.iter().all(possible) {
        return false;
    }
    let mut taken: BTreeMap<&str, usize> = BTreeMap::new();
    (0..places.len()).all(|entry| {
        (0..places[entry].0).all(|_| seat(places, entry, &mut taken, &mut BTreeSet::new()))
    })
}

/// Finds somebody for one more place of an entry, moving others to other entries if that helps
/// (an augmenting path of a bipartite matching).
fn seat<'a>(
    places: &[(u32, BTreeSet<&'a str>)],
    entry: usize,
    taken: &mut BTreeMap<&'a str, usize>,
    tried: &mut BTreeSet<&'a str>,
) -> bool {
    for &person in &places[entry].1 {
        if !tried.insert(person) {
            continue;
        }
        let moved = match taken.get(person) {
            None => true,
            Some(&other) => other != entry && seat(places, other, taken, tried),
        };
        if moved {
            taken.insert(person, entry);
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_person_takes_one_place() {
        let set = |names: &[&'static str]| names.iter().copied().collect::<BTreeSet<_>>();
        assert!(can_fill(&[]));
        assert!(can_fill(&[(1, set(&["ada"])), (1, set(&["ada", "lin"]))]));
        assert!(can_fill(&[(1, set(&["ada", "lin"])), (1, set(&["ada"]))]));
        assert!(!can_fill(&[(1, set(&["ada"])), (1, set(&["ada"]))]));
        assert!(!can_fill(&[(2, set(&["ada"]))]));
        assert!(!can_fill(&[(u32::MAX, set(&["ada"]))]));
        assert!(can_fill(&[
            (2, set(&["ada", "lin", "sam"])),
            (1, set(&["ada"]))
        ]));
    }

    /// Tries every way: the person at hand takes a place of each entry in turn, or none.
    fn by_trying(left: &mut Vec<u32>, people: &[Vec<usize>]) -> bool {
        if left.iter().all(|n| *n == 0) {
            return true;
        }
        let Some((may, others)) = people.split_first() else {
            return false;
        };
        if by_trying(left, others) {
            return true;
        }
        may.iter().any(|&entry| {
            if left[entry] == 0 {
                return false;
            }
            left[entry] -= 1;
            let found = by_trying(left, others);
            left[entry] += 1;
            found
        })
    }

    proptest! {
        #[test]
        fn agrees_with_trying_every_way(
            counts in proptest::collection::vec(0u32..3, 1..4),
            roles in proptest::collection::vec(proptest::collection::vec(any::<bool>(), 4), 0..6),
        ) {
            const NAMES: [&str; 6] = ["ada", "bea", "cem", "dan", "eva", "fay"];
            let places: Vec<(u32, BTreeSet<&str>)> = counts
                .iter()
                .enumerate()
                .map(|(entry, count)| {
                    let people = roles.iter().enumerate().filter(|(_, has)| has[entry]);
                    (*count, people.map(|(at, _)| NAMES[at]).collect())
                })
                .collect();
            let people: Vec<Vec<usize>> = roles
                .iter()
                .map(|has| (0..counts.len()).filter(|entry| has[*entry]).collect())
                .collect();
            prop_assert_eq!(can_fill(&places), by_trying(&mut counts.clone(), &people));
        }
    }
}
