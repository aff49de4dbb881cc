--- HTTP/2: what the server sends on stream 1 after it has the request.

local frames = require "spec.support.frames"

local headers, data, fields = frames.headers, frames.data, frames.fields

local GOOD = "these frames are a whole answer (RFC 9113 8.1)"
local OPEN = "the stream did not end, so the answer was not whole (RFC 9113 8.1)"
local LENGTH = "the length that was announced is not that of the data (RFC 9113 8.1.1)"
local MALFORMED = "this header block is malformed (RFC 9113 8.2, 8.3)"
local FRAMES = "these frames break the rules of HTTP/2"
local TRAILER = "an answer with fields after its body is no answer of this API"
local OTHER = "a status that this API does not give says nothing about the contacts"
local GONE = "the server went away before it had answered"

local HEAD, BODY = headers(fields "200"), data "[]"
local PHONE = "12025550102" -- of the second contact
local LAST = { last = true }

-- A head with these fields beside the usual ones, and the body.
local function with(...)
  return headers(fields("200", { ... })) .. BODY
end

-- A head of exactly these fields, and the body.
local function only(...)
  return headers { ... } .. BODY
end

local STATUS, TYPE = { ":status", "200" }, { "content-type", "application/json" }

local EARLY_413 = headers(fields "413") .. BODY
-- How a server refuses a request that is still being sent (RFC 9113 8.1).
local EARLY_413_RESET = {
  { "part", 20000 },
  { "send", EARLY_413 },
  { "pause", 0.05 },
  { "send", frames.rst(0) },
  { "hold" },
  { "read" },
}

return {
  name = "HTTP/2 frames",
  listeners = { "h2_tls12", "h2_tls13" },
  entries = {
    { "head and data", "accepted", GOOD, bytes = HEAD .. BODY, short = true },
    { "with a length", "accepted", GOOD, bytes = with { "content-length", "2" }, short = true },
    { "data frame by byte", "accepted", "frames mean nothing", bytes = HEAD .. data("[", { open = true }) .. data "]" },
    { "byte by byte", "accepted", "packets mean nothing", bytes = HEAD .. BODY, drip = true },
    { "an empty frame ends it", "accepted", GOOD, bytes = HEAD .. data("[]", { open = true }) .. data "" },
    {
      "empty frames between",
      "accepted",
      GOOD,
      bytes = HEAD .. data("", { open = true }) .. data("[", { open = true }) .. data("", { open = true }) .. data "]",
    },
    {
      "no body",
      "accepted",
      "an empty body says that nothing was refused",
      bytes = headers(fields("200", { { "content-length", "0" } }), LAST),
      check = false,
      short = true,
    },
    { "no body and no length", "accepted", "the stream has ended", bytes = headers(fields "200", LAST), check = false },
    { "empty data", "accepted", "the stream has ended", bytes = HEAD .. data "", check = false },
    {
      "padding in the data",
      "accepted",
      "padding is no data (RFC 9113 6.1)",
      bytes = HEAD .. data("[]", { pad = 100 }),
      short = true,
    },
    {
      "padding in the head",
      "accepted",
      "padding is no field (RFC 9113 6.2)",
      bytes = headers(fields "200", { pad = 9 }) .. BODY,
    },
    { "priority in the head", "accepted", GOOD, bytes = headers(fields "200", { priority = true }) .. BODY },
    {
      "head in two frames",
      "accepted",
      GOOD,
      bytes = headers({ STATUS }, { more = true }) .. frames.continuation(frames.block { TYPE }, true) .. BODY,
    },
    {
      "head in many frames",
      "accepted",
      GOOD,
      bytes = headers({}, { more = true })
        .. frames.continuation(frames.block { STATUS })
        .. frames.continuation ""
        .. frames.continuation(frames.block { TYPE }, true)
        .. BODY,
    },
    { "no content type", "accepted", "a content type is not needed", bytes = only(STATUS) },
    {
      "103 first",
      "accepted",
      GOOD,
      bytes = headers { { ":status", "103" }, { "link", "</a>" } } .. HEAD .. BODY,
      short = true,
    },
    {
      "100 and 102 first",
      "accepted",
      GOOD,
      bytes = headers { { ":status", "100" } } .. headers { { ":status", "102" } } .. HEAD .. BODY,
    },
    {
      "settings, ping and window between",
      "accepted",
      GOOD,
      bytes = HEAD .. frames.settings(3, 100) .. frames.ping() .. frames.window_update(0, 1000) .. BODY,
    },
    {
      "frame of an unknown type",
      "accepted",
      "it is ignored (RFC 9113 4.1)",
      bytes = HEAD .. frames.frame(77, 0, 0, "what") .. BODY,
    },
    { "priority frame", "accepted", GOOD, bytes = HEAD .. frames.frame(2, 0, 1, "\0\0\0\0\15") .. BODY },
    {
      "reset without error after the end",
      "accepted",
      "the answer was whole (RFC 9113 8.1)",
      bytes = HEAD .. BODY .. frames.rst(0),
    },
    { "going away after the answer", "accepted", GOOD, bytes = HEAD .. BODY .. frames.goaway(1, 0) },
    {
      "going away before the answer that is still given",
      "accepted",
      "stream 1 was named as the last one",
      bytes = frames.goaway(1, 0) .. HEAD .. BODY,
      short = true,
    },
    { "the end after the answer", "accepted", GOOD, bytes = HEAD .. BODY, finish = "close" },
    { "a cut after the answer", "accepted", GOOD, bytes = HEAD .. BODY, finish = "cut" },
    {
      "one listed",
      { "accepted", "rejected", "accepted" },
      "a contact that is listed was refused",
      bytes = HEAD .. data('[{"phone":"' .. PHONE .. '"}]'),
    },
    {
      "a long body in many frames",
      "accepted",
      GOOD,
      bytes = HEAD .. data("[", { open = true }) .. data((" "):rep(1000), { open = true }):rep(50) .. data "]",
    },
    {
      "400",
      "failed",
      "a whole answer of this status says that the server did not act",
      bytes = headers(fields "400") .. BODY,
      contacts = 1,
      kind = "bad_data",
      short = true,
    },
    {
      "403",
      "failed",
      "a whole answer of this status says that the server did not act",
      bytes = headers(fields "403") .. BODY,
      contacts = 1,
      kind = "denied",
    },
    { "500", "unknown", "the server may have failed after it had stored", bytes = headers(fields "500") .. BODY },
    { "201", "unknown", OTHER, bytes = headers(fields "201") .. BODY, once = true },
    {
      "HTML",
      "unknown",
      "an HTML page is no answer of this API",
      bytes = with { "content-type", "text/html" },
      short = true,
    },
    {
      "data without end, then the end of the connection",
      "unknown",
      OPEN,
      bytes = HEAD .. data("[]", { open = true }),
      finish = "close",
      short = true,
    },
    {
      "data without end, then a cut",
      "unknown",
      OPEN,
      bytes = HEAD .. data("[]", { open = true }),
      finish = "cut",
      short = true,
    },
    {
      "data without end, then nothing",
      "unknown",
      OPEN,
      bytes = HEAD .. data("[]", { open = true }),
      finish = "stall",
      kind = "timeout",
    },
    {
      "whole length without end, then a cut",
      "accepted",
      "the length was announced and reached",
      bytes = headers(fields("200", { { "content-length", "2" } })) .. data("[]", { open = true }),
      finish = "cut",
    },
    { "head without end, then a cut", "unknown", OPEN, bytes = HEAD, finish = "cut" },
    {
      "head that announces nothing, without end",
      "unknown",
      OPEN,
      bytes = headers(fields("200", { { "content-length", "0" } })),
      finish = "cut",
    },
    {
      "reset without error instead of the end",
      "unknown",
      OPEN,
      bytes = HEAD .. data("[]", { open = true }) .. frames.rst(0),
      short = true,
    },
    {
      "reset with an error instead of the end",
      "unknown",
      OPEN,
      bytes = HEAD .. data("[]", { open = true }) .. frames.rst(2),
    },
    { "cancelled instead of the end", "unknown", OPEN, bytes = HEAD .. data("[]", { open = true }) .. frames.rst(8) },
    { "reset after the head", "unknown", OPEN, bytes = HEAD .. frames.rst(0) },
    { "reset instead of an answer", "unknown", OPEN, bytes = frames.rst(2) },
    { "reset without error instead of an answer", "unknown", OPEN, bytes = frames.rst(0) },
    { "the end instead of an answer", "unknown", GONE, bytes = "", finish = "close" },
    { "a cut instead of an answer", "unknown", GONE, bytes = "", finish = "cut" },
    { "going away with an error", "unknown", GONE, bytes = frames.goaway(1, 2), finish = "close" },
    {
      "going away in the data",
      "unknown",
      GONE,
      bytes = HEAD .. data("[]", { open = true }) .. frames.goaway(1, 0),
      finish = "close",
    },
    {
      "longer than its length",
      "unknown",
      LENGTH,
      bytes = headers(fields("200", { { "content-length", "1" } })) .. BODY,
      short = true,
    },
    {
      "shorter than its length",
      "unknown",
      LENGTH,
      bytes = headers(fields("200", { { "content-length", "3" } })) .. BODY,
      short = true,
    },
    {
      "nothing where a length was announced",
      "unknown",
      LENGTH,
      bytes = headers(fields("200", { { "content-length", "2" } }), LAST),
    },
    {
      "data where none was announced",
      "unknown",
      LENGTH,
      bytes = headers(fields("200", { { "content-length", "0" } })) .. BODY,
    },
    { "length with a plus", "unknown", LENGTH, bytes = with { "content-length", "+2" } },
    { "length that is a list", "unknown", LENGTH, bytes = with { "content-length", "2, 2" } },
    { "empty length", "unknown", LENGTH, bytes = with { "content-length", "" } },
    { "two lengths", "unknown", LENGTH, bytes = with({ "content-length", "2" }, { "content-length", "3" }) },
    { "length of sixteen digits", "unknown", LENGTH, bytes = with { "content-length", "0000000000000002" } },
    { "no status", "unknown", MALFORMED, bytes = only(TYPE), short = true },
    { "two statuses", "unknown", MALFORMED, bytes = only(STATUS, STATUS, TYPE) },
    { "status after a field", "unknown", MALFORMED, bytes = only(TYPE, STATUS) },
    { "status of two digits", "unknown", MALFORMED, bytes = only({ ":status", "20" }, TYPE) },
    { "status of four digits", "unknown", MALFORMED, bytes = only({ ":status", "2000" }, TYPE) },
    { "status with a word", "unknown", MALFORMED, bytes = only({ ":status", "200 OK" }, TYPE) },
    { "a field of requests", "unknown", MALFORMED, bytes = only(STATUS, { ":path", "/" }, TYPE) },
    { "an unknown field with a colon", "unknown", MALFORMED, bytes = only(STATUS, { ":what", "1" }, TYPE) },
    { "capitals in a name", "unknown", MALFORMED, bytes = with { "X-A", "1" }, short = true },
    { "blank in a name", "unknown", MALFORMED, bytes = with { "x a", "1" } },
    { "empty name", "unknown", MALFORMED, bytes = with { "", "1" } },
    { "CR LF in a value", "unknown", MALFORMED, bytes = with { "x-a", "1\r\nx-b: 2" } },
    { "NUL in a value", "unknown", MALFORMED, bytes = with { "x-a", "1\0" } },
    { "connection", "unknown", MALFORMED, bytes = with { "connection", "close" } },
    { "transfer-encoding", "unknown", MALFORMED, bytes = with { "transfer-encoding", "chunked" } },
    {
      "trailer",
      "unknown",
      TRAILER,
      bytes = HEAD .. data("[]", { open = true }) .. headers({ { "x-a", "1" } }, LAST),
      short = true,
    },
    {
      "trailer with a status",
      "unknown",
      TRAILER,
      bytes = HEAD .. data("[]", { open = true }) .. headers({ STATUS }, LAST),
    },
    {
      "trailer without end",
      "unknown",
      TRAILER,
      bytes = HEAD .. data("[]", { open = true }) .. headers { { "x-a", "1" } },
      finish = "close",
      once = true,
    },
    { "trailer without a body", "unknown", TRAILER, bytes = HEAD .. headers({ { "x-a", "1" } }, LAST) },
    {
      "empty trailer",
      "accepted",
      "no field follows the body",
      bytes = HEAD .. data("[]", { open = true }) .. headers({}, LAST),
    },
    { "103 that ends the stream", "unknown", FRAMES, bytes = headers({ { ":status", "103" } }, LAST) },
    {
      "101",
      "unknown",
      FRAMES,
      bytes = headers { { ":status", "101" } } .. HEAD .. BODY,
      finish = "close",
      once = true,
    },
    { "data without a head", "unknown", FRAMES, bytes = BODY },
    { "data before the head", "unknown", FRAMES, bytes = data("[]", { open = true }) .. headers(fields "200", LAST) },
    { "two heads", "unknown", FRAMES, bytes = HEAD .. HEAD .. BODY },
    {
      "answer on stream 3",
      "unknown",
      FRAMES,
      bytes = headers(fields "200", { stream = 3 }) .. data("[]", { stream = 3 }),
      finish = "close",
    },
    {
      "answer on stream 2",
      "unknown",
      FRAMES,
      bytes = headers(fields "200", { stream = 2 }) .. data("[]", { stream = 2 }),
      finish = "close",
    },
    { "data on stream 0", "unknown", FRAMES, bytes = HEAD .. data("[]", { stream = 0 }), finish = "close" },
    {
      "a head that is never completed",
      "unknown",
      FRAMES,
      bytes = headers({ STATUS }, { more = true }) .. BODY,
      finish = "close",
    },
    {
      "a head that cannot be decoded",
      "unknown",
      FRAMES,
      bytes = frames.frame(1, 5, 1, "\255\255\255\255\255\255"),
      finish = "close",
    },
    { "a head that is cut", "unknown", FRAMES, bytes = frames.frame(1, 5, 1, "\0\20abc"), finish = "close" },
    { "more padding than data", "unknown", FRAMES, bytes = HEAD .. frames.frame(0, 9, 1, "\9[]"), finish = "close" },
    {
      "a push",
      "unknown",
      FRAMES,
      bytes = frames.frame(5, 4, 1, "\0\0\0\2" .. frames.block { STATUS }) .. HEAD .. BODY,
      finish = "close",
    },
    { "settings of a wrong size", "unknown", FRAMES, bytes = frames.frame(4, 0, 0, "abc"), finish = "close" },
    { "half of a frame", "unknown", FRAMES, bytes = HEAD .. BODY:sub(1, 10), finish = "cut", short = true },
    {
      "text",
      "unknown",
      FRAMES,
      bytes = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
      finish = "close",
      short = true,
    },
    {
      "early",
      "unknown",
      "the server answered before it had the request",
      early = "part",
      bytes = HEAD .. BODY,
      upload = 300000,
      waits = 0.3, -- libcurl judges it when the upload has ended

      short = true,
    },
    {
      "early, and a reset without error",
      "unknown",
      "the server answered before it had the request",
      early = "part",
      bytes = HEAD .. BODY .. frames.rst(0),
      upload = 300000,
    },
    {
      "early 413 and a reset at once",
      "unknown",
      "libcurl drops such an answer, and so nobody knows",
      early = "part",
      bytes = EARLY_413 .. frames.rst(0),
      upload = 300000,
      contacts = 1,
    },
    {
      "early 413 for one contact",
      "unknown",
      "an early refusal steers, but nobody knows what became of what was sent",
      early = "part",
      play = EARLY_413_RESET,
      upload = 300000,
      contacts = 1,
      kind = "too_large",
      once = true,
    },
    {
      "early 413 for several contacts",
      "accepted",
      "the halves were taken",
      early = "part",
      play = EARLY_413_RESET,
      upload = 300000,
      contacts = 4,
    },
    { "idle: nothing", "accepted", "the connection is used again", idle = {}, reused = true, short = true },
    {
      "idle: an answer",
      "rejected",
      "nobody asked for it",
      idle = { { "send", headers(fields "200", { stream = 3 }) .. data("[]", { stream = 3 }) } },
      have = true,
      short = true,
    },
    {
      "idle: data on the stream that has ended",
      "rejected",
      "nobody asked for it",
      idle = { { "send", data("[]", { stream = 1 }) } },
      have = true,
    },
    {
      "idle: going away",
      "accepted",
      "a connection that ends is not used",
      idle = { { "send", frames.goaway(1, 0) } },
      short = true,
    },
    {
      "idle: going away, then the end",
      "accepted",
      "a connection that has ended is not used",
      idle = { { "send", frames.goaway(1, 0) }, { "close" } },
    },
    { "idle: the end", "accepted", "a connection that has ended is not used", idle = { { "close" } } },
    { "idle: a reset", "accepted", "a connection that has ended is not used", idle = { { "reset" } } },
    { "idle: ping", "accepted", "it only keeps the connection going", idle = { { "send", frames.ping() } } },
    { "idle: settings", "accepted", "they may come at any time", idle = { { "send", frames.settings(3, 50) } } },
  },
}
