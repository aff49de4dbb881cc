/* Which URLs may be used. libcurl's own parser decides, so that the host that is checked is the
 * host that is connected to. */
#ifndef HEYMARKET_URL_H
#define HEYMARKET_URL_H

#include "core.h"

/* Why something was refused: libcurl's name of the error, and a message. */
struct problem {
    const char *code; /* NULL: nothing was */
    char message[200];
};

enum url_purpose {
    URL_REQUEST, /* what a request goes to: https, or http to this machine */
    URL_BASE,    /* the same, as a user gives it: no query and no fragment */
    URL_PROXY,   /* may lack its scheme, and may hold a password */
};

struct url_facts {
    bool secure;   /* the scheme is https */
    bool loopback; /* the host is this machine */
};

HIDDEN void set_problem(struct problem *problem, const char *code, const char *message);

/* Never shows a part of the URL: it may be a secret. */
HIDDEN bool check_url(const char *text, size_t length, enum url_purpose purpose,
                      struct url_facts *facts, struct problem *problem);

HIDDEN bool clean_text(const char *text, size_t length);

/* Length of the leading token, in the sense of HTTP. */
HIDDEN size_t token_length(const char *text);

HIDDEN bool check_header(const char *header, size_t length, int index, struct problem *problem);

#endif
