//! Assigns each comment of the original to a line of the converted file.
//!
//! A comment stays with what follows it: a key, a section, or the end of its section. Something without a line of its
//! own in the other format (a section without settings, a key that is set again below, a key that becomes part of a
//! header) passes its comments to the nearest line of the same section, or else to the enclosing section.

use std::collections::{BTreeMap, BTreeSet};

use super::outline::{Next, Outline, Place, ROOT};

/// The comments for one line of the converted file.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// Comments that stood before the section began.
    pub(super) outside: Vec<String>,
    /// Comments before the line in the same section.
    pub(super) before: Vec<String>,
    /// Comments after the line, at the end of its section.
    pub(super) after: Vec<String>,
}

/// Comments by the line of the original that they belong to.
#[derive(Debug, Default)]
pub(super) struct Attached {
    by_line: BTreeMap<Place, Taken>,
    /// Comments after all settings.
    last: Vec<String>,
}

/// The target of a comment.
#[derive(Clone, Copy, Debug)]
enum Spot {
    Outside(Place),
    Before(Place),
    After(Place),
    Last,
}

impl Attached {
    /// Assigns each comment to one of the lines `written` of the original, which are those that have lines in the
    /// converted file.
    pub(super) fn new(outline: Outline, written: &BTreeSet<Place>) -> Self {
        let mut attached = Self::default();
        for (next, comment) in &outline.comments {
            let list = match spot(&outline, written, *next) {
                Spot::Outside(line) => &mut attached.by_line.entry(line).or_default().outside,
                Spot::Before(line) => &mut attached.by_line.entry(line).or_default().before,
                Spot::After(line) => &mut attached.by_line.entry(line).or_default().after,
                Spot::Last => &mut attached.last,
            };
            list.push(comment.clone());
        }
        attached
    }

    /// Removes and returns the comments of these lines.
    pub(super) fn take(&mut self, lines: &[Place]) -> Taken {
        let mut all = Taken::default();
        for line in lines {
            let taken = self.by_line.remove(line).unwrap_or_default();
            all.outside.extend(taken.outside);
            all.before.extend(taken.before);
            all.after.extend(taken.after);
        }
        all
    }

    /// Removes and returns those comments of these lines that stood before their section began.
    pub(super) fn take_outside(&mut self, lines: &[Place]) -> Vec<String> {
        let taken = |line| self.by_line.get_mut(line).map(|taken| std::mem::take(&mut taken.outside));
        lines.iter().filter_map(taken).flatten().collect()
    }

    /// Removes and returns the remaining comments, which go to the end of the file.
    pub(super) fn rest(&mut self) -> Vec<String> {
        let left = std::mem::take(&mut self.by_line).into_values();
        let left = left.flat_map(|taken| [taken.outside, taken.before, taken.after]).flatten();
        left.chain(std::mem::take(&mut self.last)).collect()
    }
}

fn spot(outline: &Outline, written: &BTreeSet<Place>, next: Next) -> Spot {
    match next {
        Next::Key(key) => {
            let key = &outline.keys[key];
            if written.contains(&key.at) {
                return Spot::Before(key.at);
            }
            match outline.same(key).find(|at| written.contains(at)) {
                Some(at) => Spot::Before(at),
                None => nearest(outline, written, key.section, key.at),
            }
        }
        Next::After(key) => {
            let key = &outline.keys[key];
            let at = std::iter::once(key.at).chain(outline.same(key)).find(|at| written.contains(at));
            at.map_or_else(|| nearest(outline, written, key.section, key.at), Spot::After)
        }
        Next::Open(section) => {
            let own = &outline.sections[section];
            match written.range(own.open..=own.close).next() {
                Some(first) => Spot::Outside(*first),
                None => nearest(outline, written, own.outer, own.open),
            }
        }
        Next::Close(section) => {
            let own = &outline.sections[section];
            match written.range(own.open..=own.close).next_back() {
                Some(last) => Spot::After(*last),
                None => nearest(outline, written, own.outer, own.open),
            }
        }
        Next::End => Spot::Last,
    }
}

/// The nearest line of this section to the line `at`, which has none in the converted file; a line after it is
/// preferred to one before it. If the section has none, the enclosing ones are searched.
fn nearest(outline: &Outline, written: &BTreeSet<Place>, mut section: usize, at: Place) -> Spot {
    loop {
        let own = &outline.sections[section];
        if let Some(behind) = written.range(at..=own.close).next() {
            let is_inner = outline.innermost(*behind) != section;
            return if is_inner { Spot::Outside(*behind) } else { Spot::Before(*behind) };
        }
        if let Some(before) = written.range(own.open..at).next_back() {
            return Spot::After(*before);
        }
        if section == ROOT {
            return Spot::Last;
        }
        section = own.outer;
    }
}
