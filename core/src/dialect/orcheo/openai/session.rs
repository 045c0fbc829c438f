//! `POST /chatkit/sessions`: what it is asked for, by a customer's server or by an app's settings.

use std::fmt::Display;

use serde_json::{Map, Value};

use super::members::{Members, expires_after, expiry, invalid, object};
use super::range;
use crate::denial::{Code, Denial};
use crate::dialect::orcheo::workflow::{Workflow, WorkflowId};
use crate::id::EndUserId;

/// What a session has beside its user and workflow; `None` leaves it to OpenAI.
#[derive(Clone, Default, PartialEq)]
pub struct SessionSettings {
    /// Seconds until it ends; see [`range::SECONDS`].
    pub expires_after: Option<u32>,
    /// Requests that it takes in a minute; see [`range::REQUESTS`].
    pub requests_per_minute: Option<u32>,
    /// What the workflow is told: texts, numbers, true or false, by names of [`range::VARIABLE_NAME`] characters.
    pub state_variables: Map<String, Value>,
    /// Whether its runs are traced.
    pub tracing: Option<bool>,
    /// Whether its threads get titles.
    pub thread_titling: Option<bool>,
    /// Whether files may be sent.
    pub file_upload: Option<bool>,
    /// Megabytes of each; see [`range::FILE_SIZE`].
    pub max_file_size: Option<u32>,
    /// How many files; see [`range::FILES`].
    pub max_files: Option<u32>,
    /// Whether former threads can be opened.
    pub history: Option<bool>,
    /// How many of them; see [`range::THREADS`].
    pub recent_threads: Option<u32>,
}

/// A session that a customer's server asks for.
#[derive(Debug)]
pub struct Asked {
    /// Whom it is for.
    pub end_user: EndUserId,
    /// The workflow.
    pub workflow: WorkflowId,
    /// The version of it.
    pub version: Option<String>,
    /// All else.
    pub settings: SessionSettings,
}

/// The values may be anything about an end user.
impl std::fmt::Debug for SessionSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SessionSettings({} state variables)", self.state_variables.len())
    }
}

/// Reads the body of a customer's server.
///
/// # Errors
/// [`Code::InvalidRequest`] with the rule, [`Code::InvalidWorkflow`].
pub fn parse_session(body: &[u8]) -> Result<Asked, Denial> {
    let mut body = Members::of_body(body)?;
    let user = body.text("user")?;
    let user = body.required("user", user)?;
    let end_user = user.parse().map_err(|rule| invalid(format!("user {rule}")))?;
    let workflow = body.object("workflow", "workflow.")?;
    let mut workflow = body.required("workflow", workflow)?;
    let id = workflow.text("id")?;
    let id = workflow.required("id", id)?;
    let rule = |rule| Denial::because(Code::InvalidWorkflow, format!("workflow.id {rule}"));
    let id = WorkflowId::of_openai(&id).map_err(rule)?;
    let version = workflow.text("version")?;
    let mut settings = SessionSettings { state_variables: variables(&mut workflow)?, ..SessionSettings::default() };
    if let Some(mut tracing) = workflow.object("tracing", "workflow.tracing.")? {
        settings.tracing = tracing.truth("enabled")?;
        tracing.finish()?;
    }
    workflow.finish()?;
    settings.expires_after = expires_after(&mut body, &range::SECONDS)?;
    if let Some(mut rates) = body.object("rate_limits", "rate_limits.")? {
        settings.requests_per_minute = rates.number("max_requests_per_1_minute", &range::REQUESTS)?;
        rates.finish()?;
    }
    configuration(&mut body, &mut settings)?;
    body.finish()?;
    Ok(Asked { end_user, workflow: id, version, settings })
}

fn variables(workflow: &mut Members) -> Result<Map<String, Value>, Denial> {
    let Some(variables) = workflow.object("state_variables", "workflow.state_variables.")? else {
        return Ok(Map::new());
    };
    let variables = variables.rest();
    for (name, value) in &variables {
        if !range::VARIABLE_NAME.contains(&name.chars().count()) {
            return Err(invalid("names in workflow.state_variables must have 1 to 64 characters"));
        }
        if !matches!(value, Value::String(_) | Value::Bool(_) | Value::Number(_)) {
            return Err(invalid("values in workflow.state_variables must be strings, numbers, true or false"));
        }
    }
    Ok(variables)
}

fn configuration(body: &mut Members, settings: &mut SessionSettings) -> Result<(), Denial> {
    let Some(mut whole) = body.object("chatkit_configuration", "chatkit_configuration.")? else { return Ok(()) };
    let titling = whole.object("automatic_thread_titling", "chatkit_configuration.automatic_thread_titling.")?;
    if let Some(mut titling) = titling {
        settings.thread_titling = titling.truth("enabled")?;
        titling.finish()?;
    }
    if let Some(mut upload) = whole.object("file_upload", "chatkit_configuration.file_upload.")? {
        settings.file_upload = upload.truth("enabled")?;
        settings.max_file_size = upload.number("max_file_size", &range::FILE_SIZE)?;
        settings.max_files = upload.number("max_files", &range::FILES)?;
        upload.finish()?;
    }
    if let Some(mut history) = whole.object("history", "chatkit_configuration.history.")? {
        settings.history = history.truth("enabled")?;
        settings.recent_threads = history.number("recent_threads", &range::THREADS)?;
        history.finish()?;
    }
    whole.finish()
}

impl SessionSettings {
    /// These where an app has `bounds`: what is left open is as there, and nothing is more than there.
    ///
    /// # Errors
    /// [`Code::InvalidRequest`] with the bound.
    pub fn within(self, bounds: &Self) -> Result<Self, Denial> {
        const CONFIGURATION: &str = "chatkit_configuration";
        let upload = |name| format!("{CONFIGURATION}.file_upload.{name}");
        let history = |name| format!("{CONFIGURATION}.history.{name}");
        let titling = format!("{CONFIGURATION}.automatic_thread_titling.enabled");
        Ok(Self {
            expires_after: bounded("expires_after.seconds", self.expires_after, bounds.expires_after)?,
            requests_per_minute: bounded(
                "rate_limits.max_requests_per_1_minute",
                self.requests_per_minute,
                bounds.requests_per_minute,
            )?,
            state_variables: joined("workflow.state_variables", self.state_variables, &bounds.state_variables)?,
            tracing: bounded("workflow.tracing.enabled", self.tracing, bounds.tracing)?,
            thread_titling: bounded(&titling, self.thread_titling, bounds.thread_titling)?,
            file_upload: bounded(&upload("enabled"), self.file_upload, bounds.file_upload)?,
            max_file_size: bounded(&upload("max_file_size"), self.max_file_size, bounds.max_file_size)?,
            max_files: bounded(&upload("max_files"), self.max_files, bounds.max_files)?,
            history: bounded(&history("enabled"), self.history, bounds.history)?,
            recent_threads: bounded(&history("recent_threads"), self.recent_threads, bounds.recent_threads)?,
        })
    }

    /// The body for OpenAI.
    #[must_use]
    pub fn body(&self, end_user: &EndUserId, workflow: &Workflow) -> Vec<u8> {
        let enabled = |truth: Option<bool>| object([("enabled", truth.map(Value::from))]);
        let variables = (!self.state_variables.is_empty()).then(|| self.state_variables.clone().into());
        let workflow = object([
            ("id", Some(workflow.id.as_str().into())),
            ("version", workflow.version.as_deref().map(Value::from)),
            ("state_variables", variables),
            ("tracing", enabled(self.tracing)),
        ]);
        let configuration = object([
            ("automatic_thread_titling", enabled(self.thread_titling)),
            ("file_upload", self.upload()),
            (
                "history",
                object([
                    ("enabled", self.history.map(Value::from)),
                    ("recent_threads", self.recent_threads.map(Value::from)),
                ]),
            ),
        ]);
        let rates = object([("max_requests_per_1_minute", self.requests_per_minute.map(Value::from))]);
        let body = object([
            ("user", Some(end_user.as_str().into())),
            ("workflow", workflow),
            ("expires_after", expiry(self.expires_after)),
            ("rate_limits", rates),
            ("chatkit_configuration", configuration),
        ]);
        body.unwrap_or_default().to_string().into_bytes()
    }

    fn upload(&self) -> Option<Value> {
        object([
            ("enabled", self.file_upload.map(Value::from)),
            ("max_file_size", self.max_file_size.map(Value::from)),
            ("max_files", self.max_files.map(Value::from)),
        ])
    }
}

/// `false` is less than `true`: what an app switches off stays off.
fn bounded<T: PartialOrd + Display>(name: &str, asked: Option<T>, bound: Option<T>) -> Result<Option<T>, Denial> {
    match (asked, bound) {
        (Some(asked), Some(bound)) if asked > bound => {
            Err(invalid(format!("{name} may not be more than {bound} here")))
        }
        (asked, bound) => Ok(asked.or(bound)),
    }
}

/// Both; what the app has set, nobody changes.
pub(super) fn joined(
    name: &str,
    mut asked: Map<String, Value>,
    set: &Map<String, Value>,
) -> Result<Map<String, Value>, Denial> {
    for (member, value) in set {
        let other = asked.insert(member.clone(), value.clone()).is_some_and(|asked| asked != *value);
        if other {
            return Err(invalid(format!("{name}.{member} is set for this app, to another value")));
        }
    }
    Ok(asked)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::dialect::orcheo::Access;

    const WHOLE: &str = r#"{"user":"ada","workflow":{"id":"wf_1","version":"2","state_variables":{"plan":"pro","seats":3,"beta":true},
        "tracing":{"enabled":false}},"expires_after":{"anchor":"created_at","seconds":300},
        "rate_limits":{"max_requests_per_1_minute":5},"chatkit_configuration":{"automatic_thread_titling":{"enabled":true},
        "file_upload":{"enabled":true,"max_file_size":10,"max_files":2},"history":{"enabled":true,"recent_threads":3}}}"#;

    fn written(asked: &Asked) -> Value {
        let workflow =
            Workflow { id: asked.workflow.clone(), name: None, version: asked.version.clone(), access: Access::Token };
        serde_json::from_slice(&asked.settings.body(&asked.end_user, &workflow)).expect("JSON")
    }

    #[test]
    fn what_is_read_is_what_is_written() {
        let asked = parse_session(WHOLE.as_bytes()).expect("a session");
        assert_eq!(written(&asked), serde_json::from_str::<Value>(WHOLE).expect("JSON"));
        let bare = parse_session(br#"{"user":"ada","workflow":{"id":"wf_1"}}"#).expect("a session");
        assert_eq!(written(&bare), json!({ "user": "ada", "workflow": { "id": "wf_1" } }));
    }

    #[test]
    fn whatever_is_not_documented_is_refused_by_its_rule() {
        let base = |more: &str| format!(r#"{{"user":"ada","workflow":{{"id":"wf_1"}}{more}}}"#);
        for (body, message) in [
            (String::new(), "user is required"),
            ("[]".to_owned(), "The body is refused: not a JSON object"),
            (r#"{"user":""}"#.to_owned(), "user must be 1 to 256 bytes without control characters"),
            (r#"{"user":7}"#.to_owned(), "user must be a string"),
            (r#"{"user":"ada"}"#.to_owned(), "workflow is required"),
            (r#"{"user":"ada","workflow":"wf_1"}"#.to_owned(), "workflow must be an object"),
            (base(r#","more":1"#), "The body has a member that is not known here"),
            (base(r#","expires_after":null"#), "expires_after must be an object"),
            (base(r#","expires_after":{"seconds":1}"#), "expires_after.anchor must be \"created_at\""),
            (base(r#","expires_after":{"anchor":"created_at"}"#), "expires_after.seconds is required"),
            (
                base(r#","expires_after":{"anchor":"created_at","seconds":0}"#),
                "expires_after.seconds must be an integer from 1 to 86400",
            ),
            (
                base(r#","rate_limits":{"max_requests_per_1_minute":1.5}"#),
                "rate_limits.max_requests_per_1_minute must be an integer from 1 to 1000000",
            ),
            (
                base(r#","chatkit_configuration":{"file_upload":{"max_file_size":513}}"#),
                "chatkit_configuration.file_upload.max_file_size must be an integer from 1 to 512",
            ),
            (
                base(r#","chatkit_configuration":{"history":{"more":1}}"#),
                "chatkit_configuration.history has a member that is not known here",
            ),
        ] {
            let denial = parse_session(body.as_bytes()).expect_err(message);
            assert_eq!((denial.code, &*denial.message), (Code::InvalidRequest, message), "{body}");
        }
        for variables in [r#"{"a":null}"#.to_owned(), r#"{"a":[]}"#.to_owned(), format!("{{\"{}\":1}}", "a".repeat(65))]
        {
            let body = format!(r#"{{"user":"ada","workflow":{{"id":"wf_1","state_variables":{variables}}}}}"#);
            assert!(parse_session(body.as_bytes()).is_err(), "{variables}");
        }
        let uuid = r#"{"user":"ada","workflow":{"id":"0b6ad1a8-5b0e-4a39-8a52-3cf4cf64a3d1"}}"#;
        assert_eq!(parse_session(uuid.as_bytes()).expect_err("of Orcheo").code, Code::InvalidWorkflow);
    }

    #[test]
    fn an_apps_settings_are_defaults_and_bounds() {
        let settings = |body: &str| parse_session(body.as_bytes()).expect("a session").settings;
        let bounds = settings(WHOLE);
        assert_eq!(SessionSettings::default().within(&bounds), Ok(bounds.clone()));
        let base = |more: &str| settings(&format!(r#"{{"user":"a","workflow":{{"id":"wf_1"}}{more}}}"#));
        let less = base(r#","expires_after":{"anchor":"created_at","seconds":60}"#).within(&bounds).expect("less");
        assert_eq!(less.expires_after, Some(60));
        for more in [
            r#","expires_after":{"anchor":"created_at","seconds":301}"#,
            r#","rate_limits":{"max_requests_per_1_minute":6}"#,
            r#","chatkit_configuration":{"file_upload":{"max_files":3}}"#,
            r#","chatkit_configuration":{"file_upload":{"max_file_size":11}}"#,
            r#","chatkit_configuration":{"history":{"recent_threads":4}}"#,
        ] {
            assert_eq!(base(more).within(&bounds).expect_err(more).code, Code::InvalidRequest);
        }
        let traced = SessionSettings { tracing: Some(true), ..SessionSettings::default() };
        assert_eq!(
            traced.within(&bounds).expect_err("switched off").message,
            "workflow.tracing.enabled may not be more than false here"
        );
    }

    #[test]
    fn the_apps_state_variables_stand_and_others_come_beside_them() {
        let with = |value: Value| SessionSettings {
            state_variables: value.as_object().expect("an object").clone(),
            ..SessionSettings::default()
        };
        let app = with(json!({ "plan": "basic" }));
        let both = with(json!({ "seats": 2 })).within(&app).expect("both");
        assert_eq!(Value::from(both.state_variables), json!({ "plan": "basic", "seats": 2 }));
        assert!(with(json!({ "plan": "basic" })).within(&app).is_ok());
        assert!(with(json!({ "plan": "pro" })).within(&app).is_err());
    }
}
