//! The changes that a reload makes to the database.

use super::*;
use crate::admin::tests::Noted;

fn database(entries: &[(&str, Value)]) -> Noted {
    let mut database = Noted::default();
    for (name, value) in entries {
        database.set(name, value.clone());
    }
    database.log.clear();
    database
}

fn map(entries: &[(&str, Value)]) -> Map {
    let mut map = Map::default();
    for (name, value) in entries {
        map.set(name.as_bytes(), value.clone(), Origin::Derived).unwrap();
    }
    map
}

/// The order of changes that clients of Corosync see.
#[test]
fn a_valid_file_is_applied_between_the_flags() {
    let mut database = database(&[
        ("config.reload_error_message", Value::text("bad")),
        ("nodelist.node.2.nodeid", Value::U32(3)),
        ("pload.count", Value::U32(1)),
        ("runtime.members.1.status", Value::text("joined")),
        ("totem.transport", Value::text("udpu")),
        ("totem.token", Value::U32(3000)),
    ]);
    let new = map(&[
        ("totem.cluster_name", Value::text("added")),
        ("totem.token", Value::U32(5000)),
        ("totem.transport", Value::text("udp")),
        ("totem.window_size", Value::U32(60)),
    ]);
    assert_eq!(
        kept(&new, &database),
        [("totem.cluster_name", &Origin::Derived), ("totem.transport", &Origin::Derived)],
        "changed or added, they wait for a restart"
    );
    let changed = take_over(&new, &mut database);
    assert_eq!(changed, ["nodelist.node.2.nodeid", "totem.token", "totem.window_size"]);
    assert_eq!(
        std::mem::take(&mut database.log),
        [
            "config.totemconfig_reload_in_progress=U8(1)",
            "-config.reload_error_message",
            "config.reload_in_progress=U8(1)",
            "-nodelist.node.2.nodeid",
            "totem.token=U32(5000)",
            "totem.window_size=U32(60)",
            "config.reload_status=I32(1)",
            "config.totemconfig_reload_in_progress=U8(0)",
            "config.reload_in_progress=U8(0)",
        ]
    );
    assert_eq!(database.get("totem.transport"), Some(&Value::text("udpu")));
    assert!(database.get("pload.count").is_some() && database.get("runtime.members.1.status").is_some());

    assert!(take_over(&new, &mut database).is_empty());
    assert_eq!(database.log.len(), 4, "nothing but the flags: {:?}", database.log);
}

/// A key that is removed from the file is deleted, although the change needs a restart to take effect.
#[test]
fn a_fixed_key_can_be_removed() {
    let mut database = database(&[("totem.netmtu", Value::U32(1500))]);
    assert_eq!(take_over(&Map::default(), &mut database), ["totem.netmtu"]);
    assert!(database.get("totem.netmtu").is_none());
}

#[test]
fn an_invalid_file_changes_only_the_recorded_status() {
    let mut database = database(&[("totem.token", Value::U32(3000))]);
    refuse(Status::InvalidParam, "corosync.conf:3: what is this?\0", &mut database);
    assert_eq!(database.get("totem.token"), Some(&Value::U32(3000)));
    assert_eq!(database.get(STATUS), Some(&Value::I32(7)));
    assert_eq!(database.get(ERROR_MESSAGE), Some(&Value::text("corosync.conf:3: what is this?")));
    assert_eq!(database.get(TOTEM_IN_PROGRESS), Some(&Value::U8(0)));
}
