//! Connections to several gates, by which one token after the other is shown to all of them at the same
//! moment.

use std::net::SocketAddr;
use std::sync::Mutex;

use super::gate::SHOP;
use super::raw::{Raw, RawAnswer};

/// Where the gates are; one that is started anew has another address.
pub type Addresses = [Mutex<SocketAddr>];

/// A connection to each gate.
pub struct Lane<'a> {
    gates: &'a Addresses,
    connections: Vec<Option<Raw>>,
}

impl<'a> Lane<'a> {
    pub fn to(gates: &'a Addresses) -> Self {
        Self { gates, connections: gates.iter().map(|_| None).collect() }
    }

    /// What each gate says to a token; `None` of one that went away or is not there. The gate at `first` is
    /// the first to be asked; no answer is read before all are.
    pub async fn show(&mut self, token: &str, first: usize) -> Vec<Option<RawAnswer>> {
        let count = self.gates.len();
        for gate in (0..count).map(|step| (first + step) % count) {
            self.ask(gate, token).await;
        }
        let mut answers = Vec::with_capacity(count);
        for connection in &mut self.connections {
            let answer = match connection {
                Some(open) => open.answer_or_end().await,
                None => None,
            };
            if answer.is_none() {
                *connection = None;
            }
            answers.push(answer);
        }
        answers
    }

    async fn ask(&mut self, gate: usize, token: &str) {
        let connection = &mut self.connections[gate];
        if connection.is_none() {
            let address = *self.gates[gate].lock().unwrap();
            *connection = Raw::try_connect(address).await;
        }
        if let Some(open) = connection {
            open.send(list_tasks(token)).await;
        }
    }
}

/// A page's request, in one piece.
pub fn list_tasks(token: &str) -> String {
    format!("GET /api/v1/tasks HTTP/1.1\r\nHost: gate\r\nAuthorization: Bearer {token}\r\nOrigin: {SHOP}\r\n\r\n")
}

/// Whether a single-use token was refused because it has been used.
pub fn is_used(answer: &RawAnswer) -> bool {
    let words = ["\"INVALID_TOKEN\"", "The token has been used"];
    answer.status == 401 && words.iter().all(|word| answer.body.contains(word))
}
