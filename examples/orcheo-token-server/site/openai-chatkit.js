// A small stand-in for the vendor's web component, which is not ours to hand out: a line to write on, what was said, and
// the visitor's conversations. It speaks enough of the ChatKit protocol to show that tokens, streams and lists work.

class ChatKit extends HTMLElement {
  async setOptions({ api }) {
    this.api = api;
    this.thread = undefined;
    this.innerHTML = `<ul class="threads"></ul><ol class="said"></ol>
      <form><input aria-label="Message" /><button>Send</button></form>`;
    this.querySelector("form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.send(this.querySelector("input").value);
      event.target.reset();
    });
    await this.list();
    this.dataset.ready = "true";
  }

  ask(type, params) {
    return this.api.fetch(this.api.url, { method: "POST", body: JSON.stringify({ type, params }) });
  }

  async list() {
    this.removeAttribute("data-ready");
    const answer = await this.ask("threads.list", { limit: 20, order: "desc" }).catch(() => undefined);
    const { data = [] } = answer?.ok ? await answer.json() : {};
    const lines = data.map((thread) => Object.assign(document.createElement("li"), { textContent: thread.id }));
    this.querySelector(".threads").replaceChildren(...lines);
  }

  async send(text) {
    const input = { content: [{ type: "input_text", text }], attachments: [], inference_options: {} };
    const answer = this.thread
      ? await this.ask("threads.add_user_message", { thread_id: this.thread, input })
      : await this.ask("threads.create", { input });
    for await (const event of events(answer)) this.take(event);
    await this.list();
    this.dataset.ready = "true";
  }

  take(event) {
    if (event.type === "thread.created") this.thread = event.thread.id;
    if (event.type !== "thread.item.done") return;
    const line = document.createElement("li");
    line.className = event.item.type;
    line.textContent = event.item.content.map((part) => part.text).join("");
    this.querySelector(".said").append(line);
  }
}

/** The events of an answer, as they come (HTML standard, section 9.2). */
async function* events(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ""; ; ) {
    const { value, done } = await reader.read();
    if (done) return;
    const whole = (rest + value).split("\n\n");
    rest = whole.pop();
    for (const event of whole) if (event.startsWith("data: ")) yield JSON.parse(event.slice(6));
  }
}

customElements.define("openai-chatkit", ChatKit);
