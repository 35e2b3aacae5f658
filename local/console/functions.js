// Functions: all that are served, and one with a form to call it.

import { Table, count, duration, figures, h, plot, printed, rate, setText } from "/console/dom.js";

const signature = (f) => f.class
	? f.methods.map((m) => `.${m.name}${m.signature ?? "(...)"}`).join("\n")
	: f.signature ?? "(...)";

export class FunctionsView {
	title = "Functions";

	constructor(app) {
		this.filter = h("input", { type: "text", oninput: () => this.update(app.state) });
		this.table = new Table("Functions", [
			{ label: "Function", cell: (f, td) => { td.firstChild ?? td.append(h("a", { href: `/console/function/${f.id}` }, `${f.app}/${f.name}`)); } },
			{ label: "Signature", class: "value", cell: signature },
			{ label: "About", cell: (f) => (f.doc ?? "") + (f.ignored ? ` Without effect here: ${f.ignored}` : "") },
			{ label: "Ended", class: "number", cell: (f) => f.activity ? count(f.activity.ended) : "" },
			{ label: "Failed", class: "number", cell: (f) => f.activity?.failed ? count(f.activity.failed) : "" },
			{ label: "Mean time", class: "number", cell: (f) => f.activity?.ended ? duration(f.activity.seconds / f.activity.ended) : "" },
		], (f) => f.id + signature(f));
		this.element = h("section", {}, h("label", {}, "Only names with", this.filter), this.table.element);
	}

	// Those of files first; what is built in is for tests.
	update(state) {
		const wanted = this.filter.value.toLowerCase();
		const builtin = (f) => f.app === "builtin";
		this.table.update(state.functions
			.filter((f) => `${f.app}/${f.name}`.toLowerCase().includes(wanted))
			.sort((a, b) => builtin(a) - builtin(b))
			.map((f) => ({ ...f, activity: state.activity[f.id] })));
	}
}

export class FunctionView {
	constructor(app, id) {
		this.app = app;
		this.id = id;
		this.title = "Function";
		this.element = h("section", {}, h("p", { class: "quiet" }, "This function is not served."));
	}

	build(f) {
		this.figures = figures([
			["calls", (a) => count(a.calls)],
			["running", (a) => count(a.running)],
			["waiting", (a) => count(Math.max(a.unfinished - a.running, 0))],
			["ended", (a) => count(a.ended)],
			["failed", (a) => count(a.failed)],
		]);
		this.rates = plot("Ended", rate);
		this.times = plot("Time", duration);
		this.method = h("select", {}, ...f.methods.map((m) => h("option", { value: m.name }, m.name)));
		this.parameters = h("textarea", { spellcheck: "false" }, "{}");
		this.args = h("textarea", { spellcheck: "false" }, "[]");
		this.kwargs = h("textarea", { spellcheck: "false" }, "{}");
		this.answer = h("div", { "aria-live": "polite" });
		this.heading = document.querySelector("h1");
		setText(this.heading, `${f.app}/${f.name}`);
		document.title = `${f.app}/${f.name} - modal-local`;
		this.element.replaceChildren(
			h("pre", {}, signature(f)), h("p", {}, f.doc ?? ""),
			...f.ignored ? [h("p", { class: "quiet" }, `Without effect here: ${f.ignored}`)] : [],
			this.figures.element, h("div", { class: "plots" }, this.rates.element, this.times.element),
			h("h2", {}, "Call it"), f.url ? h("p", {}, "At ", h("a", { href: f.url }, f.url)) : this.form(f), this.answer);
	}

	form(f) {
		return h("form", { onsubmit: (event) => { event.preventDefault(); this.call(f); } },
			...f.class ? [h("label", {}, "Method", this.method)] : [],
			...f.parameters.length ? [h("label", {},
				`Parameters of the object, a JSON object: ${f.parameters.map((p) => `${p.name}: ${p.type}`).join(", ")}`,
				this.parameters)] : [],
			h("label", {}, "Arguments, a JSON array", this.args),
			h("label", {}, "Keyword arguments, a JSON object", this.kwargs),
			h("button", {}, "Call"));
	}

	async call(f) {
		const request = { function: f.id, args: this.args.value, kwargs: this.kwargs.value };
		if (f.class)
			request.method = this.method.value;
		if (f.parameters.length)
			request.parameters = this.parameters.value;
		// What still comes of an earlier call is not shown in place of this one.
		this.called = null;
		const answer = await this.app.post("call", request);
		if (answer.error) {
			this.answer.replaceChildren(h("p", { class: "bad" }, answer.error));
			return;
		}
		this.called = answer.call;
		this.link = h("p", {}, h("a", { href: `/console/call/${answer.call}` }, answer.call));
		this.answer.replaceChildren(this.link);
		this.app.watch({ call: answer.call });
	}

	// Of the call that the form has made.
	updateCall(call) {
		const input = call.rows?.[0];
		if (call.id !== this.called || !input)
			return;
		const parts = [this.link, h("p", {}, input.status + (input.at ? ` in ${duration(input.at - input.started)}` : ""))];
		if (input.result !== undefined)
			parts.push(h("strong", {}, "Result"), h("pre", { class: "result" }, call.items ? call.items.join("\n") : input.result));
		if (input.exception)
			parts.push(h("strong", {}, "Exception"), h("pre", { class: "exception" }, input.exception));
		if (call.lines.length)
			parts.push(h("strong", {}, "Printed"), h("pre", { class: "printed" }, ...printed(call.lines, false)));
		this.answer.replaceChildren(...parts);
	}

	update(state) {
		const f = this.app.functionOf(this.id);
		if (!f)
			return;
		if (this.built !== f) {
			const kept = [this.args?.value, this.kwargs?.value];
			if (!this.built || signature(this.built) !== signature(f) || this.built.doc !== f.doc) {
				this.build(f);
				if (kept[0] !== undefined)
					[this.args.value, this.kwargs.value] = kept;
			}
			this.built = f;
		}
		this.figures.update(state.activity[this.id] ?? { calls: 0, running: 0, unfinished: 0, ended: 0, failed: 0 });
		const { rates, times } = this.app.plotted(this.id);
		this.rates.update(rates);
		this.times.update(times);
	}
}
