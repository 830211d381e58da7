// The page: the server at the top, its models at the side, one of them in the middle. It asks once a second while it is seen.

import { age, count, fill, h } from "./dom.js";
import { History, keyOf } from "./history.js";
import { badge, view } from "./model.js";
import { address, getState, setToken } from "./server.js";

const SECOND = 1000;
const [server, list, main, trouble] = ["server", "models", "main", "trouble"].map((id) => document.getElementById(id));
const [dialog, secret, problem] = ["ask-token", "token", "token-problem"].map((id) => document.getElementById(id));

const history = new History();
let state = null;
let shown = null; // {key, text, view}: the version in the middle
let timer = 0;
let asking = false;

async function poll() {
  clearTimeout(timer);
  if (document.hidden || asking) return; // it goes on when somebody looks again
  asking = true;
  try {
    state = await getState();
    history.add(state);
    trouble.hidden = true;
    render();
  } catch (error) {
    if (error.status === 401 || error.status === 403) {
      asking = false;
      return askToken(error);
    }
    fill(trouble, error.status ? error.message : "The server does not answer. Trying again.");
    trouble.hidden = false;
  }
  asking = false;
  timer = setTimeout(poll, SECOND);
}

function askToken(error) {
  fill(problem, error.body?.found?.startsWith("no ") ? "" : error.body?.message ?? error.message);
  if (!dialog.open) dialog.showModal();
}

dialog.addEventListener("cancel", (event) => event.preventDefault()); // without one there is nothing to see
dialog.querySelector("form").addEventListener("submit", (event) => {
  event.preventDefault();
  setToken(secret.value);
  secret.value = "";
  dialog.close();
  poll();
});

// -- what is seen --------------------------------------------------------------------------------------------------------
function render() {
  renderServer(state.server);
  renderList();
  renderModel();
}

function renderServer(about) {
  const doors = about.doors.map((d) => `${d.protocol}${d.tls ? " with TLS" : ""} ${d.protocol === "HTTP" ? location.host : d.address}`.trim());
  fill(server,
    h("h1", {}, about.name, h("span", { class: "faint" }, ` ${about.version}`)),
    h("span", { class: `badge ${{ ready: "good", draining: "busy" }[about.status] ?? "bad"}` }, about.status),
    h("span", { class: "faint" }, `up ${age(about.uptime)}`),
    about.workers > 1 && h("span", { class: "faint" }, `${about.workers} workers`),
    h("span", { class: "faint" }, doors.join(", ")),
    h("a", { href: address("openapi.json") }, "OpenAPI"), h("a", { href: address("metrics") }, "metrics"));
}

const link = (model) => `#${encodeURIComponent(model.name)}/${encodeURIComponent(model.version)}`;

function chosenModel() {
  const named = state.models.filter((m) => link(m) === location.hash || (m.default && link({ ...m, version: "" }) === location.hash));
  return named[0] ?? state.models.find((m) => m.state === "READY") ?? state.models[0];
}

function renderList() {
  const chosen = chosenModel();
  const focused = document.activeElement?.closest?.("#models a")?.getAttribute("href");
  fill(list, state.models.length === 0 ? h("li", {}, "No models are served.") : state.models.map((m) =>
    h("li", {}, h("a", { href: link(m), "aria-current": m === chosen ? "page" : null },
      h("span", { class: "name" }, m.name, h("span", { class: "faint" }, ` ${m.version}`)),
      m.live ? h("span", { class: "faint" }, `${count(history.rate(keyOf(m)))}/s`) : badge(m.state)))));
  if (focused) list.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus(); // the list is another one, the place is the same
}

function renderModel() {
  const model = chosenModel();
  if (!model) {
    shown = null;
    return fill(main, h("p", {}, "No model is served. Put one into the server's folder: it is watched."));
  }
  const text = JSON.stringify([model.state, model.reason, model.default, model.about]);
  if (shown?.key !== keyOf(model) || shown.text !== text) { // what was typed stays while the version does
    shown = { key: keyOf(model), text, view: view(model, state.models.some((m) => m.name === model.name && m !== model)) };
    fill(main, shown.view.element);
    document.title = `${model.name} – ${state.server.name}`;
  }
  shown.view.update(model, history, state.server.workers);
  return undefined;
}

addEventListener("hashchange", () => state && render());
document.addEventListener("visibilitychange", poll);
poll();
