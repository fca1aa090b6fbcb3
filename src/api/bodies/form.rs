//! What a text in a body looks like that keeps off the host.

use std::net::IpAddr;

/// The form of a text, or of a key of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextForm {
    /// A variable with its value. Podman takes the value of a name alone, and those of a pattern, from its own environment.
    Assignment,
    /// The same, and no template.
    PlainAssignment,
    /// A text that is no template: a node of a swarm fills in what it knows of itself and of the service.
    Plain,
    /// A label on which no tool of the host acts.
    Label,
    /// A group. The word `keep-groups` means those of Podman itself.
    Group,
    /// A number that is not below zero.
    NotNegative,
    /// A setting of the kernel that a namespace has of its own.
    Sysctl,
    /// A path in a container, without options behind it.
    TmpfsPlace,
    /// Options of a temporary file system, with commas in between.
    TmpfsOptions,
    /// A path inside something.
    PathInside,
    /// Addresses that nobody reaches over the internet.
    PrivateSubnet,
}

/// The names of the forms in the table.
pub(super) const TEXT_FORMS: [(&str, TextForm); 11] = [
    ("assignment", TextForm::Assignment),
    ("plain-assignment", TextForm::PlainAssignment),
    ("plain", TextForm::Plain),
    ("label", TextForm::Label),
    ("group", TextForm::Group),
    ("not-negative", TextForm::NotNegative),
    ("sysctl", TextForm::Sysctl),
    ("tmpfs-place", TextForm::TmpfsPlace),
    ("tmpfs-options", TextForm::TmpfsOptions),
    ("path-inside", TextForm::PathInside),
    ("private-subnet", TextForm::PrivateSubnet),
];

/// The label that tells `podman auto-update` which unit of the host it restarts.
const UNIT_LABEL: &str = "PODMAN_SYSTEMD_UNIT";

/// The starts of labels that tell Podman what to do.
const PODMAN_LABELS: [&str; 2] = ["io.containers.", "io.podman."];

/// The start of those that say what a project consists of, and nothing else.
const PODMAN_COMPOSE: &str = "io.podman.compose.";

/// Settings that the namespace of a container has of its own, beside those of its network and its message queues.
const SYSCTLS: [&str; 9] = [
    "kernel.domainname",
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shm_rmid_forced",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
];

/// Options of a temporary file system, without what is behind the `=`. Not among them: what mounts something else.
const TMPFS_OPTIONS: [&str; 33] = [
    "async",
    "atime",
    "defaults",
    "dev",
    "diratime",
    "dirsync",
    "exec",
    "gid",
    "mode",
    "mpol",
    "noatime",
    "nodev",
    "nodiratime",
    "noexec",
    "norelatime",
    "nostrictatime",
    "nosuid",
    "notmpcopyup",
    "nr_blocks",
    "nr_inodes",
    "private",
    "relatime",
    "ro",
    "rprivate",
    "rslave",
    "rw",
    "size",
    "slave",
    "strictatime",
    "suid",
    "sync",
    "tmpcopyup",
    "uid",
];

/// The ranges of private addresses, and those of documentation. Each has the number of bits that all its addresses share.
const PRIVATE: [(&str, u8); 5] =
    [("10.0.0.0", 8), ("172.16.0.0", 12), ("192.168.0.0", 16), ("fc00::", 7), ("2001:db8::", 32)];

impl TextForm {
    /// Whether a text has this form.
    pub fn allows(self, text: &str) -> bool {
        let has = |forbidden: &[char]| text.contains(forbidden) || text.contains(char::is_control);
        match self {
            Self::Assignment => text.contains('='),
            Self::PlainAssignment => text.contains('=') && !is_template(text),
            Self::Plain => !is_template(text),
            Self::Label => {
                let is_podmans = PODMAN_LABELS.iter().any(|start| text.starts_with(start));
                text != UNIT_LABEL && (!is_podmans || text.starts_with(PODMAN_COMPOSE))
            }
            Self::Group => {
                let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
                text.bytes().all(is_part) && text != "keep-groups"
            }
            Self::NotNegative => text.bytes().all(|byte| byte.is_ascii_digit()),
            Self::Sysctl => {
                let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
                let is_own = text.starts_with("net.") || text.starts_with("fs.mqueue.") || SYSCTLS.contains(&text);
                is_own && text.bytes().all(is_part)
            }
            Self::TmpfsPlace => !has(&[':', ',']),
            Self::TmpfsOptions => text.split(',').all(|option| {
                let name = option.split_once('=').map_or(option, |(name, _)| name);
                name.is_empty() || TMPFS_OPTIONS.contains(&name) || name.bytes().all(|byte| byte.is_ascii_digit())
            }),
            Self::PathInside => !text.starts_with('/') && !has(&['\\']) && text.split('/').all(|part| part != ".."),
            Self::PrivateSubnet => PRIVATE.iter().any(|(range, bits)| is_inside(text, range, *bits)),
        }
    }
}

/// Whether a text is a template of Go, in which something is filled in.
pub fn is_template(text: &str) -> bool {
    text.contains("{{")
}

/// Whether a subnet is inside a range.
fn is_inside(subnet: &str, range: &str, bits: u8) -> bool {
    let Some((address, length)) = subnet.split_once('/') else { return false };
    let (Ok(address), Ok(length), Ok(range)) =
        (address.parse::<IpAddr>(), length.parse::<u8>(), range.parse::<IpAddr>())
    else {
        return false;
    };
    let (address, range, width) = match (address, range) {
        (IpAddr::V4(address), IpAddr::V4(range)) => (u128::from(address.to_bits()), u128::from(range.to_bits()), 32),
        (IpAddr::V6(address), IpAddr::V6(range)) => (address.to_bits(), range.to_bits(), 128),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
    };
    (bits..=width).contains(&length) && (address ^ range) >> (width - bits) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_reaches_the_host_has_none_of_the_forms() {
        for (form, good, bad) in [
            (TextForm::Assignment, &["A=", "A=b", "A=*"][..], &["*", "A", "A*", " "][..]),
            (TextForm::PlainAssignment, &["A=", "A=}}{ {"], &["A", "A={{.Node.ID}}", "{{=}}"]),
            (TextForm::Plain, &["", "a{b}"], &["{{.Node.Hostname}}", "a{{"]),
            (
                TextForm::Label,
                &["a", "com.docker.compose.project", "io.podman.compose.project", "io.containersx"],
                &["PODMAN_SYSTEMD_UNIT", "io.containers.autoupdate", "io.podman.annotations.privileged"],
            ),
            (TextForm::Group, &["0", "audio", "my_group"], &["keep-groups", "a,b", "a:b"]),
            (TextForm::NotNegative, &["0", "1000"], &["-1", "1e3", "a"]),
            (
                TextForm::Sysctl,
                &["net.ipv4.ip_forward", "kernel.shmmax", "fs.mqueue.msg_max"],
                &["kernel.core_pattern", "vm.swappiness", "net.ipv4/../../kernel/core_pattern", "net", "fs.file-max"],
            ),
            (TextForm::TmpfsPlace, &["/run"], &["/run:exec", "/a,b"]),
            (TextForm::TmpfsOptions, &["", "rw,size=65536k,mode=1777", "uid"], &["bind", "rw,rbind", "source=/etc"]),
            (TextForm::PathInside, &["a/b", "a..b"], &["..", "a/../../b", "/etc", "a\nb"]),
            (
                TextForm::PrivateSubnet,
                &["10.231.1.0/24", "172.28.0.0/16", "192.168.5.0/24", "fd00:a::/64", "2001:db8::/64"],
                &["8.8.8.0/24", "0.0.0.0/0", "10.0.0.0/7", "172.0.0.0/8", "::/0", "10.0.0.1", "10.0.0.0/33", "a/8"],
            ),
        ] {
            for (texts, is_good) in [(good, true), (bad, false)] {
                for text in texts {
                    assert_eq!(form.allows(text), is_good, "{form:?} {text}");
                }
            }
        }
    }
}
