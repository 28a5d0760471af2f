//! Who may import whom, where bytes have a layout, and what the core may not do: the rules of ARCHITECTURE.md, checked
//! against the source. Each rule is a function over the source files, so that a test can show that it finds a violation.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Rooms by rank. A room imports only rooms of lower ranks, so rooms of the same rank never import each other.
const RANKS: &[&[&str]] = &[
    &["ids"],
    &["view", "time", "error", "value", "secret", "interfaces", "wall"],
    &["config", "quiet"],
    &["transport", "totem", "ipc"],
    &["service"],
    &["admin", "confdb", "cpg", "quorum"],
    &["client", "stack"],
    &["node", "sam"],
    &["cli", "daemon"],
];

/// The layers of the ring from the lowest to the highest: packing is above the protocol, and the protocol above the
/// bytes.
const TOTEM: &[&str] = &["wire", "srp", "pg"];

/// The rooms that have no clock, socket, thread or randomness.
const CORE: &[&str] = &["totem", "service", "admin", "confdb", "cpg", "quorum", "stack"];

/// What only the programs around the core may use.
const FOREIGN: &[&str] =
    &["std::time::Instant", "SystemTime", "std::net", "std::thread", "tokio", "socket2", "rustix", "rand::"];

fn rank(room: &str) -> Option<usize> {
    RANKS.iter().position(|rooms| rooms.contains(&room))
}

/// A source file below `src`.
#[derive(Clone, Debug)]
struct Source {
    /// Its path below `src`.
    name: String,
    /// Its code without comments and without the module of inline tests.
    code: String,
}

impl Source {
    fn new(name: &str, text: &str) -> Self {
        let lines: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
        let code = lines.join("\n");
        let code = code.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        Self { name: name.to_owned(), code: code.to_owned() }
    }

    fn room(&self) -> &str {
        self.name.split('/').next().unwrap_or_default().trim_end_matches(".rs")
    }

    fn is_wire(&self) -> bool {
        self.name.ends_with("/wire.rs") || self.name.contains("/wire/")
    }

    fn is_test(&self) -> bool {
        self.name.contains("/tests/") || self.name.ends_with("/tests.rs") || self.name.contains("/stories.rs")
    }

    /// The library of a service and its channel belong to the users of the service, not to the core.
    fn is_library(&self) -> bool {
        self.name.contains("client") || self.name.starts_with("service/channel")
    }

    /// The module that the file is, as the parts of its path.
    fn module(&self) -> Vec<String> {
        let mut parts: Vec<String> =
            self.name.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
        if parts.last().is_some_and(|last| last == "mod") {
            parts.pop();
        }
        parts
    }

    /// Every path in the code that begins with `crate`, `super` or `self`, from the crate's root on; the items of a
    /// list in braces each by itself.
    fn imports(&self) -> BTreeSet<Vec<String>> {
        let code = &self.code;
        let mut found = BTreeSet::new();
        for begin in ["crate::", "super::", "self::"] {
            for (at, _) in code.match_indices(begin) {
                let before = code[..at].chars().next_back();
                // The rest of a longer path, and `pub(in crate::room)`, are no imports.
                if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
                    || code[..at].ends_with("pub(in ")
                {
                    continue;
                }
                for path in paths(&code[at..]) {
                    found.insert(self.absolute(&path));
                }
            }
        }
        found
    }

    fn absolute(&self, path: &[String]) -> Vec<String> {
        let mut absolute = match path[0].as_str() {
            "crate" => Vec::new(),
            _ => self.module(),
        };
        for part in path {
            match part.as_str() {
                "super" => {
                    absolute.pop();
                }
                "crate" | "self" => {}
                part => absolute.push(part.to_owned()),
            }
        }
        absolute
    }
}

/// The path that `text` begins with, or, if it ends in a list in braces, one path for each item.
fn paths(text: &str) -> Vec<Vec<String>> {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(text.len());
    let parts = |path: &str| -> Vec<String> {
        path.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect()
    };
    let begin = parts(&text[..end]);
    let Some(list) = text[end..].strip_prefix('{').filter(|_| text[..end].ends_with("::")) else {
        return vec![begin];
    };
    let list = list.split('}').next().unwrap_or_default();
    list.split(',')
        .map(|item| item.trim().split([' ', '{']).next().unwrap_or_default())
        .filter(|item| !item.is_empty())
        .map(|item| [begin.clone(), parts(item)].concat())
        .collect()
}

/// All source files but those of the programs and the crate's root.
fn sources() -> Vec<Source> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push(path);
            }
        }
    }
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&src, &mut found);
    found.sort();
    let sources: Vec<Source> = found
        .iter()
        .map(|path| {
            let name = path.strip_prefix(&src).unwrap().to_string_lossy();
            Source::new(&name, &fs::read_to_string(path).unwrap())
        })
        .filter(|source| source.name != "lib.rs" && !source.name.starts_with("bin/"))
        .collect();
    assert!(sources.len() > 300, "the walk finds the source");
    sources
}

// ---- the rules -----------------------------------------------------------------------------------------------------

fn rooms_without_a_rank(sources: &[Source]) -> Vec<String> {
    sources.iter().filter(|source| rank(source.room()).is_none()).map(|source| source.name.clone()).collect()
}

fn imports_against_the_ranks(sources: &[Source]) -> Vec<String> {
    let mut wrong = Vec::new();
    for source in sources {
        let own = rank(source.room()).unwrap_or(0);
        for path in source.imports() {
            let Some(to) = path.first().filter(|to| *to != source.room()) else { continue };
            if rank(to).is_some_and(|rank| rank >= own) {
                wrong.push(format!("{} imports {to}", source.name));
            }
        }
    }
    wrong
}

fn wires_that_know_more_than_names(sources: &[Source]) -> Vec<String> {
    let mut wrong = Vec::new();
    for source in sources.iter().filter(|source| source.is_wire()) {
        for path in source.imports() {
            let Some(to) = path.first().filter(|to| *to != source.room()) else { continue };
            let is_header =
                path.get(1).is_some_and(|part| part == "wire") && ["ipc", "service"].contains(&to.as_str());
            if rank(to).is_some_and(|rank| rank > 1) && !is_header {
                wrong.push(format!("{} imports {}", source.name, path.join("::")));
            }
        }
    }
    wrong
}

fn imports_against_the_layers_of_the_ring(sources: &[Source]) -> Vec<String> {
    let layer = |part: &str| TOTEM.iter().position(|layer| *layer == part);
    let mut wrong = Vec::new();
    for source in sources.iter().filter(|source| source.room() == "totem") {
        let Some(own) = source.module().get(1).and_then(|part| layer(part)) else { continue };
        for path in source.imports().iter().filter(|path| path.first().is_some_and(|room| room == "totem")) {
            if path.get(1).is_some_and(|part| layer(part).is_some_and(|layer| layer > own)) {
                wrong.push(format!("{} imports {}", source.name, path.join("::")));
            }
        }
    }
    wrong
}

/// Files that import each other in a circle, inside of each folder and of all rooms together. A folder is one part of
/// the folder that it is in.
fn circles(sources: &[Source]) -> Vec<String> {
    let real: Vec<&Source> = sources.iter().filter(|source| !source.is_test()).collect();
    let folders: BTreeSet<Vec<String>> =
        real.iter().map(|source| source.module()).map(|module| module[..module.len() - 1].to_vec()).collect();
    let mut wrong = Vec::new();
    for folder in folders {
        let depth = folder.len();
        let parts: BTreeSet<String> = real
            .iter()
            .map(|source| source.module())
            .filter(|module| module.len() > depth && module.starts_with(&folder))
            .map(|module| module[depth].clone())
            .collect();
        let mut graph: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for source in &real {
            let module = source.module();
            let Some(from) = module.get(depth).filter(|_| module.starts_with(&folder)) else { continue };
            let from = parts.get(from).expect("every part was listed");
            let targets = source.imports().into_iter().filter(|path| path.starts_with(&folder));
            let targets = targets.filter_map(|path| path.get(depth).cloned());
            let targets = targets.filter(|to| to != from && parts.contains(to));
            graph.entry(from).or_default().extend(targets);
        }
        // Removes parts that import none of those that are left, until nothing or only circles are left; then parts
        // that nobody who is left imports.
        while let Some(leaf) = graph
            .iter()
            .find(|(_, to)| to.iter().all(|to| !graph.contains_key(to.as_str())))
            .map(|(part, _)| *part)
        {
            graph.remove(leaf);
        }
        while let Some(root) =
            graph.keys().find(|part| graph.values().all(|to| !to.contains(**part))).copied()
        {
            graph.remove(root);
        }
        if !graph.is_empty() {
            let parts: Vec<&str> = graph.keys().copied().collect();
            wrong.push(format!("{}/: {}", folder.join("/"), parts.join(", ")));
        }
    }
    wrong
}

fn layouts_outside_of_wires(sources: &[Source]) -> Vec<String> {
    let core = sources.iter().filter(|source| CORE.contains(&source.room()));
    core.filter(|source| !source.is_wire() && !source.is_test() && !source.is_library())
        .filter(|source| ["zerocopy", "repr(C"].iter().any(|sign| source.code.contains(sign)))
        .map(|source| source.name.clone())
        .collect()
}

fn what_the_core_must_not_use(sources: &[Source]) -> Vec<String> {
    let mut wrong = Vec::new();
    let core = sources.iter().filter(|source| CORE.contains(&source.room()));
    for source in core.filter(|source| !source.is_library() && !source.is_test()) {
        for foreign in FOREIGN.iter().filter(|foreign| source.code.contains(**foreign)) {
            wrong.push(format!("{} uses {foreign}", source.name));
        }
    }
    wrong
}

// ---- the source keeps them -----------------------------------------------------------------------------------------

#[test]
fn every_room_has_a_rank() {
    let wrong = rooms_without_a_rank(&sources());
    assert!(wrong.is_empty(), "add these rooms to ARCHITECTURE.md and to RANKS: {wrong:?}");
}

#[test]
fn imports_follow_the_ranks() {
    let wrong = imports_against_the_ranks(&sources());
    assert!(wrong.is_empty(), "against the ranks:\n{}", wrong.join("\n"));
}

#[test]
fn wires_know_only_names_and_their_header() {
    let wrong = wires_that_know_more_than_names(&sources());
    assert!(wrong.is_empty(), "bytes that know too much:\n{}", wrong.join("\n"));
}

#[test]
fn the_ring_is_layered() {
    let wrong = imports_against_the_layers_of_the_ring(&sources());
    assert!(wrong.is_empty(), "against the layers of the ring:\n{}", wrong.join("\n"));
}

#[test]
fn nothing_imports_in_a_circle() {
    let wrong = circles(&sources());
    assert!(wrong.is_empty(), "circles:\n{}", wrong.join("\n"));
}

#[test]
fn layouts_are_in_wires() {
    let found = layouts_outside_of_wires(&sources());
    assert!(found.is_empty(), "the layout of a message belongs into a wire: {found:?}");
}

#[test]
fn the_core_has_no_clock_socket_thread_or_randomness() {
    let wrong = what_the_core_must_not_use(&sources());
    assert!(wrong.is_empty(), "the core does what others must do:\n{}", wrong.join("\n"));
}

// ---- each rule finds a violation -----------------------------------------------------------------------------------

/// That a rule which the source keeps finds this file if it is added.
fn finds(rule: impl Fn(&[Source]) -> Vec<String>, name: &str, text: &str) {
    let mut sources = sources();
    let before = rule(&sources);
    sources.retain(|source| source.name != name);
    sources.push(Source::new(name, text));
    let after = rule(&sources);
    let new: Vec<&String> = after.iter().filter(|found| !before.contains(found)).collect();
    assert!(!new.is_empty(), "{name} with {text:?} passes");
}

#[test]
fn each_rule_finds_a_violation() {
    finds(rooms_without_a_rank, "attic/mod.rs", "");
    finds(imports_against_the_ranks, "totem/srp/up.rs", "use crate::stack::Stack;");
    finds(imports_against_the_ranks, "cpg/beside.rs", "fn ask() { crate::quorum::settings::read() }");
    finds(imports_against_the_ranks, "ipc/beside.rs", "use crate::{ids, totem::Totem};");
    finds(wires_that_know_more_than_names, "cpg/wire.rs", "use crate::service::Effects;");
    finds(imports_against_the_layers_of_the_ring, "totem/wire/up.rs", "use super::super::srp::Srp;");
    finds(circles, "cpg/groups.rs", "use super::sync::Exchange;");
    finds(circles, "totem/srp/members.rs", "use super::{ring::Ring, timers};");
    finds(circles, "transport/addr.rs", "use crate::transport::links;");
    finds(layouts_outside_of_wires, "totem/srp/bytes.rs", "#[repr(C)] struct Token;");
    finds(layouts_outside_of_wires, "admin/status.rs", "use zerocopy::IntoBytes;");
    for foreign in FOREIGN {
        finds(what_the_core_must_not_use, "quorum/clock.rs", &format!("use {foreign}now;"));
    }
}

#[test]
fn paths_are_read_as_the_compiler_reads_them() {
    let source = Source::new(
        "cpg/client/group.rs",
        "use super::wire;\nuse super::super::groups::{self, Groups, name::Name};\nuse crate::ids::NodeId; // crate::totem\n\
         pub(in crate::cpg) fn f() { self::g(); other::crate::h() }\n#[cfg(test)]\nmod tests {\nuse crate::totem::Totem;\n}",
    );
    let found: Vec<String> = source.imports().iter().map(|path| path.join("::")).collect();
    let expected = [
        "cpg::client::group::g",
        "cpg::client::wire",
        "cpg::groups",
        "cpg::groups::Groups",
        "cpg::groups::name::Name",
        "ids::NodeId",
    ];
    assert_eq!(found, expected);
}
