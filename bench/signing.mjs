// signing.mjs ID KEY IAT COUNT: prints nanoseconds per token and the first token.
import { createHmac } from "node:crypto";

const [id, key, iat, count] = [process.argv[2], process.argv[3], Number(process.argv[4]), Number(process.argv[5])];
const header = Buffer.from(JSON.stringify({ alg: "HS256", typ: "JWT" })).toString("base64url");

function sign(time) {
  const input = `${header}.${Buffer.from(JSON.stringify({ iss: id, iat: time })).toString("base64url")}`;
  return `${input}.${createHmac("sha256", `${id}||${key}`).update(input).digest("base64url")}`;
}

const first = sign(iat);
for (let i = 0; i < count / 10; i++) sign(iat + i);
const started = process.cpuUsage();
for (let i = 0; i < count; i++) sign(iat + i);
const { user, system } = process.cpuUsage(started);
console.log((((user + system) * 1e3) / count).toFixed(1), first);
