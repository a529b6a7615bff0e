//! How far a quorum is met, each person in one place.

use std::collections::{BTreeMap, BTreeSet};

use super::verdict::Lack;
use crate::plan::PlanQuorum;

/// People given places, as many as possible (a maximum matching, grown by augmenting paths).
///
/// Items are asked in the order of the rule and people come in the caller's order, so the same calls
/// give the same places.
pub(super) struct Tally<'a> {
    items: &'a [PlanQuorum],
    /// Who has a place, and at which item.
    places: BTreeMap<&'a str, usize>,
    /// All who were added, with a place or without.
    added: BTreeSet<&'a str>,
}

impl<'a> Tally<'a> {
    /// Nobody has a place yet.
    pub(super) fn new(items: &'a [PlanQuorum]) -> Self {
        Self {
            items,
            places: BTreeMap::new(),
            added: BTreeSet::new(),
        }
    }

    /// A rule without items is never met.
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether every item has its people.
    pub(super) fn is_met(&self) -> bool {
        !self.is_empty() && (0..self.items.len()).all(|item| self.free(item) == 0)
    }

    /// How many have a place.
    pub(super) fn placed(&self) -> usize {
        self.places.len()
    }

    /// Gives somebody a place if there is one, where others may have to move. Nobody loses theirs.
    pub(super) fn add(&mut self, name: &'a str) {
        if self.added.insert(name) {
            self.place(name, &mut vec![false; self.items.len()]);
        }
    }

    fn place(&mut self, name: &'a str, asked: &mut [bool]) -> bool {
        for item in 0..self.items.len() {
            if asked[item] || !self.items[item].members.iter().any(|m| m == name) {
                continue;
            }
            asked[item] = true;
            if self.free(item) > 0 || self.make_room(item, asked) {
                self.places.insert(name, item);
                return true;
            }
        }
        false
    }

    /// Moves somebody away from a full item.
    fn make_room(&mut self, item: usize, asked: &mut [bool]) -> bool {
        let there: Vec<&'a str> = self.at(item).collect();
        there.into_iter().any(|name| self.place(name, asked))
    }

    fn at(&self, item: usize) -> impl Iterator<Item = &'a str> {
        let here = self.places.iter().filter(move |(_, at)| **at == item);
        here.map(|(name, _)| *name)
    }

    fn free(&self, item: usize) -> usize {
        // A count of 0 would open a gate to nobody; the decoder refuses it, a plan on disk may say it.
        let wanted = usize::try_from(self.items[item].count.max(1)).unwrap_or(usize::MAX);
        wanted.saturating_sub(self.at(item).count())
    }

    /// What is missing, and who could still give it. Those who have a place are moved to where the
    /// others leave a gap, so that what is asked for can be given, if it can be at all.
    pub(super) fn lacks(mut self, excluded: &BTreeSet<String>) -> Vec<Lack> {
        let voted = self.added.clone();
        let items = self.items;
        let could = |item: &'a PlanQuorum| {
            let members = item.members.iter().filter(|name| !excluded.contains(*name));
            let members = members.map(String::as_str);
            members
                .filter(|name| !voted.contains(name))
                .collect::<BTreeSet<&'a str>>()
        };
        for name in items.iter().flat_map(could) {
            self.add(name);
        }
        self.places.retain(|name, _| voted.contains(name));
        (0..items.len())
            .filter_map(|item| {
                let count = self.free(item);
                (count > 0).then(|| Lack {
                    count: u32::try_from(count).unwrap_or(u32::MAX),
                    role: items[item].role.clone(),
                    people: could(&items[item]).into_iter().map(str::to_owned).collect(),
                })
            })
            .collect()
    }
}
