//! The generator's thread as everybody else sees it: orders in, figures out.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::client::Client;
use crate::generator::{Generator, Ledger, Seat, Window};
use crate::pace::{Frames, Pace};
use crate::road::Road;
use crate::{Fault, clock, system};

/// How long the generator runs between two looks at its orders.
const SLICE: Duration = Duration::from_millis(5);
/// Longest wait until everybody hears the other side.
const HEARD_LIMIT: Duration = Duration::from_secs(30);

/// What the thread is told.
enum Order {
    Add(Box<Client>, Seat, oneshot::Sender<u32>),
    Pair(Box<[(Client, Road); 2]>, oneshot::Sender<[u32; 2]>),
    /// A leg that waits for its first packet; who asked is told when it came.
    Await(Box<Client>, oneshot::Sender<(u32, Instant)>),
    Remove(Vec<u32>, oneshot::Sender<Vec<Ledger>>),
    SpeakIn(Frames),
    Move(Duration),
    Measure(Duration, oneshot::Sender<Window>),
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
                speak(&inbox, &told, pace)
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

    /// Gives a leg a socket; its number.
    pub(crate) async fn add(&self, client: Client, seat: Seat) -> io::Result<u32> {
        self.ask(|reply| Order::Add(Box::new(client), seat, reply)).await
    }

    /// Two legs that ought to hear each other; their numbers.
    pub(crate) async fn pair(&self, legs: [(Client, Road); 2]) -> io::Result<[u32; 2]> {
        self.ask(|reply| Order::Pair(Box::new(legs), reply)).await
    }

    /// A leg that says nothing: its number and the moment it heard its first packet.
    pub(crate) async fn first_packet(&self, client: Client) -> io::Result<(u32, Instant)> {
        self.ask(|reply| Order::Await(Box::new(client), reply)).await
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
        self.ask(|reply| Order::Measure(time, reply)).await
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

fn speak(inbox: &Receiver<Order>, heard: &AtomicUsize, pace: Pace) -> io::Result<()> {
    let mut generator = Generator::new(pace)?;
    let mut measuring: Option<oneshot::Sender<Window>> = None;
    let mut waiting: Vec<(u32, oneshot::Sender<(u32, Instant)>)> = Vec::new();
    loop {
        match inbox.try_recv() {
            Ok(Order::Add(client, seat, reply)) => forget(reply.send(generator.add(*client, seat)?)),
            Ok(Order::Pair(legs, reply)) => {
                let [(first, first_road), (second, second_road)] = *legs;
                // Numbers are given in order, so the second's is known before it is there.
                let seat = |hears| Seat {
                    speaks: true,
                    hears: Some(hears),
                };
                let number = generator.next_number();
                let numbers = [
                    generator.add_over(first, seat(number + 1), first_road)?,
                    generator.add_over(second, seat(number), second_road)?,
                ];
                forget(reply.send(numbers));
            }
            Ok(Order::Await(client, reply)) => {
                let seat = Seat {
                    speaks: false,
                    hears: None,
                };
                waiting.push((generator.add(*client, seat)?, reply));
            }
            Ok(Order::Remove(numbers, reply)) => {
                let gone = numbers.into_iter().filter_map(|number| generator.remove(number));
                forget(reply.send(gone.collect()));
            }
            Ok(Order::SpeakIn(frames)) => generator.speak_in(frames),
            Ok(Order::Move(time)) => generator.move_all(time),
            Ok(Order::Measure(time, reply)) => {
                generator.open(time)?;
                measuring = Some(reply);
            }
            Err(TryRecvError::Empty) => generator.go_on(if waiting.is_empty() { SLICE } else { SLICE / 5 })?,
            Err(TryRecvError::Disconnected) => return Ok(()),
        }
        for (number, at) in generator.first_heard() {
            if let Some(place) = waiting.iter().position(|(waits, _)| *waits == number) {
                forget(waiting.swap_remove(place).1.send((number, at)));
            }
        }
        if let Some(window) = generator.closed()?
            && let Some(reply) = measuring.take()
        {
            forget(reply.send(window));
        }
        heard.store(generator.heard(), Ordering::Relaxed);
    }
}

/// Whoever asked and is gone needs no answer.
fn forget<T>(_: Result<(), T>) {}
