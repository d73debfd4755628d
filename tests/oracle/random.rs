//! Random configs and inputs for comparing the engine with the oracle: `case(seed)` always gives the same
//! pair for the same seed.
//!
//! It makes what the contract is definite about, and nothing else: no line without timestamp, no key over
//! 191 characters, fewer points than the memory of duplicates holds, no VT, FF or lone CR, whole lines only, windows
//! that a slot divides, no zone whose rules differ between database releases, sums that stay far from
//! overflow.
//!
//! `gen` is a keyword since edition 2024: there include this file under another name
//! (`#[path = "gen.rs"] mod cases;`).
#![allow(dead_code)]

/// splitmix64 (Vigna, public domain).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// `0..below`
    fn below(&mut self, below: usize) -> usize {
        (self.next() % below as u64) as usize
    }

    /// `low..high`
    fn between(&mut self, low: i64, high: i64) -> i64 {
        low + (self.next() % (high - low) as u64) as i64
    }

    fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }

    fn shuffle<T>(&mut self, list: &mut [T]) {
        for i in (1..list.len()).rev() {
            list.swap(i, self.below(i + 1));
        }
    }
}

/// A zone and instants (seconds since 1970) around which something happens there.
pub const ZONES: [(&str, &[i64]); 20] = [
    ("UTC", &[1_709_632_800, 1_735_689_600, 0]),
    ("Europe/Berlin", &[1_711_846_800, 1_729_990_800, 1_719_784_800]),
    // 2024-04-06T15:00Z back by half an hour, 2024-10-05T15:30Z forth.
    ("Australia/Lord_Howe", &[1_712_415_600, 1_728_142_200]),
    // An ordinary midnight; 1985-12-31T18:30Z from +05:30 to +05:45.
    ("Asia/Kathmandu", &[1_704_132_900, 504_901_800]),
    ("Asia/Seoul", &[1_709_650_800]),
    // 2018-11-04T03:00Z: no midnight; 2018-02-18T02:00Z: 23:00 twice.
    ("America/Sao_Paulo", &[1_541_300_400, 1_518_919_200]),
    // 2011-12-30T10:00Z: no 30 December.
    ("Pacific/Apia", &[1_325_239_200]),
    ("America/New_York", &[1_710_054_000, 1_730_613_600]),
    // 2010-11-07T02:31Z: 00:01 becomes 23:01 of the day before; 2010-03-14T03:31Z: 00:01 becomes 01:01.
    ("America/St_Johns", &[1_289_097_060, 1_268_537_460]),
    ("Pacific/Chatham", &[1_712_412_000, 1_727_532_000]),
    // Two hours at once.
    ("Antarctica/Troll", &[1_711_846_800, 1_729_990_800]),
    ("Asia/Kolkata", &[1_704_133_800]),
    // 2021-03-21T20:30Z: no midnight; 2021-09-21T19:30Z: 23:00 twice.
    ("Asia/Tehran", &[1_616_358_600, 1_632_252_600]),
    // 2019-03-10T05:00Z: no midnight; 2019-11-03T05:00Z.
    ("America/Havana", &[1_552_194_000, 1_572_757_200]),
    // 2015-08-14T15:00Z: 00:00 becomes 23:30; 2018-05-04T15:00Z: 23:30 becomes 00:00.
    ("Asia/Pyongyang", &[1_439_564_400, 1_525_446_000]),
    // 2016-05-01T07:00Z: 02:30 becomes 03:00.
    ("America/Caracas", &[1_462_086_000]),
    ("Europe/Dublin", &[1_711_846_800, 1_729_990_800]),
    ("Pacific/Kiritimati", &[1_704_103_200]),
    ("America/Asuncion", &[1_664_683_200, 1_679_799_600]),
    ("Europe/London", &[1_711_846_800, 1_729_990_800]),
];

const NUMBER_METHODS: [&str; 11] =
    ["avg", "min", "max", "sum", "first", "last", "stddev", "range", "p50", "p95", "p99.9"];

/// A config and an input for it.
pub fn case(seed: u64) -> (String, Vec<u8>) {
    let mut dice = Dice(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0x6a09_e667_f3bc_c909);
    let (zone, instants) = ZONES[dice.below(ZONES.len())];
    let config = config(&mut dice, zone);
    let base = instants[dice.below(instants.len())];
    let input = input(&mut dice, base);
    (config, input)
}

// ------------------------------------------------------------------------------------------------
// Config
// ------------------------------------------------------------------------------------------------

fn config(dice: &mut Dice, zone: &str) -> String {
    let horizon = dice.pick(&["0s", "50m", "3h", "26h"]);
    let mut out = format!(
        "timezone = {}\n\n[lateness]\nallowed = \"10m\"\nmax = \"36500d\"\nfuture = \"5m\"\n\n[missing]\nhorizon = \"{horizon}\"\n",
        quoted(zone)
    );
    let mut anomalies = String::new();
    let mut rule_count = 0;
    for summary in 0..1 + dice.below(3) {
        let keys: &[&str] = match dice.below(7) {
            0..=2 => &["host"],
            3 => &["host", "disk"],
            4 => &["rack"],
            5 => &["host name"],
            _ => &["disk", "host"],
        };
        let windows =
            *dice.pick(&[&"[\"hourly\", \"daily\"]", &"[\"hourly\", \"daily\"]", &"[\"hourly\"]", &"[\"daily\"]"]);
        let keys: Vec<String> = keys.iter().map(|key| quoted(key)).collect();
        let own_horizon = dice.percent(30).then(|| dice.pick(&["0s", "90m", "5h", "3d"]));
        let has_zones = dice.percent(40);
        out += &format!("\n[[summary]]\nname = \"s{summary}\"\nkey = [{}]\nwindows = {windows}\n", keys.join(", "));
        match dice.below(5) {
            0 => out += "expect_every = \"10s\"\n",
            1 => out += "expect_every = \"1m\"\n",
            // St. John's has windows of 1 and of 59 minutes.
            2 if zone != "America/St_Johns" => out += "expect_every = \"5m\"\n",
            _ => {}
        }
        if has_zones {
            out += "timezone_tag = \"tz\"\n";
        }
        if let Some(horizon) = own_horizon {
            out += &format!("missing.horizon = \"{horizon}\"\n");
        }
        // Columns that a rule may look at.
        let mut numbers = Vec::new();
        for column in 0..1 + dice.below(5) {
            let name = format!("s{summary}_c{column}");
            let counts = dice.percent(20);
            let method = if counts { "count" } else { dice.pick(&NUMBER_METHODS) };
            let mut sources: Vec<String> = Vec::new();
            for _ in 0..1 + dice.below(3) {
                let mut source = source(dice, counts);
                // Sources that overlap: a wider or narrower pattern for what the first one takes.
                if let (Some(first), true) = (sources.first(), dice.percent(40)) {
                    let measurement = dice.pick(&["*", "c*", "cpu", "[cgm]*"]);
                    let rest = &first[first.find('"').expect("a pattern in quotes") + 1..];
                    let rest = &rest[rest.find('"').expect("a pattern in quotes") + 1..];
                    source = format!("{{ measurement = {}{rest}", quoted(measurement));
                }
                if !sources.contains(&source) {
                    sources.push(source);
                }
            }
            let valid = match dice.percent(30) {
                true => format!(
                    "  valid = {}\n",
                    dice.pick(&["[0, 50]", "[-inf, 20.5]", "[-3, inf]", "[1, 1]", "[7.5, 1e6]"])
                ),
                false => String::new(),
            };
            out += &format!(
                "\n  [[summary.column]]\n  name = \"{name}\"\n  method = \"{method}\"\n{valid}  sources = [\n    {},\n  ]\n",
                sources.join(",\n    ")
            );
            if !counts {
                numbers.push(name);
            }
        }
        if dice.percent(50) {
            let mut rules = Vec::new();
            for _ in 0..1 + dice.below(3) {
                let rule = format!("r{rule_count}");
                rule_count += 1;
                let input = if !numbers.is_empty() && dice.percent(65) {
                    format!("column = \"{}\"", numbers[dice.below(numbers.len())])
                } else {
                    format!("source = {}", source(dice, false))
                };
                let operator = dice.pick(&[">", ">=", "<", "<=", "==", "!="]);
                let threshold = dice.pick(&["0", "1", "50", "7.5", "-3", "20.25", "99", "1e2"]);
                let judge = if dice.percent(35) {
                    let baseline = 1 + dice.below(4);
                    format!("zscore = {}\nbaseline = {baseline}", dice.pick(&["0.37", "1.13", "2.71"]))
                } else {
                    format!("when = \"{operator} {threshold}\"")
                };
                anomalies += &format!("\n[[anomaly]]\nname = \"{rule}\"\n{input}\n{judge}\n");
                rules.push(quoted(&rule));
            }
            out += &format!(
                "\n  [[summary.column]]\n  name = \"s{summary}_odd\"\n  method = \"anomalies\"\n  rules = [{}]\n",
                rules.join(", ")
            );
        }
    }
    out + &anomalies
}

fn source(dice: &mut Dice, counts: bool) -> String {
    let measurement =
        dice.pick(&["cpu", "cpu", "mem", "my m", "gpu,x", "c*", "?pu", "[cm]*", "*", "[!c]*", "m*m", "gpu?x"]);
    let mut tags = Vec::new();
    if dice.percent(45) {
        let pattern =
            dice.pick(&["cpu0", "cpu1", "cpu*", "cpu-total", "cpu[01]", "cpu[0-9]", "[!c]*", "*", "cpu?total", "*t*"]);
        tags.push(format!("cpu = {}", quoted(pattern)));
    }
    if dice.percent(15) {
        tags.push(format!(
            "{} = {}",
            quoted("k 1"),
            quoted(dice.pick(&["a,b=c", "a*", "C:\\x y", "°C", "?C", "q\"u o", "*"]))
        ));
    }
    if dice.percent(8) {
        tags.push(format!("disk = {}", quoted(dice.pick(&["C:", "?:", "[CD]:"]))));
    }
    let field = if counts {
        dice.pick(&["s", "s", "v", "w", "v 1", "b"])
    } else {
        dice.pick(&["v", "v", "v", "v", "w", "w", "v 1", "b", "u", "s"])
    };
    let mut out = format!("{{ measurement = {}", quoted(measurement));
    if !tags.is_empty() {
        out += &format!(", tags = {{ {} }}", tags.join(", "));
    }
    out += &format!(", field = {}", quoted(field));
    if !counts && dice.percent(30) {
        out += &format!(", scale = {}", dice.pick(&["-1.0", "0.1", "1.8", "100.0", "0.001", "3.0", "-0.3"]));
    }
    if !counts && dice.percent(25) {
        out += &format!(", offset = {}", dice.pick(&["100.0", "32.0", "-273.15", "0.1", "-0.5"]));
    }
    out + " }"
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

// ------------------------------------------------------------------------------------------------
// Input
// ------------------------------------------------------------------------------------------------

/// A series before it is written: decoded bytes.
#[derive(Clone)]
struct Series {
    measurement: &'static [u8],
    tags: Vec<(&'static [u8], &'static [u8])>,
}

/// What is written in one line.
#[derive(Clone)]
struct Metric {
    series: Series,
    /// Field key and value, as text of the protocol.
    fields: Vec<(&'static [u8], Vec<u8>)>,
    ts: i64,
}

fn input(dice: &mut Dice, base: i64) -> Vec<u8> {
    let series: Vec<Series> = (0..2 + dice.below(10)).map(|_| series(dice)).collect();
    let lines = 30 + dice.below(400);
    // Few hours with many points in most cases, a day and a half around the instant in the others.
    let (reach, grain) = match dice.below(4) {
        0 => (2 * 3_600, 1_000_000_000),
        1 => (3_600, 7_000_000_000),
        2 => (5 * 3_600, 60_000_000_000),
        _ => (36 * 3_600, 1_234_567_891),
    };
    let disorder = dice.below(60);
    let mut written: Vec<Metric> = Vec::new();
    let mut out = Vec::new();
    let mut clock = 0;
    // Often several series have a point at the same instant, as an agent's inputs do.
    let same_instant = dice.below(70);
    let mut last_ts = None;
    for line in 0..lines {
        match dice.below(100) {
            // What is no point at all, or no valid one.
            0..=3 => {
                let ts = (base * 1_000_000_000).to_string();
                out.extend(no_metric(dice, &ts));
            }
            // An old line again: the same, or with other values; tags in another order.
            4..=18 if !written.is_empty() => {
                let recent = written.len().min(if dice.percent(60) { 4 } else { 400 });
                let mut again = written[written.len() - 1 - dice.below(recent)].clone();
                if dice.percent(50) {
                    for (name, value) in &mut again.fields {
                        *value = field_value(dice, name);
                    }
                }
                if dice.percent(20) {
                    again.fields.truncate(1);
                }
                write(dice, &again, &mut out);
                written.push(again);
            }
            _ => {
                // Time goes on through the reach; some lines jump anywhere in it.
                clock = clock.max(line as i64 * 2 * reach / lines as i64);
                let seconds = if dice.percent(disorder) { dice.between(0, 2 * reach) } else { clock } - reach;
                let mut ts = base * 1_000_000_000 + seconds * 1_000_000_000;
                ts = ts.div_euclid(grain) * grain;
                match dice.below(20) {
                    // The edges of windows, to the nanosecond.
                    0 => ts = (base + seconds.div_euclid(1_800) * 1_800) * 1_000_000_000,
                    1 => ts = (base + seconds.div_euclid(1_800) * 1_800) * 1_000_000_000 - 1,
                    2 => ts += dice.between(0, 1_000_000_000),
                    _ => {}
                }
                if dice.percent(same_instant) {
                    ts = last_ts.unwrap_or(ts);
                }
                last_ts = Some(ts);
                let metric = Metric { series: series[dice.below(series.len())].clone(), fields: fields(dice), ts };
                write(dice, &metric, &mut out);
                written.push(metric);
            }
        }
    }
    out
}

fn series(dice: &mut Dice) -> Series {
    let measurement: &'static [u8] = dice.pick::<[u8]>(&[b"cpu", b"cpu", b"mem", b"my m", b"gpu,x"]);
    let mut tags: Vec<(&'static [u8], &'static [u8])> = Vec::new();
    if dice.percent(92) {
        let hosts: &[&'static [u8]] =
            &[b"a", b"a", b"b", b"PC 1,a=b", "ü".as_bytes(), b"q\"u o", b"\xb0C\xff", b"A", b"a,b"];
        tags.push((b"host", dice.pick::<[u8]>(hosts)));
    }
    if dice.percent(60) {
        tags.push((b"disk", dice.pick::<[u8]>(&[b"C:", b"D:"])));
    }
    if dice.percent(60) {
        tags.push((b"rack", dice.pick::<[u8]>(&[b"r0", b"r1"])));
    }
    if dice.percent(40) {
        tags.push((b"host name", dice.pick::<[u8]>(&[b"x y", b"x=y", b"tail "])));
    }
    if dice.percent(60) {
        tags.push((b"cpu", dice.pick::<[u8]>(&[b"cpu0", b"cpu1", b"cpu-total", b"total"])));
    }
    if dice.percent(40) {
        let values: &[&'static [u8]] = &[b"a,b=c", b"C:\\x y", "°C".as_bytes(), b"\xb0C", b"q\"u o", b"C:\\x"];
        tags.push((b"k 1", dice.pick::<[u8]>(values)));
    }
    if dice.percent(50) {
        // Devices move: their series name several zones, and one that there is not.
        let zones: &[&'static [u8]] = &[b"Europe/Berlin", b"Asia/Seoul", b"Asia/Kathmandu", b"UTC", b"No/Where"];
        tags.push((b"tz", dice.pick::<[u8]>(zones)));
    }
    Series { measurement, tags }
}

fn fields(dice: &mut Dice) -> Vec<(&'static [u8], Vec<u8>)> {
    let mut out: Vec<(&'static [u8], Vec<u8>)> = Vec::new();
    for _ in 0..1 + dice.below(3) {
        // A name may come twice: the last value counts.
        let name = dice.pick::<[u8]>(&[b"v", b"v", b"v", b"w", b"v 1", b"b", b"u", b"s", b"other"]);
        out.push((name, field_value(dice, name)));
    }
    out
}

fn field_value(dice: &mut Dice, field: &[u8]) -> Vec<u8> {
    let text = match field {
        b"s" => dice
            .pick(&[
                r#""""#,
                r#""a b,c=d""#,
                r#""say \"no\" \\""#,
                "\"two\nlines\"",
                "\"a\ncpu,host=a v=99999 5\n\"",
                "\"a\r\n# no comment\n\"",
                "\"ü, 14 days\"",
            ])
            .to_string(),
        b"b" => dice.pick(&["t", "T", "true", "True", "TRUE", "f", "F", "false", "False", "FALSE"]).to_string(),
        b"u" => format!("{}u", dice.below(1_000)),
        b"w" if dice.percent(70) => format!("{}i", dice.between(-500, 500)),
        b"w" => dice.pick(&["0i", "-0i", "9007199254740993i", "1i"]).to_string(),
        // A string in the place of a number: the last value wins, whatever its type.
        _ if dice.percent(5) => "\"off\"".to_string(),
        _ => match dice.below(12) {
            0 => dice
                .pick(&["0", "-0", "-0.0", "5.", ".5", "-.5", "1e2", "1.5E-3", "2e+1", "007.50", "1e-400"])
                .to_string(),
            1 => format!("{}i", dice.between(-50, 150)),
            2..=4 => dice.between(0, 100).to_string(),
            // Small noise on a large mean: a naive sum of squares loses it.
            5 => format!("1000000.{:03}", dice.below(1_000)),
            _ => format!("{}.{}", dice.between(-20, 110), dice.below(100_000)),
        },
    };
    text.into_bytes()
}

fn write(dice: &mut Dice, metric: &Metric, out: &mut Vec<u8>) {
    let mut tags = metric.series.tags.clone();
    dice.shuffle(&mut tags);
    if !tags.is_empty() && dice.percent(4) {
        // The first of two values does not count.
        let (key, _) = tags[dice.below(tags.len())];
        tags.insert(0, (key, b"never"));
    }
    let blank =
        |dice: &mut Dice| -> &'static str { if dice.percent(4) { dice.pick(&["\t", "  ", " \t "]) } else { " " } };
    if dice.percent(2) {
        out.extend(b"  ");
    }
    escape(metric.series.measurement, b" ,", out);
    for (key, value) in tags {
        out.push(b',');
        escape(key, b" ,=", out);
        out.push(b'=');
        escape(value, b" ,=", out);
    }
    out.extend(blank(dice).bytes());
    for (at, (key, value)) in metric.fields.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        escape(key, b" ,=", out);
        out.push(b'=');
        out.extend(value);
    }
    out.extend(blank(dice).bytes());
    out.extend(metric.ts.to_string().bytes());
    if dice.percent(2) {
        out.push(b' ');
    }
    out.extend(if dice.percent(5) { "\r\n".bytes() } else { "\n".bytes() });
}

fn escape(raw: &[u8], special: &[u8], out: &mut Vec<u8>) {
    for byte in raw {
        if special.contains(byte) {
            out.push(b'\\');
        }
        out.push(*byte);
    }
}

/// Blank lines, comments, and lines that must be refused whole although they look like points.
fn no_metric(dice: &mut Dice, ts: &str) -> Vec<u8> {
    let line = dice.pick(&[
        "",
        "  ",
        "# cpu,host=a v=1 TS",
        "  # \"",
        "garbage",
        "cpu",
        "cpu,host=a",
        "cpu,host=a v= TS",
        "cpu,host=a v=1, TS",
        "cpu,host=a, v=1 TS",
        "cpu,host=a,cpu v=1 TS",
        "cpu,host= v=1 TS",
        "cpu,host=a=b v=1 TS",
        "cpu,host=a v=01i TS",
        "cpu,host=a v=NaN TS",
        "cpu,host=a v=+1 TS",
        "cpu,host=a v=1e400 TS",
        "cpu,host=a v=1,w=9223372036854775808i TS",
        "cpu,host=a v=1,u=-1u TS",
        "cpu,host=a v=1,b=yes TS",
        "cpu,host=a v=1,s=\"a\\qb\" TS",
        "cpu,host=a v=1,s=\"a\"b TS",
        "cpu,host=a v=1 TS1234567890",
        "cpu,host=a v=1 9223372036854775808",
        "cpu,host=a v=1 TS 5",
        "cpu,host=a v=1 TSi",
        "cpu,host=a v=12,5 TS",
        "cpu,host=a v=1\rcpu,host=a v=1 TS",
        ",host=a v=1 TS",
        "{\"a\":1}",
        "cpu,host=\"a b\" v=1 TS",
        "cpu,host=a\\\\ v=1 TS",
    ]);
    let end = if dice.percent(10) { "\r\n" } else { "\n" };
    format!("{}{end}", line.replace("TS", ts)).into_bytes()
}
