//! What is set for a workspace, and what its widget is told of it.

use std::str::FromStr;

use http::StatusCode;
use serde::Serialize;
use url::Url;

use super::challenge::Challenge;
use super::keys::{MintingKeys, WorkspaceKeys};
use crate::denial::{Code, Denial};
use crate::message::Reply;
use crate::session::Mode;

/// What is set for a workspace.
#[derive(Clone, Debug, Default)]
pub struct Workspace {
    /// Opens and checks identity tokens; without them nobody is identified.
    pub keys: Option<WorkspaceKeys>,
    /// Makes identity tokens, for the gate itself or for the vendor's cloud; `None`: nobody asks for any here.
    pub minting: Option<MintingKeys>,
    /// Who is asked whether a visitor is a program; `None`: nobody.
    pub challenge: Option<Challenge>,
    /// Which visitors it takes.
    pub modes: Modes,
    /// Where the guest form's consent links to; a generic consent stands in its place.
    pub privacy_policy_url: Option<PrivacyPolicyUrl>,
    /// The language of widgets that name none.
    pub locale: Locale,
    /// How widgets show themselves that do not say it.
    pub display: Display,
}

/// Which visitors a workspace takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Modes {
    /// Those with an identity token.
    pub identified: bool,
    /// Those who fill in the form.
    pub guest: bool,
    /// Those who say nothing.
    pub anonymous: bool,
}

/// A language of the widget (seeds/000, `data-locale`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Locale {
    /// English.
    #[default]
    En,
    /// Latvian.
    Lv,
}

/// How a widget shows itself (seeds/000, "Parameters").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Display {
    /// `data-display-mode`.
    pub mode: DisplayMode,
    /// `data-position-bottom-px`; `None` leaves it to the widget.
    pub position_bottom_px: Option<u16>,
    /// `data-position-right-px`; `None` leaves it to the widget.
    pub position_right_px: Option<u16>,
}

/// What a widget looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DisplayMode {
    /// A button that opens the chat above the page.
    #[default]
    Modal,
    /// The chat alone.
    Fullscreen,
}

/// Where a privacy policy stands. It becomes a link in pages, so nothing but the web will do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct PrivacyPolicyUrl(String);

impl PrivacyPolicyUrl {
    /// The URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PrivacyPolicyUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_page = |url: &Url| {
            matches!(url.scheme(), "https" | "http") && url.username().is_empty() && url.password().is_none()
        };
        let url = Url::parse(text).ok().filter(is_page);
        url.map(|url| Self(url.into())).ok_or("must be a URL with https or http, without a user")
    }
}

impl Locale {
    /// All there are.
    pub const ALL: [Self; 2] = [Self::En, Self::Lv];

    /// The language that a text names; `None` for one that the widget does not speak.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|locale| locale.name() == text)
    }

    /// Its tag (BCP 47).
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Lv => "lv",
        }
    }
}

#[derive(Serialize)]
struct WidgetConfig<'a> {
    modes: Modes,
    privacy_policy_url: Option<&'a PrivacyPolicyUrl>,
    locales: [Locale; 2],
    locale: Locale,
    display: Display,
}

impl Workspace {
    /// The visitors that it takes. Without keys nobody can be identified.
    #[must_use]
    pub const fn modes(&self) -> Modes {
        Modes { identified: self.modes.identified && self.keys.is_some(), ..self.modes }
    }

    /// Checks that it takes visitors of this kind.
    ///
    /// # Errors
    /// [`Code::ModeDisabled`].
    pub fn takes(&self, mode: Mode) -> Result<(), Denial> {
        let modes = self.modes();
        let takes = match mode {
            Mode::Identified => modes.identified,
            Mode::Guest => modes.guest,
            Mode::Anonymous => modes.anonymous,
        };
        if takes { Ok(()) } else { Err(Code::ModeDisabled.into()) }
    }

    /// What its widget is told before anybody is known:
    /// `{"modes","privacy_policy_url","locales","locale","display"}`.
    #[must_use]
    pub fn widget_config(&self) -> Reply {
        let config = WidgetConfig {
            modes: self.modes(),
            privacy_policy_url: self.privacy_policy_url.as_ref(),
            locales: Locale::ALL,
            locale: self.locale,
            display: self.display,
        };
        // Texts, numbers and booleans can always be written.
        Reply::json(StatusCode::OK, serde_json::to_vec(&config).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::super::keys::tests::workspace as keys;
    use super::*;

    fn config(workspace: &Workspace) -> String {
        String::from_utf8(workspace.widget_config().body).expect("UTF-8")
    }

    #[test]
    fn a_widget_is_told_what_it_needs_and_no_key() {
        let bare = r#"{"modes":{"identified":false,"guest":false,"anonymous":false},"privacy_policy_url":null,"locales":["en","lv"],"locale":"en","display":{"mode":"modal","position_bottom_px":null,"position_right_px":null}}"#;
        assert_eq!(config(&Workspace::default()), bare);
        let whole = Workspace {
            keys: Some(keys()),
            minting: None,
            challenge: None,
            modes: Modes { identified: true, guest: true, anonymous: false },
            privacy_policy_url: Some("https://shop.example.com/privacy".parse().expect("a URL")),
            locale: Locale::Lv,
            display: Display {
                mode: DisplayMode::Fullscreen,
                position_bottom_px: Some(50),
                position_right_px: Some(20),
            },
        };
        let told = r#"{"modes":{"identified":true,"guest":true,"anonymous":false},"privacy_policy_url":"https://shop.example.com/privacy","locales":["en","lv"],"locale":"lv","display":{"mode":"fullscreen","position_bottom_px":50,"position_right_px":20}}"#;
        assert_eq!(config(&whole), told);
    }

    #[test]
    fn without_keys_nobody_is_identified() {
        let modes = Modes { identified: true, guest: false, anonymous: true };
        let mut workspace = Workspace { modes, ..Workspace::default() };
        let taken = |workspace: &Workspace| Mode::ALL.map(|mode| workspace.takes(mode).is_ok());
        assert_eq!(taken(&workspace), [false, false, true]);
        assert_eq!(workspace.takes(Mode::Guest).expect_err("off").code, Code::ModeDisabled);
        workspace.keys = Some(keys());
        assert_eq!(taken(&workspace), [true, false, true]);
    }

    #[test]
    fn a_privacy_policy_stands_in_the_web() {
        for good in ["https://shop.example.com/privacy?lang=lv#top", "http://localhost/"] {
            assert_eq!(good.parse::<PrivacyPolicyUrl>().expect("a URL").as_str(), good);
        }
        for bad in ["", "/privacy", "javascript:alert(1)", "data:text/html,x", "https://a:b@example.com/", "https://"] {
            assert!(bad.parse::<PrivacyPolicyUrl>().is_err(), "{bad}");
        }
    }

    #[test]
    fn names_are_those_that_are_written() {
        for mode in Mode::ALL {
            assert_eq!(serde_json::to_string(&mode).expect("JSON"), format!("\"{}\"", mode.name()));
        }
        for locale in Locale::ALL {
            assert_eq!(serde_json::to_string(&locale).expect("JSON"), format!("\"{}\"", locale.name()));
            assert_eq!(Locale::of(locale.name()), Some(locale));
        }
        assert!(["", "EN", "lv-LV", "de"].map(Locale::of).iter().all(Option::is_none));
    }
}
