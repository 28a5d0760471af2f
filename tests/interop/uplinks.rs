//! An interface that goes down or comes back: the daemon is told by the kernel, long before it looks by itself.

use std::time::{Duration, Instant};

use crate::lab::{Kind, Lab, Settings, Transport, wait_until};
use crate::ready;

/// The longest time until the daemon has noticed; it looks by itself after 30 s.
const SOON: Duration = Duration::from_secs(5);

#[test]
fn an_interface_that_goes_down_is_noticed_at_once() {
    if !ready() {
        return;
    }
    for transport in [Transport::Udpu, Transport::SEALED] {
        let mut lab = Lab::shared(2);
        lab.configure_with(&Settings::new(transport, "downcheck: 30000", 2));
        lab.start_all(Kind::Annulus);
        lab.wait_for_one_ring();
        for (command, line) in
            [("ip link set eth0 down", "interface is gone"), ("ip link set eth0 up", "interface is back")]
        {
            lab.must(2, command);
            let begun = Instant::now();
            let noticed = || lab.log(2).lines().any(|said| said.contains(line));
            assert!(wait_until(SOON, noticed).is_ok(), "{transport}: {command}\n{}", lab.log_tail(2));
            println!("{transport}: {command}: noticed after {:?}", begun.elapsed());
        }
    }
}
