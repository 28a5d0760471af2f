//! One ring of both kinds: Debian's Corosync and annulusd as members of one cluster.
//!
//! The stories here are told of a [`Mix`]: the daemon of each host, and the transport. A mix is written `ACC/udpu`:
//! host 1 runs annulusd (`A`), hosts 2 and 3 run Corosync (`C`); `T` is Debian 13's Corosync. Knet is written with
//! its number of links, cipher and hash, and link mode: `AC/knet`, `CAC/knet2+aes256+sha256`, `ACA/knet2+active`.
//! Host 1, with the lowest node id, is the representative as long as it runs; therefore `AC` and `CA` are two mixes.
//!
//! `ANNULUS_INTEROP_MIXES` names other mixes than the default ones: a list with commas, `all` for udp and udpu, or
//! `knet`.

mod faults;
mod flow;
mod groups;
mod handover;
mod links;
mod neighbours;
mod rekey;
mod same;
mod shown;
mod soak;
mod stream;
mod tools;
mod trixie;
mod units;
mod votes;

pub(crate) use flow::Flow;
pub(crate) use rekey::pings;

use crate::both::{Side, compare_with};
use crate::lab::{Kind, Lab, Transport};
use std::fmt;
use std::str::FromStr;

/// The largest number of hosts in a mix.
const HOSTS: usize = 5;

/// The daemon of each host, and the transport of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mix {
    /// The daemons of hosts 1, 2, …, in this order.
    pub(crate) kinds: Vec<Kind>,
    /// The transport of all hosts.
    pub(crate) transport: Transport,
}

impl Mix {
    /// Number of hosts.
    pub(crate) fn len(&self) -> usize {
        self.kinds.len()
    }

    /// The daemon that host `k` runs.
    pub(crate) fn kind(&self, k: usize) -> Kind {
        self.kinds[k - 1]
    }

    /// Starts the daemons of all hosts.
    pub(crate) fn start(&self, lab: &mut Lab) {
        for k in 1..=self.len() {
            lab.start(k, self.kind(k));
        }
    }

    /// Every mix of 2 to 5 hosts with at least one of each kind, on udp and udpu.
    pub(crate) fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for transport in [Transport::Udpu, Transport::Udp] {
            for hosts in 2..=HOSTS {
                // One bit per host; neither all 0 nor all 1.
                for ours in 1..(1_u32 << hosts) - 1 {
                    let kind = |k| if ours & (1_u32 << k) == 0 { Kind::Corosync } else { Kind::Annulus };
                    all.push(Self { kinds: (0..hosts).map(kind).collect(), transport });
                }
            }
        }
        all
    }

    /// Mixes on knet: every arrangement of 2 and 3 hosts with at least one of each kind, and some of those of 4 and 5
    /// hosts; one link and two, in the clear and encrypted.
    pub(crate) fn knet() -> Vec<Self> {
        let few = Self::all().into_iter().filter(|mix| mix.transport == Transport::Udpu && mix.len() <= 3);
        let mut kinds: Vec<Vec<Kind>> = few.map(|mix| mix.kinds).collect();
        for more in ["ACCC", "CAAC", "ACAC", "CAAA", "CACAC", "ACACA", "CCCCA", "AACCC"] {
            kinds.push(format!("{more}/knet").parse::<Self>().expect("a mix").kinds);
        }
        let mut all = Vec::new();
        for word in ["knet", "knet+aes256+sha256", "knet2", "knet2+aes256+sha256"] {
            let transport = word.parse().expect("a transport");
            all.extend(kinds.iter().map(|kinds| Self { kinds: kinds.clone(), transport }));
        }
        all
    }

    /// The mixes that the environment names, or else those given.
    pub(crate) fn chosen(every_day: &[&str]) -> Vec<Self> {
        let parse = |word: &str| word.parse().unwrap_or_else(|why| panic!("{why}"));
        match std::env::var("ANNULUS_INTEROP_MIXES").as_deref() {
            Ok("all") => Self::all(),
            Ok("knet") => Self::knet(),
            Ok(list) => list.split(',').map(parse).collect(),
            Err(_) => every_day.iter().copied().map(parse).collect(),
        }
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for kind in &self.kinds {
            f.write_str(match kind {
                Kind::Annulus => "A",
                Kind::Corosync => "C",
                Kind::Trixie => "T",
            })?;
        }
        write!(f, "/{}", self.transport)
    }
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is no mix: A, C and T for each of up to {HOSTS} hosts, then / and the transport"
            )
        };
        let (hosts, transport) = text.split_once('/').ok_or_else(wrong)?;
        let transport = transport.parse()?;
        let kinds: Option<Vec<Kind>> = hosts
            .chars()
            .map(|letter| match letter {
                'A' => Some(Kind::Annulus),
                'C' => Some(Kind::Corosync),
                'T' => Some(Kind::Trixie),
                _ => None,
            })
            .collect();
        let kinds = kinds.filter(|kinds| (1..=HOSTS).contains(&kinds.len())).ok_or_else(wrong)?;
        Ok(Self { kinds, transport })
    }
}

/// Tells a story of `hosts` hosts on Corosync alone and on each mix, and compares; see [`crate::both`]. `more` is the
/// mixes that `ANNULUS_INTEROP_FULL=1` adds to the default ones.
pub(crate) fn tell(hosts: usize, every_day: &[&str], more: &[&str], story: fn(&mut Side)) {
    let named = [every_day, if crate::full() { more } else { &[] }].concat();
    for mix in Mix::chosen(&named).into_iter().filter(|mix| mix.len() == hosts) {
        let start = std::time::Instant::now();
        compare_with(&mix.kinds, mix.transport, story);
        println!("{mix}: the same as on Corosync alone, in {:.0} s", start.elapsed().as_secs_f64());
    }
}

#[test]
fn mix_names_are_parsed_and_written() {
    let all = Mix::all();
    assert_eq!(all.len(), 2 * (2 + 6 + 14 + 30));
    for mix in &all {
        assert!(mix.kinds.contains(&Kind::Annulus) && mix.kinds.contains(&Kind::Corosync), "{mix}");
        assert_eq!(mix.to_string().parse().as_ref(), Ok(mix));
    }
    for mix in Mix::knet() {
        assert_eq!(mix.to_string().parse(), Ok(mix));
    }
    for wrong in ["", "AC", "AC/knot", "AXC/udp", "/udp", "ACACAC/udp", "AC/knet3"] {
        assert!(wrong.parse::<Mix>().is_err(), "{wrong}");
    }
}
