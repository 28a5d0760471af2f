//! Parses command lines like Corosync's tools: by the rules of GNU `getopt` and `getopt_long`.
//!
//! Short options may be bundled (`-qg`), with their argument attached or next; long options may be abbreviated unless
//! ambiguous; options and operands may be mixed; `--` ends the options. Corosync's tools act on options in order and
//! end at the first error, so this is an iterator.
//!
//! Source: getopt(3); messages as in Debian 12's C library.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// A long option and its equivalent letter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Long {
    pub(super) name: &'static str,
    pub(super) takes: bool,
    pub(super) letter: char,
}

/// The options of a program.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Grammar {
    /// The letters; a letter followed by a colon takes an argument.
    pub(super) short: &'static str,
    pub(super) long: &'static [Long],
}

/// An option on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) letter: char,
    /// Its argument; empty for an option without one.
    pub(super) value: Vec<u8>,
}

/// Iterates over a command line. Ends after the first error.
#[derive(Debug)]
pub(super) struct Getopt {
    program: String,
    grammar: Grammar,
    rest: std::vec::IntoIter<Vec<u8>>,
    /// The rest of a bundle of letters.
    bundle: Vec<u8>,
    operands: Vec<Vec<u8>>,
    ended: bool,
}

impl Getopt {
    /// `args` begin with the name under which the program was called.
    pub(super) fn new(args: impl IntoIterator<Item = OsString>, grammar: Grammar) -> Self {
        let mut all = args.into_iter().map(OsString::into_vec);
        let program = String::from_utf8_lossy(&all.next().unwrap_or_default()).into_owned();
        Self {
            program,
            grammar,
            rest: all.collect::<Vec<_>>().into_iter(),
            bundle: Vec::new(),
            operands: Vec::new(),
            ended: false,
        }
    }

    /// The operands in order. Complete once the iterator has ended.
    pub(super) fn operands(self) -> Vec<Vec<u8>> {
        self.operands
    }

    fn short(&mut self) -> Result<Given, String> {
        let byte = self.bundle.remove(0);
        let letter = char::from(byte);
        let place = self.grammar.short.bytes().position(|known| known == byte && known != b':');
        let Some(place) = place else {
            return Err(format!("{}: invalid option -- '{letter}'", self.program));
        };
        if self.grammar.short.as_bytes().get(place + 1) != Some(&b':') {
            return Ok(Given { letter, value: Vec::new() });
        }
        let attached = std::mem::take(&mut self.bundle);
        if !attached.is_empty() {
            return Ok(Given { letter, value: attached });
        }
        match self.rest.next() {
            Some(value) => Ok(Given { letter, value }),
            None => Err(format!("{}: option requires an argument -- '{letter}'", self.program)),
        }
    }

    fn long(&mut self, text: &[u8]) -> Result<Given, String> {
        let (name, value) = match text.iter().position(|byte| *byte == b'=') {
            Some(mark) => (&text[..mark], Some(text[mark + 1..].to_vec())),
            None => (text, None),
        };
        let shown = String::from_utf8_lossy(text);
        let all = self.grammar.long;
        let meant: Vec<&Long> = match all.iter().find(|long| long.name.as_bytes() == name) {
            Some(exact) => vec![exact],
            None => all.iter().filter(|long| long.name.as_bytes().starts_with(name)).collect(),
        };
        let long = match meant.as_slice() {
            [] => return Err(format!("{}: unrecognized option '--{shown}'", self.program)),
            [one] => *one,
            several => {
                let names: String = several.iter().map(|long| format!(" '--{}'", long.name)).collect();
                return Err(format!(
                    "{}: option '--{shown}' is ambiguous; possibilities:{names}",
                    self.program
                ));
            }
        };
        let value = match (long.takes, value) {
            (false, None) => Vec::new(),
            (false, Some(_)) => {
                return Err(format!("{}: option '--{}' doesn't allow an argument", self.program, long.name));
            }
            (true, Some(value)) => value,
            (true, None) => self
                .rest
                .next()
                .ok_or_else(|| format!("{}: option '--{}' requires an argument", self.program, long.name))?,
        };
        Ok(Given { letter: long.letter, value })
    }
}

impl Iterator for Getopt {
    /// The next option, or an error text.
    type Item = Result<Given, String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        while self.bundle.is_empty() {
            let Some(word) = self.rest.next() else {
                self.ended = true;
                return None;
            };
            match word.as_slice() {
                b"--" => {
                    self.operands.extend(self.rest.by_ref());
                    self.ended = true;
                    return None;
                }
                [b'-', b'-', name @ ..] if !self.grammar.long.is_empty() => {
                    let given = self.long(name);
                    self.ended = given.is_err();
                    return Some(given);
                }
                [b'-', letters @ ..] if !letters.is_empty() => self.bundle = letters.to_vec(),
                _ => self.operands.push(word),
            }
        }
        let given = self.short();
        self.ended = given.is_err();
        Some(given)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRAMMAR: Grammar = Grammar {
        short: "ab:c",
        long: &[
            Long { name: "reload", takes: false, letter: 'r' },
            Long { name: "reopen", takes: false, letter: 'o' },
            Long { name: "size", takes: true, letter: 's' },
        ],
    };

    /// Options as `letter` or `letter=value`, then `|` and the operands; or the error text.
    fn read(args: &[&str]) -> String {
        let args = std::iter::once(&"tool").chain(args).map(OsString::from);
        let mut getopt = Getopt::new(args, GRAMMAR);
        let mut seen = String::new();
        for given in getopt.by_ref() {
            match given {
                Ok(given) if given.value.is_empty() => seen.push(given.letter),
                Ok(given) => seen += &format!("{}={} ", given.letter, String::from_utf8_lossy(&given.value)),
                Err(complaint) => return complaint,
            }
        }
        let operands: Vec<_> =
            getopt.operands().iter().map(|operand| String::from_utf8_lossy(operand).into_owned()).collect();
        format!("{seen}|{}", operands.join(","))
    }

    #[test]
    fn options_and_operands_may_be_mixed() {
        assert_eq!(read(&["x", "-ac", "y", "-b", "v", "-", "-bw"]), "acb=v b=w |x,y,-");
        assert_eq!(read(&["-a", "--", "-c", "--"]), "a|-c,--");
        assert_eq!(read(&["-cbav"]), "cb=av |");
        assert_eq!(read(&["-b", "-a"]), "b=-a |");
        assert_eq!(read(&["-b", "--", "z"]), "b=-- |z");
    }

    #[test]
    fn long_options_may_be_abbreviated() {
        assert_eq!(read(&["--rel", "--s", "5", "--size=6", "--si=", "--reopen"]), "rs=5 s=6 so|");
        assert_eq!(read(&["--re"]), "tool: option '--re' is ambiguous; possibilities: '--reload' '--reopen'");
        assert_eq!(read(&["--foo=1"]), "tool: unrecognized option '--foo=1'");
        assert_eq!(read(&["--reload=1"]), "tool: option '--reload' doesn't allow an argument");
        assert_eq!(read(&["--size"]), "tool: option '--size' requires an argument");
    }

    #[test]
    fn parsing_ends_at_the_first_error() {
        assert_eq!(read(&["-x", "-a"]), "tool: invalid option -- 'x'");
        assert_eq!(read(&["-:"]), "tool: invalid option -- ':'");
        assert_eq!(read(&["-ab"]), "tool: option requires an argument -- 'b'");
        let mut getopt = Getopt::new(["t", "-x", "-a"].map(OsString::from), Grammar::default());
        assert!(getopt.next().is_some_and(|first| first.is_err()));
        assert!(getopt.next().is_none());
        let mut getopt = Getopt::new(["t", "--version"].map(OsString::from), Grammar::default());
        assert_eq!(getopt.next(), Some(Err("t: invalid option -- '-'".to_owned())));
    }
}
