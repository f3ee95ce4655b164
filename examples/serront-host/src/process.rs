//! The process around the router: its start, its signals and its end.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use serront_host::{Host, router, work};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::adapters::{self, Adapters};
use crate::console::{self, Fatal};
use crate::serve::{self, Open};
use crate::settings::{LISTEN_DEFAULT, Settings};

/// Longest time for requests and attempts to finish after the signal. With [`CLOSE_TIME_MAX`] it stays under the 10 s of the
/// wire contract.
const FINISH_TIME_MAX: Duration = Duration::from_secs(8);
const CLOSE_TIME_MAX: Duration = Duration::from_secs(1);

pub(crate) struct Running {
    pub(crate) host: Arc<Host>,
    pub(crate) address: String,
    adapters: Adapters,
    signals: Signals,
    stop: watch::Sender<bool>,
    server: JoinHandle<()>,
    loops: Vec<JoinHandle<()>>,
}

/// Opens the adapters and serves on this listener. `None` if a signal arrived first.
pub(crate) async fn start(settings: &Settings, listener: TcpListener) -> Result<Option<Running>, Fatal> {
    let mut signals = Signals::listen()?;
    let address = format!("http://{}", listener.local_addr()?);
    let public_url = settings.public_url()?.unwrap_or_else(|| address.clone());
    let (mut policy, limits) = (settings.policy()?, settings.limits()?);
    let wanted = Open { connections: settings.connections_max()?, deliveries: policy.outbox.places.deliveries };
    let open = wanted.allowed();
    policy.outbox.places.deliveries = open.deliveries;
    // Opening may wait for the database.
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
        // The system's temporary folder may be in memory.
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
    /// Serves until a signal arrives, then stops accepting, finishes running work, and closes the database.
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
            tracing::warn!("not everything finished in time; the next start takes up unfinished work");
        }
        let _ = tokio::time::timeout(CLOSE_TIME_MAX, self.adapters.engine.close()).await;
        tracing::info!("stopped");
        match ended {
            None => Ok(()),
            Some(ended) => Ok(ended?),
        }
    }
}

/// SIGTERM and SIGINT, caught from the moment this is created.
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

/// Ctrl-C, on systems without other signals.
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

pub(crate) async fn serve(settings: &Settings) -> Result<(), Fatal> {
    let listener = TcpListener::bind(settings.listen().unwrap_or(LISTEN_DEFAULT)).await?;
    let Some(running) = start(settings, listener).await? else { return Ok(()) };
    console::result(&json!({ "listening": running.address }))?;
    running.until_signal().await
}
