//! Both servers killed and started anew under load, one after the other and together.

use std::sync::Arc;

use futures_util::future::{join, join_all};
use reqwest::Method;
use serde_json::{Value, json};

use super::load::{Load, verify};
use super::{HEADER, Servers, assert_served, everywhere, make_everywhere, single_use, with_context};
use crate::apps::{Made, path};
use crate::support::admin::{APPS, BOOTSTRAP, TOKENS, assert_problem, call};
use crate::support::gate::{APP, Gate, SECRET, json_of};
use crate::support::load::within;
use crate::support::tally::Tally;

/// How often each server is killed alone, and both.
const ROUNDS: usize = 2;
/// Apps that are to be made at each gate while there is no registry: too many to wait for each other.
const AT_ONCE: usize = 20;

/// Both servers, the gates over them, and what is made at these.
struct Outages {
    servers: Servers,
    gates: Vec<Gate>,
    load: Arc<Load>,
    made: Vec<Made>,
}

impl Outages {
    /// Without the registry nothing changes, and nobody else is refused.
    async fn of_postgres(&mut self) {
        let failed = self.load.failed();
        self.servers.postgres.kill();
        join(self.assert_unchangeable(), self.load.all_pass()).await;
        everywhere("it is noticed", &self.gates, async |gate| readiness(gate).await == (200, true, false)).await;
        self.load.all_pass().await;
        self.servers.postgres.revive();
        self.recover().await;
        assert_eq!(self.load.failed(), failed, "somebody was refused who does not need the registry");
    }

    /// Without the state chat is refused, and the registry changes all the same.
    async fn of_redis(&mut self) {
        self.servers.redis.kill();
        self.load.all_fail().await;
        let at = self.made.len() % self.gates.len();
        let app = make_everywhere(&self.gates, at, with_context()).await;
        self.made.push(app);
        self.servers.redis.revive();
        self.recover().await;
    }

    /// What needs one of them goes on as soon as that one is back.
    async fn of_both(&mut self) {
        self.servers.redis.kill();
        self.servers.postgres.kill();
        join(self.assert_unchangeable(), self.load.all_fail()).await;
        self.servers.redis.revive();
        everywhere("the state is back", &self.gates, async |gate| readiness(gate).await == (200, true, false)).await;
        self.load.all_pass().await;
        self.servers.postgres.revive();
        self.recover().await;
    }

    /// Changes are refused at every gate, all of them in time.
    async fn assert_unchangeable(&self) {
        let mut changes = vec![(APPS.to_owned(), with_context()); AT_ONCE];
        changes.push((path(&self.load.apps[1].id, "disable"), Value::Null));
        changes.push((TOKENS.to_owned(), json!({ "scopes": ["admin:revoke"] })));
        let each = self.gates.iter().flat_map(|gate| changes.iter().map(move |change| (gate, change)));
        join_all(each.map(|(gate, (path, body))| async move {
            let answer = within(call(gate, BOOTSTRAP, Method::POST, path, body.clone())).await;
            assert_problem(answer, 503, "STORE_UNAVAILABLE").await;
        }))
        .await;
    }

    /// Nobody restarts a gate: all is well by itself, and whatever was made before or is made now is served everywhere.
    async fn recover(&mut self) {
        everywhere("it is ready", &self.gates, async |gate| readiness(gate).await == (200, true, true)).await;
        self.load.all_pass().await;
        let at = self.made.len() % self.gates.len();
        let app = make_everywhere(&self.gates, at, with_context()).await;
        self.made.push(app);
        for app in &self.made {
            assert_served(&self.gates, app).await;
        }
    }
}

/// The status, and whether the state and the registry are well.
async fn readiness(gate: &Gate) -> (u16, bool, bool) {
    let answer = within(gate.ops("/readyz").send()).await.expect("an answer");
    let (status, body) = (answer.status().as_u16(), json_of(answer).await);
    let checks = &body["checks"];
    let state = checks["store"] == "ok" && checks["limits"] == "shared";
    (status, state, checks["registry"] == "ok")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_are_killed_under_load_are_missed_by_those_who_need_them_until_they_are_back() {
    let (servers, upstream) = (Servers::start(), Tally::of(HEADER).await);
    let gates = servers.gates(&upstream).await;
    let of_file = Made { id: APP.to_owned(), secret: SECRET.to_owned() };
    let of_registry = make_everywhere(&gates, 0, with_context()).await;
    make_everywhere(&gates, 1, single_use()).await;
    let (load, mut tasks) = Load::begin(&gates, [of_file, of_registry]);
    let mut outages = Outages { servers, gates, load: Arc::clone(&load), made: Vec::new() };
    let killed = async {
        load.all_pass().await;
        for _ in 0..ROUNDS {
            outages.of_postgres().await;
            outages.of_redis().await;
            outages.of_both().await;
        }
        load.stop();
    };
    let loaded = async {
        while let Some(ended) = tasks.join_next().await {
            ended.expect("the load goes on");
        }
    };
    join(killed, loaded).await;
    verify(&load, &upstream).await;
}
