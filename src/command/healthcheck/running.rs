//! Where a running program listens, as the system tells it: the files on disk may say something else by now.
//!
//! Nothing is written anywhere for this. It works without a folder for state and over a read-only root, wherever `/proc` is that of the
//! program: in its container, and for its user or root on the same machine. Elsewhere nothing is found.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::cli::{self, Command, ConfigFiles, Environment};
use crate::socket::Address;

/// The first process of a container.
const FIRST: u32 = 1;
/// The state of a TCP socket that listens, in `/proc/net/tcp`.
const TCP_LISTENS: &str = "0A";
/// The flags of a Unix socket that listens, in `/proc/net/unix`.
const UNIX_LISTENS: &str = "00010000";
/// The variables that name the configuration file, the one that counts first.
const CONFIG_VARIABLES: [&str; 2] = ["DOCKVEIL_CONFIG", "DOCKVEIL_DEFAULT_CONFIG"];

/// Where the program listens that serves this configuration file: all addresses, metrics among them. The first process of a
/// container serves whatever there is.
pub(super) fn listeners(files: &ConfigFiles, environment: &Environment) -> Vec<Address> {
    let config = files.config.as_ref().or(environment.config.as_ref()).or(environment.default_config.as_ref());
    let config = config.and_then(|config| Some(std::env::current_dir().ok()?.join(config)));
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let others = numbers.filter(|number| *number != std::process::id());
    others.filter_map(|number| listeners_of(number, config.as_deref())).flatten().collect()
}

/// Where a process listens; `None` if it does not serve this configuration, or is somewhere else.
fn listeners_of(process: u32, config: Option<&Path>) -> Option<Vec<Address>> {
    let folder = PathBuf::from(format!("/proc/{process}"));
    let own = Path::new("/proc/self");
    let program = |folder: &Path| fs::metadata(folder.join("exe")).ok().map(|found| (found.dev(), found.ino()));
    let network = |folder: &Path| fs::read_link(folder.join("ns/net")).ok();
    if program(&folder)? != program(own)? || network(&folder)? != network(own)? {
        return None;
    }
    if process != FIRST && served_config(&folder)?.as_deref() != config {
        return None;
    }
    let sockets: Vec<u64> =
        fs::read_dir(folder.join("fd")).ok()?.flatten().filter_map(|entry| socket_number(&entry.path())).collect();
    let lines = |name: &str| fs::read_to_string(folder.join("net").join(name)).unwrap_or_default();
    let mut found = Vec::new();
    for name in ["tcp", "tcp6"] {
        found.extend(lines(name).lines().filter_map(tcp_listener).filter(|(number, _)| sockets.contains(number)));
    }
    let directory = format!(".{process}");
    let of_unix = lines("unix");
    let of_unix = of_unix.lines().filter_map(|line| unix_listener(line, &directory));
    found.extend(of_unix.filter(|(number, _)| sockets.contains(number)));
    // A socket that is shared with each worker has several descriptors.
    Some(found.into_iter().map(|(_, address)| address).collect())
}

/// The configuration file that a process serves, if it serves; inside: `None` if it has none.
fn served_config(folder: &Path) -> Option<Option<PathBuf>> {
    let texts = |name: &str| {
        let bytes = fs::read(folder.join(name)).ok()?;
        Some(bytes.split(|byte| *byte == 0).filter(|text| !text.is_empty()).map(<[u8]>::to_vec).collect::<Vec<_>>())
    };
    let arguments = texts("cmdline")?.into_iter().map(OsStringExt::from_vec);
    let Ok(Command::Serve(arguments)) = cli::parse(arguments) else { return None };
    let variables = texts("environ")?;
    let variable = |name: &&str| {
        let value = variables.iter().find_map(|text| text.strip_prefix(name.as_bytes())?.strip_prefix(b"="));
        value.filter(|value| !value.is_empty()).map(|value| PathBuf::from(std::ffi::OsString::from_vec(value.to_vec())))
    };
    let config = arguments.files.config.or_else(|| CONFIG_VARIABLES.iter().find_map(variable));
    Some(config.and_then(|config| Some(fs::read_link(folder.join("cwd")).ok()?.join(config))))
}

/// The number of the socket that a descriptor stands for: the link `socket:[number]`.
fn socket_number(descriptor: &Path) -> Option<u64> {
    let link = fs::read_link(descriptor).ok()?;
    link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// The number and the address of a socket that listens, in a line of `/proc/net/tcp` or `/proc/net/tcp6`.
fn tcp_listener(line: &str) -> Option<(u64, Address)> {
    let mut columns = line.split_whitespace();
    let (host, port) = columns.nth(1)?.split_once(':')?;
    if columns.nth(1)? != TCP_LISTENS {
        return None;
    }
    // Each word has the order of bytes of this machine.
    let word = |at: usize| u32::from_str_radix(host.get(at * 8..at * 8 + 8)?, 16).ok().map(u32::to_ne_bytes);
    let host: IpAddr = match host.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            Ipv6Addr::from(<[u8; 16]>::try_from(words.as_flattened()).ok()?).into()
        }
        _ => return None,
    };
    let port = u16::from_str_radix(port, 16).ok()?;
    let number = columns.nth(5)?.parse().ok()?;
    Some((number, Address::Tcp { host: host.to_string(), port }))
}

/// The number and the path of a socket that listens, in a line of `/proc/net/unix`. A socket is made in a
/// `directory` of its own, and then moved to the one that this is in.
fn unix_listener(line: &str, directory: &str) -> Option<(u64, Address)> {
    let mut columns = line.split_whitespace();
    if columns.nth(3)? != UNIX_LISTENS {
        return None;
    }
    let number = columns.nth(2)?.parse().ok()?;
    let at = line.find(" /")?;
    let path = Path::new(line.get(at + 1..)?);
    let outer = path.parent().filter(|parent| parent.ends_with(directory)).and_then(Path::parent);
    let path = outer.zip(path.file_name()).map_or_else(|| path.to_owned(), |(outer, name)| outer.join(name));
    Some((number, Address::Unix(path)))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::time_limit::within_time_limit;

    /// The addresses at which this process listens.
    fn own() -> Vec<Address> {
        listeners_of(std::process::id(), Some(Path::new("/nowhere"))).unwrap_or_default()
    }

    #[test]
    fn a_socket_that_listens_is_found_by_its_line() {
        let tcp = "   0: 0100007F:0947 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000  0 4711 1 0 100 0";
        let (number, address) = tcp_listener(tcp).unwrap();
        if cfg!(target_endian = "little") {
            assert_eq!((number, address.to_string()), (4711, "tcp://127.0.0.1:2375".to_owned()));
        }
        assert_eq!(tcp_listener(&tcp.replace(" 0A ", " 01 ")), None);
        let six = tcp.replace("0100007F", "00000000000000000000000001000000");
        if cfg!(target_endian = "little") {
            assert_eq!(tcp_listener(&six).unwrap().1, Address::Tcp { host: "::1".to_owned(), port: 2375 });
        }
        let unix = "0000000000000000: 00000002 00000000 00010000 0001 01 815 /run/a b/.7/docker.sock";
        let found = unix_listener(unix, ".7").unwrap();
        assert_eq!(found, (815, Address::Unix("/run/a b/docker.sock".into())));
        assert_eq!(unix_listener(unix, ".8").unwrap().1, Address::Unix("/run/a b/.7/docker.sock".into()));
        for line in ["", "Num RefCount Protocol Flags Type St Inode Path", &unix.replace(" 00010000 ", " 00000000 ")] {
            assert_eq!(unix_listener(line, ".7"), None, "{line}");
        }
        for line in ["", "  sl  local_address rem_address   st tx_queue", "0: 01:1 0 0A 0 0 0 0 0 7"] {
            assert_eq!(tcp_listener(line), None, "{line}");
        }
    }

    #[test]
    fn a_process_that_does_not_serve_is_not_asked() {
        within_time_limit(|| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            // What tests is no program that serves, though it listens.
            assert_eq!(own(), []);
            drop(listener);
        });
    }
}
