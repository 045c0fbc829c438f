//! `make soak`: pages and servers of every dialect at once, an upstream that fails as it is asked to, clients that are slow or
//! leave, and a store that comes and goes. Every answer is held to what it must be, and what the process holds is looked at all
//! the while. The first look at what went wrong is the table that it prints.

mod answers;
mod chance;
mod fault;
mod marks;
mod run;
mod sample;
mod sigmic;
mod tally;
mod upstream;
mod vendors;
mod websocket;
mod wishes;
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use chance::Chance;
use run::{Done, End, Run};
use sample::{Sample, growth};
use wishes::Wishes;
use world::World;

use crate::support::redis::RedisServer;
use crate::support::wire::{metric, metric_becomes};

/// People who do one thing after the other. Each may have a few connections.
const ACTORS: u64 = 24;
/// How much more memory the gate may hold at the end than when it was warm, KiB.
const MAY_GROW: f64 = 8.0 * 1024.0;
/// Descriptors that may be open beyond those of the actors' own connections, each of which may have one to the upstream.
const SPARE_DESCRIPTORS: usize = 64;

/// What is done, and how often.
const MIX: [(&str, usize); 11] = [
    ("sigmic: chat", 24),
    ("sigmic: refused", 8),
    ("sigmic: preflight", 6),
    ("sigmic: revoked", 4),
    ("sigmic: leaves", 6),
    ("sigmic: slow", 4),
    ("sigmic: WebSocket", 10),
    ("orcheo", 10),
    ("chat9", 10),
    ("mitigate", 9),
    ("chatbotkit", 9),
];

async fn scenario(run: Run<'_>) -> Done {
    match run.name {
        "sigmic: chat" => sigmic::chat(run).await,
        "sigmic: refused" => sigmic::refused(run).await,
        "sigmic: preflight" => sigmic::preflight(run).await,
        "sigmic: revoked" => sigmic::revoked(run).await,
        "sigmic: leaves" => sigmic::leaver(run).await,
        "sigmic: slow" => sigmic::slow(run).await,
        "sigmic: WebSocket" => websocket::talk(run).await,
        "orcheo" => vendors::orcheo(run).await,
        "chat9" => vendors::chat9(run).await,
        "mitigate" => vendors::mitigate(run).await,
        "chatbotkit" => vendors::chatbotkit(run).await,
        name => panic!("no scenario {name}"),
    }
}

/// One of the mix, as often as it says.
fn pick(chance: &Chance) -> &'static str {
    let mut at = chance.below(MIX.iter().map(|(_, weight)| weight).sum());
    for (name, weight) in MIX {
        if at < weight {
            return name;
        }
        at -= weight;
    }
    MIX[0].0
}

/// Does one thing after the other until told to stop.
async fn act(world: Arc<World>, stop: Arc<AtomicBool>, seed: u64, pause: Duration) {
    let chance = Chance::new(seed);
    while !stop.load(Ordering::SeqCst) {
        let name = pick(&chance);
        let run = Run::new(&world, &chance, name);
        run.pause(pause * 2).await;
        world.tally.run(name);
        match scenario(run).await {
            Ok(()) => {}
            Err(End::Excused(why)) => world.tally.excused(name, why),
            Err(End::Wrong(what)) => world.tally.wrong(name, &what),
        }
    }
}

/// Kills the shared store now and then, if there is one.
async fn outages(world: Arc<World>, stop: Arc<AtomicBool>) {
    let Some(redis) = &world.redis else { return };
    let mut last = Instant::now();
    while !stop.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(200)).await;
        if last.elapsed() < Duration::from_secs(60) {
            continue;
        }
        world.outages.begin();
        redis.lock().unwrap().kill();
        tokio::time::sleep(Duration::from_secs(3)).await;
        // It answers as soon as this returns.
        redis.lock().unwrap().revive();
        world.outages.end();
        last = Instant::now();
    }
}

/// Looks at the process until the time is over.
async fn watch(world: &World, span: Duration) -> Vec<Sample> {
    let (begun, mut samples) = (Instant::now(), Vec::new());
    let step = (span / 200).clamp(Duration::from_millis(200), Duration::from_secs(15));
    let mut told = Instant::now();
    while begun.elapsed() < span && world.tally.all_wrong().len() < 10 {
        tokio::time::sleep(step).await;
        let sample = Sample::of(world.gate.pid(), begun.elapsed());
        if told.elapsed() > Duration::from_secs(60) {
            told = Instant::now();
            println!("{} answers, {} wrong, {sample:?}", world.tally.answers(), world.tally.all_wrong().len());
        }
        samples.push(sample);
    }
    samples
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes as long as SOAK_SECONDS says: make soak"]
async fn soak() {
    let wishes = Wishes::read();
    println!("{wishes:?}");
    let redis = wishes.redis.then(|| RedisServer::builder().durable().start());
    let world = Arc::new(World::start(wishes.users, redis).await);
    let (stop, mut tasks) = (Arc::<AtomicBool>::default(), JoinSet::new());
    // Each actor waits so long that all together do as many things in a second as wished.
    let pause = Duration::from_secs(ACTORS) / wishes.rate;
    for actor in 0..ACTORS {
        tasks.spawn(act(Arc::clone(&world), Arc::clone(&stop), wishes.seed * ACTORS + actor, pause));
    }
    tasks.spawn(outages(Arc::clone(&world), Arc::clone(&stop)));
    let samples = watch(&world, wishes.span).await;
    stop.store(true, Ordering::SeqCst);
    let mut wrong = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        wrong.extend(ended.err().map(|fault| format!("a task of the soak's own: {fault}")));
    }
    wrong.extend(world.tally.all_wrong());
    wrong.extend(world.upstream.known.wrong.lock().unwrap().iter().take(20).cloned());
    wrong.extend(what_is_left(&world, &samples).await);
    println!("\n{}", world.tally.table());
    for sentence in &wrong {
        println!("WRONG: {sentence}");
    }
    assert!(wrong.is_empty(), "{} things were wrong; the first: {}", wrong.len(), wrong[0]);
}

/// Whether the gate holds more than it should, now that nobody asks, or has said that it is not well.
async fn what_is_left(world: &World, samples: &[Sample]) -> Vec<String> {
    let mut wrong = Vec::new();
    let warm = &samples[samples.len() / 5..];
    let (grown, most) = (growth(warm), samples.iter().map(|sample| sample.descriptors).max().unwrap_or(0));
    let memory = |sample: Option<&Sample>| sample.map_or(0.0, |sample| sample.resident / 1024.0);
    let (first, last) = (memory(warm.first()), memory(warm.last()));
    println!(
        "memory: {first:.1} MiB when warm, {last:.1} MiB at the end; the fitted line grew by {:.2} MiB",
        grown / 1024.0
    );
    if grown > MAY_GROW {
        wrong.push(format!("memory grew by {:.1} MiB", grown / 1024.0));
    }
    let allowed = usize::try_from(ACTORS).expect("few") * 8 + SPARE_DESCRIPTORS;
    if most > allowed {
        wrong.push(format!("{most} descriptors were open, more than {allowed}"));
    }
    metric_becomes(&world.gate, "sidegate_forwards", 0.0).await;
    let at_rest = Sample::of(world.gate.pid(), Duration::ZERO);
    println!("descriptors: {most} at most, {} at rest; threads: {}", at_rest.descriptors, at_rest.threads);
    println!("outages of the store: {}", world.outages.count());
    for name in ["sidegate_upstream_repeats_total", "sidegate_client_aborts_total", "sidegate_exchanges_total"] {
        println!("{name}: {}", metric(&world.gate, name).await);
    }
    let output = world.gate.output();
    let bad = output.lines().filter(|line| line.contains("\"level\":\"ERROR\"") || line.contains("panicked"));
    wrong.extend(bad.take(5).map(|line| format!("the gate says: {line}")));
    wrong
}
