//! What policies are made of, as text: prefixes, windows, limits' bounds.
//!
//! Each function gives the value or what is wrong with it, together with the remedy.

use std::{net::IpAddr, time::Duration};

use ipnet::IpNet;

use super::diagnostic::Remark;

/// Limits allow at least one attempt in a window, and at most this many.
pub const CONNECTIONS_MAX: u32 = 10_000;
/// The shortest window.
pub const WINDOW_MIN: Duration = Duration::from_secs(1);
/// The longest window.
pub const WINDOW_MAX: Duration = Duration::from_secs(86_400);

/// Reads a prefix such as `203.0.113.0/24`, or an address for the prefix that holds only it.
pub(super) fn prefix_or_address(text: &str) -> Result<IpNet, Remark> {
    match text.parse::<IpAddr>() {
        Ok(address) => plain(address.into(), text),
        Err(_) => prefix(text),
    }
}

/// Reads a prefix such as `203.0.113.0/24`. No bit may be set beyond its length.
pub(super) fn prefix(text: &str) -> Result<IpNet, Remark> {
    let Ok(net) = text.parse::<IpNet>() else {
        return Err(not_a_prefix(text));
    };
    if net.addr() != net.network() {
        let host = IpNet::from(net.addr());
        return Err(Remark::new(
            format!("prefix \"{text}\" has bits set beyond its length"),
            format!(
                "write \"{}\" for the network or \"{host}\" for the address",
                net.trunc()
            ),
        ));
    }
    plain(net, text)
}

/// Refuses IPv4 written as IPv6: no frame carries such an address (RFC 4291 §2.5.5.2).
fn plain(net: IpNet, text: &str) -> Result<IpNet, Remark> {
    let IpNet::V6(v6) = net else { return Ok(net) };
    match (v6.addr().to_ipv4_mapped(), v6.prefix_len().checked_sub(96)) {
        (Some(v4), Some(length)) => Err(Remark::new(
            format!("\"{text}\" is an IPv4 address written as IPv6"),
            format!("write \"{v4}/{length}\""),
        )),
        _ => Ok(net),
    }
}

/// What is wrong with a text that is no prefix.
fn not_a_prefix(text: &str) -> Remark {
    let remedy = match (text.parse::<IpAddr>(), text.split_once('/')) {
        (Ok(address), _) => format!(
            "write \"{}\" if you mean this one address",
            IpNet::from(address)
        ),
        (_, Some((address, length))) => match address.parse::<IpAddr>() {
            Ok(IpAddr::V4(_)) if length.parse::<std::net::Ipv4Addr>().is_ok() => {
                "write the length as a number of bits, like /24".to_owned()
            }
            Ok(IpAddr::V4(_)) => "an IPv4 prefix is from 0 to 32 bits long".to_owned(),
            Ok(IpAddr::V6(_)) => "an IPv6 prefix is from 0 to 128 bits long".to_owned(),
            Err(_) => EXAMPLE.to_owned(),
        },
        _ => EXAMPLE.to_owned(),
    };
    Remark::new(format!("\"{text}\" is not a prefix"), remedy)
}

const EXAMPLE: &str = "write an address and a length, like \"203.0.113.0/24\" or \"2001:db8::/32\"";

/// Reads a window such as `10s`, `1m`, `1h` or `1d`.
pub(super) fn window(text: &str) -> Result<Duration, Remark> {
    let window = span(text)?;
    if window < WINDOW_MIN || window > WINDOW_MAX {
        return Err(Remark::new(
            format!("a window of \"{text}\" cannot be represented"),
            "choose a window from \"1s\" to \"1d\"",
        ));
    }
    Ok(window)
}

/// Reads a time written as a window is, however long.
pub(super) fn span(text: &str) -> Result<Duration, Remark> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(not_a_window(text, number, unit)),
    };
    let Ok(number) = number.parse::<u64>() else {
        return Err(not_a_window(text, number, unit));
    };
    Ok(Duration::from_secs(number.saturating_mul(seconds)))
}

/// What is wrong with a text that is no window.
fn not_a_window(text: &str, number: &str, unit: &str) -> Remark {
    let remedy = match (number.parse::<u64>(), unit) {
        (Ok(_), "ms" | "us" | "µs" | "ns") => "the shortest window is \"1s\"".to_owned(),
        (Ok(number), "") => format!("add a unit: \"{number}s\", \"{number}m\", \"{number}h\""),
        (Ok(number), "sec" | "secs" | "second" | "seconds" | "S") => format!("write \"{number}s\""),
        (Ok(number), "min" | "mins" | "minute" | "minutes" | "M") => format!("write \"{number}m\""),
        (Ok(number), "hour" | "hours" | "H") => format!("write \"{number}h\""),
        (Ok(number), "day" | "days" | "D") => format!("write \"{number}d\""),
        (Ok(number), "w" | "week" | "weeks") if number > 0 => {
            "the longest window is \"1d\"".to_owned()
        }
        _ => "write one whole number and one unit (s, m, h, d), like \"90s\"".to_owned(),
    };
    Remark::new(format!("\"{text}\" is not a window"), remedy)
}

/// A window as people write it: in the largest unit that leaves no remainder.
#[must_use]
pub fn window_text(window: Duration) -> String {
    let seconds = window.as_secs();
    let units = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let exact = units
        .iter()
        .find(|(unit, _)| seconds >= *unit && seconds.is_multiple_of(*unit));
    exact.map_or_else(
        || format!("{seconds}s"),
        |(unit, name)| format!("{}{name}", seconds / unit),
    )
}
