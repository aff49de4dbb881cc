// The import as one would write it for Node with fetch and csv-parse: peer_node.mjs FILE.
import { createHmac } from "node:crypto";
import { createReadStream } from "node:fs";
import { parse } from "csv-parse";

const BATCH = 100;
const CONCURRENCY = 4;
const TOKEN_TTL = 240;
const { HEYMARKET_BASE_URL, HEYMARKET_SECRET_ID, HEYMARKET_SECRET_KEY } = process.env;
const URL = `${HEYMARKET_BASE_URL}/v1/batch/contacts`;
const TEXT = ["phone", "first", "last", "display_name", "email", "avatar"];

const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

let cached;
let until = 0;
function token() {
  const now = Date.now() / 1000;
  if (now >= until) {
    const claims = { iss: HEYMARKET_SECRET_ID, iat: Math.floor(now) };
    const input = `${encode({ alg: "HS256", typ: "JWT" })}.${encode(claims)}`;
    const key = `${HEYMARKET_SECRET_ID}||${HEYMARKET_SECRET_KEY}`;
    cached = `${input}.${createHmac("sha256", key).update(input).digest("base64url")}`;
    until = now + TOKEN_TTL;
  }
  return cached;
}

function contact(row) {
  const result = {};
  for (const field of TEXT) {
    if (row[field]) result[field] = row[field];
  }
  if (row.assignee_id) result.assignee_id = Number(row.assignee_id);
  if (row.tags) result.tags = row.tags.split(";").map((tag) => ({ tag_id: Number(tag) }));
  if (row.is_opted_out) result.is_opted_out = row.is_opted_out === "true";
  for (const [column, value] of Object.entries(row)) {
    if (column.startsWith("custom.") && value) (result.custom ??= {})[column.slice(7)] = value;
  }
  return result;
}

async function send(contacts) {
  const response = await fetch(URL, {
    method: "POST",
    headers: { Authorization: `Bearer ${token()}`, "Content-Type": "application/json" },
    body: JSON.stringify(contacts),
  });
  if (!response.ok) throw new Error(`status ${response.status}`);
  if ((await response.json()) !== "ok") throw new Error("not all were created");
  sent += contacts.length;
}

let sent = 0;
let batch = [];
const pending = new Set();

async function submit() {
  const contacts = batch;
  batch = [];
  if (pending.size >= CONCURRENCY) await Promise.race(pending);
  const request = send(contacts).then(() => pending.delete(request));
  pending.add(request);
}

for await (const row of createReadStream(process.argv[2]).pipe(parse({ columns: true }))) {
  batch.push(contact(row));
  if (batch.length === BATCH) await submit();
}
if (batch.length > 0) await submit();
await Promise.all(pending);
console.log(sent, "contacts sent");
