// The console of modal-local, in Chromium.
//
// test/console/run starts modal-local with words.py and a script of faults.  The
// tests follow one another in one browser that is let in by the first of them.

import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { readFileSync, writeFileSync, readdirSync } from "node:fs";
import http from "node:http";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { chromium } from "playwright-core";

const { MODAL_LOCAL_PORT: port, MODAL_LOCAL_PID: pid, MODAL_LOCAL_WORK: work, MODAL_TOP: top, PICTURES, PYTHON } = process.env;
const origin = `http://localhost:${port}`;
const ca = `${work}/modal-local/ca.pem`;
const run = promisify(execFile);
const CALLS = `${top}/test/console/calls.py`;
const LIMIT = 120000; // of every wait, in milliseconds

let browser, context, page;
const complaints = [];

before(async () => {
	browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox", "--disable-dev-shm-usage"] });
	context = await browser.newContext({ viewport: { width: 1000, height: 640 }, timezoneId: "UTC" });
	context.setDefaultTimeout(LIMIT);
	page = await context.newPage();
	page.on("pageerror", (error) => complaints.push(String(error)));
	page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
});

after(() => browser.close());

// An answer without a browser: { status, headers, body }.
function request(path, { method = "GET", headers = {}, body } = {}) {
	return new Promise((resolve, reject) => {
		const sent = http.request(origin + path, { method, headers }, (response) => {
			let text = "";
			response.on("data", (data) => { text += data; });
			response.on("end", () => resolve({ status: response.statusCode, headers: response.headers, body: text }));
		});
		sent.on("error", reject);
		sent.end(body);
	});
}

// The addresses that were printed, oldest first.
const links = () => readFileSync(`${work}/log`, "utf8").match(/http:\/\/\S+\/login\?key=\w+/g);

async function until(what, condition) {
	const end = Date.now() + LIMIT;
	for (;;) {
		const value = await condition();
		if (value)
			return value;
		assert.ok(Date.now() < end, `in time: ${what}`);
		await sleep(100);
	}
}

// Begins an asynchronous map over 0 to n - 1; its id, once it is known.
function startMap(app, name, n) {
	return new Promise((resolve, reject) => {
		const child = execFile(PYTHON, [CALLS, port, ca, "map", app, name, String(n)],
			(error) => error && reject(error));
		child.stdout.once("data", (data) => resolve(String(data).trim()));
	});
}

const figure = (name) => page.locator(`dl.figures div:has(dt:text-is("${name}")) dd`);
const number = async (name) => Number((await figure(name).textContent()).replaceAll(",", ""));
const picture = (name) => page.screenshot({ path: join(PICTURES, `${name}.png`) });

async function open(view) {
	await page.getByRole("navigation").getByRole("link", { name: view }).click();
	await page.getByRole("heading", { level: 1, name: view }).waitFor();
}

test("nobody is let in without the cookie", async () => {
	for (const path of ["/console/", "/console/app.js", "/console/events", "/console/input?call=fc-0&idx=0", "/console/nothing"]) {
		for (const cookie of [undefined, `modal_local_${port}=0123456789abcdef0123456789abcdef`, `modal_local_${port}=`, "x=y"]) {
			const answer = await request(path, { headers: cookie ? { cookie } : {} });
			assert.equal(answer.status, 403, `${path} with ${cookie}`);
		}
	}
	for (const key of ["", "00", "0123456789abcdef0123456789abcdef", "x".repeat(1000)])
		assert.equal((await request(`/console/login?key=${key}`)).status, 403);
	const post = await request("/console/do/reload", { method: "POST", body: "{}", headers: { "content-length": 2, origin } });
	assert.equal(post.status, 403);
});

test("the address that was printed lets in once", async () => {
	const link = links()[0];
	await page.goto(link);
	assert.equal(page.url(), `${origin}/console/`);
	await page.getByRole("heading", { name: "Calls" }).waitFor();
	await page.locator("#connection:text-is('live')").waitFor();
	assert.equal((await request(new URL(link).pathname + new URL(link).search)).status, 403);
	const [cookie] = await context.cookies();
	assert.ok(cookie.httpOnly && cookie.sameSite === "Strict" && cookie.path === "/console");
	assert.equal(await page.evaluate(() => document.cookie), "");
});

test("another address is printed on SIGUSR1", async () => {
	process.kill(pid, "SIGUSR1");
	const link = await until("a second link", () => links()[1]);
	const answer = await request(new URL(link).pathname + new URL(link).search);
	assert.equal(answer.status, 303);
});

test("other sites cannot act for who is let in", async () => {
	const [{ name, value }] = await context.cookies();
	const cookie = `${name}=${value}`;
	const post = (headers) => request("/console/do/reload", { method: "POST", body: "{}", headers: { cookie, "content-length": 2, ...headers } });
	assert.equal((await post({})).status, 403);
	assert.equal((await post({ origin: "http://evil.example" })).status, 403);
	assert.equal((await post({ origin: "null" })).status, 403);
	assert.equal((await post({ origin, "sec-fetch-site": "same-site" })).status, 403);
	assert.equal((await post({ origin })).status, 200);
	for (const host of ["evil.example", `evil.example:${port}`, `localhost.evil.example:${port}`])
		assert.equal((await request("/console/", { headers: { cookie, host } })).status, 421, host);
	for (const host of [`localhost:${port}`, `127.0.0.1:${port}`, `[::1]:${port}`])
		assert.equal((await request("/console/", { headers: { cookie, host } })).status, 200, host);
});

test("bad requests are refused", async () => {
	const [{ name, value }] = await context.cookies();
	const headers = { cookie: `${name}=${value}`, origin };
	const post = (path, body) => request(path, { method: "POST", body, headers: { ...headers, "content-length": Buffer.byteLength(body) } });
	for (const body of ["", "[]", "{", "1", "\xff"])
		assert.equal((await post("/console/do/reload", body)).status, 400, body);
	assert.equal((await post("/console/do/nothing", "{}")).status, 400);
	assert.equal((await post("/console/", "{}")).status, 400);
	for (const [action, body] of [
		["call", {}], ["call", { function: 7 }], ["cancel", {}], ["cancel", { call: "fc-" }],
		["fault", { place: 99, text: "x" }], ["fault", { place: -1, text: "" }], ["fault", { text: "x y" }],
		["fault", { text: "* drop\n* reset" }]])
		assert.ok(JSON.parse((await post(`/console/do/${action}`, JSON.stringify(body))).body).error, `${action} ${JSON.stringify(body)}`);
	for (const path of ["/console/input", "/console/input?call=fc-0&idx=-1", "/console/input?call=fc-0000000000&idx=0",
		"/console/x.js", "/console/../etc/passwd", "/console/calls"])
		assert.equal((await request(path, { headers })).status, 404, path);
	assert.equal((await request("/console/", { method: "DELETE", headers })).status, 405);
});

test("the policy has no exception", async () => {
	const [{ name, value }] = await context.cookies();
	for (const path of ["/console/", "/console/app.js", "/console/style.css", "/console/nothing"]) {
		const { headers } = await request(path, { headers: { cookie: `${name}=${value}` } });
		assert.equal(headers["content-security-policy"],
			"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
			+ "base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
		assert.equal(headers["x-content-type-options"], "nosniff");
		assert.equal(headers["cache-control"], "no-store");
	}
	const folder = `${top}/local/console`;
	for (const file of readdirSync(folder).filter((file) => /\.(html|js|css|svg)$/.test(file)))
		assert.doesNotMatch(readFileSync(join(folder, file), "utf8"),
			/innerHTML|outerHTML|insertAdjacentHTML|document\.write|style=|<script>|https?:\/\/(?!www\.w3\.org\/2000\/svg)/, file);
});

test("functions are listed with signatures and docstrings", async () => {
	await open("Functions");
	const row = page.getByRole("row").filter({ hasText: "words/most_common" });
	await row.getByText("(text: str, n: int = 3) -> list[str]").waitFor();
	await row.getByText("The words that a text has most often.").waitFor();
	await page.getByRole("row").filter({ hasText: "words/Splitter" }).getByText(".split(text: str) -> list[str]").waitFor();
	await page.getByLabel("Only names with").fill("most");
	await until("others are hidden", async () => await page.locator("tbody tr").count() === 1);
	await page.getByLabel("Only names with").fill("");
	await picture("console-functions");
});

let mapped;

test("a map of 10,000 inputs is followed to its end", async () => {
	await open("Calls");
	mapped = await startMap("words", "square", 10000);
	await page.locator(`a[href="/console/call/${mapped}"]`).click();
	await page.getByRole("heading", { name: mapped }).waitFor();
	await until("some have ended, some have not", async () => {
		const n = await number("succeeded");
		return n > 0 && n < 9990;
	});
	await picture("console-running");
	await until("all have ended", async () => await number("succeeded") === 9990 && await number("failed") === 10);
	assert.equal(await number("waiting") + await number("running"), 0);
	assert.equal(await number("inputs"), 10000);
	await page.getByText("map, asynchronous, called by modal_batch or Go client").waitFor();
	await page.getByText(/^Ended: .* a second, at most/).waitFor();
});

test("inputs of every page of a call are shown", async () => {
	await page.getByLabel("first input").fill("9990");
	await page.getByLabel("first input").press("Enter");
	const row = page.getByRole("row").filter({ has: page.getByRole("cell", { name: "9999", exact: true }) });
	await row.getByText(String(9999 * 9999)).waitFor();
	assert.equal(await page.locator("table[aria-label=Inputs] tbody tr").count(), 10);
	await page.getByLabel("first input").fill("0");
	await page.getByRole("button", { name: "Next" }).click();
	await page.getByRole("row").filter({ has: page.getByRole("cell", { name: "99", exact: true }) }).waitFor();
});

test("a failed input shows its traceback and what it printed, as text", async () => {
	await page.getByLabel("first input").fill("0");
	await page.getByLabel("failed", { exact: true }).check();
	await page.getByRole("button", { name: "Show input 1007" }).click();
	const box = page.locator(".input");
	await box.getByText("raise ValueError(").waitFor();
	const text = await box.textContent();
	assert.match(text, /Traceback \(most recent call last\)/);
	assert.match(text, /1007 is not liked here\n<script>document\.title = 'printed'<\/script>/);
	assert.match(text, /ValueError: 1007 <b>cannot<\/b> be squared/);
	assert.equal(await page.locator("main b, main script").count(), 0);
	assert.notEqual(await page.title(), "printed");
	await picture("console-failure");
});

test("a function is called by the form", async () => {
	await open("Functions");
	await page.getByRole("link", { name: "words/most_common" }).click();
	await page.getByLabel("Arguments, a JSON array").fill('["to be or not to be", 2]');
	await page.getByRole("button", { name: "Call" }).click();
	await page.locator(".result").filter({ hasText: '["be", "to"]' }).waitFor();
	await page.locator(".printed").filter({ hasText: "6 words" }).waitFor();
	await page.getByText(/^succeeded in [0-9.]+ (µs|ms|s)$/).waitFor();
	await picture("console-form");
	await page.getByLabel("Arguments, a JSON array").fill("[7]");
	await page.getByRole("button", { name: "Call" }).click();
	await page.locator(".exception").filter({ hasText: "AttributeError" }).waitFor();
	for (const [field, text, error] of [
		["Arguments, a JSON array", "{}", "arguments are not a JSON array"],
		["Arguments, a JSON array", "[1", "the text ends too early"],
		["Arguments, a JSON array", "[123456789012345678901]", "an integer has more than 64 bits"],
		["Arguments, a JSON array", "[".repeat(100) + "]".repeat(100), "nested too deep"]]) {
		await page.getByLabel(field).fill(text);
		await page.getByRole("button", { name: "Call" }).click();
		await page.locator(".bad").filter({ hasText: error }).waitFor();
	}
});

test("what an earlier call still does is not shown in place of an answer", async () => {
	await open("Functions");
	await page.getByRole("link", { name: "builtin/sleep", exact: true }).click();
	await page.getByLabel("Arguments, a JSON array").fill("[1]");
	await page.getByRole("button", { name: "Call" }).click();
	await page.locator("[aria-live] a[href*='/call/']").waitFor();
	await page.getByLabel("Arguments, a JSON array").fill("{}");
	await page.getByRole("button", { name: "Call" }).click();
	await page.locator(".bad").waitFor();
	await until("it has ended", async () => await number("running") === 0);
	await page.waitForTimeout(500);
	assert.equal(await page.locator(".bad").count(), 1);
});

test("a method is called with parameters of its class", async () => {
	await open("Functions");
	await page.getByRole("link", { name: "words/Splitter" }).click();
	await page.getByLabel("Parameters of the object").fill('{"separator": "-"}');
	await page.getByLabel("Arguments, a JSON array").fill('["a-b é"]');
	await page.getByRole("button", { name: "Call" }).click();
	await page.locator(".result").filter({ hasText: '["a", "b é"]' }).waitFor();
	await page.getByLabel("Parameters of the object").fill('{"separator": 1}');
	await page.getByRole("button", { name: "Call" }).click();
	await page.getByText('parameter "separator" must be of type str').waitFor();
});

test("a call is cancelled", async () => {
	await open("Functions");
	await page.getByRole("link", { name: "builtin/sleep", exact: true }).click();
	await page.getByLabel("Arguments, a JSON array").fill("[3600]");
	await page.getByRole("button", { name: "Call" }).click();
	await page.locator("[aria-live] a[href*='/call/']").click();
	await until("it runs", async () => await number("running") === 1);
	await page.getByRole("button", { name: "Cancel the call" }).click();
	await until("it is cancelled", async () => await number("cancelled") === 1);
});

test("a fault is switched off and on, and added", async () => {
	await open("Workers and faults");
	const box = page.getByRole("checkbox", { name: "FunctionGetOutputs every=2 status=UNAVAILABLE" });
	const fails = async () => {
		const out = await run(PYTHON, [CALLS, port, ca, "unavailable", "4"]);
		return Number(out.stdout);
	};
	assert.equal(await fails(), 2);
	await box.uncheck();
	await until("it is off", async () => await fails() === 0);
	await box.check();
	await until("it is on", async () => await fails() === 2);
	await box.uncheck();
	await page.getByLabel("Another one").fill("input nonsense");
	await page.getByRole("button", { name: "Add" }).click();
	await page.getByText("Not understood: nonsense").waitFor();
	await page.getByLabel("Another one").fill("input duplicate");
	await page.getByRole("button", { name: "Add" }).click();
	await page.getByRole("checkbox", { name: "input duplicate" }).waitFor();
	await picture("console-machine");
	await page.getByRole("checkbox", { name: "input duplicate" }).uncheck();
});

test("a changed file is reloaded, a bad one is shown", async () => {
	await open("Workers and faults");
	const file = `${work}/words.py`;
	const text = readFileSync(file, "utf8");
	const before = await page.getByRole("row").filter({ hasText: file }).textContent();
	await page.getByRole("button", { name: "Reload all files" }).click();
	await until("it is loaded again", async () => await page.getByRole("row").filter({ hasText: file }).textContent() !== before);
	writeFileSync(file, text.replace("def most_common", "def most_used"));
	await open("Functions");
	await page.getByRole("link", { name: "words/most_used" }).waitFor();
	writeFileSync(file, "def broken(:\n");
	await open("Workers and faults");
	await page.getByText(/stays as it was:[^]*SyntaxError/).waitFor();
	writeFileSync(file, text);
	await page.getByText("as on disk").waitFor();
});

test("it can be used with the keyboard alone", async () => {
	await open("Calls");
	const focused = () => page.evaluate(() => document.activeElement.textContent);
	for (let i = 0; i < 200 && await focused() !== "words/most_common"; i++)
		await page.keyboard.press("Tab");
	await page.keyboard.press("Enter");
	await page.getByRole("heading", { level: 1, name: "Call fc-" }).waitFor();
	while (!/^(Show|Hide)$/.test(await focused()))
		await page.keyboard.press("Tab");
	await page.keyboard.press("Space");
	await page.locator(".input").getByText("Traceback", { exact: true }).waitFor();
	await page.getByRole("link", { name: "Functions" }).focus();
	await page.keyboard.press("Enter");
	await page.getByRole("heading", { level: 1, name: "Functions" }).waitFor();
	assert.equal(await focused(), "Functions");
});

test("it fits a phone, and the dark", async () => {
	const colour = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
	const light = await colour();
	await page.emulateMedia({ colorScheme: "dark" });
	assert.notEqual(await colour(), light);
	await page.setViewportSize({ width: 360, height: 640 });
	for (const view of ["Calls", "Functions", "Workers and faults"]) {
		await open(view);
		assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), view);
	}
	await page.goto(`${origin}/console/call/${mapped}`);
	await page.getByRole("heading", { name: mapped }).waitFor();
	await until("it is filled", async () => await number("inputs") === 10000);
	assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "call");
	await picture("console-phone");
	await page.emulateMedia({ colorScheme: "light" });
	await page.setViewportSize({ width: 1000, height: 640 });
});

// Seconds of CPU that modal-local has used.
function cpu() {
	const fields = readFileSync(`/proc/${pid}/stat`, "utf8").replace(/^.*\) /, "").split(" ");
	return (Number(fields[11]) + Number(fields[12])) / 100;
}

// Of a million inputs, with whatever page is open.
function millionInputs() {
	const begun = cpu();
	execFileSync(`${top}/bench/wire`, [`https://localhost:${port}`, ca, "1000000"], { stdio: "ignore" });
	return cpu() - begun;
}

async function millionInputsShown() {
	await open("Calls");
	const begun = cpu();
	const ended = run(`${top}/bench/wire`, [`https://localhost:${port}`, ca, "1000000"]);
	const row = page.getByRole("row").filter({ hasText: "1,000,000" });
	await page.getByRole("row").filter({ hasText: "running" }).or(row).first().getByRole("link").first().click();
	await ended;
	const used = cpu() - begun;
	await until("the page has seen all", async () => await number("succeeded") === 1000000);
	return used;
}

test("a million inputs cost the server no more while a page is open", async (t) => {
	const closed = [], shown = [];
	let share = Infinity;
	// The least of several is what it costs: a busy machine only adds.
	for (let round = 0; round < 8 && (round < 2 || share > 1.05); round++) {
		await page.goto("about:blank");
		closed.push(millionInputs());
		await page.goto(`${origin}/console/`);
		shown.push(await millionInputsShown());
		share = Math.min(...shown) / Math.min(...closed);
	}
	t.diagnostic(`with a page ${shown}, without ${closed}`);
	console.error(`# CPU seconds of modal-local, with a page: ${shown}; without: ${closed}; share ${share.toFixed(3)}`);
	assert.ok(share <= 1.05, `${share}: ${shown} with a page, ${closed} without`);
	// And the page is as quick as ever.
	const begun = Date.now();
	await open("Functions");
	assert.ok(Date.now() - begun < 10000);
});

test("nothing has gone wrong in the page", () => {
	assert.deepEqual(complaints, []);
});
