// A receiver of webhooks that checks them with the library that the Standard Webhooks
// specification names: node hook_receiver.js SECRET.  Prints its port, then a line for each
// message: "good" or what is wrong with it.

import { createServer } from "node:http";
import { Webhook } from "standardwebhooks";

const webhook = new Webhook(process.argv[2]);
const server = createServer((request, response) => {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    let verdict = "good";
    try {
      webhook.verify(Buffer.concat(parts).toString(), request.headers);
    } catch (error) {
      verdict = error.message;
    }
    console.log(verdict);
    response.statusCode = verdict === "good" ? 204 : 401;
    response.end();
  });
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
