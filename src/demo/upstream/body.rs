//! Reads a message, as JSON or as a multipart form with files. Files are counted and
//! dropped as they arrive; only their names are kept.

use axum::{
    body::to_bytes,
    extract::{
        FromRequest, Multipart, Request,
        multipart::{Field, MultipartError},
    },
    http::{HeaderMap, StatusCode, header},
};
use serde::Deserialize;
use serde_json::Value;

use super::{Refusal, reply};

/// The largest JSON body; it may carry MCP server definitions.
const MAX_JSON: usize = 256 * 1024;
/// The longest message, and any other text field, in bytes.
const MAX_TEXT: usize = 4 * 1024;
const MAX_FILES: usize = 20;
/// The most of a file's name that is kept, in characters.
const MAX_FILE_NAME: usize = 128;

/// A message as sent, whatever the encoding.
pub(super) struct NewMessage {
    pub(super) message: String,
    pub(super) files: Vec<String>,
    /// What was injected into the request, see [`reply::context`].
    pub(super) context: Vec<String>,
    pub(super) show_in_history: bool,
    pub(super) auto_execute: bool,
}

#[derive(Deserialize)]
struct JsonBody {
    message: String,
    #[serde(default = "yes", rename = "showInHistory")]
    show_in_history: bool,
    #[serde(default = "yes", rename = "autoExecute")]
    auto_execute: bool,
    mcp_servers: Option<Value>,
}

fn yes() -> bool {
    true
}

impl<S: Send + Sync> FromRequest<S> for NewMessage {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let message = match content_type(&request) {
            "application/json" => read_json(request).await?,
            "multipart/form-data" => read_form(request, state).await?,
            _ => return Err(unsupported()),
        };
        message.checked()
    }
}

/// The media type without its parameters.
fn content_type(request: &Request) -> &str {
    let value = request.headers().get(header::CONTENT_TYPE);
    let value = value.and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

async fn read_json(request: Request) -> Result<NewMessage, Refusal> {
    let (head, body) = request.into_parts();
    let too_large = |_| Refusal::too_large("The JSON body is too large.");
    let bytes = to_bytes(body, MAX_JSON).await.map_err(too_large)?;
    let json: JsonBody = serde_json::from_slice(&bytes)
        .map_err(|error| Refusal::bad_request(format!("The JSON body is wrong: {error}")))?;
    Ok(NewMessage {
        context: reply::context(&head.headers, json.mcp_servers.as_ref()),
        message: json.message,
        files: Vec::new(),
        show_in_history: json.show_in_history,
        auto_execute: json.auto_execute,
    })
}

async fn read_form<S: Send + Sync>(request: Request, state: &S) -> Result<NewMessage, Refusal> {
    let mut message = NewMessage::empty(request.headers());
    let form = Multipart::from_request(request, state).await;
    let mut form = form.map_err(|error| Refusal::bad_request(error.body_text()))?;
    while let Some(field) = form.next_field().await.map_err(|error| broken_form(&error))? {
        message.take_field(field).await?;
    }
    Ok(message)
}

impl NewMessage {
    fn empty(headers: &HeaderMap) -> Self {
        Self {
            message: String::new(),
            files: Vec::new(),
            context: reply::context(headers, None),
            show_in_history: true,
            auto_execute: true,
        }
    }

    async fn take_field(&mut self, field: Field<'_>) -> Result<(), Refusal> {
        if let Some(name) = field.file_name() {
            let name = name.chars().take(MAX_FILE_NAME).collect();
            return self.take_file(name, field).await;
        }
        let name = field.name().unwrap_or_default().to_owned();
        let value = read_text(field).await?;
        match name.as_str() {
            "message" => self.message = value,
            "showInHistory" => self.show_in_history = value != "false",
            "autoExecute" => self.auto_execute = value != "false",
            // `systemPrompt` and the like change nothing about a fixed answer.
            _ => {}
        }
        Ok(())
    }

    async fn take_file(&mut self, name: String, mut field: Field<'_>) -> Result<(), Refusal> {
        if self.files.len() == MAX_FILES {
            return Err(Refusal::bad_request(format!("At most {MAX_FILES} files.")));
        }
        let mut size = 0;
        while let Some(chunk) = field.chunk().await.map_err(|error| broken_form(&error))? {
            size += chunk.len();
        }
        self.context.push(format!("file {name} ({size} bytes)"));
        self.files.push(name);
        Ok(())
    }

    fn checked(self) -> Result<Self, Refusal> {
        if self.message.trim().is_empty() {
            return Err(Refusal::bad_request("`message` must not be empty."));
        }
        if self.message.len() > MAX_TEXT {
            return Err(Refusal::bad_request(format!("`message` is over {MAX_TEXT} bytes.")));
        }
        Ok(self)
    }
}

async fn read_text(mut field: Field<'_>) -> Result<String, Refusal> {
    let mut bytes = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(|error| broken_form(&error))? {
        if bytes.len() + chunk.len() > MAX_TEXT {
            return Err(Refusal::bad_request(format!("A form field is over {MAX_TEXT} bytes.")));
        }
        bytes.extend_from_slice(&chunk);
    }
    String::from_utf8(bytes).map_err(|_| Refusal::bad_request("A form field is not UTF-8."))
}

fn broken_form(error: &MultipartError) -> Refusal {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return Refusal::too_large("The upload is too large.");
    }
    Refusal::bad_request(error.body_text())
}

fn unsupported() -> Refusal {
    let message = "Send application/json or multipart/form-data.";
    Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", message)
}
