// A reporter for node's test runner: one line of TAP per test, none per group.

export default async function* flatTap(source) {
  const path = [];
  for await (const { type, data } of source) {
    if (type === "test:start") {
      path.length = data.nesting;
      path.push(data.name);
      continue;
    }
    if ((type !== "test:pass" && type !== "test:fail") || data.details.type === "suite") continue;
    const name = [process.env.TAP_PREFIX, ...path.slice(0, data.nesting), data.name].filter(Boolean).join(": ");
    yield `${type === "test:pass" ? "ok" : "not ok"} - ${name.replaceAll("#", "")}${data.skip ? " # SKIP" : ""}\n`;
    if (type === "test:fail") {
      const error = data.details.error.cause ?? data.details.error;
      yield String(error.stack ?? error).replaceAll(/^/gm, "# ") + "\n";
    }
  }
}
