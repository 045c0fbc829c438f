//! `/api/admin/service-tokens`: the same service tokens, as Orcheo's own API has them.

use axum::extract::Path;
use axum::response::IntoResponse as _;
use http::StatusCode;
use sidegate_core::dialect::orcheo::service_tokens::{
    CREATED, List, Rotation, Shown, parse_create, parse_revocation, parse_rotation, rotated,
};

use super::{Answered, Caller, JsonBody, answered};
use crate::service_tokens::Kept;

pub(super) async fn list(caller: Caller) -> Answered {
    let tokens = caller.service_tokens().await?;
    answered(StatusCode::OK, &tokens.iter().map(shown).collect::<List<'_>>())
}

pub(super) async fn create(caller: Caller, JsonBody(body): JsonBody) -> Answered {
    let (token, secret) = caller.create_service_token(parse_create(&body)?).await?;
    answered(StatusCode::CREATED, &shown(&token).with_secret(&secret, CREATED.to_owned()))
}

pub(super) async fn show(caller: Caller, Path(id): Path<String>) -> Answered {
    answered(StatusCode::OK, &shown(&caller.service_token(&id).await?))
}

pub(super) async fn rotate(caller: Caller, Path(id): Path<String>, JsonBody(body): JsonBody) -> Answered {
    let Rotation { overlap, lifetime } = parse_rotation(&body)?;
    let (token, secret) = caller.rotate_service_token(&id, overlap, lifetime).await?;
    answered(StatusCode::OK, &shown(&token).with_secret(&secret, rotated(overlap)))
}

pub(super) async fn revoke(caller: Caller, Path(id): Path<String>, JsonBody(body): JsonBody) -> Answered {
    caller.revoke_service_token(&id, &parse_revocation(&body)?).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn shown(Kept { token, uses }: &Kept) -> Shown<'_> {
    Shown::new(token, *uses)
}
