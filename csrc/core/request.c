/* See url.h. */
#include "request.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void set_problem(struct problem *problem, const char *code, const char *message) {
    problem->code = code;
    snprintf(problem->message, sizeof problem->message, "%s", message);
}

static bool loopback(const char *host) {
    struct in_addr four;
    struct in6_addr six;
    char bare[64];
    size_t length = strlen(host);
    if (strcasecmp(host, "localhost") == 0) {
        return true;
    }
    if (inet_pton(AF_INET, host, &four) == 1) {
        return ntohl(four.s_addr) >> 24 == 127;
    }
    if (length < 3 || length - 2 >= sizeof bare || host[0] != '[' || host[length - 1] != ']') {
        return false;
    }
    memcpy(bare, host + 1, length - 2);
    bare[length - 2] = '\0';
    return inet_pton(AF_INET6, bare, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

/* What programs read in different ways: blanks, control characters, bytes beyond ASCII, and the
 * signs that end or divide a URL. */
static bool plain_text(const char *text, size_t length, const char *refused) {
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c <= ' ' || c >= 0x7F || strchr(refused, c) != NULL) {
            return false;
        }
    }
    return true;
}

static bool has_part(CURLU *url, CURLUPart part) {
    char *text = NULL;
    bool there = curl_url_get(url, part, &text, 0) == CURLUE_OK;
    curl_free(text);
    return there;
}

static bool is_scheme(const char *scheme, const char *const *names) {
    for (; *names != NULL; names++) {
        if (strcasecmp(scheme, *names) == 0) {
            return true;
        }
    }
    return false;
}

/* Port 0 is the only one that libcurl's parser lets pass and nobody can listen on. */
static bool usable_port(CURLU *url) {
    char *port = NULL;
    bool usable =
        curl_url_get(url, CURLUPART_PORT, &port, 0) != CURLUE_OK || strtol(port, NULL, 10) > 0;
    curl_free(port);
    return usable;
}

/* Letters, digits, dots, hyphens, underscores; or an address in brackets. */
static bool usable_host(const char *host) {
    static const char signs[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
    return host[0] == '[' || host[strspn(host, signs)] == '\0';
}

static void judge_parts(CURLU *url, enum url_purpose purpose, struct url_facts *facts,
                        struct problem *problem) {
    static const char *const web[] = {"https", "http", NULL};
    static const char *const proxies[] = {"http",   "https",   "socks4", "socks4a",
                                          "socks5", "socks5h", "socks",  NULL};
    char *scheme = NULL;
    char *host = NULL;
    bool proxy = purpose == URL_PROXY;
    if (curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK) {
        set_problem(problem, "URL_MALFORMAT", "it has no scheme");
    } else if (!is_scheme(scheme, proxy ? proxies : web)) {
        set_problem(problem, "UNSUPPORTED_PROTOCOL",
                    proxy ? "a proxy is reached with http, https, socks4 or socks5"
                          : "only https:// can be used");
    } else if (curl_url_get(url, CURLUPART_HOST, &host, 0) != CURLUE_OK || !usable_host(host)) {
        set_problem(problem, "URL_MALFORMAT", "it has no host");
    } else if (!usable_port(url)) {
        set_problem(problem, "URL_MALFORMAT", "it has no usable port");
    } else if (!proxy && (has_part(url, CURLUPART_USER) || has_part(url, CURLUPART_PASSWORD) ||
                          has_part(url, CURLUPART_OPTIONS))) {
        set_problem(problem, "URL_MALFORMAT", "it must not hold a user name or a password");
    } else {
        facts->secure = strcasecmp(scheme, "https") == 0;
        facts->loopback = loopback(host);
        if (!proxy && !facts->secure && !facts->loopback) {
            set_problem(
                problem, "UNSUPPORTED_PROTOCOL",
                "plain http is for this machine only (localhost, 127.0.0.1, [::1]): the token "
                "would cross the network in the open; use https://");
        }
    }
    curl_free(scheme);
    curl_free(host);
}

/* libcurl forgives a missing or a third slash, and then takes the path for the host; and it decodes
 * the name of a host. */
static bool plain_start(const char *text) {
    const char *start = strstr(text, "://");
    return start != NULL && start[3] != '/' && start[3 + strcspn(start + 3, "/%")] != '%';
}

bool check_url(const char *text, size_t length, enum url_purpose purpose, struct url_facts *facts,
               struct problem *problem) {
    *facts = (struct url_facts){false, false};
    if (!plain_text(text, length, purpose == URL_REQUEST ? "\\#" : "\\#?")) {
        set_problem(problem, "URL_MALFORMAT",
                    "it holds a blank, a control character, a letter beyond ASCII, a backslash, a "
                    "query or a fragment");
        return false;
    }
    if (purpose == URL_BASE && !plain_start(text)) {
        set_problem(problem, "URL_MALFORMAT", "it does not begin as https://host does");
        return false;
    }
    CURLU *url = curl_url();
    unsigned int flags = purpose == URL_PROXY ? CURLU_NON_SUPPORT_SCHEME | CURLU_GUESS_SCHEME : 0;
    CURLUcode result =
        url != NULL ? curl_url_set(url, CURLUPART_URL, text, flags) : CURLUE_OUT_OF_MEMORY;
    if (result == CURLUE_OUT_OF_MEMORY) {
        set_problem(problem, "OUT_OF_MEMORY", "not enough memory for the URL");
    } else if (result == CURLUE_UNSUPPORTED_SCHEME) {
        set_problem(problem, "UNSUPPORTED_PROTOCOL", "only https:// can be used");
    } else if (result != CURLUE_OK) {
        problem->code = "URL_MALFORMAT";
        snprintf(problem->message, sizeof problem->message, "the URL cannot be read: %s",
                 curl_url_strerror(result));
    } else {
        judge_parts(url, purpose, facts, problem);
    }
    curl_url_cleanup(url);
    return problem->code == NULL;
}

bool clean_text(const char *text, size_t length) {
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\r' || text[i] == '\n' || text[i] == '\0') {
            return false;
        }
    }
    return true;
}

/* Length of the leading token, in the sense of HTTP. */
size_t token_length(const char *text) {
    return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                        "!#$%&'*+-.^_`|~");
}

bool check_header(const char *header, size_t length, int index, struct problem *problem) {
    size_t name = token_length(header);
    const char *mistake = NULL;
    if (!clean_text(header, length)) {
        mistake = "holds a line break or a NUL byte";
    } else if (name == 0 || header[name] != ':') {
        mistake = "is not of the form \"Name: value\"";
    } else if (strspn(header + name + 1, " \t") == length - name - 1) {
        mistake = "has no value";
    }
    if (mistake == NULL) {
        return true;
    }
    problem->code = "BAD_FUNCTION_ARGUMENT";
    /* Never the value: it may be a secret. Text without a colon may be a bare value, too. */
    if (name > 0 && name <= 64 && header[name] == ':') {
        snprintf(problem->message, sizeof problem->message, "the header %.*s %s", (int)name, header,
                 mistake);
    } else {
        snprintf(problem->message, sizeof problem->message, "header number %d %s", index, mistake);
    }
    return false;
}

/* check_url(text, "base_url" | "proxy") -> secure, loopback | nil, code, message */
static int url_check(lua_State *L) {
    static const char *const purposes[] = {"base_url", "proxy", NULL};
    size_t length;
    struct url_facts facts;
    struct problem problem = {NULL, ""};
    const char *text = luaL_checklstring(L, 1, &length);
    enum url_purpose purpose = luaL_checkoption(L, 2, NULL, purposes) == 0 ? URL_BASE : URL_PROXY;
    core_setup(L);
    if (!check_url(text, length, purpose, &facts, &problem)) {
        lua_pushnil(L);
        lua_pushstring(L, problem.code);
        lua_pushstring(L, problem.message);
        return 3;
    }
    lua_pushboolean(L, facts.secure);
    lua_pushboolean(L, facts.loopback);
    return 2;
}

void core_open_url(lua_State *L) {
    static const luaL_Reg functions[] = {{"check_url", url_check}, {NULL, NULL}};
    compat_setfuncs(L, functions);
}
