//! A client's iteration over the groups: a snapshot of the process table and a position in it.
//!
//! Source: corosync `exec/cpg.c`, `message_handler_req_lib_cpg_iteration*`; `cpg_iteration_initialize(3)`.

use std::collections::{BTreeMap, HashMap};

use super::groups::Process;
use super::name::{GroupName, Member};
use crate::error::Status;

/// Largest number of open iterations of one connection; further ones are refused with `CS_ERR_NO_RESOURCES`.
pub const ITERATIONS_PER_CONNECTION: usize = 16;

/// What an iteration lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope<'a> {
    /// The name of each group once.
    Names,
    /// The members of one group.
    Group(&'a [u8]),
    /// All members of all groups.
    All,
}

/// One entry of an iteration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) group: GroupName,
    /// `None` in an iteration over names.
    pub(crate) member: Option<Member>,
}

/// The open iterations of one connection.
#[derive(Debug, Default)]
pub(crate) struct Iterations {
    last: u64,
    open: BTreeMap<u64, Walk>,
}

#[derive(Debug)]
struct Walk {
    entries: Vec<Entry>,
    next: usize,
}

impl Iterations {
    /// Takes a snapshot and returns its handle.
    pub(crate) fn open(&mut self, scope: Scope<'_>, table: &[Process]) -> Result<u64, Status> {
        if self.open.len() >= ITERATIONS_PER_CONNECTION {
            return Err(Status::NoResources);
        }
        self.last += 1;
        self.open.insert(self.last, Walk { entries: snapshot(scope, table), next: 0 });
        Ok(self.last)
    }

    /// The next entry. After the last one it returns `NoSections` once, and then begins again.
    pub(crate) fn next(&mut self, handle: u64) -> Result<&Entry, Status> {
        let walk = self.open.get_mut(&handle).ok_or(Status::Library)?;
        match walk.entries.get(walk.next) {
            Some(entry) => {
                walk.next += 1;
                Ok(entry)
            }
            None => {
                walk.next = 0;
                Err(Status::NoSections)
            }
        }
    }

    /// Frees a snapshot.
    pub(crate) fn close(&mut self, handle: u64) -> Result<(), Status> {
        self.open.remove(&handle).map(drop).ok_or(Status::Library)
    }
}

/// The entries in Corosync's order: the latest group first, and in each group the member that comes first in
/// the table, then the others from the last to the second.
fn snapshot(scope: Scope<'_>, table: &[Process]) -> Vec<Entry> {
    let mut places: HashMap<&GroupName, usize> = HashMap::new();
    let mut groups: Vec<(&GroupName, Vec<Member>)> = Vec::new();
    for process in table {
        if let Scope::Group(only) = scope
            && process.group.as_bytes() != only
        {
            continue;
        }
        let place = *places.entry(&process.group).or_insert_with(|| {
            groups.push((&process.group, Vec::new()));
            groups.len() - 1
        });
        groups[place].1.push(process.member);
    }
    let mut entries = Vec::new();
    for (group, members) in groups.into_iter().rev() {
        let entry = |member| Entry { group: group.clone(), member };
        if scope == Scope::Names {
            entries.push(entry(None));
        } else if let Some((first, others)) = members.split_first() {
            entries.push(entry(Some(*first)));
            entries.extend(others.iter().rev().map(|member| entry(Some(*member))));
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::NodeId;

    fn process(node: u32, pid: u32, group: &str) -> Process {
        let member = Member { node: NodeId::new(node).unwrap(), pid };
        Process { member, group: GroupName::new(group).unwrap() }
    }

    fn walk(scope: Scope<'_>, table: &[Process]) -> Vec<(String, u32)> {
        let mut iterations = Iterations::default();
        let handle = iterations.open(scope, table).unwrap();
        let mut seen = Vec::new();
        loop {
            match iterations.next(handle) {
                Ok(entry) => seen.push((entry.group.to_string(), entry.member.map_or(0, |m| m.pid))),
                Err(end) => {
                    assert_eq!(end, Status::NoSections);
                    break;
                }
            }
        }
        // After the end, cpg_iteration_next(3) begins again.
        assert_eq!(iterations.next(handle).is_ok(), !seen.is_empty());
        iterations.close(handle).unwrap();
        assert_eq!(iterations.close(handle), Err(Status::Library));
        assert_eq!(iterations.next(handle), Err(Status::Library));
        seen
    }

    /// docs/protocol/services.md, "Iteration over groups": the observed order of members is first, last, ...,
    /// second.
    #[test]
    fn the_order_is_that_of_corosync() {
        let table = [
            process(1, 1, "a"),
            process(1, 2, "b"),
            process(2, 3, "a"),
            process(2, 4, "a"),
            process(3, 5, "c"),
        ];
        let seen = |pairs: &[(&str, u32)]| -> Vec<(String, u32)> {
            pairs.iter().map(|(group, pid)| ((*group).to_owned(), *pid)).collect()
        };
        assert_eq!(walk(Scope::All, &table), seen(&[("c", 5), ("b", 2), ("a", 1), ("a", 4), ("a", 3)]));
        assert_eq!(walk(Scope::Names, &table), seen(&[("c", 0), ("b", 0), ("a", 0)]));
        assert_eq!(walk(Scope::Group(b"a"), &table), seen(&[("a", 1), ("a", 4), ("a", 3)]));
        assert_eq!(walk(Scope::Group(b"d"), &table), []);
        assert_eq!(walk(Scope::All, &[]), []);
    }

    #[test]
    fn the_iterations_of_a_connection_are_limited() {
        let mut iterations = Iterations::default();
        for _ in 0..ITERATIONS_PER_CONNECTION {
            iterations.open(Scope::All, &[]).unwrap();
        }
        assert_eq!(iterations.open(Scope::All, &[]), Err(Status::NoResources));
        iterations.close(1).unwrap();
        assert!(iterations.open(Scope::All, &[]).is_ok());
    }
}
