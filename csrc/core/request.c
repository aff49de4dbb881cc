/* See request.h. */
#include "request.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define LETTERS_AND_DIGITS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

bool fail(struct problem *problem, const char *curl, const char *code) {
    problem->curl = curl;
    problem->code = code;
    return false;
}

static bool is_loopback(const char *host) {
    struct in_addr four;
    struct in6_addr six;
    char address[64];
    if (inet_pton(AF_INET, host, &four) == 1) {
        return ntohl(four.s_addr) >> 24 == 127;
    }
    return strcasecmp(host, "localhost") == 0 ||
           (sscanf(host, "[%63[^]]]", address) == 1 && inet_pton(AF_INET6, address, &six) == 1 &&
            IN6_IS_ADDR_LOOPBACK(&six));
}

/* Not every program reads blanks, control characters, bytes beyond ASCII and these signs alike. */
static bool is_plain(const char *text, size_t length, const char *refused_signs) {
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c <= ' ' || c >= 0x7F || strchr(refused_signs, c) != NULL) {
            return false;
        }
    }
    return true;
}

static bool has_part(CURLU *url, CURLUPart part) {
    char *text = NULL;
    bool found = curl_url_get(url, part, &text, 0) == CURLUE_OK;
    curl_free(text);
    return found;
}

static bool is_among(const char *word, const char *const *words) {
    while (*words != NULL && strcasecmp(word, *words) != 0) {
        words++;
    }
    return *words != NULL;
}

/* Port 0 is the only port that libcurl's parser accepts and nobody can listen on. */
static bool has_usable_port(CURLU *url) {
    char *port = NULL;
    bool usable =
        curl_url_get(url, CURLUPART_PORT, &port, 0) != CURLUE_OK || strtol(port, NULL, 10) > 0;
    curl_free(port);
    return usable;
}

/* Letters, digits, dots, hyphens, underscores; or an address in brackets. */
static bool is_host(const char *host) {
    return host[0] == '[' || host[strspn(host, LETTERS_AND_DIGITS ".-_")] == '\0';
}

static bool check_scheme(const char *scheme, enum url_purpose purpose, struct problem *problem) {
    static const char *const web[] = {"https", "http", NULL};
    static const char *const proxies[] = {"http",   "https",   "socks4", "socks4a",
                                          "socks5", "socks5h", "socks",  NULL};
    if (scheme == NULL) {
        return fail(problem, "URL_MALFORMAT", "url_without_scheme");
    }
    return is_among(scheme, purpose == URL_PROXY ? proxies : web) ||
           fail(problem, "UNSUPPORTED_PROTOCOL",
                purpose == URL_PROXY ? "proxy_scheme_unknown" : "url_not_https");
}

static bool check_parts(CURLU *url, const char *scheme, const char *host, enum url_purpose purpose,
                        struct url_facts *facts, struct problem *problem) {
    if (!check_scheme(scheme, purpose, problem)) {
        return false;
    } else if (host == NULL || !is_host(host)) {
        return fail(problem, "URL_MALFORMAT", "url_without_host");
    } else if (!has_usable_port(url)) {
        return fail(problem, "URL_MALFORMAT", "url_without_port");
    }
    facts->secure = strcasecmp(scheme, "https") == 0;
    facts->loopback = is_loopback(host);
    if (purpose == URL_PROXY) {
        return true;
    } else if (has_part(url, CURLUPART_USER) || has_part(url, CURLUPART_PASSWORD) ||
               has_part(url, CURLUPART_OPTIONS)) {
        return fail(problem, "URL_MALFORMAT", "url_with_password");
    }
    return facts->secure || facts->loopback ||
           fail(problem, "UNSUPPORTED_PROTOCOL", "url_leaves_machine");
}

/* libcurl accepts a missing or a third slash, and then takes the path for the host; and it decodes
 * the name of a host. */
static bool has_plain_start(const char *text) {
    const char *start = strstr(text, "://");
    return start != NULL && start[3] != '/' && start[3 + strcspn(start + 3, "/%")] != '%';
}

static bool parse_url(CURLU *url, const char *text, enum url_purpose purpose,
                      struct problem *problem) {
    unsigned int flags = purpose == URL_PROXY ? CURLU_NON_SUPPORT_SCHEME | CURLU_GUESS_SCHEME : 0;
    CURLUcode result =
        url != NULL ? curl_url_set(url, CURLUPART_URL, text, flags) : CURLUE_OUT_OF_MEMORY;
    if (result == CURLUE_OUT_OF_MEMORY) {
        return fail(problem, "OUT_OF_MEMORY", "out_of_memory");
    } else if (result == CURLUE_UNSUPPORTED_SCHEME) {
        return fail(problem, "UNSUPPORTED_PROTOCOL", "url_not_https");
    } else if (result != CURLUE_OK) {
        snprintf(problem->detail, sizeof problem->detail, "%s", curl_url_strerror(result));
        return fail(problem, "URL_MALFORMAT", "url_unreadable");
    }
    return true;
}

bool check_url(const char *text, size_t length, enum url_purpose purpose, struct url_facts *facts,
               struct problem *problem) {
    char *scheme = NULL, *host = NULL;
    *facts = (struct url_facts){false, false};
    if (!is_plain(text, length, purpose == URL_REQUEST ? "\\#" : "\\#?")) {
        return fail(problem, "URL_MALFORMAT", "url_with_odd_characters");
    } else if (purpose == URL_BASE && !has_plain_start(text)) {
        return fail(problem, "URL_MALFORMAT", "url_start_malformed");
    }
    CURLU *url = curl_url();
    bool ok = parse_url(url, text, purpose, problem);
    if (ok) {
        curl_url_get(url, CURLUPART_SCHEME, &scheme, 0);
        curl_url_get(url, CURLUPART_HOST, &host, 0);
        ok = check_parts(url, scheme, host, purpose, facts, problem);
    }
    curl_free(scheme);
    curl_free(host);
    curl_url_cleanup(url);
    return ok;
}

bool is_one_line(const char *text, size_t length) {
    return strcspn(text, "\r\n") == length;
}

/* Length of the token at the start (RFC 9110, section 5.6.2). */
static size_t token_length(const char *text) {
    return strspn(text, LETTERS_AND_DIGITS "!#$%&'*+-.^_`|~");
}

bool check_method(const char *method, size_t length, struct problem *problem) {
    return (length > 0 && token_length(method) == length) ||
           fail(problem, "BAD_FUNCTION_ARGUMENT", "method_malformed");
}

bool check_header(const char *header, size_t length, int number, struct problem *problem) {
    size_t name = token_length(header);
    bool named = name > 0 && header[name] == ':';
    /* Text without a colon may be a bare value. */
    if (named && name < sizeof problem->detail) {
        snprintf(problem->detail, sizeof problem->detail, "%.*s", (int)name, header);
    } else {
        snprintf(problem->detail, sizeof problem->detail, "number %d", number);
    }
    if (!is_one_line(header, length)) {
        return fail(problem, "BAD_FUNCTION_ARGUMENT", "header_with_line_break");
    } else if (!named) {
        return fail(problem, "BAD_FUNCTION_ARGUMENT", "header_without_name");
    } else if (strspn(header + name + 1, " \t") == length - name - 1) {
        return fail(problem, "BAD_FUNCTION_ARGUMENT", "header_without_value");
    }
    problem->detail[0] = '\0';
    return true;
}

/* check_url(text, "base_url" | "proxy") -> secure, loopback | nil, code, detail */
int core_check_url(lua_State *L) {
    static const char *const purposes[] = {"base_url", "proxy", NULL};
    size_t length;
    struct url_facts facts;
    struct problem problem = {0};
    const char *text = luaL_checklstring(L, 1, &length);
    enum url_purpose purpose = luaL_checkoption(L, 2, NULL, purposes) == 0 ? URL_BASE : URL_PROXY;
    core_setup(L);
    if (check_url(text, length, purpose, &facts, &problem)) {
        lua_pushboolean(L, facts.secure);
        lua_pushboolean(L, facts.loopback);
        return 2;
    }
    lua_pushnil(L);
    lua_pushstring(L, problem.code);
    lua_pushstring(L, problem.detail[0] != '\0' ? problem.detail : NULL);
    return 3;
}
