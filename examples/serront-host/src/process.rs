//! The process around the router: its output, its signals, its start and its end.

use std::error::Error;
use std::io::Write as _;
use std::panic::PanicHookInfo;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use serront_host::{Host, router, work};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{EnvFilter, FilterExt as _, filter_fn};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::Fatal;
use crate::adapters::{self, Adapters};
use crate::serve::{self, Open};
use crate::settings::{LISTEN_DEFAULT, Settings};

/// How long requests and attempts may take to finish after the signal. With the closing of the database it stays under
/// the 10 s of the wire contract.
const FINISH_TIME_MAX: Duration = Duration::from_secs(8);
/// How long the database may take to close.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(1);

/// Sets up logs on stderr: JSON lines, or plain text for people.
pub(crate) fn logs(plain: bool) -> Result<(), Fatal> {
    let level = if plain { LevelFilter::WARN } else { LevelFilter::INFO };
    let chosen = EnvFilter::builder().with_default_directive(level.into()).with_env_var("SERRONT_LOG").from_env()?;
    // Below a warning, other crates log addresses and statements, which may hold tokens: only our own lines get through,
    // whatever SERRONT_LOG says.
    let ours = filter_fn(|line| line.target().starts_with("serront") || *line.level() <= Level::WARN);
    let filter = chosen.and(ours);
    let format = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    let layer = if plain {
        format.without_time().with_filter(filter).boxed()
    } else {
        format.json().flatten_event(true).with_span_list(false).with_filter(filter).boxed()
    };
    tracing_subscriber::registry().with(layer).try_init()?;
    // A panic's message may hold what a request said; its place is enough to find it.
    std::panic::set_hook(Box::new(|panic: &PanicHookInfo<'_>| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, "a panic");
    }));
    Ok(())
}

/// Writes one line of results.
pub(crate) fn result(value: &serde_json::Value) -> Result<(), Fatal> {
    say(&value.to_string())
}

/// Writes to stdout at once, also when it is a pipe.
pub(crate) fn say(text: &str) -> Result<(), Fatal> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{text}")?;
    Ok(stdout.flush()?)
}

/// Tells whoever started the process why it ended, with every cause. Refusals and failures name fields and never values, so
/// there is nobody's data in it.
pub(crate) fn complain(error: &(dyn Error + Send + Sync)) {
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
    // Nobody is left to tell if stderr is gone.
    let _ = writeln!(std::io::stderr(), "error: {text}");
}

/// A host that serves.
pub(crate) struct Running {
    pub(crate) host: Arc<Host>,
    pub(crate) address: String,
    adapters: Adapters,
    signals: Signals,
    stop: watch::Sender<bool>,
    server: JoinHandle<()>,
    loops: Vec<JoinHandle<()>>,
}

/// Opens the adapters and begins to serve on this listener. `None` if a signal came before that.
pub(crate) async fn start(settings: &Settings, listener: TcpListener) -> Result<Option<Running>, Fatal> {
    let mut signals = Signals::listen()?;
    let address = format!("http://{}", listener.local_addr()?);
    let public_url = settings.public_url()?.unwrap_or_else(|| address.clone());
    let (mut policy, limits) = (settings.policy()?, settings.limits()?);
    let wanted = Open { connections: settings.connections_max()?, deliveries: policy.outbox.places.deliveries };
    let open = wanted.allowed();
    policy.outbox.places.deliveries = open.deliveries;
    // It may wait for the database.
    let adapters = tokio::select! {
        opened = adapters::open(settings) => opened?,
        signal = signals.next() => {
            signal?;
            tracing::info!("stopped before it had started");
            return Ok(None);
        }
    };
    let host = Host::new(adapters.ports.clone(), policy, public_url)
        .with_session_key(adapters::session_key(settings)?)
        .with_limits(limits)
        // The system's folder for temporary files may be memory.
        .with_spool(settings.data_dir());
    let host = Arc::new(host);
    let (stop, stopping) = watch::channel(false);
    let loops = vec![
        tokio::spawn(work::dispatch(Arc::clone(&host), stopping.clone())),
        tokio::spawn(work::tidy(Arc::clone(&host), stopping.clone())),
        tokio::spawn(work::fold(Arc::clone(&host), stopping.clone())),
        tokio::spawn(work::sweep(Arc::clone(&host), stopping.clone())),
        tokio::spawn(work::reseal(Arc::clone(&host), stopping.clone())),
        tokio::spawn(work::watch_clock(Arc::clone(&host), stopping.clone())),
        tokio::spawn(work::watch_set_aside(Arc::clone(&host), stopping.clone())),
    ];
    let server = tokio::spawn(serve::serve(listener, router(Arc::clone(&host)), open.connections, stopping));
    tracing::info!(address, public_url = host.public_url(), "listening");
    Ok(Some(Running { host, address, adapters, signals, stop, server, loops }))
}

impl Running {
    /// Serves until a signal comes, then stops accepting, finishes what runs, and closes the database.
    pub(crate) async fn until_signal(mut self) -> Result<(), Fatal> {
        let ended = tokio::select! {
            signal = self.signals.next() => signal.map(|()| None)?,
            ended = &mut self.server => Some(ended),
        };
        tracing::info!("stopping");
        self.stop.send_replace(true);
        let finishing = async {
            if ended.is_none() {
                let _ = (&mut self.server).await;
            }
            for running in &mut self.loops {
                let _ = running.await;
            }
        };
        if tokio::time::timeout(FINISH_TIME_MAX, finishing).await.is_err() {
            tracing::warn!("not everything finished in time; unfinished work is taken up by the next start");
        }
        let _ = tokio::time::timeout(CLOSE_TIME_MAX, self.adapters.engine.close()).await;
        tracing::info!("stopped");
        match ended {
            None => Ok(()),
            Some(ended) => Ok(ended?),
        }
    }
}

/// SIGTERM and SIGINT. They are remembered from the moment this is made.
#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> std::io::Result<()> {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
        Ok(())
    }
}

/// Ctrl-C, where there are no other signals.
#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    #[allow(clippy::unnecessary_wraps, reason = "the same as on unix")]
    const fn listen() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> std::io::Result<()> {
        tokio::signal::ctrl_c().await
    }
}

/// `serve`.
pub(crate) async fn serve(settings: &Settings) -> Result<(), Fatal> {
    let listener = TcpListener::bind(settings.listen().unwrap_or(LISTEN_DEFAULT)).await?;
    let Some(running) = start(settings, listener).await? else { return Ok(()) };
    result(&json!({ "listening": running.address }))?;
    running.until_signal().await
}
