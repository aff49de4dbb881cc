---@meta heymarket.system
--- Files, terminals, signals, clocks. Arguments of a wrong type raise an error.
---
--- What fails returns nil, a code and the system's own words for its reason. The code is "system", or one that is named
--- beside the function.

local system = {}

--- Seconds since some moment in the past; they never go back.
---@return number
function system.monotonic() end

--- Seconds since 1970.
---@return number
function system.time() end

--- Blocks for so long, or until a signal comes.
---@param seconds number
function system.sleep(seconds) end

--- A number from 0 up to and without 1, from the system's random bytes.
---@return number
function system.random() end

---@return integer pid of this process
function system.pid() end

---@param file file*
---@return boolean is it a terminal?
function system.isatty(file) end

--- The width of a terminal in characters; nil where the file is none.
---@param file file*
---@return integer?
function system.columns(file) end

--- From the first call on SIGINT, SIGTERM and SIGHUP are counted and SIGPIPE is ignored. The second SIGINT ends the
--- process.
---@param request "count"|"restore"|nil "restore" brings the former handlers back
---@return integer count of signals since the first call
function system.interrupts(request) end

--- Makes an open file its owner's only, and keeps it from programs that are started.
---@param file file*
---@return boolean? done
---@return "not_regular"|"not_owner"|"system"|nil code
---@return string? reason
function system.protect(file) end

--- Keeps an open file, such as a pipe, from programs that are started.
---@param file file*
---@return boolean? done
---@return "system"|nil code
---@return string? reason
function system.close_on_exec(file) end

--- Makes sure that a path is a regular file, and makes an empty one where there is nothing. Waits for no pipe.
---@param path string
---@return boolean? done
---@return "not_regular"|"system"|nil code
---@return string? reason
function system.prepare(path) end

--- The size of an open file, while the path still is that file.
---@param file file*
---@param path string
---@return integer? bytes
---@return "gone"|"replaced"|"system"|nil code
---@return string? reason
function system.size(file, path) end

--- Cuts a file off.
---@param file file*
---@param bytes integer
---@return boolean? done
---@return "system"|nil code
---@return string? reason
function system.truncate(file, bytes) end

--- Waits until what was written is on the disk.
---@param file file*
---@return boolean? done
---@return "system"|nil code
---@return string? reason
function system.sync(file) end

--- Waits until the name of a new file is on the disk.
---@param path string of the file
---@return boolean? done
---@return "system"|nil code
---@return string? reason
function system.sync_directory(path) end

--- Locks a file against other processes and other handles, until it is closed. Does not wait.
---@param file file*
---@return boolean? done
---@return "in_use"|"system"|nil code
---@return string? reason
function system.lock(file) end

--- Which file this is: two names of one file have the same identity, whatever links lead there.
---@param file string|file* a path, or an open file
---@return string? identity
---@return "file"|"directory"|"pipe"|"device"|"system" kind or the code
---@return boolean|string link is the path a symbolic link? or the reason
function system.identity(file) end

--- Copies an open file to a path where nothing is yet. Only the owner can read the copy, and it is on the disk then.
---@param file file*
---@param path string
---@return boolean? done
---@return "exists"|"system"|nil code
---@return string? reason
function system.copy(file, path) end

--- The nanoseconds, within its second, of the time when an open file was last changed. With a second argument it sets
--- that time to now, with these nanoseconds.
---@param file file*
---@param nanoseconds integer? below 10^9
---@return integer|boolean|nil nanoseconds or true where they were set
---@return "system"|nil code
---@return string? reason
function system.nanoseconds(file, nanoseconds) end

return system
