//! One suite for all transports: the guarantees that the ring relies on must hold on each of them.
//!
//! `suite.rs` has the stories, `site.rs` the places where they run: addresses of the loopback interface and, for
//! root, network namespaces on one bridge. Without root the latter are skipped with a message.

mod interface;
#[path = "../loopback/mod.rs"]
mod loopback;
mod refusals;
mod site;
mod suite;

/// Makes a test of every story of the suite at one site.
macro_rules! at_site {
    ($($module:ident: $wire:expr, $place:expr;)*) => {$(
        mod $module {
            use crate::site::{Place, Site, Wire};
            use crate::suite;

            at_site!(@story $wire, $place;
                arrives_bit_exact_and_in_order frames_of_one_length_arrive_one_by_one every_size_arrives
                bursts_arrive_whole
                a_token_never_overtakes_its_senders_data all_excludes_the_sender_and_a_node_reaches_itself
                an_unlisted_sender_is_refused_and_counted another_program_on_a_peers_host_is_refused_and_counted
                loading_the_node_list_again_duplicates_nothing datagrams_that_cannot_be_sent_are_counted
                datagrams_lost_in_a_full_receive_buffer_are_counted everybody_at_once_keeps_each_senders_order
            );
        }
    )*};
    (@story $wire:expr, $place:expr; $($story:ident)*) => {$(
        #[test]
        fn $story() {
            if let Some(site) = Site::build($wire, $place) {
                site.play(suite::$story);
            }
        }
    )*};
}

at_site! {
    udpu_loopback: Wire::Udpu, Place::Loopback;
    udp_loopback: Wire::Multicast, Place::Loopback;
    udpu_bridge: Wire::Udpu, Place::Bridge;
    udp_bridge: Wire::Multicast, Place::Bridge;
    broadcast_bridge: Wire::Broadcast, Place::Bridge;
    udpu_bridge_ipv6: Wire::Udpu, Place::BridgeIpv6;
    udp_bridge_ipv6: Wire::Multicast, Place::BridgeIpv6;
    udpu_bridge_link_local: Wire::Udpu, Place::BridgeLinkLocal;
    udp_bridge_link_local: Wire::Multicast, Place::BridgeLinkLocal;
}
