//! The scene of the demo: what five computers measure in a month, as line protocol in the order of arrival.
//!
//! Pure, and the same bytes on every machine: chance is a function of the computer and the minute.
//!
//! | host | what to find |
//! |---|---|
//! | `atelier` | renders in the evenings, and runs hot in the last week, since its fan fails |
//! | `buero-nord` | is switched off at night and on Sundays |
//! | `labor` | its temperature sensor vanishes on 20 October |
//! | `laptop` | travels: what it measures on the way arrives hours later; two days are missing |
//! | `server` | never sleeps |
//!
//! On 25 October the clocks are set back at 01:00 UTC: that day has 25 hours.

use std::fmt::Write;

const MINUTE: i64 = 60;
const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;
/// Nanoseconds of a second.
const SECOND: i64 = 1_000_000_000;

/// The first minute: 2026-10-04 22:00 UTC, which is midnight in Berlin. Seconds since the epoch.
pub const START: i64 = 1_791_151_200;
/// The moment at which the demo is looked at: 2026-11-04 08:10 UTC. Seconds since the epoch.
pub const END: i64 = 1_793_779_800;
/// Clocks are set back: 2026-10-25 01:00 UTC.
const SET_BACK: i64 = 1_792_890_000;

/// The computers, by name.
pub const HOSTS: [&str; 5] = ["atelier", "buero-nord", "labor", "laptop", "server"];

/// A number from 0 to 1 that belongs to a computer, a minute and a purpose; splitmix64
/// (<https://prng.di.unimi.it/splitmix64.c>).
fn chance(host: usize, minute: i64, purpose: u64) -> f64 {
    let mut x = (host as u64) << 56 ^ purpose << 48 ^ minute.unsigned_abs();
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((x ^ (x >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

/// The time of day in Berlin, in seconds, and the day since the first one.
fn local(at: i64) -> (i64, i64) {
    let shifted = at - START - if at >= SET_BACK { HOUR } else { 0 };
    (shifted.rem_euclid(DAY), shifted.div_euclid(DAY))
}

/// From 0 at the edges of a stretch of the day to 1 in its middle, without a function that machines could round differently.
fn hump(time: i64, from: i64, to: i64) -> f64 {
    if time < from || time >= to {
        return 0.0;
    }
    let share = (time - from) as f64 / (to - from) as f64;
    4.0 * share * (1.0 - share)
}

/// What a computer measures.
struct Measured {
    cpu: f64,
    temp: Option<f64>,
    power: f64,
}

/// What a computer measures in a minute; `None` if it is off.
fn measured(host: usize, at: i64) -> Option<Measured> {
    let (time, day) = local(at);
    let minute = at / MINUTE;
    let noise = chance(host, minute, 0) - 0.5;
    // Monday is day 0.
    let weekday = day.rem_euclid(7);
    let office = hump(time, 8 * HOUR, 18 * HOUR);
    let load = match host {
        0 => 8.0 + 35.0 * office + 85.0 * hump(time, 19 * HOUR, 23 * HOUR),
        1 if !(7 * HOUR..19 * HOUR).contains(&time) || weekday == 6 => return None,
        1 => 10.0 + 45.0 * office,
        2 => 20.0 + 30.0 * hump(time, 0, 24 * HOUR),
        3 if (12..14).contains(&day) || !(6 * HOUR..23 * HOUR).contains(&time) => return None,
        3 => 6.0 + 30.0 * office,
        _ => 35.0 + 10.0 * hump(time, HOUR, 4 * HOUR),
    };
    // A job that starts now and then.
    let burst = if chance(host, at / (20 * MINUTE), 1) < 0.06 { 25.0 } else { 0.0 };
    let cpu = (load + burst + 12.0 * noise).clamp(0.5, 100.0);
    // The fan of the first one fails in the last week.
    let fan = if host == 0 && day >= 24 { 17.0 } else { 0.0 };
    let temp = 34.0 + 0.42 * cpu + fan + 3.0 * (chance(host, minute, 2) - 0.5);
    let has_sensor = host != 2 || day < 15;
    let idle = [55.0, 35.0, 40.0, 8.0, 60.0][host];
    let power = idle + 1.1 * cpu + 4.0 * (chance(host, minute, 3) - 0.5);
    Some(Measured { cpu, temp: has_sensor.then_some(temp), power })
}

/// When a line of a minute arrives: at once, but for the laptop on its way on Fridays, which arrives at eight in the evening.
fn arrival(host: usize, at: i64) -> i64 {
    let (time, day) = local(at);
    let travels = host == 3 && day.rem_euclid(7) == 4 && (13 * HOUR..20 * HOUR).contains(&time);
    if travels { at - time + 20 * HOUR } else { at }
}

/// Returns the lines in the order of their arrival.
pub fn lines() -> String {
    let mut all: Vec<(i64, i64, usize)> = Vec::new();
    let mut at = START;
    while at < END {
        all.extend((0..HOSTS.len()).map(|host| (arrival(host, at), at, host)));
        at += MINUTE;
    }
    all.retain(|(arrival, ..)| *arrival < END);
    all.sort_unstable();
    let mut out = String::with_capacity(all.len() * 64);
    for (_, at, host) in all {
        let Some(Measured { cpu, temp, power }) = measured(host, at) else { continue };
        // Writing to a string cannot fail.
        let _ = write!(out, "demo,host={} cpu={cpu:.1}", HOSTS[host]);
        if let Some(temp) = temp {
            let _ = write!(out, ",temp={temp:.1}");
        }
        let _ = writeln!(out, ",power={power:.1} {}", at * SECOND);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scene_is_what_its_head_says() {
        let text = lines();
        let of = |host: &str| text.lines().filter(|line| line.starts_with(&format!("demo,host={host} "))).count();
        assert!(of("server") > 43_000 && of("buero-nord") < 20_000, "{} {}", of("server"), of("buero-nord"));
        let last_temp = text.lines().filter(|line| line.contains("host=labor ") && line.contains("temp=")).count();
        assert_eq!(last_temp, 15 * 1_440);
        // 25 October has 25 hours.
        let midnight = |at: i64| local(at).0 == 0;
        assert!(midnight(START + 20 * DAY) && !midnight(START + 21 * DAY) && midnight(START + 21 * DAY + HOUR));
        // Something is late.
        let times: Vec<i64> = text.lines().filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
        assert!(times.windows(2).any(|two| two[0] > two[1]));
    }
}
