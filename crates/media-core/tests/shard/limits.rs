//! Limits of a shard, each met: what is within it passes, the next one does not and is counted, and how often reports go.

use media_core::RoomId;
use media_core::command::Command;
use media_core::event::Cause;
use media_core::limits::{
    DTLS_AFTER_PER_S_MAX, DTLS_DATAGRAMS_MAX, EVENTS_MAX, JOBS_MAX, MS, REPORT_EARLY, REPORT_FAST, REPORT_SLOW, SECOND,
    SECONDS_MAX, UPLINK_BURST_BYTES_MAX, UPLINK_BYTES_PER_S_MAX,
};
use media_core::matrix::Part;
use media_core::shard::Job;
use testkit::bed::{Bed, Client, FRAME, ROOM};

use crate::Call;

#[test]
fn the_uplink_has_a_rate_of_bytes_and_the_packet_after_it_is_dropped() {
    /// Bytes of each datagram; far fewer of them than the limit of packets are enough.
    const BYTES: usize = 1_000;
    let mut call = Call::new();
    let overhead = call.customer.speak(b"").len();
    let drops = |call: &mut Call| {
        let packet = call.customer.speak(&vec![1; BYTES - overhead]);
        assert_eq!(packet.len(), BYTES);
        call.bed.datagram(call.customer.address, &packet);
        call.bed.shard.totals().drop_rate
    };
    for _ in 0..UPLINK_BURST_BYTES_MAX as usize / BYTES {
        assert_eq!(drops(&mut call), 0);
    }
    assert_eq!(drops(&mut call), 1);
    call.bed.now += BYTES as u64 * SECOND / u64::from(UPLINK_BYTES_PER_S_MAX);
    assert_eq!(drops(&mut call), 1, "so many bytes later there is room for one");
    assert_eq!(drops(&mut call), 2, "and for one only");
}

#[test]
fn after_the_handshake_ten_of_its_datagrams_a_second_are_looked_at() {
    let mut call = Call::new();
    let alert = |call: &mut Call| {
        call.bed.datagram(call.customer.address, &[21, 1]);
        let totals = call.bed.shard.totals();
        (totals.dtls_passed, totals.drop_dtls_limit)
    };
    let all = u64::from(DTLS_AFTER_PER_S_MAX);
    for n in 1..=all {
        assert_eq!(alert(&mut call), (n, 0));
    }
    assert_eq!(alert(&mut call), (all, 1));
    call.bed.now += SECOND / all;
    assert_eq!(alert(&mut call), (all + 1, 1));
    assert!(call.customer_is_heard());
}

#[test]
fn a_full_queue_of_events_drops_the_next_one_and_counts_it() {
    let mut bed = Bed::default();
    let mut number = 0;
    let mut come_and_go = |bed: &mut Bed| {
        number += 1;
        let client = Client::new(number, Part::Customer);
        bed.add(ROOM, &client).expect("the leg is new");
        let (leg, cause) = (client.leg, Cause::HangUp);
        let gone = bed.shard.command(bed.now, Command::RemoveLeg { leg, cause });
        gone.expect("the leg lives");
    };
    come_and_go(&mut bed);
    let each = bed.events().len();
    assert!(each > 0);
    let times = EVENTS_MAX / each + 2;
    for _ in 0..times {
        come_and_go(&mut bed);
    }
    assert_eq!(bed.shard.totals().drop_events, (times * each - EVENTS_MAX) as u64);
    assert_eq!(bed.events().len(), EVENTS_MAX);
    come_and_go(&mut bed);
    assert_eq!(bed.events().len(), each, "there is room again");
}

#[test]
fn a_full_queue_of_jobs_takes_only_what_ends_an_association() {
    let mut bed = Bed::default();
    // One that begins the association, and its datagrams.
    let each = 1 + DTLS_DATAGRAMS_MAX as usize;
    let clients = JOBS_MAX / each + 1;
    for number in 0..clients {
        let mut client = Client::new(number as u16, Part::Customer);
        bed.add(RoomId(number as u128 + 1), &client).expect("the leg is new");
        bed.check(&mut client);
        for _ in 0..DTLS_DATAGRAMS_MAX {
            bed.datagram(client.address, &[22, 1]);
        }
    }
    let dropped = (clients * each - JOBS_MAX) as u64;
    assert_eq!(bed.shard.totals().drop_jobs, dropped);
    let leg = Client::new(0, Part::Customer).leg;
    let cause = Cause::HangUp;
    let gone = bed.shard.command(bed.now, Command::RemoveLeg { leg, cause });
    gone.expect("the leg lives");
    assert_eq!(bed.shard.totals().drop_jobs, dropped);
    let jobs: Vec<Job> = std::iter::from_fn(|| bed.shard.poll_job()).collect();
    assert_eq!(jobs.len(), JOBS_MAX + 1);
    assert!(matches!(jobs.last(), Some(Job::Stop { .. })));
}

#[test]
fn a_full_queue_of_counter_rows_drops_the_next_one_and_counts_it() {
    const LEGS: usize = 64;
    let mut bed = Bed::default();
    let mut clients: Vec<Client> = (0..LEGS)
        .map(|number| {
            let mut client = Client::new(number as u16, Part::Customer);
            bed.add(RoomId(number as u128 + 1), &client).expect("the leg is new");
            bed.check(&mut client);
            bed.establish(&client).expect("the transport lives");
            client
        })
        .collect();
    let mut all: Vec<&mut Client> = clients.iter_mut().collect();
    let drops = |bed: &Bed| bed.shard.totals().drop_seconds;
    // A row for each direction of each leg.
    let seconds = (SECONDS_MAX / (2 * LEGS)) as u64;
    bed.advance_alive((seconds - 2) * SECOND, &mut all);
    assert_eq!(drops(&bed), 0);
    bed.advance_alive(5 * SECOND, &mut all);
    assert!(drops(&bed) > 0);
    let kept = std::iter::from_fn(|| bed.shard.poll_second()).count();
    assert_eq!(kept, SECONDS_MAX);
    let before = drops(&bed);
    bed.advance_alive(2 * SECOND, &mut all);
    assert_eq!(drops(&bed), before, "there is room again");
}

/// The customer talks for `time`, but for the packets that `lost` names; when reports came to him.
fn reports(call: &mut Call, time: u64, lost: impl Fn(u64) -> bool) -> Vec<u64> {
    let end = call.bed.now + time;
    let mut at = Vec::new();
    for n in 0.. {
        if call.bed.now >= end {
            break;
        }
        // A check every 2.5 s.
        if n % 125 == 0 {
            call.bed.check(&mut call.customer);
            call.bed.check(&mut call.agent);
        }
        let packet = call.customer.speak(b"speech");
        let mut sent = if lost(n) {
            Vec::new()
        } else {
            call.bed.datagram(call.customer.address, &packet)
        };
        sent.extend(call.bed.advance(FRAME));
        if !call.customer.open_reports(&sent).is_empty() {
            at.push(call.bed.now);
        }
    }
    at
}

/// True if each report came `gap` after the one before, as far as looks 20 ms apart can tell.
fn are_apart(at: &[u64], gap: u64) -> bool {
    at.len() > 2
        && at
            .windows(2)
            .all(|pair| (pair[1] - pair[0]).abs_diff(gap) <= FRAME + 10 * MS)
}

#[test]
fn reports_go_every_second_at_first_then_every_five_and_with_loss_every_second() {
    let mut call = Call::new();
    let begun = call.bed.now;
    let at = reports(&mut call, 40 * SECOND, |_| false);
    // The report at the border may be on either side of it; from the next one on the interval is the long one.
    let early: Vec<u64> = at
        .iter()
        .copied()
        .filter(|at| at - begun < REPORT_EARLY - FRAME)
        .collect();
    assert!(are_apart(&early, REPORT_FAST), "{at:?}");
    assert!(early.len() as u64 >= REPORT_EARLY / REPORT_FAST - 1, "{at:?}");
    let later: Vec<u64> = at
        .iter()
        .copied()
        .filter(|at| at - begun > REPORT_EARLY + FRAME)
        .collect();
    assert!(are_apart(&later, REPORT_SLOW), "{at:?}");

    // 2 %: one of each second's packets. What the first report of a phase says is about the phase before as well.
    let at = reports(&mut call, 20 * SECOND, |n| n % 50 == 7);
    assert!(are_apart(&at[2..], REPORT_FAST), "{at:?}");
    let at = reports(&mut call, 40 * SECOND, |_| false);
    assert!(are_apart(&at[2..], REPORT_SLOW), "{at:?}");
    // 0.8 %: 2/256 in every interval of five seconds, which is below the limit.
    let at = reports(&mut call, 40 * SECOND, |n| n % 125 == 7);
    assert!(are_apart(&at[2..], REPORT_SLOW), "{at:?}");
}
