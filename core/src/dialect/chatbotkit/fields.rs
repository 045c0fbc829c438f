//! What customers set for a widget, or for a blueprint of widgets: one list of members, from which the struct, the
//! change of it, and what a widget has from its blueprint are made.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::meta;
use super::rules::{self, Rule};
use crate::denial::{Code, Denial};
use crate::dialect::mitigate::members::{Members, body, invalid};

/// The longest that all settings of a widget may be together, in bytes of JSON.
const MAX_DOCUMENT: usize = 256 * 1024;

/// What a change does to a member: nothing, unset it, or set it.
type Asked<T> = Option<Option<T>>;

macro_rules! members {
    (
        texts { $($(#[$text_doc:meta])* $text:ident $text_name:literal $rule:expr;)+ }
        flags { $($(#[$flag_doc:meta])* $flag:ident $flag_name:literal;)+ }
    ) => {
        /// The settings. `None`: not set.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Fields {
            $(
                $(#[$text_doc])*
                #[serde(rename = $text_name, skip_serializing_if = "Option::is_none")]
                pub $text: Option<String>,
            )+
            /// What the customer notes; lists can be narrowed by it.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub meta: Option<Map<String, Value>>,
            /// How long sessions last, in milliseconds; 0 as if not set.
            #[serde(rename = "sessionDuration", skip_serializing_if = "Option::is_none")]
            pub session_duration: Option<u64>,
            $(
                $(#[$flag_doc])*
                #[serde(rename = $flag_name, skip_serializing_if = "Option::is_none")]
                pub $flag: Option<bool>,
            )+
        }

        /// A change of settings: what is sent of them, and within the rules.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct Patch {
            $($text: Asked<String>,)+
            meta: Asked<Map<String, Value>>,
            session_duration: Asked<u64>,
            $($flag: Asked<bool>,)+
        }

        /// The names of all settings, in the order in which they are listed.
        pub(super) const NAMES: &[&str] = &[$($text_name,)+ "meta", "sessionDuration", $($flag_name,)+];

        impl Patch {
            fn read(members: &Members<'_>, faults: &mut Faults) -> Self {
                Self {
                    $($text: faults.sift($text_name, members, |raw| rules::text(raw, $rule)),)+
                    meta: faults.sift("meta", members, |raw| meta::read(raw).map_err(Cow::from)),
                    session_duration: faults.sift("sessionDuration", members, rules::session_duration),
                    $($flag: faults.sift($flag_name, members, rules::flag),)+
                }
            }
        }

        impl Fields {
            fn changed(&self, patch: &Patch) -> Self {
                Self {
                    $($text: patch.$text.as_ref().unwrap_or(&self.$text).clone(),)+
                    meta: patch.meta.as_ref().unwrap_or(&self.meta).clone(),
                    session_duration: patch.session_duration.unwrap_or(self.session_duration),
                    $($flag: patch.$flag.unwrap_or(self.$flag),)+
                }
            }

            /// These, and those of `other` where these are not set. An empty text is set.
            #[must_use]
            pub fn or(&self, other: &Self) -> Self {
                Self {
                    $($text: self.$text.as_ref().or(other.$text.as_ref()).cloned(),)+
                    meta: self.meta.as_ref().or(other.meta.as_ref()).cloned(),
                    session_duration: self.session_duration.or(other.session_duration),
                    $($flag: self.$flag.or(other.$flag),)+
                }
            }
        }
    };
}

members! {
    texts {
        /// Another name that the customer gives it.
        alias "alias" Rule::Length(256);
        /// What it is called.
        name "name" Rule::Length(256);
        /// What it is for.
        description "description" Rule::Length(4 * 1024);
        /// The blueprint that it has its other settings from; widgets alone.
        blueprint_id "blueprintId" Rule::Id;
        /// The bot that answers.
        bot_id "botId" Rule::Id;
        /// Colours, fonts, CSS.
        theme "theme" Rule::Length(64 * 1024);
        /// Where it shows itself.
        layout "layout" Rule::Length(256);
        /// What stands at its top.
        title "title" Rule::Length(512);
        /// What visitors read before they write.
        intro "intro" Rule::Length(8 * 1024);
        /// What the bot is made to say first.
        initial "initial" Rule::Length(8 * 1024);
        /// What stands where visitors write.
        placeholder "placeholder" Rule::Length(512);
        /// Where its pages live: a list of origins.
        origin "origin" Rule::Origins;
        /// What it speaks: a list of language tags.
        language "language" Rule::Languages;
        /// What else it does.
        plugins "plugins" Rule::Length(64 * 1024);
    }
    flags {
        /// Whether answers come piece by piece.
        stream "stream";
        /// Whether it says what it does.
        verbose "verbose";
        /// Whether the bot may use tools.
        tools "tools";
        /// Whether links are shown with a preview.
        unfurl "unfurl";
        /// Whether mathematics is typeset.
        math "math";
        /// Whether the bot may show carousels.
        carousel "carousel";
        /// Whether the bot may show forms.
        form "form";
        /// Whether visitors may send files.
        attachments "attachments";
        /// Whether the newest message stays in view.
        auto_scroll "autoScroll";
        /// Whether the bot speaks first.
        start_first "startFirst";
        /// Whether visitors are asked who they are.
        contact_collection "contactCollection";
        /// Whether visitors may take the conversation with them.
        export_conversation "exportConversation";
        /// Whether visitors may begin anew.
        restart_conversation "restartConversation";
        /// Whether it can fill the page.
        maximize "maximize";
        /// Whether the first message shows while it is closed.
        message_peek "messagePeek";
        /// Whether visitors may speak.
        voice_in "voiceIn";
        /// Whether the bot speaks.
        voice_out "voiceOut";
        /// Whether it names its maker.
        powered_by "poweredBy";
    }
}

/// Everything that is wrong, to be said at once.
#[derive(Default)]
struct Faults(Vec<String>);

impl Faults {
    /// What is sent of a member; a fault of it is noted, and counts as nothing.
    fn sift<T>(
        &mut self,
        name: &str,
        members: &Members<'_>,
        read: impl FnOnce(&RawValue) -> Result<T, Cow<'static, str>>,
    ) -> Asked<T> {
        let raw = members.sent(name)?;
        if raw.get() == "null" {
            return Some(None);
        }
        read(raw).map_err(|rule| self.0.push(format!("{name} {rule}"))).ok().map(Some)
    }
}

impl Patch {
    /// Reads the settings of a widget, or changes to them: what is absent stays as it is, `null` unsets. An empty body
    /// changes nothing.
    ///
    /// # Errors
    /// [`Code::InvalidRequest`] if it is no object or names a member twice; else with each member that is not as it
    /// must be, by name and rule, joined by "; ".
    pub fn parse(bytes: &[u8]) -> Result<Self, Denial> {
        Self::parse_of(bytes, |name| NAMES.contains(&name))
    }

    /// As [`Self::parse`], for a blueprint, which has none of its own.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn parse_blueprint(bytes: &[u8]) -> Result<Self, Denial> {
        Self::parse_of(bytes, |name| name != "blueprintId" && NAMES.contains(&name))
    }

    fn parse_of(bytes: &[u8], known: impl Fn(&str) -> bool) -> Result<Self, Denial> {
        let text = if bytes.is_empty() { "{}" } else { body(bytes)? };
        let members = Members::of(text).ok_or(Code::InvalidRequest)?;
        let mut faults = Faults::default();
        let patch = Self::read(&members, &mut faults);
        faults.0.extend(rules::unknown(members.names(), known));
        if faults.0.is_empty() { Ok(patch) } else { Err(invalid(faults.0.join("; "))) }
    }

    /// The blueprint that it binds the widget to, which must then be there.
    #[must_use]
    pub fn blueprint_id(&self) -> Option<&str> {
        self.blueprint_id.as_ref()?.as_deref().filter(|id| !id.is_empty())
    }
}

impl Fields {
    /// These with a change; `meta` is replaced as a whole.
    ///
    /// # Errors
    /// [`Code::InvalidRequest`] if they are too long together: each member is within its rule, but escapes make JSON
    /// longer.
    pub fn apply(&self, patch: &Patch) -> Result<Self, Denial> {
        let fields = self.changed(patch);
        let length = serde_json::to_vec(&fields).map_err(|_| Code::Internal)?.len();
        if length > MAX_DOCUMENT {
            return Err(invalid(format!("the settings must have at most {MAX_DOCUMENT} bytes together")));
        }
        Ok(fields)
    }

    /// The members of `meta` by which lists can be narrowed, as text.
    #[must_use]
    pub fn labels(&self) -> Vec<(String, String)> {
        self.meta.as_ref().map(meta::labels).unwrap_or_default()
    }
}

#[cfg(test)]
#[path = "fields_tests.rs"]
mod tests;
