//! What a widget's sessions need of its settings, made once.

use std::time::Duration;

use super::fields::Fields;
use super::rules;
use crate::denial::{Code, Denial};
use crate::id::ObjectId;
use crate::origin::{Origin, OriginSet};

/// The longest session of a widget that sets none.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What serves a widget's sessions.
#[derive(Clone, Debug)]
pub struct Serving {
    /// Where its pages live. Empty: origins are not checked.
    pub origins: OriginSet,
    /// The longest session.
    pub cap: Duration,
    /// What its conversations may do, in the vendor's words and order.
    pub features: Vec<&'static str>,
    /// Whether visitors may send files.
    pub attachments: bool,
    /// Whether links are shown with a preview.
    pub unfurl: bool,
    /// Whether visitors are asked who they are.
    pub contact_collection: bool,
    /// What the bot is made to say first.
    pub initial: Option<String>,
    /// The bot that answers.
    pub bot: Option<String>,
    /// The blueprint that says which one does, otherwise.
    pub blueprint: Option<ObjectId>,
}

impl Serving {
    /// From the settings that hold for a widget, its blueprint's included.
    ///
    /// # Errors
    /// [`Code::Internal`] for settings that no change within the rules has made: a list of origins that cannot be read
    /// must not be taken for an empty one.
    pub fn of(fields: &Fields) -> Result<Self, Denial> {
        let set = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let on = |flag: Option<bool>| flag == Some(true);
        let blueprint = set(&fields.blueprint_id).map(|id| ObjectId::parse(&id)).transpose();
        Ok(Self {
            origins: rules::origins(fields.origin.as_deref().unwrap_or_default()).map_err(|_| Code::Internal)?,
            cap: fields.session_duration.filter(|millis| *millis > 0).map_or(DAY, Duration::from_millis),
            features: features(fields),
            attachments: on(fields.attachments),
            unfurl: on(fields.unfurl),
            contact_collection: on(fields.contact_collection),
            initial: set(&fields.initial),
            bot: set(&fields.bot_id),
            blueprint: blueprint.map_err(|_| Code::Internal)?,
        })
    }

    /// Checks that somebody would answer.
    ///
    /// # Errors
    /// [`Code::WidgetNotReady`] without a bot and a blueprint.
    pub fn ready(&self) -> Result<(), Denial> {
        let answers = self.bot.is_some() || self.blueprint.is_some();
        if answers { Ok(()) } else { Err(Code::WidgetNotReady.into()) }
    }
}

fn features(fields: &Fields) -> Vec<&'static str> {
    let always = ["noInlineDatasets", "noInlineSkillsets", "markdown", "buttons"].map(|name| (name, Some(true)));
    let set = [
        ("attachments", fields.attachments),
        ("justification", fields.verbose),
        ("math", fields.math),
        ("carousel", fields.carousel),
        ("form", fields.form),
    ];
    always.into_iter().chain(set).filter(|(_, on)| *on == Some(true)).map(|(name, _)| name).collect()
}

/// The directive of a `Content-Security-Policy` by which browsers show a frame in these pages only; `None` where
/// origins are not checked. A wildcard lets in more labels there than one; `null` cannot be said, and lets in nobody.
#[must_use]
pub fn frame_ancestors(origins: &OriginSet) -> Option<String> {
    if origins.is_empty() {
        return None;
    }
    let sources = origins.written().iter().filter_map(|entry| source(entry));
    Some(sources.fold("frame-ancestors 'self'".to_owned(), |policy, source| format!("{policy} {source}")))
}

/// An entry as a policy can say it: in ASCII, and with nothing that would end a source or the policy.
fn source(entry: &str) -> Option<String> {
    let source = match entry.split_once("://*.") {
        _ if entry == "*" => "*".to_owned(),
        Some((scheme, base)) => {
            let base: Origin = format!("{scheme}://{base}").parse().ok()?;
            base.as_str().replacen("://", "://*.", 1)
        }
        None => entry.parse::<Origin>().ok()?.as_str().to_owned(),
    };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"*.-_:/[]".contains(&byte);
    source.bytes().all(is_plain).then_some(source)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::chatbotkit::Patch;

    fn serving(fields: &str) -> Serving {
        let fields = Fields::default().apply(&Patch::parse(fields.as_bytes()).expect("a patch")).expect("fields");
        Serving::of(&fields).expect("settings")
    }

    fn policy(origin: &str) -> Option<String> {
        frame_ancestors(&rules::origins(origin).expect("origins"))
    }

    #[test]
    fn what_is_not_set_has_the_vendors_defaults() {
        let bare = serving("{}");
        assert_eq!(bare.features, ["noInlineDatasets", "noInlineSkillsets", "markdown", "buttons"]);
        assert_eq!((bare.cap, bare.origins.is_empty(), bare.initial.is_none()), (DAY, true, true));
        assert_eq!(bare.ready().expect_err("nobody answers").code, Code::WidgetNotReady);
        let empty = serving(r#"{"sessionDuration":0,"initial":"","botId":"","blueprintId":"","origin":" , "}"#);
        assert_eq!((empty.cap, empty.origins.is_empty(), empty.initial.is_none()), (DAY, true, true));
        assert!(empty.ready().is_err());
    }

    #[test]
    fn what_is_set_serves() {
        let all = serving(
            r#"{"sessionDuration":3600000,"initial":"Hi","botId":"b1","origin":"https://a.example/; https://b.example",
                "attachments":true,"verbose":true,"math":true,"carousel":true,"form":true,"unfurl":true,
                "contactCollection":true,"stream":true}"#,
        );
        let conditional = ["attachments", "justification", "math", "carousel", "form"];
        assert_eq!(all.features[4..], conditional);
        assert_eq!((all.cap, all.initial.as_deref()), (Duration::from_secs(3_600), Some("Hi")));
        assert!(all.attachments && all.unfurl && all.contact_collection && all.ready().is_ok());
        assert!(all.origins.contains("https://a.example") && all.origins.contains("https://b.example"));
        assert_eq!(serving(r#"{"math":false,"form":null}"#).features.len(), 4);
        assert!(serving(r#"{"blueprintId":"c1"}"#).ready().is_ok());
    }

    #[test]
    fn settings_that_cannot_be_read_serve_nothing() {
        for fields in [
            Fields { origin: Some("nonsense".into()), ..Fields::default() },
            Fields { blueprint_id: Some("a/b".into()), ..Fields::default() },
        ] {
            assert_eq!(Serving::of(&fields).expect_err("refused").code, Code::Internal);
        }
    }

    #[test]
    fn a_frame_is_shown_where_its_pages_live() {
        assert_eq!(policy(""), None);
        let two = policy("https://a.example/,https://b.example:8443");
        assert_eq!(two.as_deref(), Some("frame-ancestors 'self' https://a.example https://b.example:8443"));
        let wide = policy("https://*.Example.com *");
        assert_eq!(wide.as_deref(), Some("frame-ancestors 'self' https://*.example.com *"));
        let odd = policy("null https://ä.example http://[::1]:80 https://a'b.example");
        assert_eq!(odd.as_deref(), Some("frame-ancestors 'self' https://xn--4ca.example http://[::1]"));
    }
}
