// The official JavaScript SDK against modal-local: every use of functions,
// classes, function calls, options and statistics that the SDK's README and
// its examples show, and the errors that go with them.
//
// test/js/run starts modal-local with sdk_support.py and sets MODAL_SERVER_URL,
// the token and the certificate authority; nothing here says where it runs.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { FunctionTimeoutError, ModalClient, NotFoundError, RemoteError, TimeoutError } from "modal";

const APP = "sdk_support";
const BUILTIN = "builtin";

let modal;

before(() => {
  modal = new ModalClient();
});
after(() => modal.close());

const fn = (name, params) => modal.functions.fromName(APP, name, params);

// What a rejected promise was rejected with.
async function failure(promise) {
  try {
    await promise;
  } catch (err) {
    return err;
  }
  assert.fail("the call has succeeded");
}

function assertError(err, type, pattern) {
  assert.ok(err instanceof type, `${err?.name}: ${err?.message}`);
  assert.match(err.message, pattern);
}

describe("lookup", () => {
  test("a function has an id", async () => {
    assert.match((await fn("echo_string")).functionId, /^fu-/);
  });

  test("the same function has the same id", async () => {
    assert.equal((await fn("echo_string")).functionId, (await fn("echo_string")).functionId);
  });

  test("unknown function", async () => {
    assertError(await failure(fn("not_a_real_function")), NotFoundError, /not_a_real_function/);
  });

  test("unknown app", async () => {
    assertError(await failure(modal.functions.fromName("no-such-app", "f")), NotFoundError, /no-such-app/);
  });

  test("unknown class", async () => {
    assertError(await failure(modal.cls.fromName(APP, "NotRealClassName")), NotFoundError, /NotRealClassName/);
  });

  test("a dotted name is refused", async () => {
    assert.match((await failure(fn("EchoCls.echo_string"))).message, /client\.cls\.fromName/);
  });

  test("a version and an environment", async () => {
    const pinned = await fn("echo_string", { version: 1, environment: "main" });
    assert.equal(await pinned.remote(["pinned"]), "output: pinned");
  });

  test("a version that was never deployed", async () => {
    assertError(await failure(fn("echo_string", { version: 7 })), NotFoundError, /echo_string/);
  });

  test("an environment that is not there", async () => {
    assertError(await failure(fn("echo_string", { environment: "elsewhere" })), NotFoundError, /echo_string/);
  });

  test("a web function has a URL, and is not called", async () => {
    const web = await modal.functions.fromName(BUILTIN, "web");
    assert.match(await web.getWebUrl(), /^https:/);
    assert.match((await failure(web.remote())).message, /web/i);
  });

  test("no web URL", async () => {
    assert.equal(await (await fn("echo_string")).getWebUrl(), undefined);
  });
});

describe("remote", () => {
  test("positional arguments", async () => {
    assert.equal(await (await fn("echo_string")).remote(["hello"]), "output: hello");
  });

  test("keyword arguments", async () => {
    assert.equal(await (await fn("echo_string")).remote([], { s: "hello" }), "output: hello");
  });

  test("async function", async () => {
    assert.equal(await (await fn("echo_async")).remote(["hello"]), "output: hello");
  });

  test("a built-in function, in C", async () => {
    assert.equal(await (await modal.functions.fromName(BUILTIN, "square")).remote([12]), 144);
  });

  test("values there and back", async () => {
    const identity = await fn("identity_with_repr");
    const values = [
      [null, null, "None"],
      [true, true, "True"],
      [-1, -1, "-1"],
      [1.5, 1.5, "1.5"],
      ["grüß 🐘", "grüß 🐘", "'grüß 🐘'"],
      [[1, [2, "x"]], [1, [2, "x"]], "[1, [2, 'x']]"],
      [new Map([["a", "b"]]), { a: "b" }, "{'a': 'b'}"],
      [12345678901234567890n, 12345678901234567890n, "12345678901234567890"],
      [123456789012345678901234567890n, 123456789012345678901234567890n, "123456789012345678901234567890"],
    ];
    for (const [value, result, repr] of values) {
      assert.deepEqual(await identity.remote([value]), [result, repr]);
    }
  });

  test("dates keep their milliseconds", async () => {
    const date = new Date("2024-01-15T10:30:45.123Z");
    const [result, repr] = await (await fn("identity_with_repr")).remote([date]);
    assert.equal(result.getTime(), date.getTime());
    assert.match(repr, /datetime\.datetime\(2024, 1, 15, 10, 30, 45, 123000/);
  });

  test("bytes", async () => {
    const [result] = await (await fn("identity_with_repr")).remote([new Uint8Array([0, 255, 7])]);
    assert.deepEqual([...result], [0, 255, 7]);
  });

  test("100 calls at once", async () => {
    const square = await modal.functions.fromName(BUILTIN, "square");
    const results = await Promise.all(Array.from({ length: 100 }, (_, i) => square.remote([i])));
    assert.deepEqual(results, Array.from({ length: 100 }, (_, i) => i * i));
  });
});

describe("payloads over 2 MiB", () => {
  const size = 3_000_000;

  test("argument", async () => {
    for (const n of [size, 20_000_000])
      assert.equal(await (await fn("byte_length")).remote([new Uint8Array(n)]), n);
  });

  test("result", async () => {
    const result = await (await fn("make_bytes")).remote([size]);
    const expected = Uint8Array.from({ length: size }, (_, i) => i % 251);
    assert.equal(result.length, size);
    assert.equal(createHash("md5").update(result).digest("hex"), createHash("md5").update(expected).digest("hex"));
  });

  test("both, of a built-in function", async () => {
    const text = "x".repeat(size);
    assert.equal(await (await modal.functions.fromName(BUILTIN, "echo")).remote([text]), text);
  });

  test("spawned", async () => {
    const call = await (await fn("make_bytes")).spawn([size]);
    assert.equal((await call.get()).length, size);
  });
});

describe("errors of functions", () => {
  test("an exception comes as its repr", async () => {
    const err = await failure((await fn("raise_value_error")).remote(["bad \"value\""]));
    assertError(err, RemoteError, /ValueError\('bad "value"'\)/);
  });

  test("wrong arguments", async () => {
    assertError(await failure((await fn("echo_string")).remote([1, 2, 3])), RemoteError, /TypeError/);
  });

  test("a result that CBOR does not have", async () => {
    assertError(await failure((await fn("unserializable")).remote()), RemoteError, /SerializationError\(.*cbor/);
  });

  test("a crash fails its input", async () => {
    const err = await failure((await fn("crash")).remote([3]));
    assertError(err, RemoteError, /exited with status 3/);
  });

  test("a crash fails nobody else's input", async () => {
    const echo = await fn("echo_string");
    const crash = await fn("crash");
    const others = Array.from({ length: 50 }, (_, i) => echo.remote([String(i)]));
    const crashes = Array.from({ length: 3 }, () => failure(crash.remote([1])));
    const more = Array.from({ length: 50 }, (_, i) => echo.remote([String(50 + i)]));
    const results = await Promise.all([...others, ...more]);
    assert.deepEqual(results, Array.from({ length: 100 }, (_, i) => `output: ${i}`));
    for (const err of await Promise.all(crashes)) assertError(err, RemoteError, /exited with status 1/);
  });

  test("a crashed process is replaced", async () => {
    const crashOnce = await fn("crash_once");
    const path = join(mkdtempSync(join(tmpdir(), "modal-js-")), "crashed");
    await failure(crashOnce.remote([path]));
    assert.equal(await crashOnce.remote([path]), "second try");
  });

  test("wrong token", async () => {
    const stranger = new ModalClient({ tokenId: "ak-wrong", tokenSecret: "as-wrong" });
    const err = await failure(stranger.functions.fromName(APP, "echo_string"));
    assert.match(err.message, /UNAUTHENTICATED/);
    stranger.close();
  });
});

describe("spawn, get, cancel", () => {
  test("spawn and get, repeatedly", async () => {
    const call = await (await fn("echo_string")).spawn([], { s: "hello" });
    assert.match(call.functionCallId, /^fc-/);
    assert.equal(await call.get(), "output: hello");
    assert.equal(await call.get(), "output: hello");
  });

  test("get by the id of the call", async () => {
    const { functionCallId } = await (await fn("echo_string")).spawn(["again"]);
    const call = await modal.functionCalls.fromId(functionCallId);
    assert.equal(await call.get(), "output: again");
  });

  test("unknown call", async () => {
    const err = await failure(modal.functionCalls.fromId("fc-doesnotexist").then((call) => call.get()));
    assert.match(err.message, /NOT_FOUND|not found/i);
  });

  test("timeout 0 polls", async () => {
    const call = await (await fn("sleep")).spawn([0.5]);
    assertError(await failure(call.get({ timeoutMs: 0 })), TimeoutError, /./);
    assert.equal(await call.get(), null);
    assert.equal(await call.get({ timeoutMs: 0 }), null);
  });

  test("timeout while it runs", async () => {
    const call = await (await fn("sleep")).spawn([], { t: 30 });
    assertError(await failure(call.get({ timeoutMs: 300 })), TimeoutError, /./);
    await call.cancel();
  });

  test("cancel ends a running call", async () => {
    const call = await (await fn("sleep")).spawn([60]);
    const outcome = failure(call.get());
    await new Promise((resolve) => setTimeout(resolve, 200));
    const start = Date.now();
    await call.cancel();
    assert.ok((await outcome) instanceof RemoteError);
    assert.ok(Date.now() - start < 5000);
  });

  test("cancel with termination of the containers", async () => {
    const call = await (await fn("sleep")).spawn([60]);
    const outcome = failure(call.get());
    await new Promise((resolve) => setTimeout(resolve, 200));
    await call.cancel({ terminateContainers: true });
    assert.ok((await outcome) instanceof RemoteError);
    assert.equal(await (await fn("echo_string")).remote(["alive"]), "output: alive");
  });

  test("an exception of a spawned call", async () => {
    const call = await (await fn("raise_value_error")).spawn(["later"]);
    assertError(await failure(call.get()), RemoteError, /ValueError\('later'\)/);
  });
});

describe("classes", () => {
  const cls = (name) => modal.cls.fromName(APP, name);

  test("method of a class without parameters", async () => {
    const instance = await (await cls("EchoCls")).instance();
    assert.equal(await instance.method("echo_string").remote([], { s: "hello" }), "output: hello");
  });

  test("parameters of every type", async () => {
    const instance = await (await cls("EchoClsParametrized")).instance({
      name: "hi", repetitions: 2, loud: true, data: new TextEncoder().encode("!"),
    });
    assert.equal(await instance.method("echo_parameter").remote(), "output: HI HI!");
  });

  test("defaults of parameters", async () => {
    const instance = await (await cls("EchoClsParametrized")).instance();
    assert.equal(await instance.method("echo_parameter").remote(), "output: test");
  });

  test("some parameters", async () => {
    const instance = await (await cls("EchoClsParametrized")).instance({ repetitions: 3 });
    assert.equal(await instance.method("echo_parameter").remote(), "output: test test test");
  });

  test("a missing parameter", async () => {
    assert.match((await failure((await cls("NeedsName")).instance())).message, /name/);
    const instance = await (await cls("NeedsName")).instance({ name: "you" });
    assert.equal(await instance.method("greet").remote(), "hello you");
  });

  test("a parameter of a wrong type", async () => {
    assert.match((await failure((await cls("NeedsName")).instance({ name: 1 }))).message, /name|string/i);
  });

  test("spawning a method", async () => {
    const instance = await (await cls("EchoCls")).instance();
    const call = await instance.method("echo_string").spawn(["later"]);
    assert.equal(await call.get(), "output: later");
  });

  test("a built-in class, in C", async () => {
    const counter = await (await modal.cls.fromName(BUILTIN, "Counter")).instance({ name: "c", start: 40 });
    assert.equal(await counter.method("add").remote([2]), 42);
  });

  test("unknown method", async () => {
    const instance = await (await cls("EchoCls")).instance();
    assert.throws(() => instance.method("nonexistent"), NotFoundError);
  });
});

describe("options", () => {
  const cls = () => modal.cls.fromName(APP, "EchoClsParametrized");
  const variable = async (configured, name, parameters) =>
    (await configured.instance(parameters)).method("echo_env_var").remote([name]);

  test("resources, limits and times are accepted", async () => {
    const configured = (await cls()).withOptions({
      cpu: 0.25, cpuLimit: 4, memoryMiB: 256, memoryLimitMiB: 512, gpu: "T4", retries: 2,
      maxContainers: 2, bufferContainers: 1, scaledownWindowMs: 60_000, timeoutMs: 30_000,
    });
    assert.equal(await (await configured.instance()).method("echo_parameter").remote(), "output: test");
  });

  test("secrets by name and of an object, and env", async () => {
    const configured = (await cls()).withOptions({
      secrets: [await modal.secrets.fromName("sdk-secret"), await modal.secrets.fromObject({ OF_OBJECT: "o" })],
      env: { OF_ENV: "e" },
    });
    assert.deepEqual(
      [await variable(configured, "SDK_VALUE"), await variable(configured, "OF_OBJECT"), await variable(configured, "OF_ENV")],
      ["output: 42", "output: o", "output: e"]);
    assert.equal(await variable(await cls(), "SDK_VALUE"), "output: [not set]");
  });

  test("an unknown secret", async () => {
    assertError(await failure(modal.secrets.fromName("no-such-secret")), NotFoundError, /no-such-secret/);
  });

  test("volumes", async () => {
    const configured = (await cls()).withOptions({ volumes: { "/data": await modal.volumes.fromName("sdk-volume") } });
    assert.equal(await (await configured.instance()).method("echo_parameter").remote(), "output: test");
  });

  test("concurrency and batching, one after the other", async () => {
    const configured = (await cls())
      .withOptions({ timeoutMs: 20_000 })
      .withConcurrency({ maxInputs: 10, targetInputs: 5 })
      .withBatching({ maxBatchSize: 4, waitMs: 100 })
      .withOptions({ env: { LATER: "yes" } });
    assert.equal(await variable(configured, "LATER", { name: "n" }), "output: yes");
  });

  test("a timeout", async () => {
    const sleep = await (await fn("sleep")).withOptions({ timeoutMs: 1000 }).instance();
    assert.ok((await failure(sleep.remote([30]))) instanceof FunctionTimeoutError);
  });

  test("of a function", async () => {
    const configured = await (await fn("env_var")).withOptions({ env: { FOR_FUNCTION: "f" } }).instance();
    assert.equal(await configured.remote(["FOR_FUNCTION"]), "f");
    const call = await configured.spawn(["FOR_FUNCTION"]);
    assert.equal(await call.get(), "f");
  });

  test("another region", async () => {
    const configured = await (await cls()).withOptions({ routingRegion: "eu-west" }).instance({ name: "far" });
    assert.equal(await configured.method("echo_parameter").remote(), "output: far");
  });
});

describe("input plane", () => {
  test("a call", async () => {
    const echo = await modal.functions.fromName(BUILTIN, "echo_input_plane");
    assert.equal(await echo.remote(["there"]), "there");
  });

  test("an internal failure is retried", async () => {
    const crash = await modal.functions.fromName(BUILTIN, "crash_input_plane");
    assert.equal(await crash.remote(["again"]), "again");
  });

  test("an exception", async () => {
    const fail = await modal.functions.fromName(BUILTIN, "fail_input_plane");
    assertError(await failure(fail.remote(["bad"])), RemoteError, /ValueError\('bad'\)/);
  });

  test("spawning is refused", async () => {
    const echo = await modal.functions.fromName(BUILTIN, "echo_input_plane");
    assert.match((await failure(echo.spawn(["x"]))).message, /cannot be spawned/);
  });
});

describe("statistics and autoscaler", () => {
  test("a busy function", async () => {
    const sleep = await fn("sleep");
    const call = await sleep.spawn([60]);
    let stats;
    for (let i = 0; i < 100; i++) {
      stats = await sleep.getCurrentStats();
      if (stats.backlog === 0) break;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    assert.deepEqual([stats.backlog, stats.numTotalRunners >= 1], [0, true]);
    await call.cancel();
  });

  test("settings of the autoscaler", async () => {
    const echo = await fn("echo_string");
    const settings = await echo.updateAutoscaler({ minContainers: 1, maxContainers: 5 });
    assert.equal(settings.maxContainers, 5);
    const more = await echo.updateAutoscaler({ bufferContainers: 2, scaledownWindowMs: 300_000 });
    assert.deepEqual([more.minContainers, more.bufferContainers, more.scaledownWindowMs], [1, 2, 300_000]);
  });

  test("current statistics", async () => {
    const stats = await (await fn("echo_string")).getCurrentStats();
    assert.equal(stats.backlog, 0);
    assert.ok(stats.numTotalRunners >= 1);
  });
});

describe("by id, and what has been", () => {
  const entries = async (iterable) => {
    const found = [];
    for await (const entry of iterable) found.push([entry.source, entry.message]);
    return found;
  };
  const printed = [
    ["stdout", "one\n"],
    ["stderr", "two\n"],
  ];

  test("a function by its id", async () => {
    const { functionId } = await fn("echo_string");
    const again = await modal.functions.fromId(functionId);
    assert.equal(await again.remote(["by id"]), "output: by id");
    assertError(await failure(modal.functions.fromId("fu-none")), NotFoundError, /fu-none/);
  });

  test("logs of a call", async () => {
    const call = await (await fn("prints")).spawn([]);
    await call.get();
    assert.deepEqual(await entries(call.logs.fetch()), printed);
    assert.deepEqual(await entries(call.logs.tail({ entries: 1 })), printed.slice(1));
    assert.deepEqual(await entries(call.logs.stream({ timeoutMs: 5000 })), printed);
  });

  test("logs of a function", async () => {
    const prints = await fn("prints");
    await prints.remote([]);
    assert.deepEqual((await entries(prints.logs.tail({ entries: 2 }))).length, 2);
    const since = new Date(Date.now() - 60_000);
    assert.ok((await entries(prints.logs.fetch({ since, source: "stderr" }))).length >= 1);
  });

  test("statistics of a range of time", async () => {
    const echo = await fn("echo_string");
    await echo.remote(["counted"]);
    const stats = await echo.stats();
    assert.ok(stats.inputSuccessCount >= 1);
    assert.ok(stats.inputPercentileStats.execution_time);
  });

  test("metrics", async () => {
    const { series } = await (await fn("echo_string")).metrics.export({ bucketSizeSecs: 60, groups: ["calls"] });
    assert.ok(series.successful_calls_count.points.length >= 59);
  });
});

describe("OAuth", () => {
  test("a client with a refresh token", async () => {
    const oauth = (oauthClientSecret) =>
      new ModalClient({ oauthRefreshToken: "any", oauthClientId: "ak-local", oauthClientSecret });
    const good = oauth("as-local");
    assert.equal(await (await good.functions.fromName(APP, "echo_string")).remote(["oauth"]), "output: oauth");
    good.close();
    const bad = oauth("as-wrong");
    assert.match((await failure(bad.functions.fromName(APP, "echo_string"))).message, /UNAUTHENTICATED/);
    bad.close();
  });
});

describe("middleware", () => {
  test("sees every call, with its status", async () => {
    const seen = [];
    const traced = new ModalClient({
      grpcMiddleware: [
        async function* (call, options) {
          seen.push(call.method.path);
          return yield* call.next(call.request, options);
        },
      ],
    });
    const echo = await traced.functions.fromName(APP, "echo_string");
    assert.equal(await echo.remote([], { s: "traced" }), "output: traced");
    for (const name of ["FunctionGet", "FunctionMap", "FunctionGetOutputs"]) {
      assert.ok(seen.includes(`/modal.client.ModalClient/${name}`), name);
    }
    traced.close();
  });
});
