//! The calls of libcmap.

use super::{hear, listen, tell};
use rust_corosync::cmap::{self, CmapIterStart, Data, Handle, Map, NotifyCallback, TrackHandle, TrackType};

pub struct Calls {
    handle: Handle,
}

fn word(data: &Data) -> String {
    match data {
        // The crate interprets the address of such a value as the value, so the value is not printed.
        Data::Float(_) => "a float".to_owned(),
        Data::Double(_) => "a double".to_owned(),
        other => other.to_string(),
    }
}

fn read(handle: &Handle, key: &str) -> rust_corosync::Result<String> {
    cmap::get(handle, key).map(|data| word(&data))
}

/// The crate passes the two values in the reverse order of their names: the first is the old one.
fn on_change(
    _: &Handle,
    _: &TrackHandle,
    event: TrackType,
    key: &str,
    first: &Data,
    second: &Data,
    user: u64,
) {
    // A value that does not exist has no type, and its bytes are undefined.
    let event = event.bits();
    let both = if event == TrackType::ADD.bits() {
        word(second)
    } else if event == TrackType::DELETE.bits() {
        word(first)
    } else {
        format!("{}, and {}", word(first), word(second))
    };
    hear(format!("{key} event {event} {both} for {user}"));
}

impl Calls {
    pub fn new() -> Option<Self> {
        let handle = cmap::initialize(Map::Icmap).ok()?;
        Some(Self { handle })
    }

    pub fn all(&self) {
        let h = &self.handle;
        tell("cmap context_set", cmap::context_set(h, 77));
        tell("cmap context_get", cmap::context_get(h));
        let all = || TrackType::ADD | TrackType::DELETE | TrackType::MODIFY;
        let callback = NotifyCallback { notify_fn: Some(on_change) };
        let one = cmap::track_add(h, "calls.u8", all(), &callback, 1);
        let many = cmap::track_add(h, "calls.", all() | TrackType::PREFIX, &callback, 2);
        println!("cmap track_add: {} {}", one.is_ok(), many.is_ok());
        tell("cmap set_u8", cmap::set_u8(h, "calls.u8", 8));
        tell("cmap set_i8", cmap::set_i8(h, "calls.i8", -8));
        tell("cmap set_u16", cmap::set_u16(h, "calls.u16", 16));
        tell("cmap set_i16", cmap::set_i16(h, "calls.i16", -16));
        tell("cmap set_u32", cmap::set_u32(h, "calls.u32", 32));
        tell("cmap set_i32", cmap::set_i132(h, "calls.i32", -32));
        tell("cmap set_u64", cmap::set_u64(h, "calls.u64", 64));
        tell("cmap set_i64", cmap::set_i164(h, "calls.i64", -64));
        tell("cmap set_number", cmap::set_number(h, "calls.number", 7_u32));
        tell("cmap set_string", cmap::set_string(h, "calls.str", "a string"));
        tell("cmap set_binary", cmap::set_binary(h, "calls.bin", &[0, 1, 255, 0]));
        tell("cmap set flt", cmap::set(h, "calls.flt", &Data::Float(1.5)));
        tell("cmap set dbl", cmap::set(h, "calls.dbl", &Data::Double(-2.25)));
        tell("cmap set, another type", cmap::set_u16(h, "calls.u8", 300));
        tell("cmap set, the same", cmap::set_u16(h, "calls.u8", 300));
        for key in [
            "u8", "i8", "u16", "i16", "u32", "i32", "u64", "i64", "number", "str", "bin", "flt", "dbl",
            "none",
        ] {
            tell(&format!("cmap get {key}"), read(h, &format!("calls.{key}")));
        }
        for key in ["i8", "u16", "u64", "str", "flt", "none"] {
            let key = format!("calls.{key}");
            tell(&format!("cmap inc {key}"), cmap::inc(h, &key));
            tell(&format!("cmap get {key}"), read(h, &key));
            tell(&format!("cmap dec {key}"), cmap::dec(h, &key));
            tell(&format!("cmap dec {key}"), cmap::dec(h, &key));
            tell(&format!("cmap get {key}"), read(h, &key));
        }
        tell("cmap set_u8, wraps", cmap::set_u8(h, "calls.wrap", 255));
        tell("cmap inc, wraps", cmap::inc(h, "calls.wrap"));
        tell("cmap get, wrapped", read(h, "calls.wrap"));
        tell("cmap set, read-only", cmap::set_u32(h, "totem.version", 3));
        tell("cmap inc, read-only", cmap::inc(h, "totem.version"));
        tell("cmap set, bad name", cmap::set_u8(h, "a key", 3));
        tell("cmap set, short name", cmap::set_u8(h, "ab", 3));
        tell("cmap set, long name", cmap::set_u8(h, &"k".repeat(256), 3));
        tell("cmap set, too long", cmap::set_binary(h, "calls.long", &[7; 16385]));
        match CmapIterStart::new(h, "calls.") {
            Ok(start) => start
                .into_iter()
                .for_each(|item| println!("cmap iter: {} {}", item.key_name(), word(item.data()))),
            Err(error) => println!("cmap iter: {error}"),
        }
        match CmapIterStart::new(h, "nothing.like.it") {
            Ok(start) => println!("cmap iter, nothing: {}", start.into_iter().count()),
            Err(error) => println!("cmap iter, nothing: {error}"),
        }
        tell("cmap set, the last", cmap::set_u8(h, "calls.last", 1));
        listen("cmap notify", cmap::fd_get(h), "calls.last", |flags| cmap::dispatch(h, flags));
        for tracker in [one, many].into_iter().flatten() {
            tell("cmap track_delete", cmap::track_delete(h, tracker));
            tell("cmap track_delete, again", cmap::track_delete(h, tracker));
        }
        let bits = TrackType::PREFIX;
        println!(
            "cmap track_add, nothing asked for: {}",
            cmap::track_add(h, "calls.", bits, &callback, 3).is_ok()
        );
        self.statistics();
    }

    fn statistics(&self) {
        match cmap::initialize(Map::Stats) {
            Ok(stats) => {
                println!("cmap stats: {}", cmap::get(&stats, "stats.srp.mcast_tx").is_ok());
                tell("cmap stats, none", read(&stats, "stats.nothing"));
                tell("cmap stats set", cmap::set_u64(&stats, "stats.srp.mcast_tx", 1));
                tell("cmap stats clear", cmap::set_u8(&stats, "stats.clear.totem", 1));
                tell("cmap stats finalize", cmap::finalize(&stats));
            }
            Err(error) => println!("cmap stats: {error}"),
        }
    }

    pub fn after(&self) {
        tell("cmap set, alone", cmap::set_u8(&self.handle, "calls.u8", 8));
        tell("cmap get, alone", read(&self.handle, "calls.u8"));
        println!("cmap initialize, alone: {}", cmap::initialize(Map::Icmap).is_ok());
        tell("cmap finalize", cmap::finalize(&self.handle));
        tell("cmap finalize, again", cmap::finalize(&self.handle));
    }
}
