import { setTimeout as sleep } from "node:timers/promises";

const url = (process.env.WORKER_URL ?? "http://127.0.0.1:8080") + "/v1/campaigns";

// Lines are made when they are sent: there may be millions of them.
async function* encoded(lines) {
  let piece = "";
  for await (const line of lines) {
    piece += JSON.stringify(line) + "\n";
    if (piece.length < 16_384) continue;
    yield Buffer.from(piece);
    piece = "";
  }
  if (piece) yield Buffer.from(piece);
}

async function call(path, lines, type = "application/x-ndjson") {
  let failure;
  for (const wait of [1000, 2000, 4000, 0]) {
    try {
      const request = lines && { method: "POST", headers: { "Content-Type": type }, body: encoded(lines()), duplex: "half" };
      const answer = await fetch(url + path, request);
      const text = await answer.text();
      failure = new Error(text);
      if (answer.ok) {
        const said = text.trim().split("\n").map((line) => JSON.parse(line));
        if (!said.at(-1).error) return said;
      } else if (answer.status < 500) break; // it says what is wrong with the request
    } catch (error) {
      failure = error;
    }
    await sleep(wait);
  }
  throw failure;
}

async function* people() { // from a file, or a database
  yield { to: "+12065550197", name: "Ann" };
  yield { to: "(206) 555-0198" };
}

// The same key again is the same campaign, and a recipient is in it once: so call() may repeat all this.
const spec = { from: "+12065550100", template: 'Hi {{name|default "there"}}, we move!', key: "new-address-2026" };
let [campaign] = await call("", () => [spec], "application/json");
const path = `/${campaign.id}`;
if (campaign.state === "draft") {
  const invalid = await call(`${path}/recipients?results=errors`, people);
  invalid.slice(0, -1).forEach((row) => console.error(row));
  [campaign] = await call(`${path}/start`, () => []);
}
while (["scheduled", "running"].includes(campaign.state)) {
  await sleep(1000);
  [campaign] = await call(path);
}
console.log(campaign.id, campaign.state);
