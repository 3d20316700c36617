//! Log lines on standard error: with time and level on a terminal, bare for a log daemon.

use std::io::{self, IsTerminal, Write};

use log::{LevelFilter, Log, Metadata, Record};

/// Lines for a log daemon, which adds the time itself.
struct Bare;

/// Starts logging at `level`; later calls only change the level.
pub fn start(level: LevelFilter) {
    if io::stderr().is_terminal() {
        start_for_a_person();
    } else {
        let _ = log::set_logger(&Bare);
    }
    log::set_max_level(level);
}

#[cfg(feature = "full")]
fn start_for_a_person() {
    let config = simplelog::ConfigBuilder::new()
        .set_target_level(LevelFilter::Off)
        .set_thread_level(LevelFilter::Off)
        .set_location_level(LevelFilter::Off)
        .build();
    let _ = simplelog::WriteLogger::init(LevelFilter::Trace, config, io::stderr());
}

/// simplelog and the calendar that it brings are a fifth of the small router.
#[cfg(not(feature = "full"))]
fn start_for_a_person() {
    let _ = log::set_logger(&Bare);
}

impl Log for Bare {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let level = record.level().as_str().to_ascii_lowercase();
            let _ = writeln!(io::stderr().lock(), "{level}: {}", record.args());
        }
    }

    fn flush(&self) {}
}
