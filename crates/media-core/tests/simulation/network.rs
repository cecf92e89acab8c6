//! The virtual network: one direction of one client's way, which delays, loses, reorders, doubles and freezes.
//!
//! It sees no byte of what it carries and has no clock: each datagram is given the times at which it arrives.

use media_core::limits::MS;

use crate::chance::Chance;

/// Loss in runs (Gilbert–Elliott): chances in 1,000 per datagram.
#[derive(Clone, Copy, Debug)]
struct Bursts {
    begin: u64,
    end: u64,
    lost_inside: u64,
    inside: bool,
}

/// What the network did to all datagrams together.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Done {
    pub(crate) carried: u64,
    pub(crate) lost: u64,
    pub(crate) late: u64,
    pub(crate) doubled: u64,
    pub(crate) frozen: u64,
}

/// One direction. Chances are in 1,000 per datagram, times in nanoseconds.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    delay: u64,
    jitter: u64,
    loss: u64,
    bursts: Option<Bursts>,
    /// Overtaken by those behind it.
    late: u64,
    twice: u64,
    /// Until then nothing comes through; what was sent meanwhile comes at once afterwards.
    frozen_until: u64,
}

impl Line {
    /// A cable: 5 ms, nothing lost.
    pub(crate) fn calm() -> Line {
        Line {
            delay: 5 * MS,
            jitter: 0,
            loss: 0,
            bursts: None,
            late: 0,
            twice: 0,
            frozen_until: 0,
        }
    }

    /// A line as callers have them, from a cable to a train.
    pub(crate) fn any(chance: &mut Chance) -> Line {
        let calm = Line::calm();
        match chance.below(4) {
            0 => calm,
            1 => Line {
                delay: chance.between(10, 40) * MS,
                jitter: 8 * MS,
                loss: 10,
                late: 10,
                twice: 5,
                ..calm
            },
            2 => Line {
                delay: chance.between(30, 120) * MS,
                jitter: 25 * MS,
                loss: chance.between(10, 80),
                late: 40,
                twice: 20,
                ..calm
            },
            _ => Line {
                delay: chance.between(40, 90) * MS,
                jitter: 30 * MS,
                bursts: Some(Bursts {
                    begin: 15,
                    end: 300,
                    lost_inside: 800,
                    inside: false,
                }),
                late: 20,
                twice: 10,
                ..calm
            },
        }
    }

    pub(crate) fn freeze_until(&mut self, until: u64) {
        self.frozen_until = self.frozen_until.max(until);
    }

    /// When a datagram sent at `now` arrives: never, once or twice.
    pub(crate) fn carry(&mut self, now: u64, chance: &mut Chance, done: &mut Done) -> [Option<u64>; 2] {
        if self.loses(chance) {
            done.lost += 1;
            return [None, None];
        }
        let mut at = now + self.delay + chance.below(self.jitter + 1);
        if chance.permille(self.late) {
            done.late += 1;
            at += chance.between(20, 150) * MS;
        }
        if now < self.frozen_until {
            done.frozen += 1;
            at = at.max(self.frozen_until);
        }
        done.carried += 1;
        let again = chance.permille(self.twice).then(|| at + chance.between(0, 30) * MS);
        done.doubled += u64::from(again.is_some());
        [Some(at), again]
    }

    fn loses(&mut self, chance: &mut Chance) -> bool {
        let in_run = self.bursts.as_mut().is_some_and(|bursts| {
            let turns = chance.permille(if bursts.inside { bursts.end } else { bursts.begin });
            bursts.inside ^= turns;
            bursts.inside && chance.permille(bursts.lost_inside)
        });
        in_run || chance.permille(self.loss)
    }
}

#[test]
fn a_line_does_what_it_is_told_about_as_often_as_it_is_told() {
    let (mut chance, mut done) = (Chance::new(1), Done::default());
    let mut line = Line {
        loss: 100,
        late: 50,
        twice: 20,
        ..Line::calm()
    };
    for number in 0..100_000 {
        line.carry(number * MS, &mut chance, &mut done);
    }
    assert_eq!(done.lost + done.carried, 100_000);
    for (what, count, expected) in [
        ("lost", done.lost, 10_000),
        ("late", done.late, 4_500),
        ("doubled", done.doubled, 1_800),
    ] {
        assert!(count.abs_diff(expected) < expected / 10, "{what}: {count}");
    }
    let mut bursts = Line {
        bursts: Some(Bursts {
            begin: 20,
            end: 200,
            lost_inside: 1_000,
            inside: false,
        }),
        ..Line::calm()
    };
    let lost: Vec<bool> = (0..100_000).map(|_| bursts.loses(&mut chance)).collect();
    let share = lost.iter().filter(|lost| **lost).count();
    let runs = lost.windows(2).filter(|pair| !pair[0] && pair[1]).count();
    // One in eleven, in runs of five.
    assert!(share.abs_diff(9_090) < 1_500, "{share}");
    assert!((4..=6).contains(&(share / runs)), "{share} in {runs} runs");
    let mut frozen = Line::calm();
    frozen.freeze_until(500 * MS);
    assert_eq!(frozen.carry(0, &mut chance, &mut done), [Some(500 * MS), None]);
    assert_eq!(frozen.carry(500 * MS, &mut chance, &mut done), [Some(505 * MS), None]);
}
