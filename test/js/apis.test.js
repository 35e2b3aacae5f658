// The official OpenAI SDK against the peers that our tests of formats speak to (test/http): what
// they answer is what its users get from the service.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import OpenAI, { toFile } from "openai";

const client = (baseURL, apiKey) => new OpenAI({ baseURL: `${baseURL}/v1`, apiKey, maxRetries: 0 });

describe("api_peer.py", () => {
  const openai = client(process.env.API_PEER, "sk-1");

  test("embeddings", async () => {
    const reply = await openai.embeddings.create({ model: "m", input: ["abc", "z"], encoding_format: "float" });
    const sorted = reply.data.toSorted((a, b) => a.index - b.index);
    assert.deepEqual(sorted.map((item) => item.embedding), [[3, 97, 99], [1, 122, 122]]);
    assert.equal(reply.usage.total_tokens, 4);
  });

  test("an error", async () => {
    await assert.rejects(openai.embeddings.create({ model: "m", input: ["13"] }),
      (error) => error.status === 400 && error.message.includes("13 is unlucky"));
  });

  test("chat, with JSON and with a refusal", async () => {
    const ask = (content, more) => openai.chat.completions.create({
      model: "m", messages: [{ role: "user", content }], ...more });
    assert.equal((await ask("hi")).choices[0].message.content, "You said: hi");
    assert.equal((await ask("length")).choices[0].finish_reason, "length");
    assert.ok((await ask("refuse")).choices[0].message.refusal);
    const json = await ask("hi", { response_format: { type: "json_object" } });
    assert.deepEqual(JSON.parse(json.choices[0].message.content), { said: "hi" });
  });
});

describe("batch_peer.py", () => {
  const openai = client(process.env.BATCH_PEER, "sk-secret-1");
  const line = (id, content) => JSON.stringify({ custom_id: id, method: "POST", url: "/v1/chat/completions",
    body: { model: "m", messages: [{ role: "user", content }] } });
  const start = async (...contents) => {
    const text = contents.map((content, i) => line(`row-${i}`, content)).join("\n");
    const file = await openai.files.create({ file: await toFile(Buffer.from(text), "rows.jsonl"), purpose: "batch" });
    return openai.batches.create({ input_file_id: file.id, endpoint: "/v1/chat/completions",
      completion_window: "24h", metadata: { mine: "yes" } });
  };
  const end = async (batch) => {
    while (["validating", "in_progress", "finalizing"].includes(batch.status)) batch = await openai.batches.retrieve(batch.id);
    return batch;
  };
  const lines = async (id) => (await (await openai.files.content(id)).text()).trim().split("\n").map((text) => JSON.parse(text));

  test("a batch, from its file to its results", async () => {
    const batch = await end(await start("a", "13", "b"));
    assert.equal(batch.status, "completed");
    assert.deepEqual(batch.request_counts, { total: 3, completed: 2, failed: 1 });
    const results = Object.fromEntries((await lines(batch.output_file_id)).map((item) => [item.custom_id, item]));
    assert.equal(results["row-2"].response.body.choices[0].message.content, "You said: b");
    const [error] = await lines(batch.error_file_id);
    assert.equal(error.custom_id, "row-1");
    assert.equal(error.response.status_code, 400);
  });

  test("what was refused, expired and cancelled", async () => {
    const failed = await end(await start("a", "badline"));
    assert.equal(failed.status, "failed");
    assert.equal(failed.errors.data[0].line, 2);
    const expired = await end(await start("a", "expire"));
    assert.equal(expired.status, "expired");
    assert.equal((await lines(expired.error_file_id))[0].error.code, "batch_expired");
    assert.equal((await openai.batches.cancel((await start("a")).id)).status, "cancelling");
  });

  test("a list", async () => {
    const page = await openai.batches.list({ limit: 100 });
    assert.ok(page.data.length >= 3);
    assert.equal(page.data[0].metadata.mine, "yes");
  });
});
