//! Operator-written templates: text with `{{namespace.NAME}}` placeholders, parsed at load.
//!
//! `{{service.X}}` and `{{app.id}}` are known at load and become text then; `{{env.X}}`,
//! `{{secrets.X}}`, `{{mcp.X}}` and `{{claims.sub}}` are placed for each request, in one pass:
//! a value is never read as a template. So are `{{user.X}}` and `{{unverified.X}}` of a chat session. `{{env.X?}}` is optional: without a value, the whole
//! header, field or parameter that the template fills is left out.

use std::collections::BTreeMap;
use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::{SessionContext, is_variable_name};
use crate::denial::{Code, Denial};
use crate::id::{AppId, EndUserId};

/// What is known when a template is parsed.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// For `{{app.id}}`; `None` where no app is in scope (an upstream's own headers).
    pub app: Option<&'a AppId>,
    /// For `{{service.X}}`.
    pub service: &'a BTreeMap<String, SecretString>,
    /// What `{{user.X}}` and `{{unverified.X}}` may name; empty where no chat session is in scope.
    pub visitor: &'a [&'a str],
}

/// What is known when a request is forwarded.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    /// For `{{claims.sub}}`.
    pub subject: &'a EndUserId,
    /// For `{{env.X}}`, `{{secrets.X}}`, `{{mcp.X}}`, `{{user.X}}` and `{{unverified.X}}`.
    pub context: Option<&'a SessionContext>,
    /// Whether the request is about nobody: whatever asks for a visitor's value is then left out.
    pub of_nobody: bool,
}

/// A parsed template.
#[derive(Clone)]
pub struct Template(Vec<Part>);

#[derive(Clone)]
enum Part {
    /// May hold service secrets, so it is wiped and never printed.
    Literal(Zeroizing<String>),
    Placeholder {
        variable: Variable,
        optional: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Variable {
    Env(String),
    Secrets(String),
    Mcp(String),
    User(String),
    Unverified(String),
    Subject,
}

impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env.{name}"),
            Self::Secrets(name) => write!(f, "secrets.{name}"),
            Self::Mcp(name) => write!(f, "mcp.{name}"),
            Self::User(name) => write!(f, "user.{name}"),
            Self::Unverified(name) => write!(f, "unverified.{name}"),
            Self::Subject => f.write_str("claims.sub"),
        }
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Template({} parts)", self.0.len())
    }
}

impl Template {
    /// Parses `text`.
    ///
    /// # Errors
    /// What is wrong with it: an unclosed or unknown placeholder, or a service value that is not
    /// configured.
    pub fn parse(text: &str, scope: Scope<'_>) -> Result<Self, String> {
        let mut template = Self(Vec::new());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let (inside, after) = after.split_once("}}").ok_or("a placeholder `{{` is not closed by `}}`")?;
            template.push_literal(before);
            template.push_placeholder(inside.trim(), scope)?;
            rest = after;
        }
        template.push_literal(rest);
        Ok(template)
    }

    fn push_literal(&mut self, text: &str) {
        match self.0.last_mut() {
            _ if text.is_empty() => {}
            // A new buffer, so that no reallocation leaves a copy behind unwiped.
            Some(Part::Literal(before)) => *before = Zeroizing::new([before.as_str(), text].concat()),
            _ => self.0.push(Part::Literal(Zeroizing::new(text.to_owned()))),
        }
    }

    fn push_placeholder(&mut self, inside: &str, scope: Scope<'_>) -> Result<(), String> {
        let (path, optional) = match inside.strip_suffix('?') {
            Some(path) => (path.trim_end(), true),
            None => (inside, false),
        };
        let (namespace, name) = path.split_once('.').unwrap_or((path, ""));
        let variable = match (namespace, name) {
            ("claims", "sub") => Variable::Subject,
            ("app", "id") => {
                let app = scope.app.ok_or("`{{app.id}}` is not known here")?;
                self.push_literal(app.as_str());
                return Ok(());
            }
            (_, name) if !is_variable_name(name) => return Err(unknown(inside)),
            ("service", name) => return self.push_service(name, optional, scope),
            ("env", name) => Variable::Env(name.to_owned()),
            ("secrets", name) => Variable::Secrets(name.to_owned()),
            ("mcp", name) => Variable::Mcp(name.to_owned()),
            ("user" | "unverified", name) if !scope.visitor.contains(&name) => {
                return Err(unknown_of_visitor(inside, scope));
            }
            ("user", name) => Variable::User(name.to_owned()),
            ("unverified", name) => Variable::Unverified(name.to_owned()),
            _ => return Err(unknown(inside)),
        };
        if scope.app.is_none() {
            return Err(format!("`{{{{{inside}}}}}` belongs to a token; only `{{{{service.X}}}}` is known here"));
        }
        self.0.push(Part::Placeholder { variable, optional });
        Ok(())
    }

    fn push_service(&mut self, name: &str, optional: bool, scope: Scope<'_>) -> Result<(), String> {
        match scope.service.get(name) {
            Some(value) => self.push_literal(value.expose_secret()),
            None if optional => {}
            None => return Err(format!("`{{{{service.{name}}}}}` is not among the upstream's `service` values")),
        }
        Ok(())
    }

    /// The text, if the template has no placeholder left to fill.
    #[must_use]
    pub fn as_literal(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// The text before the first placeholder.
    #[must_use]
    pub fn leading_literal(&self) -> &str {
        match self.0.first() {
            Some(Part::Literal(text)) => text,
            _ => "",
        }
    }

    /// Whether a placeholder asks for env or secrets, so that the vault must be read.
    #[must_use]
    pub fn needs_context(&self) -> bool {
        self.placeholders().any(|variable| *variable != Variable::Subject)
    }

    /// Whether `{{claims.sub}}` stands in it.
    #[must_use]
    pub fn names_subject(&self) -> bool {
        self.placeholders().any(|variable| *variable == Variable::Subject)
    }

    fn placeholders(&self) -> impl Iterator<Item = &Variable> {
        self.0.iter().filter_map(|part| match part {
            Part::Literal(_) => None,
            Part::Placeholder { variable, .. } => Some(variable),
        })
    }

    /// Fills the placeholders; `encode` appends a value in the form that its place needs. `None`
    /// if an optional placeholder has no value.
    ///
    /// # Errors
    /// [`Code::ContextUnresolved`] naming a placeholder that has no value.
    pub fn render(
        &self,
        values: Values<'_>,
        encode: fn(&str, &mut String),
    ) -> Result<Option<Zeroizing<String>>, Denial> {
        let mut text = Zeroizing::new(String::with_capacity(self.capacity(values)));
        for part in &self.0 {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Placeholder { variable, optional } => match variable.value(values) {
                    Some(value) => encode(value, &mut text),
                    None if *optional || values.of_nobody => return Ok(None),
                    None => return Err(unresolved(variable)),
                },
            }
        }
        Ok(Some(text))
    }

    /// Room for the longest encoding (percent-encoding: three for one), so that no secret is left
    /// behind by a reallocation.
    fn capacity(&self, values: Values<'_>) -> usize {
        self.0
            .iter()
            .map(|part| match part {
                Part::Literal(literal) => literal.len(),
                Part::Placeholder { variable, .. } => variable.value(values).map_or(0, |value| value.len() * 3),
            })
            .sum()
    }
}

impl Variable {
    fn value<'a>(&self, values: Values<'a>) -> Option<&'a str> {
        let secret = match self {
            Self::Subject => return (!values.of_nobody).then(|| values.subject.as_str()),
            Self::Env(name) => values.context?.env(name),
            Self::Secrets(name) => values.context?.secret(name),
            Self::Mcp(name) => values.context?.mcp(name),
            Self::User(name) => values.context?.user(name),
            Self::Unverified(name) => values.context?.unverified(name),
        };
        secret.map(ExposeSecret::expose_secret)
    }
}

fn unknown(inside: &str) -> String {
    format!(
        "unknown placeholder `{{{{{inside}}}}}`; known are env.NAME, secrets.NAME, mcp.NAME, user.NAME, unverified.NAME, claims.sub, app.id and service.NAME"
    )
}

fn unknown_of_visitor(inside: &str, scope: Scope<'_>) -> String {
    match scope.visitor {
        [] => format!("`{{{{{inside}}}}}` is of chat sessions, which this dialect does not have"),
        names => format!("unknown placeholder `{{{{{inside}}}}}`; of visitors are known {}", names.join(", ")),
    }
}

fn unresolved(variable: &Variable) -> Denial {
    Denial::because(Code::ContextUnresolved, format!("The token carries no value for {variable}, which this app needs"))
}

#[cfg(test)]
mod tests {
    use super::super::ContextLimits;
    use super::*;
    use proptest::prelude::*;

    fn raw(value: &str, out: &mut String) {
        out.push_str(value);
    }

    fn context(env: &[(&str, &str)]) -> SessionContext {
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
        let limits = ContextLimits { max_entries: 9, max_name: 99, max_value: 999, max_total: 9999 };
        SessionContext::new(env, Vec::new(), &limits).expect("a context")
    }

    fn parse(text: &str) -> Result<Template, String> {
        let app = AppId::parse("wapp_1").expect("id");
        let service = BTreeMap::from([("KEY".to_owned(), SecretString::from("sk-1"))]);
        Template::parse(text, Scope { app: Some(&app), service: &service, visitor: &["email"] })
    }

    fn render(text: &str, context: &SessionContext) -> Result<Option<String>, Denial> {
        let subject = EndUserId::parse("user-1").expect("id");
        let values = Values { subject: &subject, context: Some(context), of_nobody: false };
        parse(text).expect("a template").render(values, raw).map(|text| text.map(|text| text.to_string()))
    }

    #[test]
    fn known_values_become_text_at_load() {
        let template = parse("Bearer {{service.KEY}} for {{ app.id }}").expect("a template");
        assert_eq!(template.as_literal(), Some("Bearer sk-1 for wapp_1"));
        assert!(!format!("{template:?}").contains("sk-1"));
    }

    #[test]
    fn values_are_placed_in_one_pass() {
        let context = context(&[("A", "{{env.B}}"), ("B", "no")]);
        assert_eq!(render("<{{env.A}}|{{claims.sub}}>", &context), Ok(Some("<{{env.B}}|user-1>".into())));
    }

    #[test]
    fn a_missing_value_refuses_and_an_optional_one_leaves_out() {
        let none = context(&[]);
        let denial = render("x {{env.A}}", &none).expect_err("a refusal");
        assert_eq!(denial.code, Code::ContextUnresolved);
        assert!(denial.message.contains("env.A"));
        assert_eq!(render("x {{env.A?}}", &none), Ok(None));
        assert_eq!(render("x {{ env.A ? }}", &context(&[("A", "1")])), Ok(Some("x 1".into())));
    }

    #[test]
    fn what_cannot_be_filled_is_refused_at_load() {
        for bad in [
            "{{",
            "{{env.A",
            "{{}}",
            "{{env}}",
            "{{env.}}",
            "{{env.1}}",
            "{{claims.exp}}",
            "{{app.secret}}",
            "{{service.NO}}",
            "{{env.A}} {{x.Y}}",
            "{{{{env.A}}}}",
            "{{env.A-B}}",
            "{{env.A.B}}",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        let upstream = Scope { app: None, service: &BTreeMap::new(), visitor: &[] };
        assert!(Template::parse("{{env.A}}", upstream).is_err());
        assert!(Template::parse("{{claims.sub}}", upstream).is_err());
    }

    proptest! {
        #[test]
        fn any_text_parses_or_is_refused_without_panic(text in "[{}a-z.? ]{0,24}") {
            let _ = parse(&text);
        }

        #[test]
        fn text_without_placeholders_is_itself(text in "[^{]{0,24}") {
            let template = parse(&text).expect("plain text");
            prop_assert_eq!(template.as_literal(), Some(text.as_str()));
        }

        #[test]
        fn a_value_appears_as_it_is(value in ".{0,24}") {
            prop_assert_eq!(render("[{{env.A}}]", &context(&[("A", &value)])), Ok(Some(format!("[{value}]"))));
        }
    }
}
