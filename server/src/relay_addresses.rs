//! The relay's further addresses: the second one of STUN (RFC 5780), and those that are relayed addresses and nothing
//! else. Checked before a port is bound.

use std::net::IpAddr;

use turn_relay::core::{PORT_FIRST, PORT_FIRST_MIN, RELAYED_IPS_MAX};

use crate::Fault;
use crate::relay_plan::bad;
use crate::settings::Turn;

/// The second address of STUN, and how clients see both.
#[derive(Debug)]
pub(crate) struct Second {
    /// As bound, and as seen: the first address.
    first: [IpAddr; 2],
    /// The same of the second.
    second: [IpAddr; 2],
}

impl Second {
    /// `bind`, `ports`: of the relay; `advertise`: what media tells browsers.
    ///
    /// # Errors
    /// [`Fault::Configuration`] that names the key.
    pub(crate) fn of(
        turn: &Turn,
        bind: &[IpAddr],
        ports: &[u16],
        advertise: &[IpAddr],
    ) -> Result<Option<Second>, Fault> {
        let Some(bound) = turn.alternate_ip else {
            return match turn.alternate_public_ip {
                Some(_) => Err(bad(
                    "turn.alternate_public_ip is for turn.alternate_ip, which is not set",
                )),
                None => Ok(None),
            };
        };
        if bound.is_unspecified() || bound.is_multicast() {
            return Err(bad("turn.alternate_ip must be one address of this machine"));
        }
        let same_family = |address: &&IpAddr| address.is_ipv6() == bound.is_ipv6();
        let Some(first) = bind.iter().find(same_family).copied() else {
            return Err(bad(
                "turn.alternate_ip needs an address of the same family in turn.bind",
            ));
        };
        if first.is_unspecified() {
            return Err(bad(format!(
                "turn.alternate_ip needs one address of the same family in turn.bind; {first} is all of them"
            )));
        }
        if first == bound {
            return Err(bad(
                "turn.alternate_ip stands in turn.bind already; it must be another one",
            ));
        }
        if ports.len() != 2 || ports.contains(&0) {
            return Err(bad(
                "turn.alternate_ip needs two ports in turn.ports: RFC 5780 tells a NAT by address and by port",
            ));
        }
        // What is advertised is what clients see, unless it leads elsewhere: behind 1:1 NAT it is none of this machine's.
        let seen = advertise.iter().find(same_family).copied();
        let first_seen = seen.filter(|_| !advertise.contains(&first)).unwrap_or(first);
        let second_seen = turn.alternate_public_ip.unwrap_or(bound);
        if second_seen.is_ipv6() != bound.is_ipv6() {
            return Err(bad(
                "turn.alternate_public_ip must be of the family of turn.alternate_ip",
            ));
        }
        if second_seen == first_seen {
            return Err(bad(format!(
                "clients would see both addresses of STUN as {first_seen}; turn.alternate_public_ip must be another one"
            )));
        }
        Ok(Some(Second {
            first: [first, first_seen],
            second: [bound, second_seen],
        }))
    }

    /// The second address, as bound.
    pub(crate) fn bound(&self) -> &IpAddr {
        &self.second[0]
    }

    /// How clients see a bound address; `None` for one that is neither.
    pub(crate) fn public_of(&self, bound: IpAddr) -> Option<IpAddr> {
        let pairs = [self.first, self.second];
        pairs.into_iter().find(|pair| pair[0] == bound).map(|pair| pair[1])
    }
}

/// Refuses relayed addresses that cannot be, and more allocations than there are of them.
///
/// # Errors
/// [`Fault::Configuration`] that names the key.
pub(crate) fn check_relayed(turn: &Turn, advertise: &[IpAddr]) -> Result<(), Fault> {
    let range = PORT_FIRST_MIN..=PORT_FIRST;
    if !range.contains(&turn.relayed_port_first) {
        return Err(bad(format!(
            "turn.relayed_port_first lies between {PORT_FIRST_MIN} and {PORT_FIRST}"
        )));
    }
    if turn.relayed_ips.len() >= RELAYED_IPS_MAX {
        return Err(bad(format!("turn.relayed_ips are {} at most", RELAYED_IPS_MAX - 1)));
    }
    for ip in &turn.relayed_ips {
        if ip.is_unspecified() || ip.is_multicast() || ip.is_loopback() {
            return Err(bad(format!("turn.relayed_ips: {ip} is no address of a node")));
        }
        if !advertise.iter().any(|other| other.is_ipv6() == ip.is_ipv6()) {
            return Err(bad(format!(
                "turn.relayed_ips: media advertises no address of the family of {ip}"
            )));
        }
    }
    let ports = 65_536 - u32::from(turn.relayed_port_first.next_multiple_of(2));
    // A family's own: an allocation is for IPv4 unless its client asks for more.
    let of_family = |v6: bool| {
        let first = advertise.iter().find(|ip| ip.is_ipv6() == v6);
        let mut ips: Vec<_> = first.into_iter().chain(&turn.relayed_ips).collect();
        ips.retain(|ip| ip.is_ipv6() == v6);
        ips.sort_unstable();
        ips.dedup();
        ips.len() as u32
    };
    let most = ports * of_family(false).max(of_family(true)).max(1);
    if turn.limits.allocations > most {
        return Err(bad(format!(
            "turn.limits.allocations is at most {most}: as many relayed addresses there are; turn.relayed_ips and \
             turn.relayed_port_first make more"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;
    use confique::Config as _;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn turn(change: impl FnOnce(&mut Turn)) -> Turn {
        let mut settings = Settings::builder().load().expect("defaults");
        change(&mut settings.turn);
        settings.turn
    }

    fn second(bind: &[&str], advertise: &[&str], change: impl FnOnce(&mut Turn)) -> Result<Option<Second>, String> {
        let addresses = |texts: &[&str]| texts.iter().map(|text| ip(text)).collect::<Vec<_>>();
        let made = Second::of(
            &turn(change),
            &addresses(bind),
            &turn_relay::PORTS,
            &addresses(advertise),
        );
        made.map_err(|fault| match fault {
            Fault::Configuration(text) => text,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn the_second_address_is_seen_as_it_is_or_as_1_to_1_nat_makes_it() {
        assert!(second(&["0.0.0.0"], &[], |_| {}).expect("nothing is asked").is_none());
        let public = second(&["192.0.2.1"], &["192.0.2.1", "192.0.2.2"], |turn| {
            turn.alternate_ip = Some(ip("192.0.2.2"));
        });
        let public = public.expect("sound").expect("asked for");
        assert_eq!(public.bound(), &ip("192.0.2.2"));
        for own in ["192.0.2.1", "192.0.2.2"] {
            assert_eq!(public.public_of(ip(own)), Some(ip(own)));
        }
        assert_eq!(public.public_of(ip("192.0.2.3")), None);
        let behind = second(&["::1", "10.0.0.1"], &["203.0.113.1"], |turn| {
            turn.alternate_ip = Some(ip("10.0.0.2"));
            turn.alternate_public_ip = Some(ip("203.0.113.2"));
        });
        let behind = behind.expect("sound").expect("asked for");
        assert_eq!(behind.public_of(ip("10.0.0.1")), Some(ip("203.0.113.1")));
        assert_eq!(behind.public_of(ip("10.0.0.2")), Some(ip("203.0.113.2")));
    }

    #[test]
    fn a_second_address_that_cannot_work_is_refused_with_what_to_do() {
        let rows: [(&[&str], &str, Option<&str>, &str); 7] = [
            (&["192.0.2.1"], "0.0.0.0", None, "one address of this machine"),
            (&["192.0.2.1"], "224.0.0.1", None, "one address of this machine"),
            (&["192.0.2.1"], "2001:db8::2", None, "same family"),
            (&["0.0.0.0"], "192.0.2.2", None, "0.0.0.0 is all of them"),
            (&["192.0.2.1"], "192.0.2.1", None, "another one"),
            (&["192.0.2.1"], "192.0.2.2", Some("2001:db8::2"), "of the family"),
            (&["192.0.2.1"], "192.0.2.2", Some("192.0.2.1"), "as 192.0.2.1"),
        ];
        for (bind, alternate, public, words) in rows {
            let refused = second(bind, &["192.0.2.1"], |turn| {
                turn.alternate_ip = Some(ip(alternate));
                turn.alternate_public_ip = public.map(ip);
            });
            let text = refused.expect_err(words);
            assert!(text.contains("turn.alternate") && text.contains(words), "{text}");
        }
        let alone = second(&["192.0.2.1"], &[], |turn| {
            turn.alternate_public_ip = Some(ip("192.0.2.2"));
        });
        assert!(alone.expect_err("alone").contains("turn.alternate_public_ip"));
        let asked = turn(|turn| turn.alternate_ip = Some(ip("192.0.2.2")));
        for ports in [&[3478][..], &[0, 0], &[]] {
            let refused = Second::of(&asked, &[ip("192.0.2.1")], ports, &[]);
            let Err(Fault::Configuration(text)) = refused else {
                panic!("{ports:?}");
            };
            assert!(text.contains("turn.ports"), "{text}");
        }
    }

    #[test]
    fn allocations_are_as_many_as_relayed_addresses() {
        let v4 = [ip("192.0.2.1")];
        let both = [ip("192.0.2.1"), ip("2001:db8::1")];
        let check = |advertise: &[IpAddr], more: &[&str], port_first: u16, allocations: u32| {
            let turn = turn(|turn| {
                turn.relayed_ips = more.iter().map(|text| ip(text)).collect();
                turn.relayed_port_first = port_first;
                turn.limits.allocations = allocations;
            });
            match check_relayed(&turn, advertise) {
                Ok(()) => None,
                Err(Fault::Configuration(text)) => Some(text),
                Err(other) => panic!("{other:?}"),
            }
        };
        for (advertise, more, port_first, most) in [
            (&[][..], &[][..], 49_152, 16_384),
            (&v4, &[], 49_152, 16_384),
            (&v4, &[], 1_024, 64_512),
            (&v4, &["192.0.2.2", "192.0.2.1", "192.0.2.2"], 49_152, 32_768),
            (&v4, &["192.0.2.2"], 1_024, 129_024),
            (&both, &["2001:db8::2", "2001:db8::3"], 49_152, 49_152),
        ] {
            assert_eq!(check(advertise, more, port_first, most), None);
            let text = check(advertise, more, port_first, most + 1).expect("one too many");
            assert!(
                text.contains("turn.limits.allocations") && text.contains(&most.to_string()),
                "{text}"
            );
        }
        for port in [1_023, 49_153] {
            let text = check(&v4, &[], port, 1).expect("out of range");
            assert!(text.contains("turn.relayed_port_first"), "{text}");
        }
        let many = ["192.0.2.2"; RELAYED_IPS_MAX];
        assert_eq!(check(&v4, &many[1..], 49_152, 1), None);
        for wrong in [
            &many[..],
            &["0.0.0.0"],
            &["127.0.0.1"],
            &["224.0.0.1"],
            &["2001:db8::2"],
        ] {
            let text = check(&v4, wrong, 49_152, 1).expect("it cannot be");
            assert!(text.contains("turn.relayed_ips"), "{text}");
        }
    }
}
