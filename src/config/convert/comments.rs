//! Which line of the converted file each comment of the original goes to.
//!
//! A comment stays with what follows it: before a key before that key, before a section before that section, at the
//! end of a section at its end. What has no line of its own in the other format (a section without settings, a key
//! that is set again below, one that a header says) hands its comments to the nearest line of the same section, and
//! where there is none to the section around it.

use std::collections::{BTreeMap, BTreeSet};

use super::outline::{Next, Outline, Place, ROOT};

/// Comments of one line of the converted file.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// Those that stood before the section began.
    pub(super) outside: Vec<String>,
    /// Those before it in the same section.
    pub(super) before: Vec<String>,
    /// Those behind it, at the end of its section.
    pub(super) after: Vec<String>,
}

/// Comments by the line, of the original, whose setting they go with.
#[derive(Debug, Default)]
pub(super) struct Attached {
    by_line: BTreeMap<Place, Taken>,
    /// Those behind all settings.
    last: Vec<String>,
}

/// Where a comment goes.
#[derive(Clone, Copy, Debug)]
enum Spot {
    Outside(Place),
    Before(Place),
    After(Place),
    Last,
}

impl Attached {
    /// Gives each comment to one of these lines of the original, which are those that the converted file has lines
    /// for.
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

    /// Those of these lines; once.
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

    /// Of these lines only those that stood before the section began; once.
    pub(super) fn take_outside(&mut self, lines: &[Place]) -> Vec<String> {
        let taken = |line| self.by_line.get_mut(line).map(|taken| std::mem::take(&mut taken.outside));
        lines.iter().filter_map(taken).flatten().collect()
    }

    /// Those that nobody took, which go to the end of the file.
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

/// The line of this section that is nearest to the line `at`, which has none in the converted file: rather one behind
/// it than one before it. Where the section has none, those around it are looked at.
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
