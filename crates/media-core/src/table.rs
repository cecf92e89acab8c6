//! Things in numbered places: chunks with reused gaps.
//!
//! A number is only meaningful while its thing lives; whoever removes a thing removes its number from every other
//! table in the same call.
//!
//! Invariant: a thing never moves while it lives. A growing vector would copy every leg of a shard in one go, between
//! two packets, and keep room for as many again.

/// Makes a taken place known by what stands here, for a thing that lies in several cache lines: the compiler tells it from a
/// free place by the field that has most values to spare, which would else be anywhere, and with it a line more for every
/// packet.
#[derive(Clone, Copy, Debug)]
#[repr(u64)]
pub(crate) enum Mark {
    Taken,
}

/// See the top of this file.
pub(crate) struct Table<T> {
    /// Each with memory for as many places, taken when the first of them is.
    chunks: Vec<Vec<Option<T>>>,
    /// A chunk has two to the power of this many places.
    bits: u32,
    /// Places that were ever taken: those below it are taken or in `free`.
    used: u32,
    free: Vec<u32>,
}

impl<T> Table<T> {
    /// An empty table that takes memory for so many places at a time, or for the next power of two.
    pub(crate) const fn new(chunk: u32) -> Table<T> {
        Table {
            chunks: Vec::new(),
            bits: chunk.next_power_of_two().trailing_zeros(),
            used: 0,
            free: Vec::new(),
        }
    }

    /// How many things live.
    pub(crate) fn len(&self) -> usize {
        self.used as usize - self.free.len()
    }

    pub(crate) fn insert(&mut self, thing: T) -> u32 {
        let place = self.free.pop().unwrap_or_else(|| {
            let place = self.used;
            let (chunk, at) = self.split(place);
            if at == 0 {
                self.chunks.push(Vec::with_capacity(1 << self.bits));
            }
            self.chunks[chunk].push(None);
            self.used = place.checked_add(1).expect("shard limits are far below 2^32 places");
            place
        });
        *self.place(place).expect("a place below `used` has its chunk") = Some(thing);
        place
    }

    pub(crate) fn remove(&mut self, place: u32) -> Option<T> {
        let thing = self.place(place)?.take();
        if thing.is_some() {
            self.free.push(place);
        }
        thing
    }

    #[inline]
    pub(crate) fn get(&self, place: u32) -> Option<&T> {
        let (chunk, at) = self.split(place);
        self.chunks.get(chunk)?.get(at)?.as_ref()
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, place: u32) -> Option<&mut T> {
        self.place(place)?.as_mut()
    }

    /// Where the thing lies, without looking at it.
    #[inline]
    pub(crate) fn address(&self, place: u32) -> Option<*const u8> {
        let (chunk, at) = self.split(place);
        let thing = self.chunks.get(chunk)?.get(at)?;
        Some(std::ptr::from_ref(thing).cast())
    }

    #[inline]
    fn place(&mut self, place: u32) -> Option<&mut Option<T>> {
        let (chunk, at) = self.split(place);
        self.chunks.get_mut(chunk)?.get_mut(at)
    }

    /// Which chunk, and where in it.
    #[inline]
    const fn split(&self, place: u32) -> (usize, usize) {
        ((place >> self.bits) as usize, (place & ((1 << self.bits) - 1)) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_reused_and_a_thing_is_removed_once() {
        let mut table = Table::new(1);
        let (a, b) = (table.insert('a'), table.insert('b'));
        assert_eq!((table.remove(a), table.remove(a), table.len()), (Some('a'), None, 1));
        assert_eq!(table.insert('c'), a);
        assert_eq!(
            (table.get(a), table.get(b), table.get(9)),
            (Some(&'c'), Some(&'b'), None)
        );
    }

    #[test]
    fn things_stay_where_they_are_while_the_table_grows() {
        for (asked, chunk) in [(1, 1), (2, 2), (31, 32), (32, 32)] {
            let mut table = Table::new(asked);
            let first = table.insert(0);
            let at = std::ptr::from_ref(table.get(first).unwrap());
            let places: Vec<u32> = (1..=3 * chunk).map(|n| table.insert(n)).collect();
            assert_eq!(std::ptr::from_ref(table.get(first).unwrap()), at);
            assert_eq!((table.len(), table.chunks.len()), (3 * chunk + 1, 4));
            for (n, place) in places.into_iter().enumerate() {
                assert_eq!(table.get(place), Some(&(n + 1)));
            }
            assert_eq!(table.get(4 * chunk as u32), None);
        }
    }
}
