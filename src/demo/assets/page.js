// The demo's chat page. It does what a customer's page does: asks its own server for a
// token, then talks to the gate. The token lives in a variable, never in storage.

const $ = (id) => document.getElementById(id);

const state = { config: null, token: null };

// The conversation. `unnamed` counts bubbles shown before the replay told their ids.
const fresh = () => ({ task: null, seen: new Set(), unnamed: { user: 0, assistant: 0 }, reply: null });
Object.assign(state, fresh());

// ---- what went wrong, in a form that can be shown -------------------------------------

class Refused extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

async function refusalOf(response) {
  let error = {};
  try {
    error = (await response.json()).error ?? {};
  } catch {
    // No JSON: the status alone must do.
  }
  return new Refused(response.status, error.code ?? "UNKNOWN", error.message ?? response.statusText);
}

function blocked() {
  // The browser does not tell a page whether CORS or the network was to blame.
  return new Refused(0, "BLOCKED_BY_BROWSER",
    `The browser withheld the gate's answer. Either the app does not list this page's origin, ` +
    `${location.origin}, or the gate at ${state.config.gateUrl} cannot be reached.`);
}

// ---- calls ---------------------------------------------------------------------------

async function call(url, options) {
  const path = new URL(url, location.href).pathname;
  const note = noteCall(`${options.method ?? "GET"} ${path}`);
  try {
    const response = await fetch(url, { credentials: "omit", cache: "no-store", ...options });
    note(response.status, response.ok);
    return response;
  } catch {
    note("blocked", false);
    throw blocked();
  }
}

async function fetchToken() {
  setStatus("busy", "Asking this page's server for a token…");
  const response = await call("/api/sigmic-chat/token", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ userId: $("user").value, expiresIn: $("expires").value }),
  });
  if (!response.ok) throw await refusalOf(response);
  state.token = (await response.json()).token;
  showClaims(state.token);
}

// Calls the gate; after a 401 the token is renewed and the call repeated, once.
async function gate(path, options = {}) {
  if (!state.token) await fetchToken();
  let response = await gateOnce(path, options);
  if (response.status === 401 && $("refresh").checked) {
    await fetchToken();
    response = await gateOnce(path, options);
  }
  if (!response.ok) throw await refusalOf(response);
  return response;
}

function gateOnce(path, options) {
  const headers = { ...options.headers, Authorization: `Bearer ${state.token}` };
  return call(state.config.gateUrl + path, { ...options, headers });
}

function postJson(path, body) {
  const headers = { "Content-Type": "application/json" };
  return gate(path, { method: "POST", headers, body: JSON.stringify(body) });
}

// ---- server-sent events over fetch (EventSource cannot send an Authorization header) --

async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let event = { name: "message", data: [] };
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    // A trailing CR may be the first half of a CRLF, so it waits for the next chunk.
    const lines = (rest + value).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    for (const line of lines) {
      if (line !== "") {
        takeField(event, line);
      } else {
        if (event.data.length) yield { name: event.name, data: JSON.parse(event.data.join("\n")) };
        event = { name: "message", data: [] };
      }
    }
  }
}

function takeField(event, line) {
  const colon = line.indexOf(":");
  if (colon === 0) return; // A comment, such as the heartbeat.
  const name = colon < 0 ? line : line.slice(0, colon);
  const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
  if (name === "event") event.name = value;
  if (name === "data") event.data.push(value);
}

// ---- the conversation ------------------------------------------------------------------

async function send(text) {
  const bubble = addBubble("user", text);
  try {
    await post(text);
  } catch (error) {
    bubble.remove();
    $("hint").hidden = $("log").querySelector(".bubble") !== null;
    throw error;
  }
  state.unnamed.user += 1;
  // A token may end in mid-stream. The stream replays, so one new try loses nothing.
  if (!await follow() && !await follow()) {
    throw new Refused(0, "STREAM_ENDED", "The reply broke off before it was complete.");
  }
}

async function post(text) {
  setStatus("busy", "Sending…");
  if (state.task) {
    await postJson(`/api/v1/tasks/${state.task}/messages`, { message: text });
    return;
  }
  const response = await postJson("/api/v1/tasks", { message: text });
  state.task = (await response.json()).data.id;
}

// Reads one stream to its end; true when the reply is complete.
async function follow() {
  setStatus("busy", "Waiting for the reply…");
  const response = await gate(`/api/v1/tasks/${state.task}/stream`);
  state.reply?.remove();
  state.reply = null;
  let complete = false;
  try {
    for await (const { name, data } of events(response)) {
      complete = handlers[name]?.(data) ?? complete;
    }
  } catch {
    // The connection broke; the caller tries again.
  }
  return complete;
}

const handlers = {
  __proto__: null,
  history_message(message) {
    if (state.seen.has(message.id)) return undefined;
    state.seen.add(message.id);
    if (state.unnamed[message.role] > 0) {
      state.unnamed[message.role] -= 1; // Already on the page.
    } else {
      addBubble(message.role, message.content);
    }
    return undefined;
  },
  // Idle: the reply was part of the history.
  history_done: ({ isStreaming }) => !isStreaming,
  status({ status }) {
    setStatus("busy", `The chat service is ${status}…`);
  },
  thought({ text }) {
    const thought = document.createElement("span");
    thought.className = "thought";
    thought.textContent = text;
    reply().prepend(thought);
  },
  content({ text }) {
    setStatus("busy", "Receiving the reply…");
    reply().append(text);
    scrollDown();
  },
  done({ finalResponse }) {
    const bubble = reply();
    bubble.textContent = finalResponse;
    bubble.dataset.partial = "false";
    state.reply = null;
    state.unnamed.assistant += 1;
    return true;
  },
  error({ message }) {
    showError(new Refused(200, "UPSTREAM_ERROR", message ?? "The chat service failed."));
    return true;
  },
};

function reply() {
  if (!state.reply) {
    state.reply = addBubble("assistant", "");
    state.reply.dataset.partial = "true";
  }
  return state.reply;
}

// ---- what is seen ----------------------------------------------------------------------

function addBubble(role, text) {
  $("hint").hidden = true;
  const bubble = document.createElement("div");
  bubble.className = `bubble ${role}`;
  bubble.dataset.testid = `bubble-${role}`;
  bubble.textContent = text;
  $("log").append(bubble);
  scrollDown();
  return bubble;
}

function scrollDown() {
  $("log").scrollTop = $("log").scrollHeight;
}

function setStatus(name, text) {
  $("status").dataset.state = name;
  $("status").textContent = text;
}

function showError(error) {
  const box = $("error");
  const title = document.createElement("strong");
  title.textContent = `${error.status || "No answer"} · ${error.code ?? "PAGE_ERROR"}`;
  box.replaceChildren(title, error.message);
  box.dataset.status = error.status ?? "";
  box.dataset.code = error.code ?? "PAGE_ERROR";
  box.hidden = false;
}

function hideError() {
  const box = $("error");
  box.hidden = true;
  box.replaceChildren();
  delete box.dataset.status;
  delete box.dataset.code;
}

function noteCall(label) {
  const [line, what, result] = ["li", "span", "span"].map((tag) => document.createElement(tag));
  what.textContent = label;
  result.textContent = "…";
  line.append(what, result);
  $("calls").prepend(line);
  while ($("calls").children.length > 50) $("calls").lastChild.remove();
  return (status, ok) => {
    result.textContent = status;
    result.classList.toggle("bad", !ok);
  };
}

function showClaims(token) {
  try {
    $("claims").textContent = JSON.stringify(claimsOf(token), null, 2);
  } catch {
    $("claims").textContent = "The token is opaque.";
  }
}

// Read, not verified: this is for people to look at.
function claimsOf(token) {
  const payload = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
  const bytes = Uint8Array.from(atob(payload), (char) => char.charCodeAt(0));
  return JSON.parse(new TextDecoder().decode(bytes));
}

function forget() {
  Object.assign(state, { token: null }, fresh());
  $("log").replaceChildren($("hint"));
  $("hint").hidden = false;
  $("claims").textContent = "No token yet.";
  hideError();
  setStatus("ready", "Ready");
}

// ---- wiring ----------------------------------------------------------------------------

async function submit() {
  const text = $("message").value.trim();
  if (!text || $("send").disabled) return;
  $("send").disabled = true;
  hideError();
  try {
    await send(text);
    $("message").value = "";
    setStatus("ready", "Ready");
  } catch (error) {
    showError(error);
    setStatus("failed", "That did not work");
  } finally {
    $("send").disabled = false;
    $("message").focus();
  }
}

function fillIn(config) {
  $("origin").textContent = location.origin;
  $("gate").textContent = config.gateUrl;
  $("user").replaceChildren(...config.users.map((user) => new Option(user, user)));
  $("links").replaceChildren(...config.links.map(({ label, href }) => {
    const link = document.createElement("a");
    link.href = href;
    link.textContent = label;
    return link;
  }));
}

async function start() {
  const response = await fetch("/config.json");
  state.config = await response.json();
  fillIn(state.config);
  $("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  $("message").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    submit();
  });
  $("user").addEventListener("change", forget);
  $("renew").addEventListener("click", forget);
  // A new lifetime means a new token; the conversation stays.
  $("expires").addEventListener("change", () => { state.token = null; });
  $("send").disabled = false;
  setStatus("ready", "Ready");
  $("message").focus();
}

start().catch((error) => {
  showError(error);
  setStatus("failed", "The page could not start");
});
