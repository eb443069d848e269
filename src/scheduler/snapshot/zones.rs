//! The order in which nodes are looked at: zones take turns, so that even a sample of a large cluster spans them all.

use std::collections::HashMap;

use super::Slot;

/// Nodes by zone.
#[derive(Clone, Debug, Default)]
pub(super) struct Zones {
    zones: Vec<Zone>,
    /// The zone of each node, and where it stands there.
    places: HashMap<Slot, (usize, usize)>,
}

#[derive(Clone, Debug, Default)]
struct Zone {
    /// Region and zone.
    name: (String, String),
    nodes: Vec<Slot>,
}

impl Zones {
    /// How many nodes there are.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Adds a node that is in no zone yet.
    pub(super) fn insert(&mut self, slot: Slot, (region, zone): (&str, &str)) {
        let known = self
            .zones
            .iter()
            .position(|each| each.name.0 == region && each.name.1 == zone);
        let index = known.unwrap_or_else(|| {
            self.zones.push(Zone {
                name: (region.to_owned(), zone.to_owned()),
                nodes: Vec::new(),
            });
            self.zones.len() - 1
        });
        let nodes = &mut self.zones[index].nodes;
        self.places.insert(slot, (index, nodes.len()));
        nodes.push(slot);
    }

    /// Takes a node out; the last one of its zone takes its place.
    pub(super) fn remove(&mut self, slot: Slot) {
        let Some((index, place)) = self.places.remove(&slot) else {
            return;
        };
        let nodes = &mut self.zones[index].nodes;
        nodes.swap_remove(place);
        if let Some(moved) = nodes.get(place) {
            self.places.insert(*moved, (index, place));
        }
        if nodes.is_empty() {
            self.zones.swap_remove(index);
            for (place, slot) in self
                .zones
                .get(index)
                .into_iter()
                .flat_map(|zone| zone.nodes.iter().enumerate())
            {
                self.places.insert(*slot, (index, place));
            }
        }
    }

    /// Every node once, each with how many turns came before: in a turn every zone gives one, for as long as it has any.
    pub(super) fn in_turn(&self, begin: usize) -> impl Iterator<Item = (usize, Slot)> {
        let turns = self.zones.iter().map(|zone| zone.nodes.len()).max().unwrap_or_default();
        (0..turns).flat_map(move |turn| {
            let zones = self.zones.iter().filter(move |zone| turn < zone.nodes.len());
            zones.map(move |zone| (turn, zone.nodes[begin.wrapping_add(turn) % zone.nodes.len()]))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(zones: &Zones, begin: usize) -> Vec<Slot> {
        zones.in_turn(begin).map(|(_, slot)| slot).collect()
    }

    #[test]
    fn zones_take_turns_from_any_turn_on() {
        let mut zones = Zones::default();
        for (slot, zone) in [(0, "a"), (1, "a"), (2, "a"), (3, "b")] {
            zones.insert(slot, ("r", zone));
        }
        assert_eq!(order(&zones, 0), [0, 3, 1, 2]);
        assert_eq!(order(&zones, 1), [1, 3, 2, 0], "each node once, wherever it begins");
        zones.remove(0);
        assert_eq!(order(&zones, 0), [2, 3, 1]);
        zones.remove(1);
        zones.remove(2);
        assert_eq!(order(&zones, 5), [3]);
        zones.remove(3);
        assert_eq!((order(&zones, 0), zones.len()), (vec![], 0));
    }

    #[test]
    fn removing_a_zone_leaves_the_others_removable() {
        let mut zones = Zones::default();
        for (slot, zone) in [(0, "a"), (1, "b"), (2, "c"), (3, "c")] {
            zones.insert(slot, ("", zone));
        }
        zones.remove(0);
        zones.remove(3);
        assert_eq!(order(&zones, 0), [2, 1]);
        zones.remove(2);
        assert_eq!(order(&zones, 0), [1]);
    }
}
