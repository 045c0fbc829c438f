//! A gate that gets a small part of a processor, as when others on its machine are busy: who comes is served, or told at once to
//! come again; what has begun goes on.

use std::process::{Child, Command};

use http::Method;
use reqwest::Response;

use crate::support::gate::{Gate, assert_refused, program_file};
use crate::support::redis::until;
use crate::support::upstream::{Behaviour, Upstream};
use crate::support::wire::{metric_becomes, stream_path, within};

/// How many compete with the gate for its processor.
const BUSY: usize = 12;
/// Pages that ask at the same time, and how often each does.
const PAGES: usize = 50;
const TIMES: usize = 20;

/// The number of a processor that this process may use.
fn processor() -> String {
    let status = std::fs::read_to_string("/proc/self/status").expect("readable");
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).expect("a list").trim();
    list.split([',', '-']).next().expect("a number").to_owned()
}

/// Programs that use all of a processor that they can get, until dropped, or for two minutes.
struct Busy(Vec<Child>);

impl Busy {
    fn on(processor: &str) -> Self {
        let one = || {
            let mut command = Command::new("taskset");
            command.args(["-c", processor, "timeout", "120", "sh", "-c", "while :; do :; done"]);
            command.spawn().expect("taskset and timeout run")
        };
        Self((0..BUSY).map(|_| one()).collect())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        for busy in &mut self.0 {
            // `timeout` passes it on.
            let _ = Command::new("kill").arg(busy.id().to_string()).status();
            let _ = busy.wait();
        }
    }
}

#[tokio::test]
async fn requests_are_served_or_told_to_come_again_and_streams_go_on() {
    let (upstream, processor) = (Upstream::start().await, processor());
    let mut command = Command::new("taskset");
    command.env_clear().args(["-c", &processor]).arg(program_file());
    let gate = Gate::builder(&upstream).command(command).set("listen.max_lag=100ms").start().await;
    let token = gate.token("ada").mint().await;
    let path = stream_path(&gate, &token).await;
    let (behaviour, stream) = Behaviour::sse();
    upstream.once(&path, behaviour);
    let mut answer = gate.chat(Method::GET, &path, &token).send().await.expect("an answer");
    let ask = || gate.chat(Method::GET, "/api/v1/tasks", &token).send();

    let busy = Busy::on(&processor);
    let page = async || {
        let mut served = 0;
        for _ in 0..TIMES {
            served += usize::from(is_served(within(ask()).await.expect("an answer")).await);
        }
        served
    };
    let asked = futures_util::future::join_all((0..PAGES).map(|_| page()));
    let streamed = async {
        for n in 0..50 {
            let event = format!("data: {n}\n\n");
            stream.chunk(event.clone());
            assert_eq!(within(answer.chunk()).await.expect("connected").expect("no end"), event);
        }
    };
    let (served, ()) = tokio::join!(asked, streamed);
    println!("{} of {} were served", served.iter().sum::<usize>(), PAGES * TIMES);
    assert!(served.iter().sum::<usize>() > 0);
    let live = within(gate.ops("/livez").send()).await.expect("an answer");
    assert_eq!(live.status(), 200);
    drop(busy);

    until("all are served again", async || ask().await.expect("an answer").status() == 200).await;
    stream.end();
    assert!(within(answer.chunk()).await.expect("a proper end").is_none());
    metric_becomes(&gate, "sidegate_forwards", 0.0).await;
    assert!(!gate.output().contains("\"ERROR\""), "{}", gate.output());
}

/// Whether it is the upstream's answer; else it is a refusal that a page can read.
async fn is_served(answer: Response) -> bool {
    if answer.status() == 200 {
        return true;
    }
    assert!(answer.headers().contains_key("retry-after"), "{answer:?}");
    assert_refused(answer, 503, "OVERLOADED").await;
    false
}
