//! Checks the imports in the source against the ranks of ARCHITECTURE.md.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Rooms by rank. A room imports only rooms of lower ranks; rooms of the same rank never import each other.
const RANKS: &[&[&str]] = &[
    &["ids"],
    &["view", "time", "error", "value", "secret"],
    &["config", "quiet"],
    &["transport", "totem", "ipc"],
    &["service"],
    &["admin", "confdb", "cpg", "quorum"],
    &["client", "stack"],
    &["node", "sam"],
    &["cli", "daemon"],
];

/// The one exception: the library of a service speaks to its desk through a channel, over IPC or in the same process.
fn is_excepted(file: &str, to: &str) -> bool {
    file == "client/mod.rs" && to == "ipc" || to == "cpg" && file.starts_with("client/")
}

/// The layers of the ring, lowest first: bytes, protocol, packing. A layer imports only those before it.
const TOTEM: &[&str] = &["wire", "srp", "pg"];

fn rank(room: &str) -> Option<usize> {
    RANKS.iter().position(|rooms| rooms.contains(&room))
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// Every `crate::a::b` in the code of a file, as (`a`, `b`); comments do not count.
fn imports(text: &str) -> Imports {
    let code: String =
        text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
    let word = |rest: &str| -> String {
        rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
    };
    code.match_indices("crate::")
        .map(|(at, found)| {
            let rest = &code[at + found.len()..];
            let room = word(rest);
            let below = rest.strip_prefix(&format!("{room}::")).unwrap_or_default();
            let inner = word(below);
            // Of a wire module inside a part of a room, only the fact that it is one matters.
            let is_wire = below.strip_prefix(&inner).is_some_and(|rest| rest.starts_with("::wire::"));
            (room, if is_wire { "wire".to_owned() } else { inner })
        })
        .collect()
}

/// Rooms that a file imports, each with the part of it that the file names.
type Imports = BTreeSet<(String, String)>;

/// Each source file: its path below `src`, its room and its imports.
fn files() -> Vec<(String, String, Imports)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    sources(&src, &mut found);
    found
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(&src).unwrap().to_string_lossy().into_owned();
            let room = name.split('/').next().unwrap().trim_end_matches(".rs").to_owned();
            let text = fs::read_to_string(&path).unwrap();
            (name, room, imports(&text))
        })
        .filter(|(name, ..)| name != "lib.rs" && !name.starts_with("bin/"))
        .collect()
}

#[test]
fn every_room_has_a_rank() {
    let files = files();
    assert!(files.len() > 50, "the walk found the source");
    for (name, room, imports) in &files {
        assert!(
            !imports.iter().any(|(to, _)| to.is_empty()),
            "{name}: `crate::{{..}}` hides rooms; one a line"
        );
        assert!(
            rank(room).is_some(),
            "{name}: the room `{room}` has no rank; add it to ARCHITECTURE.md and here"
        );
    }
}

#[test]
fn imports_go_down_the_ranks() {
    let mut wrong = Vec::new();
    for (name, room, imports) in files() {
        for (to, _) in &imports {
            let Some(target) = rank(to) else { continue }; // an item of the crate's root
            let allowed = *to == room || target < rank(&room).unwrap() || is_excepted(&name, to);
            if !allowed {
                wrong.push(format!("{name} imports {to}"));
            }
        }
    }
    assert!(wrong.is_empty(), "against the ranks:\n{}", wrong.join("\n"));
}

#[test]
fn wire_modules_import_only_basic_rooms_and_their_header() {
    let mut wrong = Vec::new();
    for (name, room, imports) in files() {
        let is_wire = name.ends_with("/wire.rs") || name.contains("/wire/");
        for (to, inner) in imports.iter().filter(|_| is_wire) {
            let header = inner == "wire" && matches!(to.as_str(), "ipc" | "service");
            if *to != room && rank(to).is_some_and(|rank| rank > 1) && !header {
                wrong.push(format!("{name} imports {to}::{inner}"));
            }
        }
    }
    assert!(wrong.is_empty(), "bytes that know too much:\n{}", wrong.join("\n"));
}

#[test]
fn the_layers_of_the_ring_import_only_lower_ones() {
    let mut wrong = Vec::new();
    for (name, room, imports) in files() {
        if room != "totem" {
            continue;
        }
        let layer = |part: &str| TOTEM.iter().position(|layer| *layer == part);
        let Some(own) = layer(name.split('/').nth(1).unwrap()) else { continue };
        for (_, inner) in imports.iter().filter(|(to, _)| to == "totem") {
            if layer(inner).is_none_or(|layer| layer > own) {
                wrong.push(format!("{name} imports totem::{inner}"));
            }
        }
    }
    assert!(wrong.is_empty(), "against the layers of the ring:\n{}", wrong.join("\n"));
}

#[test]
fn rooms_do_not_import_in_a_circle() {
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (_, room, imports) in files() {
        let targets = graph.entry(room.clone()).or_default();
        targets.extend(imports.into_iter().map(|(to, _)| to).filter(|to| *to != room && rank(to).is_some()));
    }
    // Removes rooms that import none of those that are left, until no room is left or only circles are.
    while let Some(leaf) =
        graph.iter().find(|(_, to)| to.iter().all(|to| !graph.contains_key(to))).map(|(room, _)| room.clone())
    {
        graph.remove(&leaf);
    }
    assert!(graph.is_empty(), "a circle among {:?}", graph.keys().collect::<Vec<_>>());
}

#[test]
fn the_core_has_no_clock_socket_thread_or_randomness() {
    const FOREIGN: [&str; 7] =
        ["std::time::Instant", "SystemTime", "std::net", "std::thread", "tokio", "socket2", "rustix"];
    const CORE: [&str; 5] = ["totem", "service", "admin", "cpg", "stack"];
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for (name, room, _) in files() {
        // The library of a service and its channel belong to the side of its users.
        let outside = name.contains("client") || name == "service/channel.rs";
        if outside || !CORE.contains(&room.as_str()) {
            continue;
        }
        let text = fs::read_to_string(src.join(&name)).unwrap();
        let code: Vec<_> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        for foreign in FOREIGN {
            if code.iter().any(|line| line.contains(foreign)) {
                wrong.push(format!("{name} uses {foreign}"));
            }
        }
    }
    assert!(wrong.is_empty(), "the core does what others must do:\n{}", wrong.join("\n"));
}
