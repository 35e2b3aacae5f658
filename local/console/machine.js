// What runs the functions, and what goes wrong on demand.

import { Table, clock, count, h, memory, setText } from "/console/dom.js";

// Some that are worth a try while a job runs; docs/modal-local.md has them all.
const PRESETS = [
	["Every tenth request loses its connection", "* every=10 drop"],
	["Every fifth request for outputs fails", "FunctionGetOutputs every=5 status=UNAVAILABLE"],
	["Inputs are lost, one in twenty", "input probability=0.05 lost"],
	["The platform fails, one input in ten", "input probability=0.1 internal_failure"],
	["Outputs come twice", "input duplicate"],
	["Replies take a second", "FunctionGetOutputs delay_after=1"],
	["Too many requests, come again in a second", "FunctionPutInputs every=4 status=RESOURCE_EXHAUSTED retry_after=1"],
];

export class MachineView {
	title = "Workers and faults";

	constructor(app) {
		this.app = app;
		this.reloaded = h("p", { role: "status" });
		this.files = new Table("Files", [
			{ label: "File", class: "value", cell: (f) => f.path },
			{ label: "Loaded", class: "number", cell: (f) => f.importing ? "loading" : `${clock(f.imported)}, ${count(f.imports)} times` },
			{ label: "Inputs whose process died", class: "number", cell: (f) => count(f.crashes) },
			{ label: "State", class: "value", cell: (f, td) => { td.classList.toggle("bad", Boolean(f.error)); return f.error ? `stays as it was: ${f.error}` : "as on disk"; } },
		], (f) => f.path);
		this.workers = new Table("Workers", [
			{ label: "Process", class: "number", cell: (w) => String(w.pid) },
			{ label: "File", cell: (w) => w.file },
			{ label: "State", cell: (w) => !w.ready ? "starting" : w.current ? "ready" : "ends its inputs on the old code" },
			{ label: "Running", class: "number", cell: (w) => count(w.running) + (w.ahead ? ` and ${w.ahead} ahead` : "") },
			{ label: "Ended", class: "number", cell: (w) => count(w.ended) },
			{ label: "Memory", class: "number", cell: (w) => memory(w.memory) },
			{ label: "Since", class: "number", cell: (w) => clock(w.since) },
			{ label: "Restarts", class: "number", cell: (w) => count(w.starts - 1) },
		], (w) => w.pid);
		this.faults = new Table("Faults", [
			{ label: "On", cell: (f, td) => this.fillSwitch(f, td) },
			{ label: "Rule", class: "value", cell: (f) => f.text },
			{ label: "Seen", class: "number", cell: (f) => count(f.seen) },
			{ label: "Happened", class: "number", cell: (f) => count(f.fired) },
		], (f) => `${f.place} ${f.text}`);
		this.rule = h("input", { type: "text", list: "presets", spellcheck: "false", required: true });
		this.answer = h("p", { class: "bad", role: "status" });
		this.element = h("section", {},
			h("button", { type: "button", onclick: () => this.reload() }, "Reload all files"), this.reloaded,
			h("h2", {}, "Files"), this.files.element, h("h2", {}, "Workers"), this.workers.element,
			h("h2", {}, "Faults"), this.faults.element,
			h("form", { onsubmit: (event) => { event.preventDefault(); this.add(); } },
				h("label", {}, "Another one, as a line of the script", this.rule),
				h("datalist", { id: "presets" }, ...PRESETS.map(([text, value]) => h("option", { value }, text))),
				h("button", {}, "Add"), this.answer));
	}

	fillSwitch(fault, td) {
		if (!td.firstChild)
			td.append(h("input", { type: "checkbox", "aria-label": fault.text,
				onchange: (event) => this.app.post("fault", { place: fault.place, text: fault.text, on: event.target.checked }) }));
		td.firstChild.checked = fault.on;
	}

	async add() {
		const { error } = await this.app.post("fault", { text: this.rule.value });
		setText(this.answer, error ? `Not understood: ${error}` : "");
		if (!error)
			this.rule.value = "";
	}

	async reload() {
		const { error } = await this.app.post("reload", {});
		setText(this.reloaded, error ?? "Loading all files again.");
	}

	update(state) {
		this.files.update(state.files);
		this.workers.update(state.files.flatMap((f) => f.workers.map((w) => ({ ...w, file: f.path.split("/").pop() }))));
		this.faults.update(state.faults.map((f, place) => ({ ...f, place })));
	}
}
