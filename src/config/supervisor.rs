//! What the service manager says by environment variables, which are not settings: where to tell it of ourselves,
//! and what it hands over. sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3).

use std::time::Duration;

use super::load::Input;

/// The service manager, as far as it can be seen.
#[derive(Clone, Debug, Default)]
pub struct Supervisor {
    /// Where it takes messages (`NOTIFY_SOCKET`): a path, or a name behind `@`.
    pub notify: Option<String>,
    /// Within which time it wants to hear of us, again and again (`WATCHDOG_USEC`).
    pub watchdog: Option<Duration>,
    /// Whether that is said to this process (`WATCHDOG_PID`), and not to the one that started it.
    pub watches_us: bool,
    /// The sockets that it hands over.
    pub sockets: HandedSockets,
}

/// Sockets from file descriptor 3 on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HandedSockets {
    /// How many there are (`LISTEN_FDS`).
    pub count: u64,
    /// Their names (`LISTEN_FDNAMES`), in order.
    pub names: Vec<String>,
}

impl Supervisor {
    /// Reads the variables. Those that name another process were meant for it.
    #[must_use]
    pub(super) fn of(input: &Input, process: u32) -> Self {
        let number = |name: &str| input.variable(name).and_then(|text| text.parse::<u64>().ok());
        let is_ours = |name: &str| number(name).is_some_and(|pid| pid == u64::from(process));
        let count = number("LISTEN_FDS").filter(|_| is_ours("LISTEN_PID")).unwrap_or(0);
        let names = input.variable("LISTEN_FDNAMES").filter(|_| count > 0).unwrap_or_default();
        let names = names.split(':').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        Self {
            notify: input.variable("NOTIFY_SOCKET").filter(|path| path.starts_with(['/', '@'])),
            watchdog: number("WATCHDOG_USEC").filter(|span| *span > 0).map(Duration::from_micros),
            watches_us: number("WATCHDOG_PID").is_none() || is_ours("WATCHDOG_PID"),
            sockets: HandedSockets { count, names },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Supervisor {
        let environment = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Supervisor::of(&Input { environment, ..Input::default() }, 7)
    }

    #[test]
    fn sockets_are_for_the_process_that_is_named() {
        let all = [("LISTEN_FDS", "2"), ("LISTEN_PID", "7"), ("LISTEN_FDNAMES", "public:ops")];
        assert_eq!(read(&all).sockets.names, ["public", "ops"]);
        assert_eq!(read(&[all[0], all[2]]).sockets, HandedSockets::default());
        assert_eq!(read(&[all[0], ("LISTEN_PID", "8"), all[2]]).sockets, HandedSockets::default());
        assert_eq!(read(&[("LISTEN_FDS", "0"), all[1], all[2]]).sockets, HandedSockets::default());
    }

    #[test]
    fn the_watchdog_is_a_span_above_zero_and_may_be_meant_for_another() {
        assert_eq!(read(&[("WATCHDOG_USEC", "30000000")]).watchdog, Some(Duration::from_secs(30)));
        for text in ["0", "", "-1", "soon"] {
            assert_eq!(read(&[("WATCHDOG_USEC", text)]).watchdog, None, "{text}");
        }
        assert!(read(&[]).watches_us && read(&[("WATCHDOG_PID", "7")]).watches_us);
        assert!(!read(&[("WATCHDOG_PID", "8")]).watches_us);
    }

    #[test]
    fn messages_go_to_a_path_or_a_name() {
        assert_eq!(read(&[("NOTIFY_SOCKET", "/run/systemd/notify")]).notify.as_deref(), Some("/run/systemd/notify"));
        assert_eq!(read(&[("NOTIFY_SOCKET", "@name")]).notify.as_deref(), Some("@name"));
        assert_eq!(read(&[("NOTIFY_SOCKET", "notify")]).notify, None);
    }
}
