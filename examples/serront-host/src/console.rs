//! What the process prints: results on stdout, logs and the last error on stderr.

use std::error::Error;
use std::io::Write as _;
use std::panic::PanicHookInfo;

use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{EnvFilter, FilterExt as _, filter_fn};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

/// An error that ends the process; it is shown to the person who started it.
pub(crate) type Fatal = Box<dyn Error + Send + Sync>;

/// Sets up logs on stderr: JSON lines, or plain text for people.
pub(crate) fn logs(plain: bool) -> Result<(), Fatal> {
    let level = if plain { LevelFilter::WARN } else { LevelFilter::INFO };
    let chosen = EnvFilter::builder().with_default_directive(level.into()).with_env_var("SERRONT_LOG").from_env()?;
    // Below the warning level, other crates log addresses and statements that may contain tokens. Only our own lines pass, even
    // if SERRONT_LOG asks for more.
    let ours = filter_fn(|line| line.target().starts_with("serront") || *line.level() <= Level::WARN);
    let filter = chosen.and(ours);
    let format = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    let layer = if plain {
        format.without_time().with_filter(filter).boxed()
    } else {
        format.json().flatten_event(true).with_span_list(false).with_filter(filter).boxed()
    };
    tracing_subscriber::registry().with(layer).try_init()?;
    // A panic's message may contain data of a request; its location is enough to find the cause.
    std::panic::set_hook(Box::new(|panic: &PanicHookInfo<'_>| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, "a panic");
    }));
    Ok(())
}

/// Prints one line of results.
pub(crate) fn result(value: &serde_json::Value) -> Result<(), Fatal> {
    say(&value.to_string())
}

/// Prints to stdout and flushes, since a pipe would buffer.
pub(crate) fn say(text: &str) -> Result<(), Fatal> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{text}")?;
    Ok(stdout.flush()?)
}

/// Prints why the process ends, with every cause. Refusals and failures name fields and never values, so the text contains no
/// personal data.
pub(crate) fn complain(error: &(dyn Error + 'static)) {
    // If stderr is closed, there is nowhere to report it.
    let _ = writeln!(std::io::stderr(), "error: {}", causes(error));
}

/// An error with all its causes.
pub(crate) fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
