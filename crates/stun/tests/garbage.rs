//! 400,000 mutations of valid messages, and noise: never a panic, never a forged signature.

#![cfg(test)]

use stun::binding::{self, Check, KNOWN, REPLY_BYTES_MAX, Refusal, Role};
use stun::{Key, Message, is_stun};

const ROUNDS: u64 = 400_000;

/// A small repeatable generator (xorshift64*); the seed is printed on failure by the assertion's text.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % bound
    }
}

#[test]
fn mutated_messages_are_refused_and_never_genuine() {
    let seed = 0x5EED_0001;
    let mut dice = Dice(seed);
    let mut key = Key::new(b"the password of the leg");
    let mut buffer = [0; 256];
    let check = Check {
        transaction: [7; 12],
        username: "ours:theirs",
        priority: 1,
        role: Role::Controlling(2),
        nominate: true,
    };
    let length = binding::check(&mut buffer, &check, &mut key).unwrap();
    let good = &buffer[..length];
    let (mut parsed, mut shaped) = (0u32, 0u32);
    for round in 0..ROUNDS {
        let mut datagram = good.to_vec();
        for _ in 0..=dice.below(3) {
            match dice.below(4) {
                0 => datagram.truncate(dice.below(datagram.len() + 1)),
                1 => datagram.extend((0..dice.below(9)).map(|byte| byte as u8)),
                _ if datagram.is_empty() => {}
                2 => {
                    let at = dice.below(datagram.len());
                    datagram[at] = dice.below(256) as u8;
                }
                _ => {
                    let at = dice.below(datagram.len());
                    datagram[at] ^= 1 << dice.below(8);
                }
            }
        }
        // Most mutations die at the fingerprint; without it the attributes themselves are tried.
        if dice.below(2) == 0 && datagram.len() >= 28 {
            datagram.truncate(datagram.len() - 8);
            let body = (datagram.len() - 20) as u16;
            datagram[2..4].copy_from_slice(&body.to_be_bytes());
        }
        shaped += u32::from(is_stun(&datagram));
        if let Ok(message) = Message::parse(&datagram) {
            parsed += 1;
            let mut reply = [0; REPLY_BYTES_MAX];
            let unknown = Refusal::UnknownAttributes(message.unknown(&KNOWN));
            let len = binding::refuse(&mut reply, message.transaction(), unknown, None).unwrap();
            assert_eq!(Message::parse(&reply[..len]).unwrap().error_code(), Some(420));
            let _ = (
                message.username(),
                message.priority(),
                message.xor_mapped_address(),
                message.error_code(),
            );
            let _ = message.unknown(&KNOWN);
            assert!(message.attributes().count() <= datagram.len() / 4);
            // The signature covers all but the length field and what stands behind it.
            let signed = |bytes: &[u8]| bytes.get(4..length - 8).map(|rest| [&bytes[..2], rest].concat());
            let untouched = signed(&datagram) == signed(good);
            assert!(untouched || !message.verify(&mut key), "seed {seed:#x} round {round}");
        }
    }
    assert!(
        parsed > ROUNDS as u32 / 50 && shaped > parsed,
        "the walk must reach the attributes: {parsed} {shaped}"
    );
}

#[test]
fn noise_is_never_a_panic() {
    let mut dice = Dice(0x5EED_0002);
    for _ in 0..ROUNDS {
        let mut datagram: Vec<u8> = (0..dice.below(80)).map(|_| dice.below(256) as u8).collect();
        if let Some(header) = datagram.get_mut(..8) {
            header[0] &= 3;
            header[4..8].copy_from_slice(&stun::MAGIC_COOKIE.to_be_bytes());
        }
        if datagram.len() >= 20 {
            let body = (datagram.len() - 20) as u16;
            datagram[2..4].copy_from_slice(&body.to_be_bytes());
        }
        if let Ok(message) = Message::parse(&datagram) {
            assert!(message.attributes().count() <= 15);
        }
    }
}
