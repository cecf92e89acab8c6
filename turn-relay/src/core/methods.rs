//! The four requests of TURN, once their sender is proven (RFC 8656 §7 to §12).
//!
//! Invariant: a request that is refused has changed nothing.

use std::net::{IpAddr, SocketAddr};

use stun::{Class, Message, NoRoom, Writer, attribute, error_code, method};

use super::allocation::{Allocation, Bucket, CHANNEL_S, Channel, Counts, PERMISSION_S, Rate, UserName, lifetime_s};
use super::front::{Asked, Proven, answer};
use super::{At, Core, Dialect, Edge, Kind, Peers, leg_is_over, via_index};

/// Protocol number of UDP in REQUESTED-TRANSPORT (RFC 8656 §18.8).
const UDP: u8 = 17;
/// Family numbers (RFC 8656 §18.7).
const FAMILY_V4: u8 = 1;
const FAMILY_V6: u8 = 2;

/// Peers that one CreatePermission may name: twice what any allocation has room for. More would only cost time, which
/// grows with their square.
const PEERS_PER_REQUEST_MAX: usize = 32;

/// What of the families an Allocate asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Families {
    One { v6: bool },
    Both,
}

/// A request whose sender is proven.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    pub(super) asked: &'a Asked,
    pub(super) message: &'a Message<'a>,
    pub(super) proven: Proven<'a>,
}

impl Request<'_> {
    /// The allocation that it is about.
    fn slot(&self) -> Result<u32, u16> {
        self.proven.slot.ok_or(error_code::ALLOCATION_MISMATCH)
    }

    /// Answers that it is done.
    fn succeed<E: Edge>(
        &self,
        edge: &mut E,
        body: impl FnOnce(&mut Writer<'_>) -> Result<(), NoRoom>,
    ) -> Result<(), u16> {
        let mut key = self.proven.key;
        answer(self.asked, Class::Success, Some(&mut key), edge, body);
        Ok(())
    }
}

impl<K: Kind> Core<K> {
    /// Carries one out; an error is the code of the refusal.
    pub(super) fn carry_out<E: Edge>(&mut self, at: At, request: &Request<'_>, edge: &mut E) -> Result<(), u16>
    where
        K: Peers<E>,
    {
        match request.asked.method {
            method::ALLOCATE => self.allocate(at, request, edge),
            method::REFRESH => self.refresh(at, request, edge),
            method::CREATE_PERMISSION => self.create_permission(at, request, edge),
            _ => self.channel_bind(at, request, edge),
        }
    }

    /// Allocate (RFC 8656 §7.2).
    fn allocate<E: Edge>(&mut self, at: At, request: &Request<'_>, edge: &mut E) -> Result<(), u16>
    where
        K: Peers<E>,
    {
        let Request { asked, message, proven } = *request;
        if let Some(allocation) = proven.slot.and_then(|slot| self.table.at(slot)) {
            // Sent again because our answer was lost: the same answer. 437 would cost the client its socket.
            if allocation.transaction == asked.transaction && allocation.user.is(proven.user) {
                allocated(asked, allocation, edge);
                return Ok(());
            }
            return Err(error_code::ALLOCATION_MISMATCH);
        }
        if leg_is_over(edge.leg_state(proven.leg)) {
            return Err(error_code::FORBIDDEN);
        }
        requested_transport(message)?;
        let even = even_port(message, self.dialect)?;
        let wish = families(message, self.dialect)?;
        let (families, missing) = self.offered(wish)?;
        let lifetime_s = lifetime_s(wished_lifetime(message)?);
        let Some(user) = UserName::new(proven.user) else {
            return Err(error_code::BAD_REQUEST);
        };
        // With the quotas, last: what is wrong with a request is wrong with it on every node.
        if self.draining {
            return Err(error_code::INSUFFICIENT_CAPACITY);
        }
        let relayed = self.reserve(at, asked, proven.leg, families, even, edge)?;
        let allocation = Allocation {
            flow: asked.flow,
            leg: proven.leg,
            key: proven.key,
            user,
            transaction: asked.transaction,
            relayed,
            missing,
            lifetime_s,
            made_s: at.now_s(),
            until_s: at.until_s(lifetime_s),
            wheel_s: 0,
            next_of_leg: None,
            bucket: Bucket::default(),
            new_peers: Rate::default(),
            permissions: K::Permissions::default(),
            channels: K::Channels::default(),
            counts: Counts::default(),
        };
        allocated(asked, &allocation, edge);
        *self.gauge(&allocation) += 1;
        self.counters.allocated += 1;
        self.table.insert(allocation);
        Ok(())
    }

    /// Which of the wished families exist here, and the number of the one that does not.
    fn offered(&self, wish: Families) -> Result<([bool; 2], Option<u8>), u16> {
        let here = [false, true].map(|v6| self.peers.has_family(v6));
        match (wish, here) {
            (Families::One { v6 }, _) if here[usize::from(v6)] => Ok(([!v6, v6], None)),
            (Families::Both, [true, true]) => Ok(([true, true], None)),
            (Families::Both, [true, false]) => Ok(([true, false], Some(FAMILY_V6))),
            (Families::Both, [false, true]) => Ok(([false, true], Some(FAMILY_V4))),
            (Families::Both, [false, false]) | (Families::One { .. }, _) => {
                Err(error_code::ADDRESS_FAMILY_NOT_SUPPORTED)
            }
        }
    }

    /// Counts the allocation and takes its addresses, or leaves everything as it was.
    fn reserve<E: Edge>(
        &mut self,
        at: At,
        asked: &Asked,
        leg: ports::LegId,
        families: [bool; 2],
        even: bool,
        edge: &mut E,
    ) -> Result<[Option<SocketAddr>; 2], u16>
    where
        K: Peers<E>,
    {
        let from = asked.flow.remote.ip();
        let n = families.iter().filter(|&&wanted| wanted).count() as u32;
        let places = self.limits.allocations_per_leg;
        if !self.quota().take(&self.limits, leg, from, n) {
            return Err(error_code::QUOTA_REACHED);
        }
        if !self.churn.take(at.now_s(), leg, n, places) {
            self.quota().give_back(leg, from, n);
            return Err(error_code::QUOTA_REACHED);
        }
        let handle = self.table.next_handle();
        let mut relayed = [None, None];
        let mut full = self.table.len() >= self.limits.allocations as usize;
        for v6 in [false, true] {
            if families[usize::from(v6)] && !full {
                relayed[usize::from(v6)] = self.peers.open(edge, at.now_s(), handle, v6, even);
                full = relayed[usize::from(v6)].is_none();
            }
        }
        if full {
            for address in relayed.into_iter().flatten() {
                self.peers.close(edge, at.now_s(), handle, address);
            }
            self.quota().give_back(leg, from, n);
            return Err(error_code::INSUFFICIENT_CAPACITY);
        }
        Ok(relayed)
    }

    /// Refresh (RFC 8656 §7.3). Whether the credential is still good does not matter: the leg decides.
    fn refresh<E: Edge>(&mut self, at: At, request: &Request<'_>, edge: &mut E) -> Result<(), u16>
    where
        K: Peers<E>,
    {
        let slot = request.slot()?;
        if leg_is_over(edge.leg_state(request.proven.leg)) {
            self.free(at, slot, edge);
            return Err(error_code::ALLOCATION_MISMATCH);
        }
        let wish = wished_lifetime(request.message)?;
        let family = family(request.message, attribute::REQUESTED_ADDRESS_FAMILY)?;
        let allocation = self.table.at(slot).ok_or(error_code::ALLOCATION_MISMATCH)?;
        if family.is_some_and(|v6| allocation.relayed[usize::from(v6)].is_none()) {
            return Err(error_code::PEER_FAMILY_MISMATCH);
        }
        let lifetime_s = match (wish, family) {
            (Some(0), Some(v6)) if allocation.families() == 2 => {
                self.free_family(at, slot, v6, edge);
                0
            }
            (Some(0), _) => {
                self.free(at, slot, edge);
                0
            }
            (wish, _) => {
                let lifetime_s = lifetime_s(wish);
                self.table.extend(slot, at.until_s(lifetime_s));
                lifetime_s
            }
        };
        request.succeed(edge, |writer| {
            writer.attribute(attribute::LIFETIME, &lifetime_s.to_be_bytes())
        })
    }

    /// Half of a dual allocation ends.
    fn free_family<E: Edge>(&mut self, at: At, slot: u32, v6: bool, edge: &mut E)
    where
        K: Peers<E>,
    {
        let handle = self.table.handle(slot);
        let Some(allocation) = self.table.at_mut(slot) else {
            return;
        };
        let Some(relayed) = allocation.relayed[usize::from(v6)].take() else {
            return;
        };
        let (leg, from, via) = (allocation.leg, allocation.flow.remote.ip(), allocation.flow.via);
        self.peers.close(edge, at.now_s(), handle, relayed);
        self.quota().give_back(leg, from, 1);
        let gauges = &mut self.counters.allocations[via_index(via)];
        gauges[2] -= 1;
        gauges[usize::from(!v6)] += 1;
    }

    /// CreatePermission (RFC 8656 §9.2): all of the peers or none.
    fn create_permission<E: Edge>(&mut self, at: At, request: &Request<'_>, edge: &mut E) -> Result<(), u16>
    where
        K: Peers<E>,
    {
        let slot = request.slot()?;
        let peers = || request.message.xor_addresses(attribute::XOR_PEER_ADDRESS);
        if peers().next().is_none() || peers().any(|peer| peer.is_none()) {
            return Err(error_code::BAD_REQUEST);
        }
        if peers().nth(PEERS_PER_REQUEST_MAX).is_some() {
            return Err(error_code::INSUFFICIENT_CAPACITY);
        }
        let ips = || peers().flatten().map(|peer| peer.ip());
        for ip in ips() {
            self.judge_ip(slot, ip)?;
        }
        self.install(at, slot, ips)?;
        request.succeed(edge, |_| Ok(()))
    }

    /// ChannelBind (RFC 8656 §12.2): also installs the permission.
    fn channel_bind<E: Edge>(&mut self, at: At, request: &Request<'_>, edge: &mut E) -> Result<(), u16>
    where
        K: Peers<E>,
    {
        let slot = request.slot()?;
        let number = channel_number(request.message, self.dialect).ok_or(error_code::BAD_REQUEST)?;
        let peer = request.message.xor_address(attribute::XOR_PEER_ADDRESS);
        let peer = peer.ok_or(error_code::BAD_REQUEST)?;
        self.judge_ip(slot, peer.ip())?;
        let index = self.peers.reaches(peer).ok_or(error_code::FORBIDDEN)?;
        let now_s = at.now_s();
        let allocation = self.table.at(slot).ok_or(error_code::ALLOCATION_MISMATCH)?;
        let numbered = allocation.channel(now_s, number).map(Channel::peer);
        let bound = allocation.channel_to(now_s, peer).map(|channel| channel.number);
        if numbered.is_some_and(|other| other != peer) || bound.is_some_and(|other| other != number) {
            return Err(error_code::BAD_REQUEST);
        }
        if bound.is_none()
            && !allocation
                .channels
                .as_ref()
                .iter()
                .any(|channel| channel.until_s <= now_s)
        {
            return Err(error_code::INSUFFICIENT_CAPACITY);
        }
        self.install(at, slot, || std::iter::once(peer.ip()))?;
        if let Some(allocation) = self.table.at_mut(slot) {
            allocation.bind(
                now_s,
                Channel {
                    ip: peer.ip(),
                    port: peer.port(),
                    number,
                    index,
                    until_s: at.until_s(CHANNEL_S),
                },
            );
        }
        request.succeed(edge, |_| Ok(()))
    }

    /// Whether this allocation may have a permission for this IP.
    fn judge_ip(&self, slot: u32, ip: IpAddr) -> Result<(), u16> {
        let allocation = self.table.at(slot).ok_or(error_code::ALLOCATION_MISMATCH)?;
        if allocation.relayed_for(ip).is_none() {
            return Err(error_code::PEER_FAMILY_MISMATCH);
        }
        if self.peers.permits(ip) {
            Ok(())
        } else {
            Err(error_code::FORBIDDEN)
        }
    }

    /// Installs or renews permissions: all or none.
    fn install<I: Iterator<Item = IpAddr>>(&mut self, at: At, slot: u32, ips: impl Fn() -> I) -> Result<(), u16> {
        let now_s = at.now_s();
        let per_s = self.limits.new_peers_per_s;
        let allocation = self.table.at_mut(slot).ok_or(error_code::ALLOCATION_MISMATCH)?;
        let is_new = |allocation: &Allocation<K>, n: usize, ip: IpAddr| {
            !allocation.permits(now_s, ip) && !ips().take(n).any(|before| before == ip)
        };
        let new = ips().enumerate().filter(|&(n, ip)| is_new(allocation, n, ip)).count();
        if new > allocation.permissions_free(now_s) {
            return Err(error_code::INSUFFICIENT_CAPACITY);
        }
        if K::COUNTS_NEW_PEERS && !allocation.new_peers.take(at.now_ns, new as u64, per_s) {
            return Err(error_code::FORBIDDEN);
        }
        for ip in ips() {
            allocation.permit(now_s, at.until_s(PERMISSION_S), ip);
        }
        Ok(())
    }
}

/// The success of an Allocate, first or again.
fn allocated<K: Kind, E: Edge>(asked: &Asked, allocation: &Allocation<K>, edge: &mut E) {
    let mut key = allocation.key;
    answer(asked, Class::Success, Some(&mut key), edge, |writer| {
        for relayed in allocation.relayed.into_iter().flatten() {
            writer.xor_address(attribute::XOR_RELAYED_ADDRESS, relayed)?;
        }
        writer.attribute(attribute::LIFETIME, &allocation.lifetime_s.to_be_bytes())?;
        writer.xor_mapped_address(asked.flow.remote)?;
        match allocation.missing {
            Some(family) => writer.address_error_code(family, error_code::ADDRESS_FAMILY_NOT_SUPPORTED),
            None => Ok(()),
        }
    });
}

fn requested_transport(message: &Message<'_>) -> Result<(), u16> {
    match message.attribute(attribute::REQUESTED_TRANSPORT) {
        Some(&[UDP, _, _, _]) => Ok(()),
        Some(&[_, _, _, _]) => Err(error_code::UNSUPPORTED_TRANSPORT),
        Some(_) | None => Err(error_code::BAD_REQUEST),
    }
}

/// True: an even port is wished. To reserve the next one as well (R = 1) and to use such a reservation is not offered.
fn even_port(message: &Message<'_>, dialect: Dialect) -> Result<bool, u16> {
    let even = message.attribute(attribute::EVEN_PORT);
    let has = |kind| message.attribute(kind).is_some();
    if has(attribute::RESERVATION_TOKEN) {
        let contradiction =
            even.is_some() || has(attribute::REQUESTED_ADDRESS_FAMILY) || has(dialect.additional_family());
        return Err(if contradiction {
            error_code::BAD_REQUEST
        } else {
            error_code::INSUFFICIENT_CAPACITY
        });
    }
    match even {
        None => Ok(false),
        Some(&[flags]) if flags & 0x80 == 0 => Ok(true),
        Some(&[_]) if has(dialect.additional_family()) => Err(error_code::BAD_REQUEST),
        Some(&[_]) => Err(error_code::INSUFFICIENT_CAPACITY),
        Some(_) => Err(error_code::BAD_REQUEST),
    }
}

/// An attribute that names a family: true for IPv6.
fn family(message: &Message<'_>, kind: u16) -> Result<Option<bool>, u16> {
    match message.attribute(kind) {
        None => Ok(None),
        Some(&[FAMILY_V4, _, _, _]) => Ok(Some(false)),
        Some(&[FAMILY_V6, _, _, _]) => Ok(Some(true)),
        Some(&[_, _, _, _]) => Err(error_code::ADDRESS_FAMILY_NOT_SUPPORTED),
        Some(_) => Err(error_code::BAD_REQUEST),
    }
}

fn families(message: &Message<'_>, dialect: Dialect) -> Result<Families, u16> {
    let requested = family(message, attribute::REQUESTED_ADDRESS_FAMILY)?;
    let additional = family(message, dialect.additional_family())?;
    match (requested, additional) {
        (None, None) => Ok(Families::One { v6: false }),
        (Some(v6), None) => Ok(Families::One { v6 }),
        (None, Some(true)) => Ok(Families::Both),
        (Some(_), Some(_)) | (None, Some(false)) => Err(error_code::BAD_REQUEST),
    }
}

fn wished_lifetime(message: &Message<'_>) -> Result<Option<u32>, u16> {
    match message.attribute(attribute::LIFETIME) {
        None => Ok(None),
        Some(value) => {
            let value = value.try_into().map_err(|_| error_code::BAD_REQUEST)?;
            Ok(Some(u32::from_be_bytes(value)))
        }
    }
}

fn channel_number(message: &Message<'_>, dialect: Dialect) -> Option<u16> {
    let &[n0, n1, _, _] = message.attribute(attribute::CHANNEL_NUMBER)? else {
        return None;
    };
    let number = u16::from_be_bytes([n0, n1]);
    dialect.channel_numbers().contains(&number).then_some(number)
}
