//! The generator's thread as everybody else sees it: orders in, figures out.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::client::Client;
use crate::generator::{Generator, Ledger, Seat, Standing, Window};
use crate::pace::{Frames, Pace};
use crate::road::Road;
use crate::{Fault, clock, system};

/// How long the generator runs between two looks at its orders.
const SLICE: Duration = Duration::from_millis(5);
/// The same while somebody waits for a leg.
const SHORT_SLICE: Duration = Duration::from_millis(1);
/// Longest wait until everybody hears the other side.
const HEARD_LIMIT: Duration = Duration::from_secs(30);
/// Longest wait until a leg is connected: the server's own patience with a handshake, and half of it more.
const CONNECTED_LIMIT: Duration = Duration::from_secs(15);

/// A leg that is to be added, with others that it may hear.
pub(crate) struct Guest {
    pub(crate) client: Client,
    pub(crate) road: Road,
    pub(crate) speaks: bool,
    /// Its speaker's place among those that are added with it.
    pub(crate) hears: Option<usize>,
}

impl Guest {
    /// Two who ought to hear each other.
    pub(crate) fn pair(legs: [(Client, Road); 2]) -> Vec<Guest> {
        let guest = |((client, road), other)| Guest {
            client,
            road,
            speaks: true,
            hears: Some(other),
        };
        legs.into_iter().zip([1, 0]).map(guest).collect()
    }
}

/// Who waits for a line: its number and the moment of its first sound, or why there is none.
type Awaited = oneshot::Sender<Result<(u32, Instant), String>>;

/// What the thread is told.
enum Order {
    /// Legs that belong together; who asked is told once all are connected, or that they are taken away again because
    /// one of them is not.
    Seat(Vec<Guest>, oneshot::Sender<Result<Vec<u32>, String>>),
    /// A leg that waits for its first packet; who asked is told when it came.
    Await(Box<Client>, Awaited),
    Deaf(oneshot::Sender<Vec<u32>>),
    Hush(bool),
    Remove(Vec<u32>, oneshot::Sender<Vec<Ledger>>),
    SpeakIn(Frames),
    Move(Duration),
    Measure(Duration, Watcher),
}

/// Who waits for a window: told when it begins, when its time is over, and what it showed.
struct Watcher {
    begun: Option<oneshot::Sender<()>>,
    over: Option<oneshot::Sender<()>>,
    window: oneshot::Sender<Window>,
}

/// How the thread stands to others of its core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rank {
    /// It measures.
    First,
    /// It only makes load, and gives way to who measures.
    Second,
}

/// A running generator.
pub(crate) struct Speaking {
    orders: Sender<Order>,
    heard: Arc<AtomicUsize>,
    /// Why it ended, if it did so by itself.
    fault: Arc<OnceLock<String>>,
    thread: thread::JoinHandle<io::Result<()>>,
}

impl Speaking {
    /// Starts it on `core`.
    pub(crate) fn start(core: usize, pace: Pace, rank: Rank) -> io::Result<Speaking> {
        let (orders, inbox) = mpsc::channel();
        let heard = Arc::new(AtomicUsize::new(0));
        let fault = Arc::new(OnceLock::new());
        let (told, why) = (Arc::clone(&heard), Arc::clone(&fault));
        let thread = thread::Builder::new().name("generator".to_owned()).spawn(move || {
            let work = || {
                system::pin(None, core)?;
                if rank == Rank::Second {
                    system::give_way()?;
                }
                speak(&inbox, &told, pace, rank)
            };
            work().inspect_err(|fault| forget(why.set(fault.to_string())))
        })?;
        Ok(Speaking {
            orders,
            heard,
            fault,
            thread,
        })
    }

    fn order(&self, order: Order) -> io::Result<()> {
        self.orders.send(order).map_err(|_| self.ended())
    }

    async fn ask<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> io::Result<T> {
        let (reply, answer) = oneshot::channel();
        self.order(order(reply))?;
        answer.await.map_err(|_| self.ended())
    }

    /// Legs that belong together, once all are connected; their numbers. If one is not, none is left.
    pub(crate) async fn seat(&self, guests: Vec<Guest>) -> Result<Vec<u32>, Fault> {
        Ok(self.ask(|reply| Order::Seat(guests, reply)).await??)
    }

    /// A leg that says nothing: its number and the moment it heard its first packet.
    pub(crate) async fn first_packet(&self, client: Client) -> Result<(u32, Instant), Fault> {
        Ok(self.ask(|reply| Order::Await(Box::new(client), reply)).await??)
    }

    /// Legs that ought to hear somebody and do not yet.
    pub(crate) async fn deaf(&self) -> io::Result<Vec<u32>> {
        self.ask(Order::Deaf).await
    }

    /// From now on legs only let others know that they are there, or speak.
    pub(crate) fn hush(&self, hush: bool) -> io::Result<()> {
        self.order(Order::Hush(hush))
    }

    /// Takes legs away; what they sent.
    pub(crate) async fn remove(&self, numbers: Vec<u32>) -> io::Result<Vec<Ledger>> {
        self.ask(|reply| Order::Remove(numbers, reply)).await
    }

    /// From now on legs send such frames.
    pub(crate) fn speak_in(&self, frames: Frames) -> io::Result<()> {
        self.order(Order::SpeakIn(frames))
    }

    /// Every leg changes its address once within `time`.
    pub(crate) fn move_all(&self, time: Duration) -> io::Result<()> {
        self.order(Order::Move(time))
    }

    /// Counts for `time`.
    pub(crate) async fn measure(&self, time: Duration) -> io::Result<Window> {
        let (window, _) = self.measure_beside(time, || Ok(())).await.map_err(io::Error::other)?;
        Ok(window)
    }

    /// The same; what `look` sees at the begin of the window and at its end, before the moment in which the last packets
    /// arrive. It is called a few milliseconds late, both times: whoever needs it exactly asks the clock as well.
    pub(crate) async fn measure_beside<T>(
        &self,
        time: Duration,
        mut look: impl FnMut() -> Result<T, Fault>,
    ) -> Result<(Window, [T; 2]), Fault> {
        let ((begun, begins), (over, ends), (window, closes)) =
            (oneshot::channel(), oneshot::channel(), oneshot::channel());
        let watcher = Watcher {
            begun: Some(begun),
            over: Some(over),
            window,
        };
        self.order(Order::Measure(time, watcher))?;
        begins.await.map_err(|_| self.ended())?;
        let before = look()?;
        ends.await.map_err(|_| self.ended())?;
        let after = look()?;
        let window = closes.await.map_err(|_| self.ended())?;
        Ok((window, [before, after]))
    }

    /// Legs that have heard somebody.
    pub(crate) fn heard(&self) -> usize {
        self.heard.load(Ordering::Relaxed)
    }

    /// Waits until `legs` legs have heard somebody.
    pub(crate) async fn wait_until_heard(&self, legs: usize) -> Result<(), Fault> {
        let end = clock::now() + HEARD_LIMIT;
        loop {
            let heard = self.heard();
            if heard >= legs {
                return Ok(());
            }
            if clock::now() >= end || self.thread.is_finished() {
                return Err(format!("{heard} of {legs} legs hear their other side").into());
            }
            tokio::time::sleep(SLICE).await;
        }
    }

    /// Ends it.
    pub(crate) fn stop(self) -> io::Result<()> {
        drop(self.orders);
        let broken = |_| io::Error::other("the generator broke");
        self.thread.join().map_err(broken)?
    }

    fn ended(&self) -> io::Error {
        match self.fault.get() {
            Some(fault) => io::Error::other(format!("the generator ended: {fault}")),
            None => io::Error::other("the generator ended before its time"),
        }
    }
}

/// Legs that were added and somebody who waits for all of them.
struct Coming {
    numbers: Vec<u32>,
    until: Instant,
    reply: oneshot::Sender<Result<Vec<u32>, String>>,
}

/// What is to be said of legs that stand so; `None` while that is open.
fn arrived(legs: impl Iterator<Item = Standing>, is_late: bool) -> Option<Result<(), String>> {
    let mut all = true;
    for standing in legs {
        match standing {
            Standing::Up => {}
            Standing::Coming => all = false,
            Standing::Fallen(why) => return Some(Err(why)),
            Standing::Gone => return Some(Err("a leg was taken away".to_owned())),
        }
    }
    match (all, is_late) {
        (true, _) => Some(Ok(())),
        (false, true) => Some(Err("a leg was not connected in time".to_owned())),
        (false, false) => None,
    }
}

/// Who waits for what.
#[derive(Default)]
struct Waiting {
    measuring: Option<Watcher>,
    coming: Vec<Coming>,
    first: Vec<(u32, Awaited)>,
}

fn speak(inbox: &Receiver<Order>, heard: &AtomicUsize, pace: Pace, rank: Rank) -> io::Result<()> {
    let mut generator = Generator::new(pace)?;
    if rank == Rank::First {
        generator.come_first();
    }
    let mut waiting = Waiting::default();
    loop {
        match inbox.try_recv() {
            Ok(order) => waiting.take(order, &mut generator)?,
            Err(TryRecvError::Empty) => generator.go_on(waiting.slice())?,
            Err(TryRecvError::Disconnected) => return Ok(()),
        }
        waiting.tell(&mut generator)?;
        heard.store(generator.heard(), Ordering::Relaxed);
    }
}

impl Waiting {
    fn slice(&self) -> Duration {
        if self.coming.is_empty() && self.first.is_empty() {
            SLICE
        } else {
            SHORT_SLICE
        }
    }

    fn take(&mut self, order: Order, generator: &mut Generator<Client>) -> io::Result<()> {
        match order {
            Order::Seat(guests, reply) => {
                // Numbers are given in order, so a speaker's is known before he is there.
                let first = generator.next_number();
                let mut numbers = Vec::with_capacity(guests.len());
                for guest in guests {
                    let seat = Seat {
                        speaks: guest.speaks,
                        hears: guest.hears.map(|place| first + place as u32),
                    };
                    numbers.push(generator.add_over(guest.client, seat, guest.road)?);
                }
                let until = clock::now() + CONNECTED_LIMIT;
                self.coming.push(Coming { numbers, until, reply });
            }
            Order::Await(client, reply) => {
                let seat = Seat {
                    speaks: false,
                    hears: None,
                };
                self.first.push((generator.add(*client, seat)?, reply));
            }
            Order::Remove(numbers, reply) => {
                let gone = numbers.into_iter().filter_map(|number| generator.remove(number));
                forget(reply.send(gone.collect()));
            }
            Order::Deaf(reply) => forget(reply.send(generator.deaf())),
            Order::Hush(hush) => generator.hush(hush),
            Order::SpeakIn(frames) => generator.speak_in(frames),
            Order::Move(time) => generator.move_all(time),
            Order::Measure(time, mut watcher) => {
                generator.open(time)?;
                tell(&mut watcher.begun);
                self.measuring = Some(watcher);
            }
        }
        Ok(())
    }

    /// Tells whoever waits for something that has happened.
    fn tell(&mut self, generator: &mut Generator<Client>) -> io::Result<()> {
        let now = clock::now();
        let mut place = 0;
        while let Some(coming) = self.coming.get(place) {
            let standings = coming.numbers.iter().map(|number| generator.standing(*number));
            let Some(outcome) = arrived(standings, now >= coming.until) else {
                place += 1;
                continue;
            };
            let Coming { numbers, reply, .. } = self.coming.swap_remove(place);
            if outcome.is_err() {
                for number in &numbers {
                    generator.remove(*number);
                }
            }
            forget(reply.send(outcome.map(|()| numbers)));
        }
        for (number, at) in generator.first_heard() {
            if let Some(place) = self.first.iter().position(|(waits, _)| *waits == number) {
                forget(self.first.swap_remove(place).1.send(Ok((number, at))));
            }
        }
        let mut place = 0;
        while let Some((number, _)) = self.first.get(place) {
            let number = *number;
            if let Standing::Fallen(why) = generator.standing(number) {
                generator.remove(number);
                forget(self.first.swap_remove(place).1.send(Err(why)));
            } else {
                place += 1;
            }
        }
        if let Some(watcher) = self.measuring.as_mut().filter(|watcher| watcher.over.is_some()) {
            if generator.is_over() {
                tell(&mut watcher.over);
            }
        } else if let Some(window) = generator.closed()?
            && let Some(watcher) = self.measuring.take()
        {
            forget(watcher.window.send(window));
        }
        Ok(())
    }
}

fn tell(who: &mut Option<oneshot::Sender<()>>) {
    if let Some(who) = who.take() {
        forget(who.send(()));
    }
}

/// Whoever asked and is gone needs no answer.
fn forget<T>(_: Result<(), T>) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_watches_a_window_hears_of_its_end_before_the_last_packets_have_arrived() {
        let mut generator = Generator::new(Pace::steady(1)).unwrap();
        let mut waiting = Waiting::default();
        let ((begun, mut begins), (over, mut ends), (window, mut closes)) =
            (oneshot::channel(), oneshot::channel(), oneshot::channel());
        let watcher = Watcher {
            begun: Some(begun),
            over: Some(over),
            window,
        };
        waiting
            .take(Order::Measure(SLICE * 4, watcher), &mut generator)
            .unwrap();
        assert!(begins.try_recv().is_ok(), "it begins at once");
        let is_over = |ends: &mut oneshot::Receiver<()>| ends.try_recv().is_ok();
        while !is_over(&mut ends) {
            assert!(closes.try_recv().is_err(), "the window before its end");
            generator.go_on(SHORT_SLICE).unwrap();
            waiting.tell(&mut generator).unwrap();
        }
        assert!(closes.try_recv().is_err(), "the end comes by itself");
        let window = loop {
            if let Ok(window) = closes.try_recv() {
                break window;
            }
            generator.go_on(SLICE).unwrap();
            waiting.tell(&mut generator).unwrap();
        };
        assert_eq!(window.time, SLICE * 4);
    }

    #[test]
    fn legs_have_arrived_once_all_are_up_and_one_that_fell_ends_the_wait() {
        let judged = |legs: &[Standing], late| arrived(legs.iter().cloned(), late);
        let fell = || Standing::Fallen("no keys".to_owned());
        assert_eq!(judged(&[Standing::Up, Standing::Up], false), Some(Ok(())));
        assert_eq!(judged(&[Standing::Up, Standing::Coming], false), None);
        assert_eq!(
            judged(&[Standing::Coming, fell()], false),
            Some(Err("no keys".to_owned()))
        );
        assert!(judged(&[Standing::Up, Standing::Gone], false).is_some_and(|outcome| outcome.is_err()));
    }

    #[test]
    fn whoever_is_up_at_the_limit_is_not_late() {
        let up = [Standing::Up];
        assert_eq!(arrived(up.iter().cloned(), true), Some(Ok(())));
        assert!(arrived([Standing::Coming].into_iter(), true).is_some_and(|outcome| outcome.is_err()));
    }
}
