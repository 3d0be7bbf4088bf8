import { setTimeout as sleep } from "node:timers/promises";

const url = (process.env.WORKER_URL ?? "http://127.0.0.1:8080") + "/v1/messages";

async function call(url, body) {
  const request = { method: body ? "POST" : "GET", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  let failure;
  for (const wait of [1000, 2000, 4000, 0]) {
    try {
      const answer = await fetch(url, { ...request, signal: AbortSignal.timeout(10_000) });
      if (answer.ok) return await answer.json();
      failure = new Error(await answer.text());
      if (answer.status < 500) break; // it says what is wrong with the request
    } catch (error) {
      failure = error;
    }
    await sleep(wait);
  }
  throw failure;
}

// The same key again is the same message, not a second text: so call() may repeat it.
let message = await call(url, {
  from: "+12065550100", to: "+12065550181", body: "Your appointment is at 3 pm.", key: "visit-77/reminder",
});
while (["queued", "sending", "unknown"].includes(message.state)) {
  await sleep(1000);
  message = await call(`${url}/${message.id}`);
}
console.log(message.id, message.state);
