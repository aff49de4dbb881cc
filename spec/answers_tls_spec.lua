-- The table of answers (spec/answers) over TLS 1.2 and TLS 1.3, and how an encrypted connection may end.
require "spec.support.answer_cases"(
  { describe = describe, it = it, setup = setup, teardown = teardown },
  { "tls12", "tls13" }
)
