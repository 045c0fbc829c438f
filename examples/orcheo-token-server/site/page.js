// The steps of the vendor's guide: a token from the token server, renewed half a minute before its end; a fetch that sends
// it along and names the workflow; the component configured once it is there.

const { tokenUrl, backend } = await (await fetch("/settings")).json();
const workflow = "0b6ad1a8-5b0e-4a39-8a52-3cf4cf64a3d1";
const chatkit = document.querySelector("openai-chatkit");
const problem = document.querySelector("#problem");
let token;

async function currentToken() {
  if (token && Date.now() < token.end - 30_000) return token.text;
  // The gate asks the site who this is, so the site's cookie must go along.
  const answer = await fetch(`${tokenUrl}?workflow_id=${workflow}`, { method: "POST", credentials: "include" });
  const body = await answer.json();
  problem.textContent = answer.ok ? "" : `${answer.status} ${body.detail.code}`;
  if (!answer.ok) throw new Error(problem.textContent);
  token = { text: body.client_secret, end: Date.parse(body.expires_at) };
  return token.text;
}

async function fetchWithToken(url, init) {
  const headers = new Headers(init.headers);
  headers.set("Authorization", `Bearer ${await currentToken()}`);
  headers.set("Content-Type", "application/json");
  const body = JSON.stringify({ ...JSON.parse(init.body), workflow_id: workflow });
  return fetch(url, { ...init, headers, body });
}

async function logIn(name) {
  await fetch("/login", { method: "POST", body: name });
  token = undefined;
  await configure();
}

async function configure() {
  await customElements.whenDefined("openai-chatkit");
  chatkit.setOptions({ api: { url: `${backend}/api/chatkit`, domainKey: "domain_pk_localhost_dev", fetch: fetchWithToken } });
}

for (const name of ["ada", "bob"]) document.querySelector(`#${name}`).addEventListener("click", () => logIn(name));
await configure();
