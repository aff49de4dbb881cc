/* signing ID KEY IAT COUNT: a token from libsodium as one would write it, all of it for each.
 * Prints nanoseconds per token and the first token. */
#define _GNU_SOURCE
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { VARIANT = sodium_base64_VARIANT_URLSAFE_NO_PADDING };

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static void sign(const char *id, const char *key, long iat, char *token, size_t size) {
    char claims[256], joined[256];
    int length = snprintf(claims, sizeof claims, "{\"iss\":\"%s\",\"iat\":%ld}", id, iat);
    int key_length = snprintf(joined, sizeof joined, "%s||%s", id, key);
    static const char header[] = "{\"alg\":\"HS256\",\"typ\":\"JWT\"}";

    sodium_bin2base64(token, size, (const unsigned char *)header, sizeof header - 1, VARIANT);
    size_t used = strlen(token);
    token[used++] = '.';
    sodium_bin2base64(token + used, size - used, (const unsigned char *)claims, (size_t)length,
                      VARIANT);
    used += strlen(token + used);

    unsigned char mac[crypto_auth_hmacsha256_BYTES];
    crypto_auth_hmacsha256_state state;
    crypto_auth_hmacsha256_init(&state, (const unsigned char *)joined, (size_t)key_length);
    crypto_auth_hmacsha256_update(&state, (const unsigned char *)token, used);
    crypto_auth_hmacsha256_final(&state, mac);
    token[used++] = '.';
    sodium_bin2base64(token + used, size - used, mac, sizeof mac, VARIANT);
}

int main(int argc, char **argv) {
    if (argc != 5 || strlen(argv[1]) + strlen(argv[2]) > 200 || sodium_init() < 0) {
        fprintf(stderr, "usage: signing ID KEY IAT COUNT\n");
        return 2;
    }
    long iat = atol(argv[3]), count = atol(argv[4]);
    char first[1024], token[1024];
    sign(argv[1], argv[2], iat, first, sizeof first);
    double started = now();
    for (long i = 0; i < count; i++) {
        sign(argv[1], argv[2], iat + i, token, sizeof token);
        /* The compiler must believe that the token is read. */
        __asm__ volatile("" : : "r"(token) : "memory");
    }
    printf("%.1f %s\n", (now() - started) / (double)count, first);
    return 0;
}
