"""The exchange as a careful customer would write it with FastAPI: the same checks, the same claims and the same answers
as Sidegate's, and a context that is sealed and kept in memory until its token has ended."""

import asyncio
import json
import os
import re
import sys
import time
from base64 import urlsafe_b64decode
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from hashlib import sha256
from hmac import compare_digest

import jwt
import uvicorn
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel

with open(sys.argv[1], encoding="utf-8") as file:
    SETTINGS = json.load(file)
SECRET_DIGEST = bytes.fromhex(SETTINGS["secretDigest"])
SEALER = AESGCM(urlsafe_b64decode(SETTINGS["sealKey"] + "="))

MAX_LIFETIME = 7 * 86400
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
LIFETIME = re.compile(r"([0-9]{1,9})([smhd])")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
SWEEP_SECONDS = 10
vault = {}


class Exchange(BaseModel):
    appId: str | None = None
    appSecret: str | None = None
    endUserId: str | None = None
    expiresIn: str = "1h"
    env: dict[str, str] = {}
    secrets: dict[str, str] = {}


class Refusal(Exception):
    def __init__(self, status, code, message):
        self.status, self.code, self.message = status, code, message


def is_the_apps(app_id, secret):
    known = compare_digest(sha256(secret.encode()).digest(), SECRET_DIGEST)
    return known and app_id == SETTINGS["app"]


def seconds(text):
    match = LIFETIME.fullmatch(text)
    lifetime = int(match[1]) * UNITS[match[2]] if match else 0
    if not 0 < lifetime <= MAX_LIFETIME:
        raise Refusal(400, "INVALID_EXPIRES_IN", "expiresIn must be like 30m, at most 7d")
    return lifetime


def keep(jti, context, expires_at):
    nonce = os.urandom(12)
    sealed = nonce + SEALER.encrypt(nonce, json.dumps(context).encode(), f"{SETTINGS['app']}\0{jti}".encode())
    vault[jti] = (sealed, expires_at)


async def sweep():
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        now = time.time()
        for jti in [jti for jti, (_, expires_at) in vault.items() if expires_at <= now]:
            del vault[jti]


@asynccontextmanager
async def lifespan(_app):
    sweeper = asyncio.create_task(sweep())
    yield
    sweeper.cancel()


app = FastAPI(
    openapi_url=None,
    lifespan=lifespan,
    max_body_size=64 * 1024,
    telemetry={"tracing": False, "metrics": False, "logs": False},
)


# `async`, as nothing here waits: a plain function would be handed to a thread. The answer is written as it stands: a
# response model would be checked field by field.
@app.post("/api/v1/auth/token")
async def exchange(ask: Exchange) -> JSONResponse:
    if not ask.appId or not ask.appSecret:
        raise Refusal(400, "MISSING_CREDENTIALS", "appId and appSecret are required")
    if not ask.endUserId:
        raise Refusal(400, "MISSING_END_USER_ID", "endUserId is required")
    if not is_the_apps(ask.appId, ask.appSecret):
        raise Refusal(401, "INVALID_CREDENTIALS", "Invalid app credentials")
    iat = int(time.time())
    exp = iat + seconds(ask.expiresIn)
    claims = {"appId": ask.appId, "sub": ask.endUserId, "allowedOrigins": SETTINGS["origins"], "iat": iat, "exp": exp}
    if ask.env or ask.secrets:
        if not all(map(NAME.fullmatch, [*ask.env, *ask.secrets])):
            raise Refusal(400, "INVALID_ENV", "env and secrets must map names to strings")
        claims["jti"] = os.urandom(16).hex()
        keep(claims["jti"], {"env": ask.env, "secrets": ask.secrets}, exp)
    token = jwt.encode(claims, SETTINGS["key"], algorithm="HS256")
    expires_at = datetime.fromtimestamp(exp, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return JSONResponse({"success": True, "data": {"token": token, "expiresAt": expires_at}})


def refusal(status, code, message):
    return JSONResponse({"success": False, "error": {"message": message, "code": code}}, status)


@app.exception_handler(Refusal)
async def refused(_request, why):
    return refusal(why.status, why.code, why.message)


@app.exception_handler(RequestValidationError)
async def unreadable(_request, _error):
    return refusal(400, "INVALID_REQUEST", "The request could not be read")


if __name__ == "__main__":
    host, port = SETTINGS["listen"].split(":")
    uvicorn.run(
        app, host=host, port=int(port), workers=1, loop="uvloop", http="httptools", ws="none", backlog=4096,
        timeout_keep_alive=75, access_log=False, log_level="warning", server_header=False, proxy_headers=False,
    )
