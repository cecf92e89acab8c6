//! Who hears what, with which numbers, and what is tapped.

use media_core::event::Kind;
use media_core::matrix::{Part, Stance, Tap};
use media_core::srtp::Profile;
use media_core::tap::Flags;
use testkit::bed::{Bed, Client, FRAME};

use crate::{Call, kinds, red};

#[test]
fn two_legs_with_different_numbers_hear_each_other_under_every_profile() {
    let profiles = [Profile::AeadAes128Gcm, Profile::AeadAes256Gcm, Profile::AesCm128Sha1];
    for (first, second) in profiles.iter().zip(profiles.iter().cycle().skip(1)) {
        let mut customer = Client::with_profile(1, Part::Customer, *first);
        let mut agent = Client::with_profile(2, Part::Agent, *second);
        let mut bed = Bed::default();
        bed.bring_up(&mut customer);
        bed.bring_up(&mut agent);
        bed.plan(&[(customer.leg, Stance::Talk), (agent.leg, Stance::Talk)], Tap::Off);
        customer.loudness = (17, true);
        for turn in 0..50u8 {
            let heard = bed.say(&mut customer, &[turn; 80], &mut agent);
            let [packet] = &heard[..] else {
                panic!("one packet, not {}", heard.len())
            };
            assert_eq!(packet.payload, [turn; 80]);
            assert_eq!(packet.header.payload_type, agent.numbers.opus);
            assert_eq!(packet.header.ssrc, agent.slot_ssrc(0));
            assert_eq!(
                packet.header.marker,
                turn == 0,
                "the first packet of a source carries the marker"
            );
            assert_eq!(packet.level, Some(127 - 17), "the level stands under the listener's id");
            assert_eq!(packet.header.sequence, 0x7FF0 + u16::from(turn));
            bed.now += FRAME;
            assert_eq!(bed.say(&mut agent, &[turn], &mut customer).len(), 1);
        }
        let totals = bed.shard.totals();
        assert_eq!((totals.rtp_opened, totals.rtp_forwarded), (100, 100));
    }
}

#[test]
fn the_room_is_live_once_and_the_tap_begins_with_the_agents_first_packet() {
    let mut call = Call::new();
    for _ in 0..5 {
        assert!(call.customer_is_heard());
        call.bed.now += FRAME;
    }
    assert!(
        call.bed.tape.records.is_empty(),
        "nothing is tapped before the room is live"
    );
    let customer = call.customer.leg;
    assert_eq!(kinds(&call.bed.events()), [Kind::FirstRtp { leg: customer }]);

    call.agent.loudness = (40, false);
    let index = call.agent.index;
    call.bed.say(&mut call.agent, b"first", &mut call.customer);
    let agent = call.agent.leg;
    assert_eq!(
        kinds(&call.bed.events()),
        [Kind::FirstRtp { leg: agent }, Kind::RoomLive]
    );
    let [record] = &call.bed.tape.records[..] else {
        panic!("the packet that made the room live is tapped")
    };
    assert_eq!(
        (record.leg, record.ext_seq, record.level),
        (call.agent.tap, index as u32, 127 - 40)
    );
    assert_eq!((record.arrival_ns, record.flags), (call.bed.now, Flags::default()));
    assert!(record.packet.ends_with(b"first") && record.packet[1] == call.agent.numbers.opus);

    assert!(call.customer_is_heard());
    assert_eq!(call.bed.tape.records.len(), 2);
    assert!(call.bed.tape.records[1].flags.contains(Flags::VOICE));
    call.bed
        .advance_alive(2_000_000_000, &mut [&mut call.customer, &mut call.agent]);
    call.bed.say(&mut call.agent, b"again", &mut call.customer);
    assert!(!kinds(&call.bed.events()).contains(&Kind::RoomLive));
}

#[test]
fn a_paused_tap_takes_nothing_and_the_plan_says_where_it_was_cut() {
    let mut call = Call::new();
    call.bed.say(&mut call.agent, b"a", &mut call.customer);
    let stances = [(call.customer.leg, Stance::Talk), (call.agent.leg, Stance::Talk)];
    let last = call.agent.index - 1;
    call.bed.events();
    call.bed.plan(&stances, Tap::Paused);
    assert_eq!(
        kinds(&call.bed.events()),
        [Kind::PlanApplied {
            epoch: 2,
            boundaries: vec![(call.agent.leg, last)]
        }]
    );
    assert!(call.customer_is_heard(), "a pause is nothing to those who talk");
    assert_eq!(call.bed.tape.records.len(), 1);
    call.talk();
    assert!(call.customer_is_heard());
    assert_eq!(call.bed.tape.records.len(), 2);
}

#[test]
fn nobody_hears_anybody_without_a_plan_that_says_so() {
    let (mut customer, mut agent) = (Client::new(1, Part::Customer), Client::new(2, Part::Agent));
    let mut bed = Bed::default();
    bed.bring_up(&mut customer);
    bed.bring_up(&mut agent);
    assert!(bed.say(&mut customer, b"x", &mut agent).is_empty());
    bed.plan(&[(agent.leg, Stance::Talk)], Tap::On);
    assert!(
        bed.say(&mut customer, b"x", &mut agent).is_empty(),
        "a leg that is not named waits"
    );
    bed.plan(&[(customer.leg, Stance::Waiting), (agent.leg, Stance::Talk)], Tap::On);
    assert!(bed.say(&mut customer, b"x", &mut agent).is_empty());
    assert!(bed.say(&mut agent, b"x", &mut customer).is_empty());
    assert_eq!(bed.shard.totals().rtp_unheard, 4);
    assert!(
        bed.tape.records.is_empty(),
        "what nobody may hear is not recorded either"
    );
    bed.plan(&[(customer.leg, Stance::Muted), (agent.leg, Stance::Talk)], Tap::On);
    assert!(
        bed.say(&mut customer, b"x", &mut agent).is_empty(),
        "muted is not heard"
    );
    assert_eq!(bed.say(&mut agent, b"x", &mut customer).len(), 1, "and hears");
}

#[test]
fn a_leg_that_may_only_listen_is_heard_and_recorded_nowhere() {
    let mut call = Call::new();
    call.bed.say(&mut call.agent, b"a", &mut call.customer);
    let mut supervisor = Client::new(3, Part::Supervisor);
    supervisor.uplink = false;
    call.bed.bring_up(&mut supervisor);
    let legs = [call.customer.leg, call.agent.leg, supervisor.leg];
    let stances = [Stance::Talk, Stance::Talk, Stance::Listen];
    let stances: Vec<_> = legs.into_iter().zip(stances).collect();
    call.bed.plan(&stances, Tap::On);
    let before = (call.bed.shard.totals().rtp_opened, call.bed.tape.records.len());
    for _ in 0..10 {
        let packet = supervisor.speak(b"spy");
        assert!(call.bed.datagram(supervisor.address, &packet).is_empty());
    }
    let totals = call.bed.shard.totals();
    assert_eq!((totals.uplink_denied, totals.rtp_opened), (10, before.0));
    assert_eq!(call.bed.tape.records.len(), before.1);
    let packet = call.customer.speak(b"to both");
    let sent = call.bed.datagram(call.customer.address, &packet);
    assert_eq!(
        (call.agent.open_all(&sent).len(), supervisor.open_all(&sent).len()),
        (1, 1)
    );
}

#[test]
fn eight_legs_hear_seven_others_as_far_as_their_slots_go() {
    let mut clients: Vec<Client> = (0..8).map(|n| Client::new(n, Part::Partner)).collect();
    clients[7].slots = 1;
    let mut bed = Bed::default();
    for client in &mut clients {
        bed.bring_up(client);
    }
    let stances: Vec<_> = clients.iter().map(|client| (client.leg, Stance::Talk)).collect();
    bed.plan(&stances, Tap::Off);
    let mut heard = [0usize; 8];
    for speaker in 0..8 {
        let packet = clients[speaker].speak(&[speaker as u8]);
        let sent = bed.datagram(clients[speaker].address, &packet);
        for (place, client) in clients.iter_mut().enumerate() {
            heard[place] += client.open_all(&sent).len();
        }
    }
    assert_eq!(heard, [3, 3, 3, 3, 3, 3, 3, 1], "three slots each, and one");
    let totals = bed.shard.totals();
    assert_eq!(totals.rtp_forwarded + totals.drop_no_slot, 8 * 7);
}

#[test]
fn forty_thousand_packets_of_talk_arrive_in_one_unbroken_sequence() {
    let mut call = Call::new();
    let mut expected = None;
    for turn in 0..40_000u32 {
        let heard = call.bed.say(&mut call.customer, &turn.to_be_bytes(), &mut call.agent);
        let header = heard[0].header;
        assert_eq!(heard.len(), 1);
        let (sequence, timestamp) = expected.unwrap_or((header.sequence, header.timestamp));
        assert_eq!(
            (header.sequence, header.timestamp),
            (sequence, timestamp),
            "packet {turn}"
        );
        assert_eq!(header.marker, turn == 0);
        expected = Some((sequence.wrapping_add(1), timestamp.wrapping_add(960)));
        if turn % 100 == 0 {
            call.bed.check(&mut call.customer);
            call.bed.check(&mut call.agent);
        }
        call.bed.advance(FRAME);
    }
    assert_eq!(call.bed.shard.totals().rtp_forwarded, 40_000);
}

#[test]
fn a_hold_of_forty_thousand_packets_leaves_no_gap() {
    let mut call = Call::new();
    let before = call.bed.say(&mut call.customer, b"before", &mut call.agent)[0].header;
    call.bed.plan(&[(call.agent.leg, Stance::Talk)], Tap::On);
    for turn in 0..40_000u32 {
        call.bed.now += FRAME;
        assert!(call.bed.say(&mut call.customer, b"hold", &mut call.agent).is_empty());
        if turn % 100 == 0 {
            call.bed.check(&mut call.customer);
            call.bed.check(&mut call.agent);
        }
    }
    call.talk();
    let after = call.bed.say(&mut call.customer, b"after", &mut call.agent)[0].header;
    assert_eq!(after.sequence, before.sequence.wrapping_add(1));
    assert_eq!(
        after.timestamp,
        before.timestamp.wrapping_add(40_000 * 960),
        "time went on by the wall"
    );
    assert!(after.marker);
}

#[test]
fn loss_stays_a_gap_and_a_late_packet_fills_it() {
    let mut call = Call::new();
    assert!(call.customer_is_heard());
    let late = call.customer.speak(b"late");
    let newer = call.customer.speak(b"newer");
    let sent = call.bed.datagram(call.customer.address, &newer);
    let newer = call.agent.open_all(&sent)[0].header;
    let sent = call.bed.datagram(call.customer.address, &late);
    let late = call.agent.open_all(&sent)[0].header;
    assert_eq!(late.sequence.wrapping_add(1), newer.sequence);
    assert!(call.customer_is_heard());
}

fn say_red(call: &mut Call, inner: u8) -> Vec<testkit::bed::Heard> {
    let outer = call.customer.numbers.red.expect("the customer offers RED");
    let packet = call.customer.packet(outer, &red(inner, &[(0, b"old")], b"new!"));
    call.customer.index += 1;
    call.customer.timestamp = call.customer.timestamp.wrapping_add(960);
    let sent = call.bed.datagram(call.customer.address, &packet);
    call.agent.open_all(&sent)
}

#[test]
fn redundant_audio_is_renamed_for_who_takes_it_and_cut_for_who_does_not() {
    let mut call = Call::new();
    let opus = call.customer.numbers.opus;
    let heard = say_red(&mut call, opus);
    assert_eq!(heard[0].header.payload_type, call.agent.numbers.red.unwrap());
    assert_eq!(heard[0].payload, red(call.agent.numbers.opus, &[(0, b"old")], b"new!"));

    let (mut customer, mut agent) = (Client::new(1, Part::Customer), Client::new(2, Part::Agent));
    agent.numbers.red = None;
    let mut bed = Bed::default();
    bed.bring_up(&mut customer);
    bed.bring_up(&mut agent);
    let mut call = Call { bed, customer, agent };
    call.talk();
    let heard = say_red(&mut call, opus);
    assert_eq!(heard[0].header.payload_type, call.agent.numbers.opus);
    assert_eq!(heard[0].payload, b"new!");
    assert!(
        say_red(&mut call, 0).is_empty(),
        "redundancy around anything but Opus is dropped"
    );
    assert_eq!(call.bed.shard.totals().drop_inside, 1);
}

#[test]
fn telephone_events_go_to_who_takes_them_and_never_to_the_tap() {
    let mut call = Call::new();
    call.bed.say(&mut call.agent, b"a", &mut call.customer);
    let taped = call.bed.tape.records.len();
    let event = |call: &mut Call| {
        let packet = call
            .customer
            .packet(call.customer.numbers.dtmf.unwrap(), &[5, 0x80, 0, 160]);
        call.customer.index += 1;
        let sent = call.bed.datagram(call.customer.address, &packet);
        call.agent.open_all(&sent)
    };
    let heard = event(&mut call);
    assert_eq!(heard[0].header.payload_type, call.agent.numbers.dtmf.unwrap());
    assert_eq!(call.bed.tape.records.len(), taped);

    let (mut customer, mut agent) = (Client::new(1, Part::Customer), Client::new(2, Part::Agent));
    agent.numbers.dtmf = None;
    let mut bed = Bed::default();
    bed.bring_up(&mut customer);
    bed.bring_up(&mut agent);
    let mut call = Call { bed, customer, agent };
    call.talk();
    assert!(event(&mut call).is_empty());
    assert_eq!(call.bed.shard.totals().drop_dtmf, 1);
}

#[test]
fn a_pressed_key_is_told_once_also_when_nobody_may_hear_it() {
    let mut call = Call::new();
    assert!(call.customer_is_heard());
    call.bed.events();
    let customer = call.customer.leg;
    let press = |call: &mut Call, digit: u8| {
        call.customer.timestamp = call.customer.timestamp.wrapping_add(10_000);
        for (end, duration) in [(0, 960u16), (0, 1_920), (0x80, 2_880), (0x80, 2_880), (0x80, 2_880)] {
            let [high, low] = duration.to_be_bytes();
            let kind = call.customer.numbers.dtmf.unwrap();
            let packet = call.customer.packet(kind, &[digit, end, high, low]);
            call.customer.index += 1;
            call.bed.datagram(call.customer.address, &packet);
        }
        kinds(&call.bed.events())
    };
    let told = [Kind::Dtmf { leg: customer }];
    assert_eq!(press(&mut call, 5), told);
    assert_eq!(press(&mut call, 5), told, "the same key once more");
    let (customer_leg, agent_leg) = (call.customer.leg, call.agent.leg);
    call.bed
        .plan(&[(customer_leg, Stance::Held), (agent_leg, Stance::Talk)], Tap::On);
    call.bed.events();
    let taped = call.bed.tape.records.len();
    assert_eq!(press(&mut call, 11), told, "on hold");
    assert_eq!(press(&mut call, 16), [], "a hook flash is no key");
    assert_eq!(call.bed.tape.records.len(), taped);
}
