//! All connections of the worker, each in a place of its own.
//!
//! The number of a connection says its place, so what is for it finds it without a search; it also says the how manieth
//! there it is, so what was for the one before finds nobody.

use std::collections::VecDeque;

use super::connection::Connection;

/// Most connections: what a number has room for, several times what can be allocated.
const CONNECTIONS_MAX: u32 = 1 << PLACE_BITS;
/// Bits of the place in a number.
const PLACE_BITS: u32 = 16;

/// See the top of this file.
#[derive(Default)]
pub(crate) struct Table {
    places: Vec<Option<Connection>>,
    /// How many each place has had.
    turns: Vec<u16>,
    /// The place that is free longest comes first, so that a number comes again as late as can be.
    free: VecDeque<u32>,
}

impl Table {
    /// The place that a number means.
    pub(crate) fn slot(number: u32) -> u32 {
        number & (CONNECTIONS_MAX - 1)
    }

    /// Puts a connection into a place and gives it its number, never 0; `None` when all are taken.
    pub(crate) fn insert(&mut self, mut connection: Connection) -> Option<u32> {
        let slot = match self.free.pop_front() {
            Some(slot) => slot,
            None if (self.places.len() as u32) < CONNECTIONS_MAX => {
                self.places.push(None);
                self.turns.push(0);
                self.places.len() as u32 - 1
            }
            None => return None,
        };
        let turn = &mut self.turns[slot as usize];
        // 0 is the number of datagrams.
        *turn = turn.checked_add(1).unwrap_or(1);
        connection.flow.connection = u32::from(*turn) << PLACE_BITS | slot;
        self.places[slot as usize] = Some(connection);
        Some(slot)
    }

    /// The connection in a place.
    pub(crate) fn at(&mut self, slot: u32) -> Option<&mut Connection> {
        self.places.get_mut(slot as usize)?.as_mut()
    }

    /// The connection of this number.
    pub(crate) fn of(&mut self, number: u32) -> Option<&mut Connection> {
        self.at(Table::slot(number))
            .filter(|connection| connection.flow.connection == number)
    }

    /// Takes a connection out.
    pub(crate) fn remove(&mut self, slot: u32) -> Option<Connection> {
        let removed = self.places.get_mut(slot as usize)?.take();
        if removed.is_some() {
            self.free.push_back(slot);
        }
        removed
    }

    /// Places there are, taken or not.
    pub(crate) fn places(&self) -> u32 {
        self.places.len() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{Dialect, Flow};
    use ports::Via;
    use std::net::{TcpListener, TcpStream};

    fn connection(listener: &TcpListener) -> Connection {
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let flow = Flow {
            via: Via::Tcp,
            local: 0,
            remote: stream.local_addr().unwrap(),
            connection: 0,
        };
        Connection::new(stream, flow, Dialect::Rfc8656, 0)
    }

    #[test]
    fn a_number_finds_its_own_connection_and_not_the_next_in_its_place() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut table = Table::default();
        let one = table.insert(connection(&listener)).unwrap();
        let number = table.at(one).unwrap().flow.connection;
        assert_ne!(number, 0);
        assert!(table.of(number).is_some());
        assert!(table.remove(one).is_some());
        assert!(table.remove(one).is_none());
        assert!(table.of(number).is_none());
        let two = table.insert(connection(&listener)).unwrap();
        assert_eq!(two, one, "the place is used again");
        assert!(table.of(number).is_none());
        assert_ne!(table.at(two).unwrap().flow.connection, number);
    }
}
