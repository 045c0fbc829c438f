//! The server-to-server call: app id, app secret and the user's context go in, a token
//! comes out. One connection per call; tokens are not traded often.

use std::{error::Error, net::SocketAddr, time::Duration};

use axum::http::StatusCode;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Request, Response, body::Incoming, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::json;
use tokio::{net::TcpStream, time::timeout};

use super::{Refusal, Settings, User};

/// The whole call, from connecting to the last byte.
const DEADLINE: Duration = Duration::from_secs(10);
/// A token answer is about a kilobyte.
const MAX_ANSWER: usize = 64 * 1024;

type Failure = Box<dyn Error + Send + Sync>;

/// The gate's answer, either way.
#[derive(Deserialize)]
struct Answer {
    data: Option<Issued>,
    error: Option<GateError>,
}

#[derive(Deserialize)]
struct Issued {
    token: String,
}

#[derive(Deserialize)]
struct GateError {
    code: String,
    message: String,
}

/// A token for `user`.
pub(super) async fn token(settings: &Settings, user: &User, expires_in: Option<&str>) -> Result<String, Refusal> {
    let body = request_body(settings, user, expires_in);
    let called = timeout(DEADLINE, call(settings.private, body)).await;
    let (status, bytes) = match called {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Err(unreachable(&format!("The gate did not answer: {error}"))),
        Err(_) => return Err(unreachable("The gate did not answer in time.")),
    };
    read(status, &bytes, settings, user)
}

fn request_body(settings: &Settings, user: &User, expires_in: Option<&str>) -> Bytes {
    let mut body = json!({
        "appId": settings.app_id,
        "appSecret": settings.app_secret.expose_secret(),
        "endUserId": user.id,
        "env": { "TENANT": user.tenant },
        "secrets": { "API_TOKEN": user.api_token.expose_secret() },
    });
    if let Some(expires_in) = expires_in {
        body["expiresIn"] = expires_in.into();
    }
    body.to_string().into()
}

async fn call(gate: SocketAddr, body: Bytes) -> Result<(StatusCode, Bytes), Failure> {
    let socket = TcpStream::connect(gate).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
    let request = Request::post("/api/v1/auth/token")
        .header(header::HOST, gate.to_string())
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(body))?;
    let exchange = async move {
        let response = sender.send_request(request).await?;
        collect(response).await
    };
    // The connection is driven beside the exchange and is dropped with it.
    let mut driver = std::pin::pin!(connection);
    let mut exchange = std::pin::pin!(exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        closed = &mut driver => {
            closed?;
            // Closed in good order: whatever the answer was, it is there to be read.
            exchange.await
        }
    }
}

async fn collect(response: Response<Incoming>) -> Result<(StatusCode, Bytes), Failure> {
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await?;
    Ok((status, body.to_bytes()))
}

fn read(status: StatusCode, bytes: &[u8], settings: &Settings, user: &User) -> Result<String, Refusal> {
    let Ok(answer) = serde_json::from_slice::<Answer>(bytes) else {
        return Err(unreachable(&format!("The gate answered {status} with something odd.")));
    };
    if let (true, Some(issued)) = (status.is_success(), answer.data) {
        return Ok(issued.token);
    }
    let Some(error) = answer.error else {
        return Err(unreachable(&format!("The gate answered {status} and did not say why.")));
    };
    Err(passed_on(status, error, settings, user))
}

/// The gate's refusal in its own words. What the page got wrong keeps its status; what this
/// server got wrong (say, its app secret) is a 502, since the page cannot mend it.
fn passed_on(status: StatusCode, error: GateError, settings: &Settings, user: &User) -> Refusal {
    let status = match status {
        StatusCode::BAD_REQUEST | StatusCode::TOO_MANY_REQUESTS => status,
        _ => StatusCode::BAD_GATEWAY,
    };
    let kept = [&settings.app_secret, &user.api_token];
    // The gate never quotes a secret. Were it to, this is the last place to stop it.
    let leaks = |text: &str| kept.iter().any(|secret| text.contains(secret.expose_secret()));
    if leaks(&error.message) || leaks(&error.code) {
        return Refusal::new(status, "TOKEN_REFUSED", "The gate refused to issue a token.");
    }
    Refusal::new(status, error.code, error.message)
}

fn unreachable(message: &str) -> Refusal {
    Refusal::new(StatusCode::BAD_GATEWAY, "GATE_UNREACHABLE", message)
}
