//! Binding without a credential, and the tests of a client's NAT (RFC 5780).
//!
//! With one public IP an answer has XOR-MAPPED-ADDRESS only (32 bytes), and a client may ask for the other port: our own
//! check before a call does, although RFC 5780 §6.1 would answer 420 without a second IP. With two IPs everything is
//! there and an answer has 68 bytes, which is why that has to be switched on.
//!
//! Invariant: an answer goes to the IP that asked, under the budget of its network.

use std::net::SocketAddr;

use stun::{Class, Message, NoRoom, Writer, attribute, error_code, method};

use super::framing::MESSAGE_BYTES_MAX;
use super::front::ANSWER_BYTES_MAX;
use super::{At, Behaviour, Core, Edge, Flow, Kind, Listener, Outcome, Stage};

/// Flags of CHANGE-REQUEST (RFC 5780 §7.2).
const CHANGE_IP: u32 = 0x04;
const CHANGE_PORT: u32 = 0x02;

/// What a Binding request asks of the answer.
struct Wish {
    /// The listener that answers.
    from: Listener,
    /// Its place.
    local: u8,
    to: SocketAddr,
    padding: usize,
}

impl<K: Kind> Core<K> {
    /// One Binding request whose FINGERPRINT, if there, is right.
    pub(super) fn binding<E: Edge>(
        &mut self,
        at: At,
        flow: Flow,
        message: &Message<'_>,
        len: usize,
        edge: &mut E,
    ) -> Outcome {
        let mut buffer = [0; MESSAGE_BYTES_MAX + ANSWER_BYTES_MAX];
        let wish = self.wish(flow, message);
        let (reply_flow, outcome) = match &wish {
            Ok(wish) => {
                let flow = Flow {
                    local: wish.local,
                    remote: wish.to,
                    ..flow
                };
                (flow, Outcome::Answered)
            }
            Err(code) => (flow, Outcome::Refused(*code)),
        };
        let written = match wish {
            Ok(wish) => self.binding_success(&mut buffer, flow, message, &wish),
            Err(code) => self.binding_error(&mut buffer, flow, message, code),
        };
        let Ok(written) = written else {
            return Outcome::Dropped(Stage::Length);
        };
        if !self.may_answer(at, flow.remote, len, written) {
            return Outcome::Dropped(Stage::Budget);
        }
        edge.reply(&reply_flow, &buffer[..written]);
        if outcome == Outcome::Answered {
            self.counters.bindings += 1;
        }
        outcome
    }

    /// Attributes of Binding that are understood on this flow.
    fn binding_known(&self, flow: Flow) -> &'static [u16] {
        /// Those of an ICE agent, and then those of RFC 5780.
        const KNOWN: [u16; 8] = [
            attribute::USERNAME,
            attribute::MESSAGE_INTEGRITY,
            attribute::MESSAGE_INTEGRITY_SHA256,
            attribute::PRIORITY,
            attribute::USE_CANDIDATE,
            attribute::CHANGE_REQUEST,
            attribute::PADDING,
            attribute::RESPONSE_PORT,
        ];
        match (self.own(flow), self.other(flow, true, true)) {
            (Some(own), Some(_)) if own.udp => &KNOWN,
            (Some(own), None) if own.udp => &KNOWN[..6],
            _ => &KNOWN[..5],
        }
    }

    fn own(&self, flow: Flow) -> Option<Listener> {
        self.listeners.get(usize::from(flow.local)).copied()
    }

    /// The UDP listener that differs in exactly this from the one that was asked; one that differs in the IP only if two
    /// IPs are offered.
    fn other(&self, flow: Flow, other_ip: bool, other_port: bool) -> Option<(u8, Listener)> {
        let own = self.own(flow)?.address;
        if other_ip && self.behaviour == Behaviour::OneAddress {
            return None;
        }
        let fits = |listener: &Listener| {
            let address = listener.address;
            listener.udp
                && address.is_ipv6() == own.is_ipv6()
                && (address.ip() != own.ip()) == other_ip
                && (address.port() != own.port()) == other_port
        };
        let place = self.listeners.iter().position(fits)?;
        Some((u8::try_from(place).ok()?, *self.listeners.get(place)?))
    }

    /// Reads what is asked; an error number otherwise.
    fn wish(&self, flow: Flow, message: &Message<'_>) -> Result<Wish, u16> {
        if !message.unknown(self.binding_known(flow)).is_empty() {
            return Err(error_code::UNKNOWN_ATTRIBUTE);
        }
        let own = self.own(flow).ok_or(error_code::BAD_REQUEST)?;
        let change = match message.attribute(attribute::CHANGE_REQUEST) {
            None => 0,
            Some(_) => message
                .number(attribute::CHANGE_REQUEST)
                .ok_or(error_code::BAD_REQUEST)?,
        };
        let (local, from) = match (change & CHANGE_IP != 0, change & CHANGE_PORT != 0) {
            (false, false) => (flow.local, own),
            (ip, port) => self.other(flow, ip, port).ok_or(error_code::UNKNOWN_ATTRIBUTE)?,
        };
        let padding = message.attribute(attribute::PADDING);
        let port = message.attribute(attribute::RESPONSE_PORT);
        if padding.is_some() && port.is_some() {
            return Err(error_code::BAD_REQUEST);
        }
        let to = match port {
            None => flow.remote,
            // RFC 5780 §7.5: a port, and two bytes that are reserved or missing.
            Some(&[p0, p1] | &[p0, p1, _, _]) => SocketAddr::new(flow.remote.ip(), u16::from_be_bytes([p0, p1])),
            Some(_) => return Err(error_code::BAD_REQUEST),
        };
        Ok(Wish {
            from,
            local,
            to,
            padding: padding.map_or(0, <[u8]>::len),
        })
    }

    fn binding_success(
        &self,
        buffer: &mut [u8],
        flow: Flow,
        message: &Message<'_>,
        wish: &Wish,
    ) -> Result<usize, NoRoom> {
        let mut writer = Writer::new(buffer, Class::Success, method::BINDING, message.transaction())?;
        writer.xor_mapped_address(flow.remote)?;
        let datagrams = self.own(flow).is_some_and(|own| own.udp);
        if let Some((_, other)) = self.other(flow, true, true).filter(|_| datagrams) {
            writer.address(attribute::MAPPED_ADDRESS, flow.remote)?;
            writer.address(attribute::RESPONSE_ORIGIN, wish.from.address)?;
            writer.address(attribute::OTHER_ADDRESS, other.address)?;
        }
        if wish.padding > 0 {
            // As much as came, so that the answer is no larger than what it costs to ask for it.
            let zeros = [0; MESSAGE_BYTES_MAX];
            writer.attribute(attribute::PADDING, zeros.get(..wish.padding).ok_or(NoRoom)?)?;
        }
        if message.has_fingerprint() {
            writer.fingerprint()?;
        }
        Ok(writer.finish())
    }

    fn binding_error(&self, buffer: &mut [u8], flow: Flow, message: &Message<'_>, code: u16) -> Result<usize, NoRoom> {
        let mut writer = Writer::new(buffer, Class::Error, method::BINDING, message.transaction())?;
        writer.error_code(code, "")?;
        if code == error_code::UNKNOWN_ATTRIBUTE {
            let unknown = message.unknown(self.binding_known(flow));
            // Nothing unknown: what cannot be done is the change of address.
            match unknown.is_empty() {
                true => writer.unknown_attributes(&[attribute::CHANGE_REQUEST])?,
                false => writer.unknown_attributes(unknown.kinds())?,
            }
        }
        if message.has_fingerprint() {
            writer.fingerprint()?;
        }
        Ok(writer.finish())
    }
}
