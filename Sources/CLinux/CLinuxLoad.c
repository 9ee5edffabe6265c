#define _GNU_SOURCE
#include "CLinuxLoad.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

int clinux_set_timer_slack(unsigned long nanoseconds) {
    return prctl(PR_SET_TIMERSLACK, nanoseconds, 0, 0, 0) < 0 ? -errno : 0;
}

int64_t clinux_discard(int fd, size_t size) {
    ssize_t count;
    do count = recv(fd, NULL, size, MSG_TRUNC);
    while (count < 0 && errno == EINTR);
    return count < 0 ? -errno : count;
}

int clinux_close_with_reset(int fd) {
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    return close(fd) < 0 ? -errno : 0;
}

int clinux_resolve(const char *host, uint16_t port, clinux_address *addresses, int capacity, const char **error) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    int code = getaddrinfo(host, NULL, &hints, &found);
    if (code) {
        *error = gai_strerror(code);
        return -1;
    }
    int count = 0;
    for (struct addrinfo *each = found; each && count < capacity; each = each->ai_next) {
        char text[NI_MAXHOST];
        if (each->ai_family != AF_INET && each->ai_family != AF_INET6) continue;
        if (getnameinfo(each->ai_addr, each->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST)) continue;
        if (clinux_parse_address(text, port, &addresses[count]) == 0) count++;
    }
    freeaddrinfo(found);
    return count;
}

uint64_t clinux_thread_time(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
