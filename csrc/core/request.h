/* What may be requested. libcurl's own parser reads the URLs, so that the host that is checked is
 * the host that libcurl connects to. */
#ifndef HEYMARKET_REQUEST_H
#define HEYMARKET_REQUEST_H

#include "core.h"

/* Why something was not accepted. */
struct problem {
    const char *code; /* ours; lua/heymarket/catalogue.lua has the words. NULL: libcurl's own */
    const char *curl; /* libcurl's name of the error; NULL: nothing is wrong */
    char detail[72];  /* a value for the words, or libcurl's own words; "": none */
};

enum url_purpose {
    URL_REQUEST, /* where a request goes: https, or http to this machine */
    URL_BASE,    /* the same, as a user gives it: no query and no fragment */
    URL_PROXY,   /* may lack its scheme, and may hold a password */
};

struct url_facts {
    bool secure;   /* the scheme is https */
    bool loopback; /* the host is this machine */
};

/* Notes what is wrong, and gives false. */
HIDDEN bool fail(struct problem *problem, const char *curl, const char *code);

/* Never repeats a part of the URL: it may be a secret. */
HIDDEN bool check_url(const char *text, size_t length, enum url_purpose purpose,
                      struct url_facts *facts, struct problem *problem);

HIDDEN bool check_method(const char *method, size_t length, struct problem *problem);

/* One line of the form "Name: value"; `number` names it where it has no name. Its value may be a
 * secret, so it is never repeated. */
HIDDEN bool check_header(const char *header, size_t length, int number, struct problem *problem);

/* Text without line breaks and NUL bytes; a NUL byte stands behind it. */
HIDDEN bool is_one_line(const char *text, size_t length);

#endif
