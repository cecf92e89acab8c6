//! Legs without cryptography, over the loopback.

use std::collections::HashSet;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use super::*;
use crate::payload::{COMFORT_BYTES, label};

/// Longest wait of the other side for a datagram, so that it sees that it is to end.
const LOOK: Duration = Duration::from_millis(5);

/// Longest wait for what has to happen: far beyond the busiest machine.
const LIMIT: Duration = Duration::from_secs(30);

struct Plain {
    to: SocketAddr,
    /// Packets that all legs have said.
    spoken: Arc<AtomicU64>,
    fails: bool,
}

impl Leg for Plain {
    fn speak(&mut self, buffer: &mut [u8], payload: &[u8], _: u32) -> Option<usize> {
        self.spoken.fetch_add(1, Ordering::Relaxed);
        buffer[..payload.len()].copy_from_slice(payload);
        Some(payload.len())
    }

    fn hear(&mut self, _: Instant, datagram: &mut [u8]) -> io::Result<Option<(usize, usize)>> {
        Ok(Some((0, datagram.len())))
    }

    fn timers(&mut self, _: Instant) -> io::Result<Option<Vec<u8>>> {
        if self.fails {
            return Err(io::Error::other("no keys"));
        }
        Ok(None)
    }

    fn wake_at(&self) -> Option<Instant> {
        None
    }

    fn moved(&mut self, _: Instant) {}

    fn destination(&self) -> SocketAddr {
        self.to
    }

    fn is_up(&self) -> bool {
        true
    }
}

/// A sender, and what it sent.
type Seen = (SocketAddr, Vec<u8>);

/// Sends everything back to where it came from, so many times as it is told, and keeps it.
struct Mirror {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    /// What its legs have said.
    spoken: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Mirror {
    fn start() -> Mirror {
        Mirror::answering(|_| 1)
    }

    /// `copies`: how often a datagram is sent back.
    fn answering(mut copies: impl FnMut(&[u8]) -> usize + Send + 'static) -> Mirror {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(LOOK)).unwrap();
        let address = socket.local_addr().unwrap();
        let (seen, over) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<AtomicBool>::default());
        let (kept, ends) = (Arc::clone(&seen), Arc::clone(&over));
        let thread = thread::spawn(move || {
            let mut buffer = [0; DATAGRAM_BYTES];
            while !ends.load(Ordering::Relaxed) {
                let Ok((len, from)) = socket.recv_from(&mut buffer) else {
                    continue;
                };
                kept.lock().unwrap().push((from, buffer[..len].to_vec()));
                for _ in 0..copies(&buffer[..len]) {
                    socket.send_to(&buffer[..len], from).unwrap();
                }
            }
        });
        Mirror {
            address,
            seen,
            spoken: Arc::default(),
            over,
            thread: Some(thread),
        }
    }

    fn seen(&self) -> Vec<(SocketAddr, Vec<u8>)> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// A generator with legs that hear themselves; those that are named fail at once.
fn generator(mirror: &Mirror, legs: u32, fail: &[u32]) -> Generator<Plain> {
    let mut generator = Generator::new(Pace::steady(1)).unwrap();
    for number in 0..legs {
        let leg = Plain {
            to: mirror.address,
            spoken: Arc::clone(&mirror.spoken),
            fails: fail.contains(&number),
        };
        let seat = Seat {
            speaks: true,
            hears: Some(number),
        };
        assert_eq!(generator.add(leg, seat).unwrap(), number);
    }
    generator
}

/// Goes on until it is so.
fn until(generator: &mut Generator<Plain>, is_so: impl Fn(&Generator<Plain>) -> bool) {
    let end = clock::now() + LIMIT;
    while !is_so(generator) {
        assert!(clock::now() < end, "it never came so far");
        generator.go_on(FRAMES_20_MS.time).unwrap();
    }
}

#[test]
fn a_leg_that_fails_falls_alone_and_says_why() {
    let mirror = Mirror::start();
    let mut generator = generator(&mirror, 3, &[1]);
    until(&mut generator, |generator| generator.heard() == 2);
    assert_eq!(generator.standing(1), Standing::Fallen("no keys".to_owned()));
    assert_eq!(generator.standing(0), Standing::Up);
    assert_eq!(generator.standing(9), Standing::Gone);
    let speakers: Vec<u32> = mirror
        .seen()
        .iter()
        .map(|(_, packet)| label(packet).expect("speech").leg)
        .collect();
    assert!(speakers.contains(&0) && speakers.contains(&2) && !speakers.contains(&1));
    assert_eq!((generator.heard(), generator.deaf()), (2, vec![1]));
    generator.remove(1);
    assert_eq!((generator.standing(1), generator.deaf()), (Standing::Gone, Vec::new()));
}

#[test]
fn whoever_is_to_be_quiet_sends_a_sign_of_life_and_no_more() {
    let mirror = Mirror::start();
    let mut generator = generator(&mirror, 2, &[]);
    generator.hush(true);
    let begin = clock::now();
    until(&mut generator, |generator| generator.heard() == 2);
    generator.go_on(FRAMES_20_MS.time * 5).unwrap();
    let signs = mirror.seen();
    let turns = clock::now().duration_since(begin).as_millis() / 400 + 1;
    assert!(
        (2..=2 * turns).contains(&(signs.len() as u128)),
        "one each in 400 ms: {}",
        signs.len()
    );
    assert!(signs.iter().all(|(_, packet)| packet.len() == COMFORT_BYTES));
}

#[test]
fn each_leg_has_an_address_and_a_new_one_after_a_move() {
    let mirror = Mirror::start();
    let mut generator = generator(&mirror, 2, &[]);
    let addresses = || -> HashSet<SocketAddr> { mirror.seen().into_iter().map(|(from, _)| from).collect() };
    until(&mut generator, |_| addresses().len() == 2);
    generator.move_all(Duration::ZERO);
    until(&mut generator, |_| addresses().len() == 4);
    generator.go_on(FRAMES_20_MS.time * 2).unwrap();
    assert_eq!(addresses().len(), 4);
}

#[test]
fn a_window_counts_every_packet_once_with_the_kernels_stamp() {
    let mirror = Mirror::start();
    let mut generator = generator(&mirror, 4, &[]);
    generator.go_on(SETTLED + FRAMES_20_MS.time).unwrap();
    let window = generator.measure(FRAMES_20_MS.time * 10).unwrap();
    // Ten frames of four legs, and perhaps one more at the edge; fewer where the thread did not get a core.
    assert!((1..=44).contains(&window.sent), "{}", window.sent);
    assert_eq!((window.expected, window.delivered), (window.sent, window.sent));
    assert_eq!(window.unread_us.len(), window.delivered);
    assert_eq!(window.late_us.len(), window.sent);
    assert_eq!(
        (window.duplicates, window.effort.dropped, window.effort.refused),
        (0, 0, 0)
    );
    assert!(window.effort.turns > 0 && window.effort.on_core > Duration::ZERO);
}

/// Where a packet of the leg that is looked at stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Before,
    /// In the window, the so manieth.
    Within(u32),
    Behind,
}

/// Numbers the packets of leg 1 as they come.
#[derive(Default)]
struct Places(u32);

impl Places {
    fn of(&mut self, packet: &[u8]) -> Option<Place> {
        let label = label(packet).filter(|label| label.leg == 1)?;
        Some(match (label.span, self.0) {
            (0, 0) => Place::Before,
            (0, _) => Place::Behind,
            (_, nth) => {
                self.0 += 1;
                Place::Within(nth)
            }
        })
    }
}

/// Two legs, of which one does not hear itself where `lost` says so: the longest gap of the window and the longest run of
/// packets lost in it, us.
fn gap_and_run(lost: impl Fn(Place) -> bool + Copy + Send + 'static) -> (u64, u64) {
    let mut places = Places::default();
    let mirror = Mirror::answering(move |packet| usize::from(!places.of(packet).is_some_and(lost)));
    let mut generator = generator(&mirror, 2, &[]);
    generator.go_on(SETTLED + FRAMES_20_MS.time * 2).unwrap();
    let window = generator.measure(FRAMES_20_MS.time * 30).unwrap();
    let (mut places, mut run, mut longest) = (Places::default(), 0, 0);
    for (_, packet) in mirror.seen() {
        if let Some(place @ Place::Within(_)) = places.of(&packet) {
            run = if lost(place) { run + 1 } else { 0 };
            longest = longest.max(run);
        }
    }
    (window.gap_us.max(), longest * FRAMES_20_MS.time.as_micros() as u64)
}

#[test]
fn who_hears_nothing_until_the_end_of_the_window_or_from_its_begin_on_has_a_gap() {
    type Lost = fn(Place) -> bool;
    let cases: [(&str, Lost); 5] = [
        ("silence until the window ends", |place| {
            matches!(place, Place::Within(10..))
        }),
        ("silence for good", |place| {
            matches!(place, Place::Within(10..) | Place::Behind)
        }),
        ("never a packet", |_| true),
        ("the first of all within the window", |place| {
            matches!(place, Place::Before | Place::Within(..10))
        }),
        ("silence from its begin on", |place| {
            matches!(place, Place::Within(..10))
        }),
    ];
    for (what, lost) in cases {
        let (gap, run) = gap_and_run(lost);
        // Three digits are what a histogram keeps.
        assert!(run > 0 && gap * 1_001 >= run * 1_000, "{what}: {gap} of {run} us");
    }
}

#[test]
fn what_is_looked_at_beside_a_window_ends_with_it_and_not_with_the_last_arrival() {
    let mirror = Mirror::start();
    let mut generator = generator(&mirror, 4, &[]);
    generator.go_on(SETTLED + FRAMES_20_MS.time).unwrap();
    let look = || Ok(mirror.spoken.load(Ordering::Relaxed));
    let (window, [before, after]) = generator.measure_beside(FRAMES_20_MS.time * 10, look).unwrap();
    // A turn of the generator may pass its end, and in it each leg speaks once at most.
    assert!(
        (window.sent..=window.sent + 4).contains(&(after - before)),
        "{before} {after} {}",
        window.sent
    );
    assert!(mirror.spoken.load(Ordering::Relaxed) > after + 4, "they spoke on");
    assert_eq!(window.time, FRAMES_20_MS.time * 10);
}

#[test]
fn a_packet_that_comes_twice_makes_up_for_none_that_is_lost() {
    // Of every four packets one is lost, and another one comes twice: as many come as were sent.
    let mirror = Mirror::answering(|packet| match label(packet) {
        Some(label) if label.number % 4 == 1 => 0,
        Some(label) if label.number % 4 == 3 => 2,
        _ => 1,
    });
    let mut generator = generator(&mirror, 2, &[]);
    generator.go_on(SETTLED + FRAMES_20_MS.time).unwrap();
    let window = generator.measure(FRAMES_20_MS.time * 20).unwrap();
    let sent = mirror.seen();
    let labels = sent.iter().filter_map(|(_, packet)| label(packet));
    let counted: Vec<u32> = labels
        .filter(|label| label.span > 0)
        .map(|label| label.number)
        .collect();
    let of = |kind: u32| counted.iter().filter(|number| **number % 4 == kind).count() as u64;
    assert_eq!(window.expected, counted.len() as u64);
    assert_eq!((window.delivered, window.duplicates), (window.expected - of(1), of(3)));
    assert!(of(1) > 0 && of(3) > 0, "{counted:?}");
    assert_eq!(
        window.latency_us.len(),
        window.delivered,
        "a copy has no time of its own"
    );
}
