//! Store, trackers and iterations compared with a naive model, over random histories.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::bench::{ALL, Bench, Told};
use crate::confdb::wire::{lib, track};
use crate::error::Status;
use crate::ids::ConnId;
use crate::value::Value;

#[derive(Clone, Debug)]
enum Step {
    Set(usize, u8),
    Delete(usize),
    Track { key: usize, cut: usize, kind: i32 },
    Untrack(usize),
    Disconnect(usize),
    Iterate(usize),
}

const KEYS: [&str; 8] = ["key", "key.a", "key.b", "key.a.b", "kez", "other", "other.a", "zzz"];

fn step() -> impl Strategy<Value = Step> {
    let key = 0..KEYS.len();
    prop_oneof![
        8 => (key.clone(), 0..3_u8).prop_map(|(key, value)| Step::Set(key, value)),
        3 => key.clone().prop_map(Step::Delete),
        4 => (key.clone(), 0..8_usize, 0..16).prop_map(|(key, cut, kind)| Step::Track { key, cut, kind }),
        1 => any::<prop::sample::Index>().prop_map(|n| Step::Untrack(n.index(64))),
        1 => (0..3_usize).prop_map(Step::Disconnect),
        1 => key.prop_map(Step::Iterate),
    ]
}

/// A tracker of the model.
#[derive(Clone, Debug)]
struct Tracker {
    conn: ConnId,
    handle: u64,
    inst: u64,
    kind: i32,
    key: String,
}

/// The trackers that an event concerns, found by checking every tracker.
fn concerned<'a>(trackers: &'a [Tracker], name: &str, event: i32) -> Vec<&'a Tracker> {
    let wants = |tracker: &&Tracker| tracker.kind & event != 0;
    let prefix = |tracker: &&Tracker| tracker.kind & track::PREFIX != 0;
    let mut all: Vec<&Tracker> = Vec::new();
    all.extend(trackers.iter().rev().filter(wants).filter(|t| !prefix(t) && t.key == name));
    for length in (1..=name.len()).rev() {
        all.extend(trackers.iter().filter(wants).filter(|t| prefix(t) && t.key == name[..length]));
    }
    all.extend(trackers.iter().rev().filter(wants).filter(|t| prefix(t) && t.key.is_empty()));
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_desk_behaves_like_a_naive_model(steps in prop::collection::vec(step(), 1..120)) {
        let mut bench = Bench::new();
        let author = bench.connect(99);
        let mut next_conn = 3;
        let mut listeners: Vec<ConnId> = (0..3).map(|n| bench.connect(n)).collect();
        let mut store: BTreeMap<&str, Value> = BTreeMap::new();
        let mut trackers: Vec<Tracker> = Vec::new();
        for (n, step) in steps.into_iter().enumerate() {
            let change = match step {
                Step::Set(key, value) => {
                    let value = if value == 2 { Value::text("two") } else { Value::U8(value) };
                    Some((KEYS[key], Some(value)))
                }
                Step::Delete(key) => Some((KEYS[key], None)),
                Step::Track { key, cut, kind } => {
                    let key = &KEYS[key][..KEYS[key].len().min(cut)];
                    let (conn, inst) = (listeners[n % 3], n as u64);
                    let handle = bench.track(conn, key, kind, inst).unwrap();
                    trackers.push(Tracker { conn, handle, inst, kind, key: key.into() });
                    None
                }
                Step::Untrack(at) => {
                    if at < trackers.len() {
                        let gone = trackers.remove(at);
                        let reply = bench.reply(gone.conn, &lib::track_delete(gone.handle));
                        prop_assert_eq!(lib::handle_reply(&reply), Some(gone.inst));
                    }
                    None
                }
                Step::Disconnect(at) => {
                    trackers.retain(|tracker| tracker.conn != listeners[at]);
                    bench.disconnect(listeners[at]);
                    listeners[at] = bench.connect(next_conn);
                    next_conn += 1;
                    None
                }
                Step::Iterate(key) => {
                    let prefix = &KEYS[key][..3];
                    let keys = bench.keys(author, prefix);
                    let naive: Vec<&str> =
                        store.keys().copied().filter(|name| name.starts_with(prefix)).collect();
                    prop_assert_eq!(keys, naive);
                    None
                }
            };
            let Some((name, new)) = change else { continue };
            let old = store.get(name).cloned();
            let request = match &new {
                Some(value) => lib::set(name, value),
                None => lib::delete(name),
            };
            let told = bench.ask(author, &request);
            let status = match (&old, &new) {
                (None, None) => Status::NotExist,
                _ => Status::Ok,
            };
            let (reply, events) = told.split_last().unwrap();
            let Told::Reply(_, reply) = reply else { panic!("the answer comes last: {told:?}") };
            prop_assert_eq!(lib::status(reply), Some(status));
            let event = match (&old, &new) {
                (old, new) if old == new => 0,
                (None, _) => track::ADD,
                (_, None) => track::DELETE,
                _ => track::MODIFY,
            };
            let expected: Vec<_> = concerned(&trackers, name, event & ALL)
                .into_iter()
                .map(|tracker| (tracker.conn, tracker.inst, event, new.clone(), old.clone()))
                .collect();
            let events: Vec<_> = events
                .iter()
                .map(|told| match told {
                    Told::Event(conn, e) => (*conn, e.inst, e.event, e.new.clone(), e.old.clone()),
                    Told::Reply(..) => panic!("two answers: {told:?}"),
                })
                .collect();
            prop_assert_eq!(events, expected);
            match new {
                Some(value) => drop(store.insert(name, value)),
                None => drop(store.remove(name)),
            }
        }
    }
}
