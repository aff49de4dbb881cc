--- How an encrypted connection ends, and what comes of the answer before it. `play` is what the server does;
--- spec/support/response_server.py explains the words. `before` comes before the handshake.

local WHOLE = "the answer was whole before the end"
local NONE = "the end of a connection, however it is said, does not show that the answer was whole"
local CUT = "the answer was not whole"
local BROKEN = "what cannot be decrypted is no answer"
local NEVER = "the handshake was not completed, so that no byte of the request was sent"

local LENGTH = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]"
local LISTED = 'HTTP/1.1 200 OK\r\nContent-Length: @LENGTH@\r\n\r\n[{"phone": "@A@"}]'
local CHUNKED = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n"
local OPEN = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[]"
local CLOSES = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[]"
local OLD = "HTTP/1.0 200 OK\r\n\r\n[]"
local EMPTY = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
local SHORT = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n[]"
local NO_LAST = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n"
local HALF_HEAD = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"
local FATAL, GOODBYE = "\21\3\3\0\2\2\40", "\21\3\3\0\2\1\0"

local function send(bytes, ...)
  return { { "read" }, { "send", bytes }, ... }
end

local CLOSE, CUTS, RESET, STALL = { "close" }, { "cut" }, { "reset" }, { "stall" }

return {
  name = "end of TLS",
  listeners = { "tls12", "tls13" },
  entries = {
    { "length, close_notify", "accepted", WHOLE, play = send(LENGTH, CLOSE), short = true },
    { "length, no close_notify", "accepted", WHOLE, play = send(LENGTH, CUTS), short = true },
    { "length, close_notify without FIN", "accepted", WHOLE, play = send(LENGTH, { "notify" }, STALL) },
    {
      "length, the end announced, no close_notify",
      "accepted",
      WHOLE,
      play = send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n[]", CUTS),
    },
    {
      "empty body, no close_notify",
      "accepted",
      WHOLE,
      play = send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", CUTS),
      check = false,
    },
    { "chunks, close_notify", "accepted", WHOLE, play = send(CHUNKED, CLOSE) },
    { "chunks, no close_notify", "accepted", WHOLE, play = send(CHUNKED, CUTS) },
    { "a record for each byte", "accepted", "records mean nothing", play = { { "read" }, { "drip", LENGTH }, CUTS } },
    {
      "head and body in two records",
      "accepted",
      "records mean nothing",
      play = { { "read" }, { "send", LENGTH:sub(1, -3) }, { "pause", 0.05 }, { "send", "[]" } },
    },
    { "one listed, no close_notify", { "rejected", "accepted", "accepted" }, WHOLE, play = send(LISTED, CUTS) },
    { "no length, close_notify", "unknown", NONE, play = send(OPEN, CLOSE), short = true },
    { "no length, no close_notify", "unknown", NONE, play = send(OPEN, CUTS), short = true },
    { "no length, close_notify without FIN", "unknown", NONE, play = send(OPEN, { "notify" }, STALL) },
    { "no length, reset", "unknown", NONE, play = send(OPEN, RESET) },
    { "no length, nothing", "unknown", NONE, play = send(OPEN, STALL), stalls = true },
    { "the end announced, close_notify", "unknown", NONE, play = send(CLOSES, CLOSE) },
    { "the end announced, no close_notify", "unknown", NONE, play = send(CLOSES, CUTS), short = true },
    { "HTTP/1.0, close_notify", "unknown", NONE, play = send(OLD, CLOSE) },
    { "HTTP/1.0, no close_notify", "unknown", NONE, play = send(OLD, CUTS) },
    { "no length and no body, close_notify", "unknown", NONE, play = send(EMPTY, CLOSE) },
    { "no length and no body, no close_notify", "unknown", NONE, play = send(EMPTY, CUTS) },
    { "length not reached, close_notify", "unknown", CUT, play = send(SHORT, CLOSE) },
    { "length not reached, no close_notify", "unknown", CUT, play = send(SHORT, CUTS), short = true },
    { "length not reached, reset", "unknown", CUT, play = send(SHORT, RESET) },
    { "no last chunk, close_notify", "unknown", CUT, play = send(NO_LAST, CLOSE) },
    { "no last chunk, no close_notify", "unknown", CUT, play = send(NO_LAST, CUTS) },
    { "half of the last chunk, no close_notify", "unknown", CUT, play = send(NO_LAST .. "0\r\n", CUTS) },
    { "half of the head, close_notify", "unknown", CUT, play = send(HALF_HEAD, CLOSE) },
    { "half of the head, no close_notify", "unknown", CUT, play = send(HALF_HEAD, CUTS) },
    { "half of the status line, no close_notify", "unknown", CUT, play = send("HTTP/1.1 200", CUTS) },
    { "no answer, close_notify", "unknown", CUT, play = { { "read" }, CLOSE } },
    { "no answer, no close_notify", "unknown", CUT, play = { { "read" }, CUTS } },
    { "no answer, reset", "unknown", CUT, play = { { "read" }, RESET } },
    { "no answer, close_notify without FIN", "unknown", CUT, play = { { "read" }, { "notify" }, STALL } },
    { "half of a record", "unknown", BROKEN, play = { { "read" }, { "half", LENGTH }, CUTS }, short = true },
    { "half of a record, reset", "unknown", BROKEN, play = { { "read" }, { "half", LENGTH }, RESET } },
    { "half of the body's record", "unknown", BROKEN, play = send(LENGTH:sub(1, -3), { "half", "[]" }, CUTS) },
    { "damaged record", "unknown", BROKEN, play = { { "read" }, { "flip", LENGTH }, CUTS }, short = true },
    { "damaged record after the head", "unknown", BROKEN, play = send(LENGTH:sub(1, -3), { "flip", "[]" }, CUTS) },
    { "past the encryption", "unknown", BROKEN, play = { { "read" }, { "raw", LENGTH }, CUTS }, short = true },
    { "body past the encryption", "unknown", BROKEN, play = send(LENGTH:sub(1, -3), { "raw", "[]" }, CUTS) },
    { "alert past the encryption", "unknown", BROKEN, play = { { "read" }, { "raw", FATAL }, CUTS } },
    { "no length, close_notify past the encryption", "unknown", BROKEN, play = send(OPEN, { "raw", GOODBYE }, CUTS) },
    { "record of no known type", "unknown", BROKEN, play = { { "read" }, { "raw", "\99\3\3\0\2[]" }, CUTS } },
    {
      "record that is too long",
      "unknown",
      BROKEN,
      play = { { "read" }, { "raw", "\23\3\3\255\255" .. LENGTH }, CUTS },
    },
    { "end instead of the handshake", "failed", NEVER, before = { CUTS } },
    { "reset instead of the handshake", "failed", NEVER, before = { RESET } },
    { "plain answer instead of the handshake", "failed", NEVER, before = { { "raw", LENGTH }, CUTS }, short = true },
    { "alert instead of the handshake", "failed", NEVER, before = { { "raw", FATAL }, CUTS } },
    { "noise instead of the handshake", "failed", NEVER, before = { { "raw", ("\170"):rep(200) }, CUTS } },
    { "no handshake", "failed", NEVER, before = { STALL }, stalls = true, kind = "timeout" },
  },
}
