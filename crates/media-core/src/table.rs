//! Things in numbered places: a vector with reused gaps.
//!
//! A number is only meaningful while its thing lives; whoever removes a thing removes its number from every other
//! table in the same call.

/// See the top of this file.
pub(crate) struct Table<T> {
    places: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Table<T> {
    pub(crate) const fn new() -> Table<T> {
        Table {
            places: Vec::new(),
            free: Vec::new(),
        }
    }

    /// How many things live.
    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub(crate) fn insert(&mut self, thing: T) -> u32 {
        if let Some(place) = self.free.pop() {
            self.places[place as usize] = Some(thing);
            return place;
        }
        let place = u32::try_from(self.places.len()).expect("shard limits are far below 2^32 places");
        self.places.push(Some(thing));
        place
    }

    pub(crate) fn remove(&mut self, place: u32) -> Option<T> {
        let thing = self.places.get_mut(place as usize)?.take();
        if thing.is_some() {
            self.free.push(place);
        }
        thing
    }

    #[inline]
    pub(crate) fn get(&self, place: u32) -> Option<&T> {
        self.places.get(place as usize)?.as_ref()
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, place: u32) -> Option<&mut T> {
        self.places.get_mut(place as usize)?.as_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_reused_and_a_thing_is_removed_once() {
        let mut table = Table::new();
        let (a, b) = (table.insert('a'), table.insert('b'));
        assert_eq!((table.remove(a), table.remove(a), table.len()), (Some('a'), None, 1));
        assert_eq!(table.insert('c'), a);
        assert_eq!(
            (table.get(a), table.get(b), table.get(9)),
            (Some(&'c'), Some(&'b'), None)
        );
    }
}
