-- The table of answers (spec/live/responses) over TLS 1.2 and TLS 1.3, and how an encrypted connection may end.
require "spec.support.response_cases"(
  { describe = describe, it = it, setup = setup, teardown = teardown },
  { "tls12", "tls13" }
)
