//! The courier: the thread that reads the configuration, starts the engine, and carries rows to the sink.
//!
//! It never makes the stream wait: it takes the engine's lock for short slices only. A bad configuration is reported and
//! read again every [`CONFIG_EVERY`] until it is valid; a sink that fails is tried again at the next flush, and what was
//! not acknowledged is sent then.

use super::shared::Shared;
use super::{clock, flush};
use crate::config::Config;
use crate::engine::schema::fnv1a;
use crate::engine::{Counters, Engine};
use crate::sink::{self, Sink, SinkError};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

/// A bad configuration is read again after this time.
const CONFIG_EVERY: Duration = Duration::from_secs(10);
/// The first rows come within this time, whatever `flush.every` is.
const FIRST_FLUSH_MAX: i64 = 60 * 1_000_000_000;
/// The first flush waits at least this long, so that it has something to write.
const FIRST_FLUSH_MIN: i64 = 2 * 1_000_000_000;
/// Counters that speak of lost points are looked at this often.
const REPORT_EVERY: i64 = 60 * 1_000_000_000;
/// After this time without a match the log says what arrives instead.
const NO_MATCH_AFTER: i64 = 300 * 1_000_000_000;

/// The end of the stream: flush once more, then answer.
struct Stop(SyncSender<()>);

/// The running courier.
pub struct Courier {
    stop: SyncSender<Stop>,
}

impl Courier {
    /// Starts the thread.
    pub fn start(config: PathBuf, engine: Arc<Shared>) -> Courier {
        let (stop, stopped) = sync_channel(1);
        std::thread::spawn(move || {
            let mut work = Work { path: config, engine, stopped, writer: new_writer_id() };
            // What can panic is contained where it happens; this is for what nobody thought of.
            while catch_unwind(AssertUnwindSafe(|| work.run())).is_err() {
                std::thread::sleep(CONFIG_EVERY);
            }
        });
        Courier { stop }
    }

    /// Asks for a last flush and waits for it, at most `limit`. True if it was done.
    pub fn finish(self, limit: Duration) -> bool {
        let (done, answer) = sync_channel(1);
        self.stop.send(Stop(done)).is_ok() && answer.recv_timeout(limit).is_ok()
    }
}

/// A name for this process among the writers of a sink. State is in memory, so a new process is a new writer: its
/// partials stand beside those of its predecessor, and the sum of both is right.
fn new_writer_id() -> String {
    use std::hash::BuildHasher;
    // The standard library seeds this hasher from the system's source of randomness.
    let random = || std::hash::RandomState::new().hash_one(clock::now());
    format!("{:016x}{:016x}", random(), random())
}

struct Work {
    path: PathBuf,
    engine: Arc<Shared>,
    stopped: Receiver<Stop>,
    writer: String,
}

/// What a wait ended with.
enum Woken {
    TimePassed,
    Stop(Stop),
}

impl Work {
    fn wait(&self, time: Duration) -> Woken {
        match self.stopped.recv_timeout(time) {
            Ok(stop) => Woken::Stop(stop),
            Err(RecvTimeoutError::Timeout) => Woken::TimePassed,
            // The main thread is gone without a word: the process is ending.
            Err(RecvTimeoutError::Disconnected) => Woken::Stop(Stop(sync_channel(1).0)),
        }
    }

    fn run(&mut self) {
        let config = loop {
            match self.load() {
                Some(config) => break config,
                None => match self.wait(CONFIG_EVERY) {
                    Woken::TimePassed => {}
                    Woken::Stop(stop) => {
                        let _ = stop.0.send(());
                        return;
                    }
                },
            }
        };
        let mut sink = sink::open(&config.sink);
        log::info!("started: rows go to {}", config.sink.name());
        // Tables exist before the first row, so that a dashboard can be made at once.
        let prepared = catch_unwind(AssertUnwindSafe(|| {
            if let Err(e) = sink.prepare(&config.schema) {
                report(&e);
            }
            sink.disconnect();
        }));
        if prepared.is_err() {
            sink = sink::open(&config.sink);
        }
        let started = clock::now();
        let every = config.flush.every;
        // Writers spread over the interval, so that a fleet does not arrive at once.
        let splay = (fnv1a(self.writer.as_bytes()) % every.unsigned_abs()) as i64;
        let mut next = started + splay.clamp(FIRST_FLUSH_MIN.min(every), FIRST_FLUSH_MAX);
        let mut daily_at = 0;
        let mut watch = Watch { next: started + REPORT_EVERY, started, seen: Counters::default(), matched_once: false };
        loop {
            let now = clock::now();
            let wait = (next - now).clamp(0, every.max(FIRST_FLUSH_MAX));
            match self.wait(Duration::from_nanos(wait.min(REPORT_EVERY).unsigned_abs())) {
                Woken::Stop(stop) => {
                    self.flush(&mut sink, &config, true);
                    let _ = stop.0.send(());
                    return;
                }
                Woken::TimePassed => {}
            }
            let now = clock::now();
            watch.look(&self.engine, now);
            // A clock that was set back must not stop the flushes.
            if now < next && next - now <= every.max(FIRST_FLUSH_MAX) {
                continue;
            }
            let running = now - daily_at >= config.flush.daily_every || now < daily_at;
            if self.flush(&mut sink, &config, running) && running {
                daily_at = now;
            }
            next = clock::now().max(now) + every;
        }
    }

    /// Reads the configuration and starts the engine. `None` if the configuration is bad, which has been reported.
    fn load(&self) -> Option<Config> {
        let path = self.path.display();
        let text = match std::fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(e) => {
                self.engine.switch_off();
                log::error!("cannot read the configuration {path}: {e}; lines pass through, nothing is counted");
                return None;
            }
        };
        match Config::check(&text, &|name| std::env::var(name).ok()) {
            Ok(config) => {
                config.warnings.iter().for_each(|w| log::warn!("{path}: {w}"));
                self.engine.start(Engine::new(config.schema.clone()));
                Some(config)
            }
            Err(report) => {
                self.engine.switch_off();
                log::error!(
                    "{path} has {} problem(s); lines pass through, nothing is counted until they are mended",
                    report.0.len()
                );
                report.0.iter().for_each(|problem| log::error!("{path}: {problem}"));
                None
            }
        }
    }

    /// One flush. True if everything was written.
    fn flush(&self, sink: &mut Box<dyn Sink + Send>, config: &Config, running: bool) -> bool {
        let now = clock::now();
        let flushed = catch_unwind(AssertUnwindSafe(|| {
            let flushed = flush::flush(&self.engine, sink.as_mut(), &self.writer, now, running);
            sink.disconnect();
            flushed
        }));
        match flushed {
            Ok(Ok(flushed)) => {
                log::debug!("flushed {} hourly and {} daily rows", flushed.hourly, flushed.daily);
                true
            }
            Ok(Err(error)) => {
                report(&error);
                false
            }
            Err(_) => {
                // The panic is in the log. A new sink starts without whatever state led to it.
                *sink = sink::open(&config.sink);
                false
            }
        }
    }
}

fn report(error: &SinkError) {
    match error {
        SinkError::Temporary(_) => log::error!("the sink failed, trying again at the next flush: {error}"),
        SinkError::Setup(_) => log::error!("the sink needs your help: {error}"),
    }
}

/// Says once a minute what was not counted, and why.
struct Watch {
    next: i64,
    started: i64,
    seen: Counters,
    matched_once: bool,
}

impl Watch {
    fn look(&mut self, engine: &Shared, now: i64) {
        if now < self.next && self.next - now <= REPORT_EVERY {
            return;
        }
        self.next = now + REPORT_EVERY;
        let Some((counters, heads)) = engine.with(|e| (e.counters(), e.unmatched_heads().to_vec())) else { return };
        let grown = |now: u64, before: u64| now.saturating_sub(before);
        let (c, s) = (counters, self.seen);
        let reasons = [
            (grown(c.over_limit, s.over_limit), "lines exceed limits.series or limits.devices"),
            (grown(c.late, s.late), "points are older than lateness.max"),
            (grown(c.future, s.future), "points are further in the future than lateness.future: look at that clock"),
            (grown(c.no_key, s.no_key), "lines match a source but lack a key tag"),
            (grown(c.conflicts, s.conflicts), "points came again with another value"),
            (grown(c.not_finite, s.not_finite), "values are not finite after scale and offset"),
            (grown(c.malformed, s.malformed), "lines are not line protocol"),
        ];
        for (count, reason) in reasons {
            if count > 0 {
                log::warn!("in the last minute {count} {reason}: forwarded, not counted");
            }
        }
        self.seen = counters;
        self.matched_once |= counters.matched > 0;
        if !self.matched_once && counters.lines > 0 && now - self.started > NO_MATCH_AFTER {
            log::warn!(
                "no line has matched a source for {} minutes; seen were for example {}; compare with the sources by \
                 `telegraf-rollup check --explain LINE`",
                (now - self.started) / 60_000_000_000,
                heads.join("  ")
            );
            // Once is enough: whoever looks at the log finds it.
            self.matched_once = true;
        }
    }
}
