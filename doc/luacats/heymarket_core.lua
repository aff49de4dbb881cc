---@meta heymarket.core
--- Signing, and HTTP transfers over libcurl. Arguments of a wrong type raise an error.

local core = {}

---@class heymarket.Signer closed by the garbage collector, too; the key is in guarded memory
local Signer = {}

--- Makes a JSON Web Token.
---@param seconds number whole seconds since 1970, below 2^53
---@return string token
function Signer:sign(seconds) end

--- Wipes the key. Every later call raises an error; `close` may be called again.
function Signer:close() end

---@param id string the secret id, not empty
---@param key string the secret key, not empty
---@return heymarket.Signer
function core.signer(id, key) end

---@class heymarket.PoolOptions
---@field max_body integer? bytes of a response's body; 8 MiB
---@field max_header integer? bytes of all headers of a response; 256 KiB
---@field max_age integer? seconds for which an idle connection is kept; 50
---@field ca_file string? certificates to trust, and no others
---@field proxy string?
---@field user_agent string?

---@class heymarket.PoolResult
---@field id integer
---@field code string? libcurl's name of an error, without CURLE_; nil where the response can be trusted
---@field problem string? a code of heymarket.messages for what is wrong with the response
---@field message string? libcurl's own words, where there is no `problem`
---@field status integer? of the final response, also of one that cannot be trusted
---@field headers string the header lines of the final response, with the status line; "" without one
---@field body string beside an error its first 2 KiB
---@field sent boolean may the request have reached the server?
---@field early boolean was the response sent before the whole request had arrived?
---@field new_connection boolean
---@field elapsed number seconds
---@field http_version number? 1.0, 1.1, 2 or 3
---@field received integer bytes

---@class heymarket.Inbox where the results of transfers arrive that the thread runs; nothing here blocks
local Inbox = {}

--- The next result; nil where none is there.
---@return heymarket.PoolResult?
function Inbox:take() end

--- A descriptor that is readable when results are there.
---@return integer? fd nil where too many files are open
function Inbox:descriptor() end

--- Makes the descriptor unreadable until more results come. To be called before `take`.
function Inbox:clear() end

--- Makes the descriptor readable, as if a result had come.
function Inbox:ring() end

--- Listens on a unix socket of its own. Who connects reads a byte when results come. `accept` must follow.
---@return string? path nil where no folder can be written
function Inbox:listen() end

--- Takes the connection, and removes the path.
---@return boolean is_connected
function Inbox:accept() end

--- Drops the results that are there, and those that come. Every later call raises an error but `close`.
function Inbox:close() end

---@return heymarket.Inbox
function core.inbox() end

---@class heymarket.Pool connections and the transfers on them; nothing here blocks but `wait`
local Pool = {}

--- Starts a request.
---@param method string
---@param url string https, or http to this machine
---@param headers string[] lines of the form "Name: value"
---@param body string? nil: none
---@param timeout number seconds for all of it, above 0
---@param connect_timeout number seconds, above 0
---@param id integer? names the transfer; without it the pool numbers it
---@param inbox heymarket.Inbox? the thread runs the transfer, and its result goes there
---@return integer? id
---@return string? code libcurl's name of the error
---@return string? detail a value for the words of `problem`; libcurl's own words where there is no problem
---@return string? problem a code of heymarket.messages
function Pool:start(method, url, headers, body, timeout, connect_timeout, id, inbox) end

--- Does what can be done without waiting.
---@return integer running number of transfers that run
function Pool:perform() end

--- Blocks until something can be done, a signal comes, or for so long.
---@param seconds number
function Pool:wait(seconds) end

--- The next result; nil where no transfer has ended.
---@return heymarket.PoolResult?
function Pool:take() end

--- Ends a transfer without a result.
---@param id integer
---@return boolean was_running
function Pool:cancel(id) end

---@return integer running
function Pool:running() end

--- Closes all connections. Every later call raises an error; `close` may be called again.
function Pool:close() end

---@param options heymarket.PoolOptions?
---@return heymarket.Pool
function core.pool(options) end

--- Looks at a URL as libcurl reads it. No part of it is repeated, since it may hold a password.
---@param url string
---@param purpose "base_url"|"proxy"
---@return boolean? secure is it https? nil: it cannot be used
---@return boolean|string loopback is it this machine? or a code of heymarket.messages
---@return string? detail a value for the words of the code
function core.check_url(url, purpose) end

--- Reads the date of an HTTP header, in any of the three forms.
---@param text string
---@return integer? seconds since 1970; nil where it is no date
function core.parse_date(text) end

--- Counts what is open in this process.
---@return {signers: integer, pools: integer, transfers: integer}
function core.open_handles() end

return core
