--- The words of all messages, by their codes. How they are filled in is described in messages.lua.

local INSTALL_NGINX = "install nginx with its Lua module (Debian: apt-get install nginx libnginx-mod-http-lua), or "
  .. "OpenResty"

local catalogue = {
  -- URLs and malformed answers ------------------------------------------------------------------------------------

  bodiless_response_with_body = "a response that has no body announces one",
  body_before_head = "a body came before the head of the response was complete",
  bytes_after_response = "more bytes came than the response announced",
  bytes_before_request = "the server sent something before it got a request",
  chunk_extension_malformed = "a chunk of the response has a malformed extension",
  chunk_size_malformed = "a chunk of the response has a malformed size",
  chunk_too_long = "a chunk of the response is longer than its size",
  content_encoding_unasked = "the response has a Content-Encoding that was not asked for",
  header_malformed = "the response has a malformed header line",
  header_with_line_break = "the header {detail} of the request holds a line break or a NUL byte",
  header_without_name = 'the header {detail} of the request is not of the form "Name: value"',
  header_without_value = "the header {detail} of the request has no value",
  http2_session_broke = "the HTTP/2 session broke before the response was complete",
  interim_response_with_body = "an interim response announces a body",
  last_chunk_malformed = "the last chunk of the response is malformed",
  length_and_transfer_encoding = "the response has both a Content-Length and a Transfer-Encoding",
  length_malformed = "the Content-Length of the response is malformed",
  length_missing = "the response does not say where its body ends",
  length_twice = "the response has two Content-Length headers",
  line_end_malformed = "a header line of the response does not end with CRLF",
  method_malformed = "the method is not an HTTP method",
  no_thread = "the thread that sends requests cannot be started",
  out_of_memory = "there is not enough memory",
  proxy_leaves_machine = "plain http must not go through a proxy on another machine: use https",
  proxy_scheme_unknown = "a proxy is reached with http, https, socks4 or socks5",
  request_not_repeated = "the connection was lost before a response came, and the request was not repeated",
  response_before_request = "a response came before the request was sent",
  response_before_request_end = "a response came before the whole request was sent",
  response_incomplete = "the connection ended before the response was complete",
  response_too_long = "the response is longer than this client takes",
  status_impossible = "the response has a status that no response to this request can have",
  status_line_malformed = "the status line of the response is malformed",
  too_many_files = "too many files are open",
  trailers = "the response has trailers after its body",
  transfer_encoding_twice = "the response has two Transfer-Encoding headers",
  transfer_encoding_unasked = "the response has a Transfer-Encoding that was not asked for",
  url_leaves_machine = "plain http is for this machine only (localhost, 127.0.0.1 or ::1): the token would cross the "
    .. "network unprotected; use https://",
  url_not_https = "only https:// can be used",
  url_start_malformed = "it does not begin as https://host does",
  url_unreadable = "libcurl cannot read it: {detail}",
  url_with_odd_characters = "it holds a blank, a control character, a letter beyond ASCII, a backslash, a query or a "
    .. "fragment",
  url_with_password = "it must not hold a user name or a password",
  url_without_host = "it has no host",
  url_without_port = "it has no usable port",
  url_without_scheme = "it has no scheme",

  -- Several mistakes at once ------------------------------------------------------------------------------------

  invalid = "{first}[ (and {more} more, see issues)]",

  -- Options and reports -----------------------------------------------------------------------------------------

  internal_error = "an error inside heymarket stopped the call: {raised}",
  interrupted = "interrupted",
  no_memory = "memory ran out, so the call stopped",
  refused = "the server listed {count} {count?contact|contacts} as not created, and nothing shows that "
    .. "{count?it exists|they exist}",
  refused_overwriting = "the server listed {count} {count?contact|contacts} as not created or overwritten, and nothing "
    .. "shows that {count?it exists|they exist}",

  option_base_url = "must be a URL such as https://api.heymarket.com[: {problem}]",
  option_body = "must be a string or a table",
  option_boolean = "must be true or false",
  option_control = "must not hold a line break or another control character",
  option_country = {
    library = 'must be a region of two letters, such as "DE", the digits of a calling code as a string, such as "49", '
      .. "or false",
    command = "must be a region of two letters, such as DE, the digits of a calling code, such as 49, or none",
  },
  option_credentials_twice = "cannot be given beside {option:secret_id} or {option:secret_key}: it stands in their "
    .. "place",
  option_custom_fields = "must be an array of {id = integer, title = string}",
  option_delimiter = "must be a comma, a semicolon, a tab or |, as the character or by its name (comma, semicolon, "
    .. "tab, pipe)",
  option_encoding = "must be the name of an encoding as iconv knows it, such as windows-1252 (iconv -l lists them)",
  option_headers = "must be a table of header names and values, without Content-Length",
  option_loop = 'must be "luv", "cqueues", or a table with a function wait(fd, seconds)',
  option_loop_lua51 = "needs coroutines that can wait inside of pcall, which Lua 5.1 does not have: use Lua 5.2 or "
    .. "later, or LuaJIT",
  option_loop_missing = "names a library that cannot be loaded: install {name} for this Lua (Debian: apt-get install "
    .. "lua-{name})",
  option_map = "must have names of columns as keys and names of fields as values, or be an array of {column, field}",
  option_missing = {
    library = "is missing: give it to heymarket.new, or set {variable} in the environment",
    command = "is missing: set it in the environment",
  },
  option_names = "must be an array of strings",
  option_one_of = "must be one of {words}",
  option_phone = "must be a phone",
  option_proxy = "must be a proxy such as http://127.0.0.1:3128[: {problem}]",
  option_proxy_leaves_machine = "is on another machine, and {option:base_url} is plain http: the token would cross the "
    .. "network unprotected",
  option_rate = {
    library = "must be a whole number, at least 1[ and at most {high}], or false for no limit",
    command = "must be a whole number, at least 1[ and at most {high}], or off for no limit",
  },
  option_region = '"{region}" is no region that libphonenumber knows[; did you mean "{nearest}"?]',
  option_region_library = {
    library = 'needs libphonenumber to read numbers of the region "{region}": install the Debian package '
      .. "lua-heymarket-phonenumber or the rock heymarket-phonenumber. A calling code, such as "
      .. '"49", works without it',
    command = 'needs libphonenumber to read numbers of the region "{region}": install the Debian package '
      .. "lua-heymarket-phonenumber or the rock heymarket-phonenumber. A calling code, such as 49, works without it",
  },
  option_retry_after = "must be true, false or seconds",
  option_retry_after_header = "must be seconds or a date",
  option_seconds = "must be a number of seconds from {low} to {high}",
  option_shared_dict = "names no lua_shared_dict: declare it in nginx.conf (outside nginx there is none)",
  option_string = "must be a string that is not empty",
  option_times = "must be a whole number of requests, 1 or more",
  option_type = "must be a {wanted}, not a {given}",
  option_unknown = 'is not an option here[; did you mean "{nearest}"?]',
  option_whole = "must be a whole number[ of {unit}][ from {low} to {high}][, at least {least}]",

  -- nginx phases and event loops --------------------------------------------------------------------------------

  cqueues_not_running = "cqueues does not run here: make the call in a function that a controller was given with wrap",
  loop_needs_coroutine = "with {option:loop} a call waits as a coroutine does, and this is none: make it in a "
    .. "coroutine that the loop resumes",
  nginx_cannot_wait = "nginx cannot wait in the {phase} phase: make the call in rewrite, access, content or a timer; "
    .. "from here, ngx.timer.at(0, …) starts one",

  -- Sending -----------------------------------------------------------------------------------------------------

  advise_address = "check {option:base_url}",
  advise_certificate = "check the certificate of {option:base_url}, or give the right {option:ca_file}",
  advise_ca_file = "check {option:ca_file}",
  advise_client_certificate = "check the certificate",
  advise_cipher = "the server offers no acceptable cipher",
  advise_function = "check what the function credentials gives, and this machine's clock",
  advise_keys = "check {option:secret_id}, {option:secret_key} and this machine's clock",
  advise_user_agent = "check {option:user_agent} and {option:base_url}",
  bad_data = "the server refused the data[: {words}]",
  connection_broke = "the connection broke before the response was complete[: {words}][; {advice}]",
  connection_timeout = "connection timed out",
  consecutive_failures = "stopped after {count} tries in a row without a usable response; the last: {last}",
  client_closed = "the client was closed during the call",
  credentials_not_given = "the function credentials gave no credentials[: {words}]",
  credentials_raised = "the function credentials raised an error[ at {place}]; its words are not shown, since they "
    .. "could hold the key",
  credentials_within = "the function credentials uses the client that it is to give credentials for",
  credentials_wrong = "the function credentials must return two strings, secret_id and secret_key: its {name} "
    .. "{problem}",
  deadline_passed = "the deadline of {seconds} s has passed",
  denied = "the credentials are valid but give no access to this: check the rights of the API key's team[: {words}]",
  no_such_call = "there is no such call at this address (status {status}): check {option:base_url}[: {words}]",
  no_time_for_pace = "the deadline of {seconds} s leaves no time: the pace of {limit} {limit?request|requests} a "
    .. "minute ({option:requests_per_minute}) allows the next one in {wait} s",
  no_time_for_pause = "the deadline of {seconds} s leaves no time: the server has asked for fewer requests (429), and "
    .. "the next one may start in {wait} s",
  no_time_for_retry = "the deadline of {seconds} s leaves no time for another try; the last: {last}",
  rate_limited = "too many requests[: {words}]",
  rate_limited_too_long = {
    library = "the server asks to wait {asked} s, longer than the {limit} s that are waited for: call again after that"
      .. "[: {words}]",
    command = "the server asks to wait {asked} s, longer than the {limit} s that are waited for: give the same command "
      .. "again after that[: {words}]",
  },
  outage = "the server gave no usable response for {seconds} s, and it is not waited for any longer "
    .. "({option:max_outage}); the last: {last}",
  probe_given_up = "the call ended before a response came",
  redirected = "the server redirects, which this API does not do: check {option:base_url}[: {words}]",
  request_timeout = "the server gave up waiting for the request[: {words}]",
  response_breaks_http2 = "the response breaks the rules of HTTP/2",
  response_encoded = "the response is encoded in a way that was not asked for",
  response_headers_too_large = "the headers of the response are larger than this client takes",
  response_is_page = "the response is a web page, not one of this API: check {option:base_url} and {option:proxy}",
  response_malformed = "the response is not one whole and well-formed HTTP response to this request[: {words}]",
  response_not_http = "the response is not HTTP",
  response_timeout = "no response came in time",
  response_too_large = "the response is larger than this client takes",
  server = "the server failed[: {words}]",
  should_stop_raised = "should_stop raised an error: {raised}",
  stopped_on_request = "stopped on request",
  too_large = "the request is too large for the server[: {words}]",
  transport_lost_request = "the transport lost the request",
  unauthorized = "the credentials were not accepted: {advice}[: {words}]",
  unexpected_status = "the server responded with status {status}, which this API does not give[: {words}]",
  unreachable = "the server was not reached[: {words}][; {advice}]",

  -- Answers -----------------------------------------------------------------------------------------------------

  not_json = "the response is not JSON: {why}",
  not_a_batch_response = 'the response is neither an array of contacts nor "ok"',
  not_a_list = "the response is no list of {what}: check {option:base_url}",
  not_an_object = "the response is no object with {what}: check {option:base_url}",
  pages_repeat = "the server gave the same page of {what} again, so the list cannot be read to its end",
  shows_token = "the response shows the token that was sent, so its contents are not used",
  too_many_pages = "the list of {what} has more than {pages} pages",
  unmatched_contacts = "the response lists {count} {count?contact|contacts} that {count?matches|match} no phone of the "
    .. "request, so nobody knows which were refused",

  -- Journal -----------------------------------------------------------------------------------------------------

  journal_damaged = "line {line} of the journal {path} is damaged, although it had reached the disk: somebody changed "
    .. "the file, or the disk fails; restore the journal, or import what is left with a new one",
  journal_gone = "the import stopped, because its journal {path} was deleted while it was in use",
  journal_in_use = "another import is using the journal {path}",
  journal_moved = "the journal {path} was changed while it was in use: a line is not where it was",
  journal_not_found = "the import stopped, because its journal {path} cannot be found any more: {problem}",
  journal_not_opened = "cannot open the journal {path}: {problem}",
  journal_not_private = "cannot make the journal {path} readable by its owner only: {problem}",
  journal_not_regular = "cannot use {path} as a journal: it is not a plain file",
  journal_old_version = "the journal {path} was made by heymarket 0.1, whose journals (version 1) hold too little to "
    .. "resume from; import what is left with a new journal",
  journal_other_format = "{path} is not a journal of this version of heymarket, and was left as it is",
  journal_other_input = "this journal was made from another input (it differs at contact {index} or before): use the "
    .. "same input, or another journal",
  journal_other_options = "the journal {path} was made with another {options:names}: use the same options, or another "
    .. "journal",
  journal_replaced = "the import stopped, because another file stands in the place of its journal {path}",
  journal_resized = "the import stopped, because its journal {path} was changed while it was in use: it has {size} "
    .. "bytes instead of {expected}",
  journal_sync_failed = "the import stopped, because its journal {path} did not reach the disk: {problem}",
  journal_unreadable = "cannot read the journal {path}: an answer in it is not JSON",
  journal_write_failed = "the import stopped, because its journal {path} could not be written: {problem}; make room "
    .. "and run the import again",
  superseded = "not sent again, because an earlier run had a later contact of the same phone accepted, which this "
    .. "older one would overwrite",

  -- Imports -----------------------------------------------------------------------------------------------------

  before_that = "{first}; before that: {before}",
  hole_in_array = "is missing: the array has a hole",
  hook_raised = "{hook} raised an error: {raised}",
  max_failures = "stopped after {count} contacts that were not accepted ({option:max_failures})",
  not_an_array = "is not the number of a contact: expected an array of contacts, so wrap a single one as "
    .. "{ {phone = …} }",
  not_sent_with_invalid = "not sent, because another contact or an option is invalid: see the issues of the call's "
    .. "failure",
  refused_alike = "stopped: {count} requests in a row were refused alike and none was accepted, so the fault is most "
    .. "likely not the contacts'; the last: {last}",
  source_failed = "reading the contacts failed: {raised}",

  -- Client ------------------------------------------------------------------------------------------------------

  client_is_closed = "this client is closed: make a new one",

  -- Sandbox -----------------------------------------------------------------------------------------------------

  nginx_core = "the sandbox runs in nginx's LuaJIT, and the C modules for it were not found: build them for LuaJIT or "
    .. "Lua 5.1 too, or set HEYMARKET_SANDBOX_CPATH to where they are, such as /usr/local/lib/lua/5.1/?.so",
  nginx_ended = "nginx has ended",
  nginx_folder = "no folder could be made for nginx: check TMPDIR",
  nginx_missing = "the sandbox is served by nginx, which was not found: " .. INSTALL_NGINX,
  nginx_not_started = "nginx did not start: {problem}",
  nginx_port_taken = "no free port was found[: port {port} is taken, choose another one or leave it out]",
  nginx_without_lua = "nginx is here ({program}), but without its Lua module: " .. INSTALL_NGINX,

  -- Command line ------------------------------------------------------------------------------------------------

  column_like_opt_out = "{column} looks like is_opted_out: give it with --map, or name it with --ignore",
  columns_of_product = "The file is an export of {product}.",
  edit_not_kept = "the failures file stays as it is: it was edited, and could not be kept as {path}: {reason}",
  failures_is_journal = "the failures file and the journal must be two files",
  output_cut = "it was cut while the import ran",
  output_in_use = "the failures file {path} is in use by another import",
  output_is_input = "the {file} {path} is the input itself",
  output_not_private = "the failures file {path} cannot be made readable by its owner only: {reason}",
  output_other_file = "the failures file {path} holds something else: its last columns are not _row, _outcome, _field "
    .. "and _message. It stays as it is; choose another name",
  output_removed = "it was removed while the import ran",
  output_replaced = "it was replaced by another file while the import ran",
  output_not_plain = "it is not a plain file",
  output_unopened = "the failures file cannot be opened: {reason}",
  output_unprepared = "the failures file {path} cannot be opened: {reason}",
  output_unwritten = "the failures file {path} could not be written, so the import stopped: {reason}",
  waits_answer = "waiting for an answer since {time}",
  waits_answer_short = "no answer since {time}",
  waits_outage = "the server does not answer since {time}[, next try in {next}]",
  waits_outage_short = "no answer since {time}[, next in {next}]",
  waits_pace = "waiting for the pace {time}",
  waits_pace_short = "the pace: {time}",
  waits_retry = "next try in {time}",
  waits_retry_short = "next in {time}",
  waits_throttled = "the server wants fewer requests, waiting {time}",
  waits_throttled_short = "slowed down (429) {time}",
  row_ambiguous = "(perhaps created by an earlier try, of this run or of the one before)",
  row_exists = "it exists in the account already and was left as it was; {option:overwrite} replaces it",
  row_exists_ambiguous = "it exists in the account, perhaps created by an earlier try, of this run or of the one "
    .. "before; then nothing is to be done",
  row_rejected = "the server listed it as not created, and nothing shows that it exists; it gives no reason"
    .. "[ {ambiguous}]",
  row_rejected_overwriting = "the server listed it as not created or overwritten; it gives no reason[ {ambiguous}]",
  summary_existing = "of them {count?exists already and was left as it was (--overwrite replaces it)|"
    .. "exist already and were left as they were (--overwrite replaces them)}",
  summary_doubtful = "In {rows} the phone is in no range of numbers that libphonenumber knows. Its list may be older "
    .. "than the number, so {count?this was|these were} not held back.",
  summary_footer = "{rows} behind the contacts {count?is|are} about the report, and {count?was|were} passed over.",
  summary_opt_ins = "In {rows} is_opted_out is false. That was left out, because it may undo an opt-out that the "
    .. "person sent by text; --allow-opt-in sends it.",
  summary_opt_outs = "In {rows} is_opted_out is true and the contact existed or may have existed: they may still get "
    .. "messages. Opt them out with --overwrite, or in the account.",
  summary_refused = "of them refused: nothing shows that {count?it exists|they exist}",
  summary_repeated = "{rows} {count?has|have} the phone of an earlier row. They would be sent in the order of the "
    .. "file. By the first row of each phone:",
  summary_repeated_partial = "Only the first 1,000,000 phones were compared.",
  summary_resumes = "To go on, give the same command again: the journal {journal} knows what is done, and failed, "
    .. "unknown and unsent rows are sent again.",
  summary_resumes_file = "{failures} has the rows that were not accepted so far: correct it when the import is "
    .. "complete.",
  summary_same_input = "Its input has to be the same.",
  summary_without_limit = "The command is without --max-failures, which counts the rows of earlier runs as well:",
  summary_sends_again = "To send failed and unknown rows again as they are, give the same command again: the journal "
    .. "{journal} knows what is done.",
}

for code, words in pairs(require "heymarket.catalogue_input") do
  catalogue[code] = words
end

return catalogue
