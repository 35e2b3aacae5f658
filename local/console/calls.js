// Calls: all that are at work or have been of late, and one with its inputs.

import { Table, clock, count, duration, figures, h, plot, printed, rate, setText } from "/console/dom.js";

const done = (call) => call.succeeded + call.failed + call.cancelled;
const waiting = (call) => Math.max(call.unfinished - call.running, 0);

function kind(call) {
	return `${call.map ? "map" : "one input"}${call.async ? ", asynchronous" : ""}`;
}

function fillLink(td, href, text) {
	const link = td.firstChild ?? td.appendChild(h("a"));
	link.setAttribute("href", href);
	setText(link, text);
}

function fillProgress(call, td) {
	if (!td.firstChild)
		td.append(h("progress", { "aria-label": "inputs that have ended" }), h("div"));
	const [bar, text] = td.children;
	bar.max = Math.max(call.inputs, 1);
	bar.value = done(call);
	setText(text, `${count(done(call))} of ${count(call.inputs)}`
		+ (call.running ? `, ${count(call.running)} running` : "")
		+ (waiting(call) ? `, ${count(waiting(call))} waiting` : "")
		+ (call.failed ? `, ${count(call.failed)} failed` : ""));
	text.className = call.failed ? "bad" : call.unfinished ? "busy" : "quiet";
}

export class CallsView {
	title = "Calls";

	constructor(app) {
		this.app = app;
		this.nothing = h("p", { class: "quiet" }, "Nothing has been called yet.");
		this.table = new Table("Calls", [
			{ label: "Function", cell: (c, td) => fillLink(td, `/console/call/${c.id}`, `${c.app}/${c.name}`) },
			{ label: "Inputs", cell: fillProgress },
			{ label: "Rate", class: "number", cell: (c) => c.unfinished ? rate(app.plotted(c.id).rates.at(-1) ?? 0) : "" },
			{ label: "Mean time", class: "number", cell: (c) => c.ended ? duration(c.seconds / c.ended) : "" },
			{ label: "Called by", cell: (c) => `${c.client ?? "unknown"}, ${kind(c)}` },
			{ label: "Since", class: "number", cell: (c) => clock(c.created) },
		], (c) => c.id);
		this.element = h("section", {}, this.nothing, this.table.element);
	}

	update(state) {
		this.nothing.hidden = state.calls.length > 0;
		this.table.element.hidden = state.calls.length === 0;
		this.table.update(state.calls);
	}
}

const statusClass = { succeeded: "good", running: "busy", waiting: "quiet", "not ended": "quiet" };

// All that is known of an input, when somebody wants to see it.
async function fetchInput(call, idx) {
	const response = await fetch(`/console/input?${new URLSearchParams({ call, idx })}`);
	return response.ok ? response.json() : { gone: true };
}

function describeInput(input) {
	const box = h("div", { class: "input" });
	const part = (name, ...content) => box.append(h("strong", {}, name), h("pre", {}, ...content));
	if (input.gone)
		return h("p", {}, "Nothing more is known of this input.");
	if (input.args !== undefined)
		part("Arguments", input.args);
	if (input.result !== undefined)
		part("Result", input.result);
	if (input.traceback || input.exception)
		part("Traceback", input.traceback || input.exception);
	if (input.lines?.length)
		part("Printed", ...printed(input.lines, false));
	return box;
}

export class CallView {
	constructor(app, id) {
		this.app = app;
		this.id = id;
		this.title = `Call ${id}`;
		this.wanted = { call: id, show: "all", from: 0 };
		this.about = h("p");
		this.cancel = h("button", { type: "button", onclick: () => app.post("cancel", { call: id }) }, "Cancel the call");
		this.figures = figures([
			["waiting", (c) => count(waiting(c))],
			["running", (c) => count(c.running)],
			["succeeded", (c) => count(c.succeeded)],
			["failed", (c) => count(c.failed)],
			["cancelled", (c) => count(c.cancelled)],
			["inputs", (c) => count(c.inputs)],
			["mean time", (c) => c.ended ? duration(c.seconds / c.ended) : "-"],
		]);
		this.bar = h("progress", { "aria-label": "inputs that have ended" });
		this.rates = plot("Ended", rate);
		this.times = plot("Time", duration);
		this.inputs = new Table("Inputs", [
			{ label: "Input", class: "number", cell: (i) => String(i.idx) },
			{ label: "Status", cell: (i, td) => { td.className = statusClass[i.status] ?? "bad"; return i.status; } },
			{ label: "Retries", class: "number", cell: (i) => i.attempt ? String(i.attempt) : "" },
			{ label: "Time", class: "number", cell: (i) => i.at ? duration(i.at - i.started) : "" },
			{ label: "Arguments", class: "value", cell: (i) => i.args ?? "" },
			{ label: "Result", class: "value", cell: (i) => i.result ?? i.exception ?? "" },
			{ label: "", cell: (i, td) => { td.firstChild ?? td.append(this.unfold(i.idx)); } },
		], (i) => i.idx);
		this.from = h("input", { type: "number", min: "0", value: "0", "aria-label": "first input", onchange: () => this.look() });
		this.printed = h("pre", { tabindex: "0", "aria-label": "what was printed" });
		this.items = h("pre", { tabindex: "0", "aria-label": "items of the generator" });
		this.itemsPart = h("div", { hidden: true }, h("h2", {}, "Items"), this.items);
		this.element = h("section", {}, this.about, this.bar, this.figures.element,
			h("div", { class: "plots" }, this.rates.element, this.times.element), this.cancel,
			h("h2", {}, "Inputs"), this.choices(), this.inputs.element,
			this.itemsPart, h("h2", {}, "Printed"), this.printed);
	}

	choices() {
		const choice = (value, text) => h("label", {}, h("input", {
			type: "radio", name: "show", value, checked: value === "all", onchange: () => this.look(value),
		}), text);
		return h("fieldset", { class: "choices" }, choice("all", "all"), choice("running", "not ended"),
			choice("failed", "failed"), h("label", {}, "from", this.from),
			h("button", { type: "button", onclick: () => this.turn(-50) }, "Previous"),
			h("button", { type: "button", onclick: () => this.turn(50) }, "Next"));
	}

	look(show = this.wanted.show) {
		this.wanted = { call: this.id, show, from: Math.max(Number(this.from.value) || 0, 0) };
		this.app.watch(this.wanted);
	}

	turn(by) {
		this.from.value = String(Math.max((Number(this.from.value) || 0) + by, 0));
		this.look();
	}

	unfold(idx) {
		const button = h("button", {
			type: "button", "aria-expanded": "false", "aria-label": `Show input ${idx}`,
			onclick: async () => {
				const open = button.getAttribute("aria-expanded") === "true";
				button.setAttribute("aria-expanded", String(!open));
				setText(button, open ? "Show" : "Hide");
				this.inputs.setMore(idx, open ? null : describeInput(await fetchInput(this.id, idx)));
			},
		}, "Show");
		return button;
	}

	updateCall(call) {
		if (!call.id) {
			setText(this.about, "This call is not known, or not any more.");
			return;
		}
		if (!this.link)
			this.about.append(this.link = h("a"), this.text = h("span"));
		const f = this.app.state.functions.find((f) => f.app === call.app && f.name === call.name);
		this.link.setAttribute("href", f ? `/console/function/${f.id}` : "/console/functions");
		setText(this.link, `${call.app}/${call.name}`);
		setText(this.text, `, ${kind(call)}, called by ${call.client ?? "unknown"} at ${clock(call.created)}`
			+ (call.past ? "; it has ended, and only some of it is kept" : ""));
		this.bar.max = Math.max(call.inputs, 1);
		this.bar.value = done(call);
		this.figures.update(call);
		const { rates, times } = this.app.plotted(call.id);
		this.rates.update(rates);
		this.times.update(times);
		this.cancel.hidden = !call.unfinished;
		this.inputs.update(call.rows);
		this.itemsPart.hidden = !call.items;
		if (call.items)
			setText(this.items, call.items.join("\n"));
		const newest = call.lines.at(-1);
		if (newest && newest.at + newest.idx !== this.newest) {
			this.newest = newest.at + newest.idx;
			this.printed.replaceChildren(...printed(call.lines, call.map));
		}
	}
}
