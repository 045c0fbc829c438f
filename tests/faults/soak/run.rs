//! One run of a scenario: asks, and holds every answer to what it must be.

use std::time::Duration;

use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, SET_COOKIE, VARY};
use http::{HeaderMap, Method};
use reqwest::{Client, RequestBuilder};
use serde_json::Value;
use tokio::time::Instant;

use super::chance::Chance;
use super::fault::{Fault, HEADER};
use super::marks::{has_secret, mark, marks};
use super::world::World;
use crate::support::gate::SHOP;

/// An origin that no app lists.
pub const ELSEWHERE: &str = "https://elsewhere.example";

/// Why a run ends early.
#[derive(Debug)]
pub enum End {
    /// An answer that must not be.
    Wrong(String),
    /// Something that may happen, and is nobody's fault.
    Excused(&'static str),
}

pub type Done<T = ()> = Result<T, End>;

/// An answer to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
    /// Whether its body ended before it should.
    pub is_broken: bool,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The code of a refusal, in any vendor's shape.
    fn code(&self) -> String {
        let body = self.json();
        let code = [&body["error"]["code"], &body["detail"]["code"], &body["code"]];
        let said = code.into_iter().find_map(Value::as_str).unwrap_or_default();
        let said = if self.header("x-failure-code").is_empty() { said } else { self.header("x-failure-code") };
        said.trim_start_matches("sidegate.").to_ascii_uppercase()
    }
}

/// What must come.
#[derive(Clone, Copy)]
pub struct Want {
    pub status: u16,
    /// `""` if there is none, or none that matters.
    pub code: &'static str,
    pub is_broken: bool,
    /// From where the page asks.
    pub origin: &'static str,
}

impl Want {
    pub fn ok() -> Self {
        Self { status: 200, code: "", is_broken: false, origin: SHOP }
    }

    pub fn refusal(status: u16, code: &'static str) -> Self {
        Self { status, code, ..Self::ok() }
    }

    pub fn from(self, origin: &'static str) -> Self {
        Self { origin, ..self }
    }

    /// What comes of a fault, where the gate reads an answer before it passes, and where not.
    pub fn after(fault: Option<Fault>, reads: bool) -> Self {
        match fault.map(|fault| (fault, fault.refusal())) {
            Some((Fault::Short, _)) if !reads => Self { is_broken: true, ..Self::ok() },
            Some((_, Some((status, code)))) => Self::refusal(status, code),
            _ => Self::ok(),
        }
    }
}

/// Somebody who does one thing.
pub struct Run<'a> {
    pub world: &'a World,
    pub chance: &'a Chance,
    pub name: &'static str,
    pub client: &'a Client,
    /// Whom all of it is about.
    pub mark: String,
    began: Instant,
}

impl<'a> Run<'a> {
    pub fn new(world: &'a World, chance: &'a Chance, name: &'static str) -> Self {
        let client = if chance.one_in(3) { &world.http2 } else { &world.http1 };
        let mark = mark(chance.next() % world.users);
        Self { world, chance, name, client, mark, began: Instant::now() }
    }

    pub fn wrong<T>(&self, what: impl std::fmt::Display) -> Done<T> {
        let after = self.began.elapsed().as_secs_f64();
        Err(End::Wrong(format!("{what} (of {}, {after:.1} s after its run began)", self.mark)))
    }

    /// Somebody else.
    pub fn stranger(&self) -> String {
        loop {
            let other = mark(self.chance.next() % self.world.users);
            if other != self.mark {
                return other;
            }
        }
    }

    /// One time in eight the upstream fails.
    pub fn fault(&self) -> Option<Fault> {
        self.chance.one_in(8).then(|| Fault::any(self.chance))
    }

    pub fn public(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.world.gate.public))
    }

    /// A request of a page, with a token.
    pub fn chat(&self, method: Method, path: &str, token: &str) -> RequestBuilder {
        self.public(method, path).bearer_auth(token)
    }

    /// A call of a customer's server that must succeed; the answer.
    pub async fn server(&self, path: &str, bearer: Option<&str>, body: &Value) -> Done<Value> {
        let request = self.world.http1.post(format!("http://{}{path}", self.world.gate.private));
        let request = match bearer {
            Some(bearer) => request.bearer_auth(bearer),
            None => request,
        };
        let answer = self.send(request.json(body)).await?;
        if (answer.status, answer.is_broken) != (200, false) && answer.status != 201 {
            return self.refused_or(&answer, format!("{path}: {answer:?}"));
        }
        Ok(answer.json())
    }

    /// Sends and reads to the end; counts.
    pub async fn send(&self, request: RequestBuilder) -> Done<Answer> {
        let begun = Instant::now();
        let mut answer = match request.send().await {
            Ok(answer) => answer,
            Err(fault) => return self.wrong(format!("no answer: {fault:?}")),
        };
        let (status, headers, head) = (answer.status().as_u16(), answer.headers().clone(), begun.elapsed());
        let (mut bytes, mut is_broken) = (Vec::new(), false);
        loop {
            match answer.chunk().await {
                Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
                Ok(None) => break,
                Err(_) => {
                    is_broken = true;
                    break;
                }
            }
        }
        self.world.tally.answer(self.name, status, head, is_broken);
        Ok(Answer { status, headers, text: String::from_utf8_lossy(&bytes).into_owned(), is_broken })
    }

    /// As [`Self::page`], with a fault of the upstream's now and then; `reads` says whether the gate reads the answer
    /// before it passes. `None` if there was a fault that came to the page.
    pub async fn faulty(&self, what: &str, reads: bool, request: RequestBuilder) -> Done<Option<Answer>> {
        let fault = self.fault();
        let request = match fault {
            Some(fault) => request.header(HEADER, fault.name()),
            None => request,
        };
        let want = Want::after(fault, reads);
        let answer = self.page(&format!("{what}, {fault:?}"), want, request).await?;
        Ok((want.status == 200 && !want.is_broken).then_some(answer))
    }

    /// Asks as a page does and checks the answer.
    pub async fn page(&self, what: &str, want: Want, request: RequestBuilder) -> Done<Answer> {
        let answer = self.send(request.header("origin", want.origin)).await?;
        let code = answer.code();
        let is_as_wanted = answer.status == want.status
            && answer.is_broken == want.is_broken
            && (want.code.is_empty() || code == want.code);
        if !is_as_wanted {
            // Sent just as the upstream closed the connection: nobody can know whether it was read, so only what may be
            // repeated was, and of that no more than a tenth of all.
            let crossed = answer.status == 502 && want.status == 200;
            if crossed && !self.world.upstream.known.has_seen(answer.header("x-request-id")) {
                return Err(End::Excused("crossed a close"));
            }
            let wanted = (want.status, want.code, want.is_broken);
            return self.refused_or(&answer, format!("{what}: {wanted:?} was to come, not {answer:?}"));
        }
        self.check(what, want, &answer)?;
        Ok(answer)
    }

    /// What holds for every answer, whatever it says.
    fn check(&self, what: &str, want: Want, answer: &Answer) -> Done {
        let allowed = answer.headers.get(ACCESS_CONTROL_ALLOW_ORIGIN).and_then(|value| value.to_str().ok());
        let is_listed = want.origin == SHOP;
        if allowed != is_listed.then_some(SHOP) {
            return self.wrong(format!("{what}: allows {allowed:?}: {answer:?}"));
        }
        let vary = answer.headers.get_all(VARY).iter().filter_map(|value| value.to_str().ok());
        if !vary.into_iter().any(|names| names.to_ascii_lowercase().contains("origin")) {
            return self.wrong(format!("{what}: does not vary by origin: {answer:?}"));
        }
        if answer.header("x-request-id").is_empty() || answer.headers.contains_key(SET_COOKIE) {
            return self.wrong(format!("{what}: no id, or a cookie: {answer:?}"));
        }
        self.check_text(what, &answer.text)
    }

    /// Nothing of anybody else's, and no secret.
    pub fn check_text(&self, what: &str, text: &str) -> Done {
        match marks(text).find(|found| *found != self.mark) {
            Some(other) => self.wrong(format!("{what}: {other}'s: {text}")),
            None if has_secret(text) => self.wrong(format!("{what}: a secret: {text}")),
            None => Ok(()),
        }
    }

    /// That the answer is the caller's.
    pub fn own(&self, what: &str, text: &str, times: usize) -> Done {
        let found = marks(text).count();
        if found == times { Ok(()) } else { self.wrong(format!("{what}: {found} marks, not {times}: {text}")) }
    }

    /// Whether a store that was away excuses a refusal.
    fn refused_or<T>(&self, answer: &Answer, what: String) -> Done<T> {
        let outage = answer.status == 503 && answer.code() == "STORE_UNAVAILABLE";
        if outage && self.world.outages.touch(self.began) {
            return Err(End::Excused("no store"));
        }
        self.wrong(what)
    }

    pub async fn pause(&self, most: Duration) {
        let millis = usize::try_from(most.as_millis()).expect("short");
        let millis = self.chance.below(millis.max(1));
        tokio::time::sleep(Duration::from_millis(u64::try_from(millis).expect("short"))).await;
    }
}
