//! Many requests while the configuration changes all the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::future::join_all;

use super::{REFUSED, TASKS, reload, unwatched};
use crate::support::gate::Gate;
use crate::support::raw::{Raw, page};
use crate::support::upstream::Upstream;
use crate::support::wire::{metric, within};

const RELOADS: usize = 50;
const CLIENTS: usize = 8;

/// Asks on one connection until it is told to stop; how often.
async fn keep_asking(gate: Arc<Gate>, token: String, done: Arc<AtomicBool>, asked: Arc<AtomicUsize>) {
    let mut raw = Raw::connect(gate.public).await;
    let request = format!("GET {TASKS} HTTP/1.1\r\n{}\r\n", page(&gate, &token));
    while !done.load(Ordering::SeqCst) {
        raw.send(&request).await;
        let answer = raw.answer().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        asked.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_and_each_is_of_one_configuration() {
    let upstream = Upstream::start().await;
    let builder = unwatched(Gate::builder(&upstream)).set("listen.workers=2");
    let (config, gate) = (builder.config(), Arc::new(builder.start().await));
    // Two upstreams' worth of change: the header of the upstream, and the one that the app injects.
    let of = |round: usize| {
        let upstream = format!("name = \"chat\"\nheaders.X-Upstream = \"{round}\"");
        let config = config.replacen("name = \"chat\"", &upstream, 1);
        format!("{config}\n[apps.inject.headers]\nX-App = \"{round}\"\n")
    };
    reload(&gate, &of(0)).await;
    let (done, asked) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
    let mut clients = Vec::new();
    for user in 0..CLIENTS {
        let token = gate.token(&format!("user-{user}")).mint().await;
        clients.push(tokio::spawn(keep_asking(Arc::clone(&gate), token, Arc::clone(&done), Arc::clone(&asked))));
    }
    for round in 1..=RELOADS {
        let before = asked.load(Ordering::SeqCst);
        reload(&gate, &of(round)).await;
        let more = async {
            while asked.load(Ordering::SeqCst) < before + CLIENTS {
                tokio::task::yield_now().await;
            }
        };
        within(more).await;
    }
    done.store(true, Ordering::SeqCst);
    for client in join_all(clients).await {
        client.expect("every request was answered with 200");
    }
    let seen = upstream.requests();
    assert!(seen.iter().all(|seen| seen.header("x-app") == seen.header("x-upstream")), "one configuration each");
    assert!(seen.iter().any(|seen| seen.header("x-app") == RELOADS.to_string()));
    assert_eq!(metric(&gate, REFUSED).await, 0.0);
}
