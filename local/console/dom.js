// Making and changing elements.  Whatever comes from functions becomes text
// nodes, never markup.

// h("a", { href, class, onclick }, child or text, ...)
export function h(tag, attributes = {}, ...children) {
	const element = document.createElement(tag);
	for (const [name, value] of Object.entries(attributes)) {
		if (name.startsWith("on"))
			element.addEventListener(name.slice(2), value);
		else if (value === true)
			element.setAttribute(name, "");
		else if (value !== false && value !== undefined)
			element.setAttribute(name, value);
	}
	element.append(...children.filter((child) => child !== undefined));
	return element;
}

// Only what has changed is written, so that focus and selection stay.
export function setText(element, text) {
	if (element.textContent !== text)
		element.textContent = text;
}

// A table whose rows are kept by key.  Columns: { label, class, cell } where
// cell(row, td) gives the text, or fills the cell by itself and gives nothing.
export class Table {
	constructor(caption, columns, key) {
		this.columns = columns;
		this.key = key;
		this.rows = new Map();
		this.body = h("tbody");
		this.element = h("table", { "aria-label": caption },
			h("thead", {}, h("tr", {}, ...columns.map((c) => h("th", { scope: "col" }, c.label)))),
			this.body);
	}

	update(list) {
		const seen = new Set();
		let place = this.body.firstChild;
		for (const item of list) {
			const key = this.key(item);
			seen.add(key);
			let row = this.rows.get(key);
			if (!row) {
				row = { tr: h("tr"), cells: [], more: null };
				for (const column of this.columns) {
					const td = h("td", { class: column.class, "data-label": column.label });
					row.cells.push(td);
					row.tr.append(td);
				}
				this.rows.set(key, row);
			}
			this.columns.forEach((column, i) => {
				const text = column.cell(item, row.cells[i]);
				if (text !== undefined)
					setText(row.cells[i], text);
			});
			if (row.tr !== place)
				this.body.insertBefore(row.tr, place);
			else
				place = place.nextSibling;
			if (row.more) {
				if (row.more !== place)
					this.body.insertBefore(row.more, place);
				else
					place = place.nextSibling;
			}
		}
		for (const [key, row] of this.rows)
			if (!seen.has(key)) {
				row.tr.remove();
				row.more?.remove();
				this.rows.delete(key);
			}
	}

	// Unfold something below a row, or (null) fold it.
	setMore(key, content) {
		const row = this.rows.get(key);
		row.more?.remove();
		row.more = content && h("tr", {}, h("td", { colspan: this.columns.length }, content));
		if (row.more)
			row.tr.after(row.more);
	}
}

// Numbers that change: figures([["done", (call) => ...], ...]) with update(x).
export function figures(list) {
	const values = list.map(() => h("dd"));
	const element = h("dl", { class: "figures" },
		...list.map(([name], i) => h("div", {}, h("dt", {}, name), values[i])));
	return { element, update: (x) => list.forEach(([, value], i) => setText(values[i], value(x))) };
}

const SVG = "http://www.w3.org/2000/svg";

// A line of the last values, from 0 to the largest, which the caption tells.
export function plot(name, format) {
	const svg = document.createElementNS(SVG, "svg");
	const line = document.createElementNS(SVG, "polyline");
	const caption = h("figcaption");
	svg.setAttribute("class", "plot");
	svg.setAttribute("viewBox", "0 0 100 30");
	svg.setAttribute("preserveAspectRatio", "none");
	svg.setAttribute("aria-hidden", "true");
	svg.append(line);
	return {
		element: h("figure", {}, svg, caption),
		update(values) {
			const most = Math.max(...values, 0);
			const step = 100 / Math.max(values.length - 1, 1);
			line.setAttribute("points", values.map((v, i) =>
				`${(i * step).toFixed(1)},${(29 - (most > 0 ? v / most : 0) * 28).toFixed(1)}`).join(" "));
			setText(caption, values.length
				? `${name}: ${format(values[values.length - 1])}, at most ${format(most)}`
				: `${name}: nothing yet`);
		},
	};
}

export const count = (n) => n.toLocaleString("en");

export const rate = (n) => `${n < 10 ? n.toFixed(1) : count(Math.round(n))} a second`;

export function duration(seconds) {
	if (!(seconds >= 0))
		return "";
	if (seconds < 0.001)
		return `${(seconds * 1e6).toFixed(0)} µs`;
	if (seconds < 1)
		return `${(seconds * 1e3).toPrecision(3)} ms`;
	if (seconds < 120)
		return `${seconds.toPrecision(3)} s`;
	return `${(seconds / 60).toPrecision(3)} min`;
}

export const clock = (seconds) => seconds ? new Date(seconds * 1000).toLocaleTimeString("en-GB") : "";

export const memory = (kb) => kb ? `${(kb / 1024).toFixed(1)} MB` : "";

// What was printed, a line of text each; numbered: with the index of its input.
export function printed(lines, numbered) {
	return lines.map((line) => h("span", { class: line.stream === 2 ? "stderr" : undefined },
		(numbered ? `[${line.idx}] ` : "") + line.text + "\n"));
}
