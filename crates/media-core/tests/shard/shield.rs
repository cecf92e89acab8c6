//! The shield over pressed keys: telephone events reach nobody, everything else does, and nothing shows that they were.

use media_core::event::Kind;
use media_core::matrix::{Part, Shield, Stance, Tap};
use testkit::bed::{Client, FRAME, Heard};

use crate::{Call, kinds};

/// Packets of one press: three while the key is down, and its end three times (RFC 4733 §2.5.1.4).
const PRESS: [(u8, u16); 6] = [
    (0, 960),
    (0, 1_920),
    (0, 2_880),
    (0x80, 3_840),
    (0x80, 3_840),
    (0x80, 3_840),
];

/// A call in which a supervisor listens too.
struct Scene {
    call: Call,
    supervisor: Client,
}

impl Scene {
    fn new() -> Scene {
        Scene::with(|_| ())
    }

    /// With an agent of another kind. The room is live: it is tapped.
    fn with(change: impl FnOnce(&mut Client)) -> Scene {
        let mut call = Call::of(|_, agent| change(agent));
        let mut supervisor = Client::new(3, Part::Supervisor);
        supervisor.uplink = false;
        call.bed.bring_up(&mut supervisor);
        let mut scene = Scene { call, supervisor };
        scene.shield(Shield::Off);
        scene
    }

    fn shield(&mut self, shield: Shield) {
        let legs = [self.call.customer.leg, self.call.agent.leg, self.supervisor.leg];
        let stances: Vec<_> = legs
            .into_iter()
            .zip([Stance::Talk, Stance::Talk, Stance::Listen])
            .collect();
        self.call.bed.shield = shield;
        self.call.bed.plan(&stances, Tap::On);
        self.call.bed.events();
    }

    /// One packet of the customer: what agent and supervisor get of it.
    fn sends(&mut self, kind: u8, payload: &[u8]) -> [Vec<Heard>; 2] {
        let packet = self.call.customer.packet(kind, payload);
        self.call.customer.index += 1;
        let sent = self.call.bed.datagram(self.call.customer.address, &packet);
        [self.call.agent.open_all(&sent), self.supervisor.open_all(&sent)]
    }

    /// The customer presses a key, in wall time.
    fn presses(&mut self, digit: u8) -> [Vec<Heard>; 2] {
        let kind = self
            .call
            .customer
            .numbers
            .dtmf
            .expect("the customer has telephone events");
        let began = self.call.customer.timestamp;
        let mut heard = [Vec::new(), Vec::new()];
        for (end, duration) in PRESS {
            let [high, low] = duration.to_be_bytes();
            for (all, new) in heard.iter_mut().zip(self.sends(kind, &[digit, end, high, low])) {
                all.extend(new);
            }
            self.call.bed.now += FRAME;
        }
        self.call.customer.timestamp = began.wrapping_add(960 * PRESS.len() as u32);
        heard
    }

    /// The customer says one frame: it reaches both as it is.
    fn says(&mut self, word: &[u8]) -> [Heard; 2] {
        let opus = self.call.customer.numbers.opus;
        let heard = self.sends(opus, word);
        self.call.customer.timestamp = self.call.customer.timestamp.wrapping_add(960);
        self.call.bed.now += FRAME;
        heard.map(|mut heard| {
            let one = heard.pop().expect("sound is heard");
            assert!(heard.is_empty() && one.payload == word);
            one
        })
    }
}

#[test]
fn with_the_shield_keys_reach_nobody_while_sound_does_and_leave_no_gap() {
    let mut scene = Scene::new();
    let heard = scene.presses(7).map(|heard| heard.len());
    assert_eq!(
        heard,
        [PRESS.len(), PRESS.len()],
        "without it they go where the voice goes"
    );
    let before = scene.says(b"before");
    scene.shield(Shield::On);
    let taped = scene.call.bed.tape.records.len();
    for digit in [4, 5, 6, 11] {
        assert_eq!(
            scene.presses(digit).map(|heard| heard.len()),
            [0, 0],
            "{digit} is heard"
        );
    }
    let withheld = 4 * PRESS.len() as u32;
    assert_eq!(scene.call.bed.shard.totals().drop_shielded, u64::from(withheld));
    assert_eq!(scene.call.bed.tape.records.len(), taped, "and nothing is tapped");
    let told = kinds(&scene.call.bed.events());
    let press = Kind::Dtmf {
        leg: scene.call.customer.leg,
    };
    assert_eq!(told, vec![press; 4], "that keys were pressed is told, and never which");

    let after = scene.says(b"after");
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(
            after.header.sequence,
            before.header.sequence.wrapping_add(1),
            "no gap tells of them"
        );
        let elapsed = after.header.timestamp.wrapping_sub(before.header.timestamp);
        assert_eq!(elapsed, 960 * (withheld + 1), "and time went on");
    }
    assert_eq!(scene.call.bed.tape.records.len(), taped + 1, "sound is tapped as ever");

    scene.shield(Shield::Off);
    let [of_agent, of_supervisor] = scene.presses(9);
    for (heard, last) in [(&of_agent, &after[0]), (&of_supervisor, &after[1])] {
        assert_eq!(heard.len(), PRESS.len());
        assert_eq!(heard[0].header.sequence, last.header.sequence.wrapping_add(1));
    }
}

#[test]
fn the_shield_is_over_everybodys_keys_and_over_nobodys_voice() {
    let mut scene = Scene::new();
    scene.shield(Shield::On);
    let call = &mut scene.call;
    let packet = call.agent.packet(call.agent.numbers.dtmf.unwrap(), &[1, 0, 3, 192]);
    call.agent.index += 1;
    let sent = call.bed.datagram(call.agent.address, &packet);
    assert!(call.customer.open_all(&sent).is_empty() && scene.supervisor.open_all(&sent).is_empty());
    assert_eq!(call.bed.say(&mut call.agent, b"spoken", &mut call.customer).len(), 1);
    scene.says(b"and back");
}

#[test]
fn what_was_sent_before_the_shield_is_not_sent_again_behind_it() {
    let mut scene = Scene::with(|agent| agent.nack = true);
    let [spoken, _] = scene.says(b"word");
    let [keys, _] = scene.presses(3);
    scene.shield(Shield::On);
    let mut ask = |sequence: u16| {
        let nack = scene.call.agent.nack_for(0, &[sequence]);
        let sent = scene.call.bed.datagram(scene.call.agent.address, &nack);
        sent.len()
    };
    assert_eq!(ask(spoken.header.sequence), 1, "sound is");
    assert!(keys.iter().all(|key| ask(key.header.sequence) == 0));
}

#[test]
fn a_listener_who_takes_no_events_sees_no_gap_either() {
    let mut call = Call::new();
    let mut deaf = Client::new(4, Part::Partner);
    deaf.numbers.dtmf = None;
    call.bed.bring_up(&mut deaf);
    let legs = [call.customer.leg, call.agent.leg, deaf.leg];
    call.bed.plan(&legs.map(|leg| (leg, Stance::Talk)), Tap::Off);
    let mut scene = Scene { call, supervisor: deaf };
    let [_, before] = scene.says(b"before");
    assert_eq!(scene.presses(5).map(|heard| heard.len()), [PRESS.len(), 0]);
    let [_, after] = scene.says(b"after");
    assert_eq!(after.header.sequence, before.header.sequence.wrapping_add(1));
}
