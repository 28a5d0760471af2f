//! The vote on a shutdown.

use super::*;
use crate::admin::wire::request::number;

/// Another client, which connects late.
const LATE: ConnId = ConnId(4);

impl Admin {
    /// Expects two answers: one to the client that answered, then one to the initiator.
    fn both(&mut self, speaker: ConnId, number: u16) -> Status {
        let replies = self.take_replies();
        let [(first, done), (A, verdict)] = &replies[..] else { panic!("{replies:?}") };
        assert_eq!((*first, status_of(number, done)), (speaker, Status::Ok));
        status_of(number::TRY_SHUTDOWN, verdict)
    }
}

#[test]
fn a_shutdown_with_nobody_to_ask_is_agreed() {
    let mut admin = Admin::pair();
    assert_eq!(admin.call(A, Ask::TrackStart { flags: 0 }), Ok(Reply::Done), "one does not ask oneself");
    admin.cluster.held = true;
    assert_eq!(admin.call(A, Ask::TryShutdown { flags: 0 }), Ok(Reply::Done));
    admin.cluster.run(Duration::from_millis(100));
    assert!(admin.orders().is_empty(), "not before all know");
    admin.cluster.held = false;
    assert_eq!(admin.sent(), [Exec::Shutdown.encode(id(1))]);
    assert_eq!(admin.orders(), [Order::Shutdown]);
    assert!(admin.questions().is_empty());
}

#[test]
fn another_nodes_shutdown_has_no_effect() {
    let mut admin = Admin::pair();
    admin.node_2_says(&Exec::Shutdown);
    assert!(admin.orders().is_empty());
    assert_eq!(admin.take_orders(2), [Order::Shutdown]);
}

#[test]
fn trackers_are_asked_and_may_object() {
    let mut admin = Admin::pair();
    for tracker in [B, C] {
        assert_eq!(admin.call(tracker, Ask::TrackStart { flags: 1 }), Ok(Reply::Done));
    }
    admin.ask(A, Ask::TryShutdown { flags: 0 });
    assert!(!admin.is_answered(), "not before they have answered");
    assert_eq!(admin.questions(), [(B, 0), (C, 0)]);
    assert_eq!(admin.refused(B, Ask::TryShutdown { flags: 0 }), Status::Exist);
    assert_eq!(admin.call(B, Ask::ReplyToShutdown { response: 1 }), Ok(Reply::Done));
    admin.ask(C, Ask::ReplyToShutdown { response: 0 });
    assert_eq!(admin.both(C, number::REPLY_TO_SHUTDOWN), Status::Busy);
    assert!(admin.sent().is_empty() && admin.orders().is_empty());
}

#[test]
fn all_agree() {
    let mut admin = Admin::pair();
    assert_eq!(admin.refused(B, Ask::ReplyToShutdown { response: 1 }), Status::Access, "nobody asked");
    admin.call(B, Ask::TrackStart { flags: 0 }).unwrap();
    admin.ask(A, Ask::TryShutdown { flags: 0 });
    admin.call(C, Ask::TrackStart { flags: 0 }).unwrap();
    assert_eq!(admin.questions(), [(B, 0), (C, 0)], "one that comes late is asked too");
    admin.call(B, Ask::ReplyToShutdown { response: 1 }).unwrap();
    admin.ask(C, Ask::ReplyToShutdown { response: 1 });
    assert_eq!(admin.both(C, number::REPLY_TO_SHUTDOWN), Status::Ok);
    admin.cluster.settle();
    assert_eq!(admin.orders(), [Order::Shutdown]);
}

#[test]
fn disconnecting_is_no_objection() {
    let mut admin = Admin::pair();
    admin.call(B, Ask::TrackStart { flags: 0 }).unwrap();
    admin.call(C, Ask::TrackStart { flags: 0 }).unwrap();
    admin.ask(A, Ask::TryShutdown { flags: 0 });
    admin.cluster.disconnect(1, B);
    admin.ask(C, Ask::TrackStop);
    assert_eq!(admin.both(C, number::TRACK_STOP), Status::Ok);
    assert_eq!(admin.sent(), [Exec::Shutdown.encode(id(1))]);
}

#[test]
fn no_answer_is_an_objection_unless_answers_do_not_count() {
    for (flags, status, sent) in [(0, Status::Busy, 0), (1, Status::Ok, 1)] {
        let mut admin = Admin::pair();
        admin.set("cfg.shutdown_timeout", Value::U32(1500));
        admin.call(B, Ask::TrackStart { flags: 0 }).unwrap();
        admin.ask(A, Ask::TryShutdown { flags });
        let at = admin.desk().deadline().unwrap();
        assert_eq!(at, admin.cluster.now + Duration::from_millis(1500));
        admin.cluster.run(Duration::from_millis(1499));
        assert!(!admin.is_answered());
        admin.run_past(at);
        assert_eq!(admin.verdict(A, number::TRY_SHUTDOWN), status);
        assert_eq!(admin.sent().len(), sent);
        assert_eq!(admin.desk().deadline(), None);
    }
}

#[test]
fn a_vote_ends_with_its_initiator() {
    let mut admin = Admin::pair();
    admin.call(B, Ask::TrackStart { flags: 0 }).unwrap();
    admin.ask(A, Ask::TryShutdown { flags: 0 });
    admin.cluster.disconnect(1, A);
    assert_eq!(admin.desk().deadline(), None);
    assert_eq!(admin.refused(B, Ask::ReplyToShutdown { response: 1 }), Status::Access);
    assert!(admin.sent().is_empty() && !admin.is_answered());
    admin.cluster.connect(1, ServiceId::CFG, LATE);
    assert_eq!(admin.call(LATE, Ask::TryShutdown { flags: 2 }), Ok(Reply::Done), "at once: nobody is asked");
    assert_eq!(admin.sent().len(), 1);
}
