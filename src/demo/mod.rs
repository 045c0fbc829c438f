//! The cast of `sidegate demo`, all on loopback: a chat service behind the gate
//! ([`upstream`]) and a customer's server before it ([`customer`]), which serves a
//! small chat page. Both are plain axum apps that know nothing of the gate's insides;
//! they use it over the wire as a stranger would.

pub mod customer;
mod page;
mod refusal;
pub mod upstream;

use std::{future::Future, io, time::Duration};

use axum::Router;
use futures_util::FutureExt as _;
use tokio::net::TcpListener;

/// How long open streams may go on after the shutdown signal.
const DRAIN: Duration = Duration::from_secs(2);

/// Serves `router` until `shutdown` resolves, then drains for at most [`DRAIN`].
async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let stop = shutdown.shared();
    let overdue = {
        let stop = stop.clone();
        async move {
            stop.await;
            tokio::time::sleep(DRAIN).await;
        }
    };
    tokio::select! {
        served = axum::serve(listener, router).with_graceful_shutdown(stop) => served,
        () = overdue => Ok(()),
    }
}
