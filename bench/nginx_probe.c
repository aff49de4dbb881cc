/* Asks for a page again and again on one connection, with a pause in between: nginx_probe PORT PATH
 * COUNT PAUSE_US. Prints the latency of each request in microseconds, a line each. The pause
 * varies, so that it does not keep in step with what else goes on. */
#define _POSIX_C_SOURCE 200809L
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static double microseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

int main(int argc, char **argv) {
    if (argc != 5) {
        fprintf(stderr, "usage: nginx_probe PORT PATH COUNT PAUSE_US\n");
        return 2;
    }
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((unsigned short)atoi(argv[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int sock = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (sock < 0 || connect(sock, (struct sockaddr *)&address, sizeof address) != 0) {
        perror("connect");
        return 1;
    }
    char request[256], answer[4096];
    int length =
        snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", argv[2]);
    long count = atol(argv[3]), pause = atol(argv[4]);
    for (long i = 0; i < count; i++) {
        struct timespec rest = {0, (pause / 2 + rand() % (pause + 1)) * 1000};
        nanosleep(&rest, NULL);
        double started = microseconds();
        if (write(sock, request, (size_t)length) != length ||
            read(sock, answer, sizeof answer) < 12 || strncmp(answer, "HTTP/1.1 200", 12) != 0) {
            fprintf(stderr, "no answer\n");
            return 1;
        }
        printf("%.1f\n", microseconds() - started);
    }
    close(sock);
    return 0;
}
