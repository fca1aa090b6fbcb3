//! A range of IP addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// The addresses that begin with the same bits: `172.20.0.0/16`, or a single one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRange {
    /// The lowest address. One of IPv4 that is written as one of IPv6 is one of IPv4.
    first: IpAddr,
    /// How many bits they have in common.
    bits: u32,
}

/// Why a text is not an [`AddressRange`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeError {
    /// Not an address, or not a number of bits that such an address has.
    Form,
    /// The address has bits behind those that the range has in common. This is the range that it is in.
    Inside(AddressRange),
}

impl fmt::Display for RangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form => f.write_str("expected an address or a range such as 172.20.0.0/16 or fd00::/8"),
            Self::Inside(range) => write!(f, "did you mean {range}?"),
        }
    }
}

impl std::error::Error for RangeError {}

impl AddressRange {
    /// Whether an address is one of these. One of IPv4 that is mapped to IPv6 is one of IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.first, address.to_canonical()) {
            (IpAddr::V4(first), IpAddr::V4(address)) => start_v4(address, self.bits) == first,
            (IpAddr::V6(first), IpAddr::V6(address)) => start_v6(address, self.bits) == first,
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    /// The range of the addresses that have `bits` bits in common with `address`.
    fn around(address: IpAddr, bits: u32) -> Self {
        let first = match address {
            IpAddr::V4(address) => IpAddr::V4(start_v4(address, bits)),
            IpAddr::V6(address) => IpAddr::V6(start_v6(address, bits)),
        };
        Self { first, bits }
    }
}

/// The first `bits` bits of an address, then zeros.
fn start_v4(address: Ipv4Addr, bits: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(address.to_bits() & u32::MAX.checked_shl(32_u32.saturating_sub(bits)).unwrap_or(0))
}

/// The first `bits` bits of an address, then zeros.
fn start_v6(address: Ipv6Addr, bits: u32) -> Ipv6Addr {
    Ipv6Addr::from_bits(address.to_bits() & u128::MAX.checked_shl(128_u32.saturating_sub(bits)).unwrap_or(0))
}

/// The number of bits in all addresses of one family.
fn width(address: IpAddr) -> u32 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl FromStr for AddressRange {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let written: IpAddr = address.parse().map_err(|_| RangeError::Form)?;
        let is_number = |bits: &&str| !bits.is_empty() && bits.bytes().all(|byte| byte.is_ascii_digit());
        let bits = match bits {
            None => width(written),
            Some(bits) => Some(bits).filter(is_number).and_then(|bits| bits.parse().ok()).ok_or(RangeError::Form)?,
        };
        // Of a mapped address, the first 96 bits say that it is one of IPv4.
        let address = written.to_canonical();
        let bits = bits.checked_sub(width(written) - width(address)).ok_or(RangeError::Form)?;
        if bits > width(address) {
            return Err(RangeError::Form);
        }
        let range = Self::around(address, bits);
        if range.first == address { Ok(range) } else { Err(RangeError::Inside(range)) }
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, bits } = self;
        if *bits == width(*first) { write!(f, "{first}") } else { write!(f, "{first}/{bits}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&str, &str>) {
        let found = text.parse::<AddressRange>();
        let found = found.map(|range| range.to_string()).map_err(|error| error.to_string());
        assert_eq!(found, expected.map(str::to_owned).map_err(str::to_owned), "{text}");
    }

    #[test]
    fn a_range_is_displayed_as_it_parses() {
        for text in ["172.20.0.0/16", "10.0.0.1", "0.0.0.0/0", "::/0", "fd00::/8", "fe80::1", "128.0.0.0/1", "::/127"] {
            check(text, Ok(text));
        }
        check("10.0.0.1/32", Ok("10.0.0.1"));
        check("::1/128", Ok("::1"));
        check("::ffff:10.0.0.1", Ok("10.0.0.1"));
        check("::ffff:10.0.0.0/104", Ok("10.0.0.0/8"));
        check("::ffff:0.0.0.0/96", Ok("0.0.0.0/0"));
    }

    #[test]
    fn what_is_no_range_is_refused() {
        const EXPECTED: &str = "expected an address or a range such as 172.20.0.0/16 or fd00::/8";
        for text in [
            "",
            "/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "::/129",
            "10.0.0/8",
            "10.0.0.0/+8",
            "10.0.0.0/8/8",
            "10.0.0.0/-1",
            "::ffff:0.0.0.0/95",
            "fe80::1%eth0",
            "web",
            "010.0.0.1",
            "10.0.0.0 /8",
            "[::1]",
            "10.0.0.0/4294967304",
        ] {
            check(text, Err(EXPECTED));
        }
        check("172.20.1.0/16", Err("did you mean 172.20.0.0/16?"));
        check("fd12::/8", Err("did you mean fd00::/8?"));
        check("::ffff:10.1.0.0/104", Err("did you mean 10.0.0.0/8?"));
    }

    /// Compares with counting bits, for every length and addresses near the borders.
    #[test]
    fn a_range_holds_what_begins_with_the_same_bits() {
        for bits in 0..=32 {
            let range = AddressRange::around("172.20.170.85".parse().unwrap(), bits);
            for flipped in 0..32 {
                let address = Ipv4Addr::from_bits(Ipv4Addr::new(172, 20, 170, 85).to_bits() ^ (1 << (31 - flipped)));
                assert_eq!(range.contains(address.into()), flipped >= bits, "{range} {address}");
                assert_eq!(range.contains(address.to_ipv6_mapped().into()), flipped >= bits, "{range} {address}");
            }
        }
        for bits in 0..=128 {
            let range = AddressRange::around("fd12:3456::9abc".parse().unwrap(), bits);
            for flipped in 0..128 {
                let address = Ipv6Addr::from_bits(
                    "fd12:3456::9abc".parse::<Ipv6Addr>().unwrap().to_bits() ^ (1 << (127 - flipped)),
                );
                assert_eq!(range.contains(address.into()), flipped >= bits, "{range} {address}");
            }
        }
    }
}
