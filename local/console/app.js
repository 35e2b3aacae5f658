// The page: which view an address has, and the events that feed it.

import { h, setText } from "/console/dom.js";
import { CallsView, CallView } from "/console/calls.js";
import { FunctionsView, FunctionView } from "/console/functions.js";
import { MachineView } from "/console/machine.js";

const MAX_SAMPLES = 60;

const connection = document.getElementById("connection");
const main = document.getElementById("main");

// What views share: the newest state, how it came about, and what they may do.
const app = {
	state: { functions: [], activity: {}, calls: [], files: [], faults: [] },
	samples: new Map(),

	// Rates and times between events; of functions and calls, by id.
	note(id, ended, seconds, now) {
		let last = this.samples.get(id);
		if (!last) {
			// What has come since the last event has begun after it.
			last = { now, ended, seconds, rates: [], times: [] };
			if (this.state.now)
				Object.assign(last, { now: this.state.now, ended: 0, seconds: 0 });
			this.samples.set(id, last);
		}
		const n = ended - last.ended;
		if (now - last.now < 0.2 || (n === 0 && last.rates.at(-1) === 0))
			return;
		last.rates.push(n / (now - last.now));
		if (n > 0)
			last.times.push((seconds - last.seconds) / n);
		for (const list of [last.rates, last.times])
			if (list.length > MAX_SAMPLES)
				list.shift();
		Object.assign(last, { now, ended, seconds });
	},

	plotted(id) {
		return this.samples.get(id) ?? { rates: [], times: [] };
	},

	functionOf(id) {
		return this.state.functions.find((f) => f.id === id);
	},

	async post(action, request) {
		try {
			const response = await fetch(`/console/do/${action}`, {
				method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(request),
			});
			return response.ok ? await response.json() : { error: `refused: ${response.status}` };
		} catch {
			return { error: "modal-local does not answer" };
		}
	},

	// Get events of a call, too: { call, show, from }, or null.
	watch(wanted) {
		const query = wanted ? `?${new URLSearchParams(wanted)}` : "";
		if (query !== this.query) {
			this.query = query;
			connect();
		}
	},

	go(path) {
		history.pushState(null, "", path);
		show();
	},
};

let view;
let events;

function takeState(event) {
	const state = JSON.parse(event.data);
	state.functions ??= app.state.functions;
	for (const [id, a] of Object.entries(state.activity))
		app.note(id, a.ended, a.seconds, state.now);
	for (const call of state.calls)
		app.note(call.id, call.ended, call.seconds, state.now);
	if (app.samples.size > 1000)
		app.samples.clear();
	app.state = state;
	view?.update?.(state);
}

function tell(text, lost) {
	setText(connection, text);
	connection.classList.toggle("lost", lost);
}

function connect() {
	events?.close();
	events = undefined;
	if (document.hidden)
		return;
	events = new EventSource(`/console/events${app.query ?? ""}`);
	events.addEventListener("open", () => tell("live", false));
	events.addEventListener("error", () => tell("not connected", true));
	events.addEventListener("state", takeState);
	events.addEventListener("call", (event) => view?.updateCall?.(JSON.parse(event.data)));
}

function viewOf(path) {
	const [, , name, id] = path.split("/");
	switch (name) {
		case "call": return new CallView(app, id);
		case "function": return new FunctionView(app, id);
		case "functions": return new FunctionsView(app);
		case "machine": return new MachineView(app);
		default: return new CallsView(app);
	}
}

function show() {
	const heading = h("h1", { tabindex: "-1" });
	view = viewOf(location.pathname);
	setText(heading, view.title);
	document.title = `${view.title} - modal-local`;
	main.replaceChildren(heading, view.element);
	for (const link of document.querySelectorAll("nav a")) {
		if (link.pathname === location.pathname)
			link.setAttribute("aria-current", "page");
		else
			link.removeAttribute("aria-current");
	}
	app.watch(view.wanted ?? null);
	view.update?.(app.state);
	heading.focus({ preventScroll: true });
}

document.addEventListener("click", (event) => {
	const link = event.target.closest("a[href^='/console/']");
	if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0)
		return;
	event.preventDefault();
	app.go(link.getAttribute("href"));
});
window.addEventListener("popstate", show);
document.addEventListener("visibilitychange", connect);
show();
if (!events)
	connect();
