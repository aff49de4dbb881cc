// The import as one would write it for Node with fetch and csv-parse: peer_node.mjs FILE.
import { createHmac } from "node:crypto";
import { createReadStream } from "node:fs";
import { parse } from "csv-parse";

const BATCH = 100;
const CONCURRENCY = 4;
const TOKEN_TTL = 240;
const { HEYMARKET_BASE_URL, HEYMARKET_SECRET_ID, HEYMARKET_SECRET_KEY } = process.env;
const URL = `${HEYMARKET_BASE_URL}/v1/batch/contacts`;
const TEXT = ["first", "last", "display_name"];
const PHONE = /^\+?[\d ()/-]+(?:\.[\d ()/-]{2,})*$/;
const EMAIL = /^[^\s@,;<>"]+@[^\s@,;<>"]+$/;
const URL_START = /^https?:\/\/\S+$/;
// Control characters, and what stands for bytes that are not UTF-8.
const UNWANTED = /[\u0000-\u001f\u007f-\u009f\ufffd]/;
const TRUTH = { true: true, yes: true, t: true, y: true, 1: true, false: false, no: false, f: false, n: false, 0: false };

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

function whole(text) {
  const number = Number(text);
  if (!/^-?\d+$/.test(text) || !Number.isSafeInteger(number)) throw new Error(`${text} is no whole number`);
  return number;
}

function checked(pattern, text) {
  if (!pattern.test(text)) throw new Error(`${text} is not what it should be`);
  return text;
}

function contact(row) {
  for (const value of Object.values(row)) {
    if (UNWANTED.test(value)) throw new Error("a control character, or bytes that are not UTF-8");
  }
  const phone = checked(PHONE, row.phone).replace(/\D/g, "");
  if (phone.length < 7 || phone.length > 15) throw new Error(`a phone number has 7 to 15 digits, not ${phone.length}`);
  const result = { phone };
  for (const field of TEXT) {
    if (row[field]) result[field] = row[field];
  }
  if (row.email) result.email = checked(EMAIL, row.email);
  if (row.avatar) result.avatar = checked(URL_START, row.avatar);
  if (row.assignee_id) {
    result.assignee_id = whole(row.assignee_id);
    if (result.assignee_id < 1 && result.assignee_id !== -1) throw new Error("an id is above 0, or -1");
  }
  if (row.tags) {
    const tags = row.tags.split(";").map(whole);
    if (tags.length > 5 || new Set(tags).size < tags.length || tags.some((tag) => tag < 1)) {
      throw new Error("at most five tags, none twice, with ids above 0");
    }
    result.tags = tags.map((tag) => ({ tag_id: tag }));
  }
  if (row.is_opted_out) {
    result.is_opted_out = TRUTH[row.is_opted_out.toLowerCase()];
    if (result.is_opted_out === undefined) throw new Error(`${row.is_opted_out} is neither true nor false`);
  }
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

// No cell of this file has a line break, so that a line is a row. The header is row 1.
const complain = (position, problem) => console.error(`row ${position}: ${problem.message}`);
const options = {
  columns: true,
  info: true,
  skip_records_with_error: true,
  on_skip: (problem) => complain(problem.lines, problem),
};
for await (const { record, info } of createReadStream(process.argv[2]).pipe(parse(options))) {
  try {
    batch.push(contact(record));
  } catch (problem) {
    complain(info.lines, problem);
  }
  if (batch.length === BATCH) await submit();
}
if (batch.length > 0) await submit();
await Promise.all(pending);
console.log(sent, "contacts sent");
