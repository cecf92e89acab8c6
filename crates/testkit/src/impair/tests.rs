//! The model against its own terms: shares, runs, order, rate.

use super::*;

const PACKETS: usize = 200_000;
const FRAME_US: u64 = 20_000;

/// Share lost, and the mean length of a run of losses.
fn figures(map: &[bool]) -> (f64, f64) {
    let lost = map.iter().filter(|lost| **lost).count() as f64;
    let runs = map.windows(2).filter(|pair| !pair[0] && pair[1]).count() + usize::from(map[0]);
    (lost / map.len() as f64, lost / runs.max(1) as f64)
}

fn fates(link: &mut Link, packets: u64) -> Vec<Fate> {
    (0..packets).map(|n| link.next(n * FRAME_US, 100)).collect()
}

#[test]
fn random_loss_has_its_share_and_no_memory() {
    for share in [0.01, 0.05, 0.2] {
        let (lost, run) = figures(&Loss::random(share).map(7, 0, PACKETS));
        assert!((lost - share).abs() < 0.003, "{lost} instead of {share}");
        assert!((run - 1.0 / (1.0 - share)).abs() < 0.03, "runs of {run} at {share}");
    }
}

#[test]
fn bursts_have_their_share_and_their_mean_length() {
    for (share, mean) in [(0.1, 2.0), (0.05, 3.0), (0.02, 10.0)] {
        let (lost, run) = figures(&Loss::bursts(share, mean).map(11, 0, PACKETS));
        assert!((lost - share).abs() < share * 0.1, "{lost} instead of {share}");
        assert!((run - mean).abs() < mean * 0.1, "runs of {run} instead of {mean}");
    }
}

#[test]
fn nothing_and_everything_are_possible() {
    assert!(!Loss::NONE.map(1, 1, 1_000).contains(&true));
    assert!(!Loss::random(1.0).map(1, 1, 1_000).contains(&false));
    assert!(!Loss::bursts(0.0, 2.0).map(1, 1, 1_000).contains(&true));
}

#[test]
fn the_map_is_what_the_link_does_and_belongs_to_seed_and_flow() {
    let loss = Loss::bursts(0.1, 2.0);
    let terms = Terms {
        loss,
        delay_us: 30_000,
        jitter_us: 8_000,
        reorder: 0.1,
        duplicate: 0.1,
        ..Terms::default()
    };
    let lost: Vec<bool> = fates(&mut Link::new(5, 2, terms), 5_000)
        .iter()
        .map(|fate| *fate == Fate::Lost)
        .collect();
    assert_eq!(lost, loss.map(5, 2, 5_000), "delay and the rest change no loss");
    assert_ne!(lost, loss.map(5, 3, 5_000));
    assert_ne!(lost, loss.map(6, 2, 5_000));
}

#[test]
fn new_terms_begin_a_new_map() {
    let mut link = Link::new(1, 0, Terms::default());
    assert!(!fates(&mut link, 100).contains(&Fate::Lost));
    let loss = Loss::random(0.3);
    link.set(
        9,
        Terms {
            loss,
            ..Terms::default()
        },
    );
    let lost: Vec<bool> = fates(&mut link, 500).iter().map(|fate| *fate == Fate::Lost).collect();
    assert_eq!(lost, loss.map(9, 0, 500));
}

#[test]
fn delay_and_jitter_stay_in_their_bounds_and_use_them() {
    let terms = Terms {
        delay_us: 40_000,
        jitter_us: 8_000,
        ..Terms::default()
    };
    let mut link = Link::new(3, 0, terms);
    let waits: Vec<u64> = (0..5_000)
        .map(|n| match link.next(n * FRAME_US, 100) {
            Fate::Comes {
                at_us, again_us: None, ..
            } => at_us - n * FRAME_US,
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(waits.iter().all(|wait| (40_000..=48_000).contains(wait)));
    assert!(waits.iter().min().unwrap() < &40_100 && waits.iter().max().unwrap() > &47_900);
}

#[test]
fn reordered_packets_come_behind_later_ones_and_copies_come_too() {
    let terms = Terms {
        reorder: 0.05,
        duplicate: 0.02,
        ..Terms::default()
    };
    let fates = fates(&mut Link::new(4, 0, terms), 20_000);
    let times: Vec<u64> = fates
        .iter()
        .map(|fate| match fate {
            Fate::Comes { at_us, .. } => *at_us,
            Fate::Lost => panic!("nothing is lost here"),
        })
        .collect();
    let overtaken = times.windows(2).filter(|pair| pair[1] < pair[0]).count();
    assert!((800..=1_100).contains(&overtaken), "{overtaken} of 20,000 at 5 %");
    let twice = fates
        .iter()
        .filter(|fate| matches!(fate, Fate::Comes { again_us: Some(_), .. }))
        .count();
    assert!((320..=480).contains(&twice), "{twice} of 20,000 at 2 %");
}

#[test]
fn a_narrow_link_passes_its_rate_and_drops_what_waits_too_long() {
    let terms = Terms {
        bits_per_s: 20_000,
        ..Terms::default()
    };
    let mut link = Link::new(1, 0, terms);
    // 100 bytes each 20 ms are 40 kbit/s: half of it fits.
    let fates = fates(&mut link, 500);
    let times: Vec<u64> = fates
        .iter()
        .filter_map(|fate| match fate {
            Fate::Comes { at_us, .. } => Some(*at_us),
            Fate::Lost => None,
        })
        .collect();
    assert!((245..=265).contains(&times.len()), "{} of 500", times.len());
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 40_000));
}

#[test]
fn a_freeze_holds_everything_back_and_loses_nothing() {
    let mut link = Link::new(1, 0, Terms::default());
    link.freeze(1_000_000);
    for n in 0..100_u64 {
        let now = n * FRAME_US;
        let expected = now.max(1_000_000);
        assert_eq!(
            link.next(now, 100),
            Fate::Comes {
                at_us: expected,
                behind: false,
                again_us: None
            }
        );
    }
}
