//! Debian 13's Corosync on a ring with annulusd and with Debian 12's Corosync: streams, votes, tools, groups, random
//! faults.
//!
//! `scripts/trixie.sh` makes the Debian 13 system and runs these tests.

use super::{Mix, faults, stream};
use crate::ready;
use crate::trixie::trixie_is_here;

/// Each of the versions as representative, and both with annulusd between them.
const MIXES: [&str; 7] = [
    "AT/udpu",
    "TA/knet",
    "ATA/knet2+aes256+sha256",
    "TAT/knet+aes256+sha256",
    "CTA/knet2+aes256+sha256",
    "TAC/udpu",
    "TACA/knet2+none+sha512+active",
];

fn can() -> bool {
    ready() && trixie_is_here()
}

/// Three senders at full speed.
#[test]
#[ignore = "needs Debian 13's system: scripts/trixie.sh"]
fn three_senders() {
    if can() {
        stream::streams(&Mix::chosen(&MIXES));
    }
}

/// Faults in random order.
#[test]
#[ignore = "needs Debian 13's system: scripts/trixie.sh"]
fn random_faults() {
    if can() {
        faults::random(&Mix::chosen(&["AT/knet2+aes256+sha256", "TAT/udpu", "CTA/knet2+aes256+sha256"]));
    }
}
