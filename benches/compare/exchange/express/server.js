'use strict';

// The exchange as a careful customer would write it with Express: the same checks, the same claims and the same
// answers as Sidegate's, and a context that is sealed and kept in memory until its token has ended.

const { createCipheriv, createHash, createSecretKey, randomBytes, timingSafeEqual } = require('node:crypto');
const { readFileSync } = require('node:fs');

const settings = JSON.parse(readFileSync(process.argv[2], 'utf8'));
// What a deployment says in other places: production mode, and where npm put the packages.
process.env.NODE_ENV = 'production';
module.paths.push(settings.modules);
const express = require('express');
const jwt = require('jsonwebtoken');

const secretDigest = Buffer.from(settings.secretDigest, 'hex');
// A key object: given text, jsonwebtoken first tries to read it as PEM, in every call, and is then five times slower.
const signingKey = createSecretKey(Buffer.from(settings.key));
const sealKey = createSecretKey(Buffer.from(settings.sealKey, 'base64url'));

const MAX_LIFETIME = 7 * 86400;
const UNITS = { s: 1, m: 60, h: 3600, d: 86400 };
const NAME = /^[A-Za-z_]\w*$/;
const SWEEP_MS = 10_000;
const vault = new Map();

const given = (text) => typeof text === 'string' && text !== '';

function isTheApps(appId, secret) {
  const known = timingSafeEqual(createHash('sha256').update(secret).digest(), secretDigest);
  return known && appId === settings.app;
}

function seconds(text) {
  const [, number, unit] = /^(\d{1,9})([smhd])$/.exec(text) ?? [];
  const lifetime = Number(number) * UNITS[unit];
  return lifetime > 0 && lifetime <= MAX_LIFETIME ? lifetime : null;
}

function isContext(entries) {
  if (typeof entries !== 'object' || entries === null || Array.isArray(entries)) return false;
  return Object.entries(entries).every(([name, value]) => NAME.test(name) && typeof value === 'string');
}

function keep(jti, context, expiresAt) {
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', sealKey, nonce).setAAD(Buffer.from(`${settings.app}\0${jti}`));
  const sealed = Buffer.concat([nonce, cipher.update(JSON.stringify(context)), cipher.final(), cipher.getAuthTag()]);
  vault.set(jti, { sealed, expiresAt });
}

function sweep() {
  const now = Date.now() / 1000;
  for (const [jti, { expiresAt }] of vault) {
    if (expiresAt <= now) vault.delete(jti);
  }
}

function refuse(res, status, code, message) {
  res.status(status).json({ success: false, error: { message, code } });
}

function exchange(req, res) {
  const { appId, appSecret, endUserId, expiresIn = '1h', env = {}, secrets = {} } = req.body ?? {};
  if (!given(appId) || !given(appSecret)) {
    return refuse(res, 400, 'MISSING_CREDENTIALS', 'appId and appSecret are required');
  }
  if (!given(endUserId)) return refuse(res, 400, 'MISSING_END_USER_ID', 'endUserId is required');
  if (!isTheApps(appId, appSecret)) return refuse(res, 401, 'INVALID_CREDENTIALS', 'Invalid app credentials');
  const lifetime = seconds(expiresIn);
  if (lifetime === null) return refuse(res, 400, 'INVALID_EXPIRES_IN', 'expiresIn must be like 30m, at most 7d');
  if (!isContext(env) || !isContext(secrets)) {
    return refuse(res, 400, 'INVALID_ENV', 'env and secrets must map names to strings');
  }
  const iat = Math.floor(Date.now() / 1000);
  const exp = iat + lifetime;
  const claims = { appId, sub: endUserId, allowedOrigins: settings.origins, iat, exp };
  if (Object.keys(env).length > 0 || Object.keys(secrets).length > 0) {
    claims.jti = randomBytes(16).toString('hex');
    keep(claims.jti, { env, secrets }, exp);
  }
  const token = jwt.sign(claims, signingKey, { algorithm: 'HS256' });
  res.json({ success: true, data: { token, expiresAt: new Date(exp * 1000).toISOString() } });
}

function unreadable(error, req, res, next) {
  refuse(res, error.status ?? 500, 'INVALID_REQUEST', 'The request could not be read');
}

const app = express();
app.disable('x-powered-by');
app.disable('etag');
app.set('query parser', false);
app.post('/api/v1/auth/token', express.json({ limit: '64kb' }), exchange);
app.use(unreadable);

const [host, port] = settings.listen.split(':');
const server = app.listen(Number(port), host, 4096);
server.keepAliveTimeout = 75_000;
setInterval(sweep, SWEEP_MS).unref();
