//! Translates the knet settings of a configuration into options of the transport, and says which of them a running
//! node can change.
//!
//! Source: corosync `exec/totemconfig.c`, `exec/totemknet.c`.

use std::net::IpAddr;

use crate::config::key::Key;
use crate::config::totem::{Interface, TransportKind, Watching};
use crate::config::{Config, ConfigError, ErrorKind};
use crate::ids::NodeId;
use crate::transport::TransportError;
use crate::transport::knet::envelope::{Cipher, Hash, Suite};
use crate::transport::knet::{Compression, Crypto, Host, LINKS, LinkMode, LinkSettings, Options, Settings};

/// Packet size in bytes above which libknet compresses by default. Source: libknet, `KNET_COMPRESS_THRESHOLD`.
pub(super) const THRESHOLD: usize = 100;

/// Default packet size that frames are made to fit, in bytes; knet fragments packets itself. Source: libknet,
/// `KNET_MAX_PACKET_SIZE`.
pub(super) const NETMTU: usize = 65_536;

/// The names of the settings for the address of a link, by link number.
const RING_ADDR: [&str; LINKS] = [
    "ring0_addr",
    "ring1_addr",
    "ring2_addr",
    "ring3_addr",
    "ring4_addr",
    "ring5_addr",
    "ring6_addr",
    "ring7_addr",
];

/// Refuses a duplicate nodeid, and addresses that no host can have.
///
/// # Errors
/// The fault, with the node and the setting.
pub(super) fn check(options: &Options) -> Result<(), TransportError> {
    let hosts = &options.settings.hosts;
    for (index, host) in hosts.iter().enumerate() {
        let refuse = |setting: &'static str, why: String| {
            Err(TransportError::Setting { setting, node: Some(host.id), why })
        };
        if let Some(earlier) = hosts[..index].iter().find(|earlier| earlier.id == host.id) {
            return refuse("nodeid", format!("{} is given to two nodes", earlier.id));
        }
        for (address, setting) in host.addresses.iter().zip(RING_ADDR) {
            if let Some(address) = address.filter(|own| own.is_unspecified() || own.is_multicast()) {
                return refuse(
                    setting,
                    format!("{address} of node {} is not the address of a host", host.id),
                );
            }
        }
    }
    Ok(())
}

/// The options of a configuration for transport knet.
///
/// # Errors
/// A setting has a word that the configuration's own check should have refused.
pub(super) fn of(config: &Config) -> Result<Options, ConfigError> {
    let totem = &config.totem;
    let mut links: [Option<LinkSettings>; LINKS] = [const { None }; LINKS];
    let mut interfaces: [Option<String>; LINKS] = [const { None }; LINKS];
    for interface in &totem.interfaces {
        let number = usize::from(interface.link);
        // A section `interface` alone does not make a link.
        if number < LINKS && interface.bind_address.is_some() {
            links[number] = Some(link(interface));
            interfaces[number].clone_from(&interface.bind_interface);
        }
    }
    let hosts = config.nodes.iter().filter_map(|node| {
        let mut addresses = [None; LINKS];
        for own in &node.addresses {
            *addresses.get_mut(usize::from(own.link))? = Some(own.address);
        }
        Some(Host { id: node.id?, addresses })
    });
    let settings = Settings {
        me: config.me(),
        hosts: hosts.filter(|host| host.addresses.iter().any(Option::is_some)).collect(),
        links,
        mode: mode(&totem.knet.link_mode)?,
        pmtud_interval: totem.knet.pmtud_interval,
        mtu: totem.knet.mtu.and_then(|mtu| mtu.try_into().ok()),
        compression: compression(totem.knet.compression_model.as_deref())?,
        compression_threshold: match totem.knet.compression_threshold {
            0 => THRESHOLD,
            bytes => bytes as usize,
        },
        compression_level: totem.knet.compression_level,
        block_unlisted: totem.block_unlisted_ips,
    };
    let mut options = Options::new(settings);
    options.interfaces = interfaces;
    options.allow_small_buffers = config.system.allow_knet_handle_fallback;
    options.crypto = crypto(config)?;
    Ok(options)
}

/// The options that a node running with `running` changes to under a new configuration. The use of several links
/// (`link_mode`) and the port of an existing link stay until a restart, as in Corosync.
///
/// # Errors
/// The configuration is for another transport, or as for [`of`].
pub(super) fn at_run_time(running: &Options, config: &Config) -> Result<Options, String> {
    if config.totem.transport != TransportKind::Knet {
        let transport = config.totem.transport.name();
        return Err(format!(
            "The transport changed from knet to {transport}, which needs a restart of all nodes"
        ));
    }
    let mut new = of(config).map_err(|error| error.to_string())?;
    check(&new).map_err(|error| error.to_string())?;
    keep(&running.settings, &mut new.settings);
    Ok(new)
}

fn keep(old: &Settings, new: &mut Settings) {
    new.mode = old.mode;
    for (new, old) in new.links.iter_mut().zip(&old.links) {
        if let (Some(new), Some(old)) = (new, old) {
            new.port = old.port;
        }
    }
}

/// The cipher, hash and key for outgoing packets.
pub(super) fn sealing(options: &Options) -> (Suite, Option<&Key>) {
    match &options.crypto {
        Some(crypto) => (crypto.suite, Some(&crypto.key)),
        None => (Suite::CLEAR, None),
    }
}

/// Applies link monitoring settings from keys of the database.
pub(super) fn watch(settings: &mut Settings, watching: &Watching) {
    for (number, link) in (0u8..).zip(&mut settings.links) {
        if let (Some(link), Some(pings)) = (link, watching.links.get(&number)) {
            link.priority = pings.priority;
            link.ping_interval = pings.interval;
            link.ping_timeout = pings.timeout;
            link.ping_precision = pings.precision;
            link.pong_count = pings.pong_count;
        }
    }
    settings.pmtud_interval = watching.pmtud_interval;
    settings.mtu = watching.mtu.and_then(|mtu| mtu.try_into().ok());
    settings.block_unlisted = watching.block_unlisted_ips;
}

/// The hosts with their addresses by link.
pub(super) fn known(settings: &Settings) -> Vec<(NodeId, Vec<(u8, IpAddr)>)> {
    let addresses = |host: &Host| -> Vec<(u8, IpAddr)> {
        (0u8..).zip(&host.addresses).filter_map(|(link, address)| Some((link, (*address)?))).collect()
    };
    settings.hosts.iter().map(|host| (host.id, addresses(host))).collect()
}

fn link(interface: &Interface) -> LinkSettings {
    LinkSettings {
        port: interface.port,
        priority: interface.knet_priority,
        ping_interval: interface.knet_ping_interval,
        ping_timeout: interface.knet_ping_timeout,
        ping_precision: interface.knet_ping_precision,
        pong_count: interface.knet_pong_count,
    }
}

fn mode(word: &str) -> Result<LinkMode, ConfigError> {
    Ok(match word {
        "passive" => LinkMode::Passive,
        "active" => LinkMode::Active,
        "rr" => LinkMode::RoundRobin,
        other => return Err(unknown("link_mode", other)),
    })
}

fn compression(model: Option<&str>) -> Result<Compression, ConfigError> {
    Ok(match model {
        None => Compression::None,
        Some("zlib") => Compression::Zlib,
        Some("lz4") => Compression::Lz4,
        Some("lz4hc") => Compression::Lz4Hc,
        Some("zstd") => Compression::Zstd,
        Some(other) => return Err(unknown("knet_compression_model", other)),
    })
}

/// The encryption of a configuration. An invalid setting is an error, never a fallback to no encryption.
fn crypto(config: &Config) -> Result<Option<Crypto>, ConfigError> {
    let crypto = &config.totem.crypto;
    let cipher = Cipher::named(&crypto.cipher).ok_or_else(|| unknown("crypto_cipher", &crypto.cipher))?;
    let hash = Hash::named(&crypto.hash).ok_or_else(|| unknown("crypto_hash", &crypto.hash))?;
    let suite = Suite { cipher, hash };
    if suite.is_clear() {
        return Ok(None);
    }
    let key = crypto.key.clone().ok_or_else(|| ConfigError {
        kind: ErrorKind::Rule,
        message: "can't load private key".to_owned(),
        hint: None,
    })?;
    Ok(Some(Crypto { suite, key }))
}

/// The error for a word that the configuration's own check should have refused.
fn unknown(setting: &str, word: &str) -> ConfigError {
    let message = format!("totem.{setting} = {word} is not available in this version");
    ConfigError { kind: ErrorKind::Unsupported, message, hint: None }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::config::os::OsHost;
    use crate::config::totem::ping_times;

    fn config(totem: &str) -> Config {
        let text = format!(
            "totem {{\nversion: 2\n{totem}\n}}\nnodelist {{\n\
             node {{\nnodeid: 1\nname: a\nring0_addr: 127.0.0.1\nring2_addr: ::1\n}}\n\
             node {{\nnodeid: 2\nname: b\nring0_addr: 127.0.0.2\nring2_addr: ::2\n}}\n\
             node {{\nnodeid: 65535\nname: c\nring0_addr: 127.0.0.3\nring2_addr: ::3\n}}\n}}\n"
        );
        Config::from_conf(text.as_bytes(), Path::new("test.conf"), &OsHost).unwrap()
    }

    #[test]
    fn hosts_links_and_timers_are_taken_from_the_configuration() {
        let options = of(&config("")).unwrap();
        assert_eq!(options.crypto, None);
        let Settings { me, hosts, links, .. } = &options.settings;
        assert_eq!(me.get(), 1);
        let shown: Vec<(u32, Vec<(usize, String)>)> = hosts
            .iter()
            .map(|host| {
                let all = host.addresses.iter().enumerate();
                let given = all.filter_map(|(link, address)| Some((link, (*address)?)));
                let text = |(link, address): (usize, IpAddr)| (link, address.to_string());
                (host.id.get(), given.map(text).collect())
            })
            .collect();
        let both = |a: &str, b: &str| vec![(0, a.to_owned()), (2, b.to_owned())];
        assert_eq!(
            shown,
            [(1, both("127.0.0.1", "::1")), (2, both("127.0.0.2", "::2")), (65535, both("127.0.0.3", "::3"))]
        );
        let numbers: Vec<usize> = (0..LINKS).filter(|link| links[*link].is_some()).collect();
        assert_eq!(numbers, [0, 2]);
        // With three nodes, the token timeout is 3650 ms; Corosync 3.1.7 then uses these values.
        let ms = |time: Duration| time.as_millis();
        let second = links[2].as_ref().unwrap();
        assert_eq!((ms(second.ping_timeout), ms(second.ping_interval)), (1825, 912));
        assert_eq!((second.port, second.priority, second.pong_count), (5407, 1, 2));
        assert_eq!(ping_times(Duration::from_millis(3650), 2), (second.ping_interval, second.ping_timeout));
        let settings = &options.settings;
        assert_eq!((settings.mode, settings.mtu), (LinkMode::Passive, None));
        assert_eq!((settings.compression, settings.compression_threshold), (Compression::None, THRESHOLD));
        assert!(settings.block_unlisted && !options.allow_small_buffers);
    }

    #[test]
    fn every_setting_of_knet_reaches_the_transport() {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("key");
        std::fs::write(&key, [9; 200]).unwrap();
        std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o400)).unwrap();
        let config = config(&format!(
            "link_mode: active\nknet_pmtud_interval: 60\nknet_mtu: 9000\nknet_compression_model: lz4hc\n\
             knet_compression_threshold: 500\nknet_compression_level: -3\nblock_unlisted_ips: no\n\
             crypto_cipher: aes192\ncrypto_hash: sha384\nkeyfile: {}\n\
             interface {{\nlinknumber: 2\nmcastport: 6000\nknet_link_priority: 5\nknet_ping_interval: 100\n\
             knet_ping_timeout: 300\nknet_ping_precision: 10\nknet_pong_count: 1\n}}",
            key.display()
        ));
        config.check_runnable().unwrap();
        let options = of(&config).unwrap();
        let Settings { mode, pmtud_interval, mtu, compression, block_unlisted, .. } = &options.settings;
        assert_eq!((*mode, pmtud_interval.as_secs(), *mtu), (LinkMode::Active, 60, Some(9000)));
        assert_eq!((*compression, *block_unlisted), (Compression::Lz4Hc, false));
        assert_eq!(options.settings.compression_threshold, 500);
        assert_eq!(options.settings.compression_level, -3);
        let expected = LinkSettings {
            port: 6000,
            priority: 5,
            ping_interval: Duration::from_millis(100),
            ping_timeout: Duration::from_millis(300),
            ping_precision: 10,
            pong_count: 1,
        };
        assert_eq!(options.settings.links[2], Some(expected));
        let crypto = options.crypto.unwrap();
        assert_eq!(crypto.suite, Suite { cipher: Cipher::Aes192, hash: Hash::Sha384 });
        assert_eq!(crypto.key.bytes(), [9; 200]);
    }

    #[test]
    fn the_mode_and_the_ports_of_links_stay_until_a_restart() {
        let old =
            of(&config("link_mode: rr\ninterface {\nlinknumber: 0\nmcastport: 7000\n}")).unwrap().settings;
        let mut new = of(&config(
            "link_mode: active\ninterface {\nlinknumber: 0\nmcastport: 8000\nknet_link_priority: 3\n}",
        ))
        .unwrap()
        .settings;
        let mut without = old.clone();
        without.links[2] = None;
        keep(&without, &mut new);
        assert_eq!(new.mode, LinkMode::RoundRobin);
        let first = new.links[0].as_ref().unwrap();
        assert_eq!((first.port, first.priority), (7000, 3));
        assert_eq!(new.links[2].as_ref().unwrap().port, 5407, "a new link has the port that is said");
    }
}
