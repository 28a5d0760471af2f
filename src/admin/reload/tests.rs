//! The changes that a reload makes to the database.

use std::path::Path;

use super::*;
use crate::config::os::OsHost;

fn database(entries: &[(&str, Value)]) -> Database {
    let mut database = Database::default();
    for (name, value) in entries {
        database.set(name, value.clone());
    }
    log(&mut database);
    database
}

/// The changes since they were last taken, in order.
fn log(database: &mut Database) -> Vec<String> {
    let changes = std::iter::from_fn(|| database.take_change());
    changes
        .map(|change| match change.new {
            Some(value) => format!("{}={value:?}", change.name),
            None => format!("-{}", change.name),
        })
        .collect()
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
    let expected = [("totem.cluster_name", &Origin::Derived), ("totem.transport", &Origin::Derived)];
    assert_eq!(kept(&new, &database), expected, "changed or added, they wait for a restart");
    let changed = take_over(&new, &mut database);
    assert_eq!(changed, ["nodelist.node.2.nodeid", "totem.token", "totem.window_size"]);
    let expected = [
        "config.totemconfig_reload_in_progress=U8(1)",
        "-config.reload_error_message",
        "config.reload_in_progress=U8(1)",
        "-nodelist.node.2.nodeid",
        "totem.token=U32(5000)",
        "totem.window_size=U32(60)",
        "config.reload_status=I32(1)",
        "config.totemconfig_reload_in_progress=U8(0)",
        "config.reload_in_progress=U8(0)",
    ];
    assert_eq!(log(&mut database), expected);
    assert_eq!(database.get("totem.transport"), Some(&Value::text("udpu")));
    assert!(database.get("pload.count").is_some() && database.get("runtime.members.1.status").is_some());

    assert!(take_over(&new, &mut database).is_empty());
    let log = log(&mut database);
    assert_eq!(log.len(), 4, "nothing but the flags: {log:?}");
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

/// Corosync's nodes refuse another address for a link, so annulus nodes on a ring with them must refuse it
/// too.
#[test]
fn a_changed_link_address_is_refused_in_corosyncs_words() {
    let knet = |own: &str, other: &str| {
        let text = format!(
            "totem {{\nversion: 2\n}}\nnodelist {{\nnode {{\nnodeid: 1\nname: a\nring0_addr: 127.0.0.1\n\
             ring1_addr: {own}\n}}\nnode {{\nnodeid: 2\nname: b\nring0_addr: 127.0.0.2\nring1_addr: {other}\n}}\n}}\n"
        );
        Config::from_conf(text.as_bytes(), Path::new("test.conf"), &OsHost).unwrap()
    };
    let mut database = Database::default();
    for (name, entry) in knet("127.0.1.1", "127.0.1.2").map.iter() {
        database.set(name, entry.value.clone());
    }
    let said = |config: &Config| readdressed(config, &database);
    assert_eq!(said(&knet("127.0.1.1", "127.0.1.2")), None);
    for (own, other, from, to) in [
        ("127.0.3.1", "127.0.1.2", "127.0.1.1", "127.0.3.1"),
        ("127.0.1.1", "127.0.3.2", "127.0.1.2", "127.0.3.2"),
    ] {
        let told = said(&knet(own, other)).unwrap();
        let wanted = format!(
            "new config has different address for link 1 (addr changed from {from} to {to}). Internal value was NOT \
             changed.\n  To reconfigure an interface it must be deleted and recreated."
        );
        assert!(told.starts_with(&wanted), "{told}");
    }
    // Other rules apply to udpu.
    let udpu = "[totem]\ntransport = \"udpu\"\n\n[[nodelist.node]]\nnodeid = 1\nring0_addr = \"127.0.0.1\"\n";
    assert_eq!(said(&Config::from_toml(udpu.as_bytes(), Path::new("test.toml"), &OsHost).unwrap()), None);
}
