/* What the C fuzzers demand: where it does not hold, libFuzzer has a finding. */
#ifndef HEYMARKET_DEMAND_H
#define HEYMARKET_DEMAND_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#define demand(holds, what)                                                                        \
    do {                                                                                           \
        if (!(holds)) {                                                                            \
            fprintf(stderr, "does not hold: %s\n", what);                                          \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#endif
