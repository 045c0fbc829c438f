// What a customer's server does with npm's client of OpenAI, whose base URL is the gate's: a ChatKit session, its
// end, a Realtime client secret, and refusals. Prints what it got, as one line of JSON.
//
// usage: client.js BASE_URL SERVICE_TOKEN, where `openai` is found by NODE_PATH
"use strict";

const OpenAI = require("openai");

const [baseURL, apiKey] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });

// What the client makes of a refusal.
async function refusal(call) {
  try {
    return { unexpected: await call() };
  } catch (error) {
    const { status, type, param, code, message } = error;
    return { class: error.constructor.name, status, type, param, code, message };
  }
}

async function main() {
  const sessions = client.beta.chatkit.sessions;
  const workflow = { id: process.env.WORKFLOW, state_variables: { seats: 3 }, tracing: { enabled: false } };
  const created = await sessions.create({
    user: "ada",
    workflow,
    expires_after: { anchor: "created_at", seconds: 120 },
    rate_limits: { max_requests_per_1_minute: 5 },
    chatkit_configuration: { file_upload: { enabled: true, max_files: 2 }, history: { recent_threads: 3 } },
  });
  const cancelled = await sessions.cancel(created.id);
  const secret = await client.realtime.clientSecrets.create({
    expires_after: { anchor: "created_at", seconds: 60 },
    session: { type: "realtime", instructions: "Be kind." },
  });
  const unlisted = await refusal(() => sessions.create({ user: "ada", workflow: { id: "wf_unlisted" } }));
  const tooMany = { user: "ada", workflow, rate_limits: { max_requests_per_1_minute: 1000 } };
  const overBound = await refusal(() => sessions.create(tooMany));
  const stranger = new OpenAI({ baseURL, apiKey: "sgst_unknown", maxRetries: 0 });
  const unknown = await refusal(() => stranger.beta.chatkit.sessions.create({ user: "ada", workflow }));
  console.log(JSON.stringify({ created, cancelled, secret, unlisted, overBound, unknown }));
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
