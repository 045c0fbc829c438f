//! `sidegate demo` as a child process, found by the addresses that it prints.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc;

use super::gate::{PATIENCE, sidegate};

/// The running demo.
pub struct Demo {
    /// The page on the allowed origin.
    pub page: String,
    /// The page on the refused origin.
    pub other_page: String,
    /// The gate for browsers.
    pub public: String,
    /// The gate for servers.
    pub private: String,
    /// Health and metrics.
    pub ops: String,
    /// All that it printed.
    pub tour: String,
    child: Child,
}

/// The start of the tour's last line.
const LAST: &str = "  curl -i ";

impl Demo {
    /// Starts it on free ports and waits until it has printed its tour.
    pub async fn start() -> Self {
        tokio::task::spawn_blocking(Self::start_blocking).await.expect("joined")
    }

    fn start_blocking() -> Self {
        let mut command = sidegate();
        command.args(["demo", "--any-port"]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let (sender, lines) = mpsc::channel();
        let pipe = child.stdout.take().expect("piped");
        // Reads on after the tour, or the demo would stall on a full pipe.
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let mut tour = String::new();
        while !tour.contains(LAST) {
            let line = lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("the tour is not complete:\n{tour}"));
            tour.push_str(&line);
            tour.push('\n');
        }
        let at = |label: &str| {
            let line = tour.lines().find_map(|line| line.trim().strip_prefix(label));
            let url = line.and_then(|rest| rest.split_whitespace().next());
            url.unwrap_or_else(|| panic!("no address for {label} in:\n{tour}")).to_owned()
        };
        Self {
            page: at("chat page, allowed origin"),
            other_page: at("chat page, refused origin"),
            public: at("gate for browsers"),
            private: at("gate for servers"),
            ops: at("health and metrics").trim_end_matches("/readyz").to_owned(),
            tour,
            child,
        }
    }

    /// The app's secret of this run.
    pub fn app_secret(&self) -> &str {
        let start = self.tour.find("wsec_").expect("the tour has the secret");
        self.tour[start..].split('"').next().unwrap_or_default()
    }

    /// The commands of the tour, as printed.
    pub fn commands(&self) -> String {
        let by_hand = self.tour.split_once("The same by hand").expect("a part with commands").1;
        by_hand.lines().filter(|line| line.starts_with("  ")).map(|line| format!("{line}\n")).collect()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
