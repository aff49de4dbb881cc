-- The table of answers (spec/live/responses) over HTTP/2: its frames, and the bodies.
require "spec.support.response_cases"(
  { describe = describe, it = it, setup = setup, teardown = teardown },
  { "h2_tls12", "h2_tls13" }
)
