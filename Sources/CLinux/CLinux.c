#define _GNU_SOURCE
#include "CLinux.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

_Static_assert(CLINUX_READABLE == EPOLLIN && CLINUX_WRITABLE == EPOLLOUT, "event bits");
_Static_assert(CLINUX_FAILED == EPOLLERR && CLINUX_HUNG_UP == EPOLLHUP, "event bits");
_Static_assert(CLINUX_PEER_CLOSED == EPOLLRDHUP, "event bits");

// A union, because memory must not be read through another type than it was written through.
typedef union {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_storage storage;
} socket_address;

static void from_sockaddr(const socket_address *from, clinux_address *to) {
    memset(to, 0, sizeof *to);
    if (from->any.sa_family == AF_INET) {
        memcpy(&to->low, &from->v4.sin_addr, 4);
        to->port = ntohs(from->v4.sin_port);
        to->family = 4;
        return;
    }
    to->port = ntohs(from->v6.sin6_port);
    if (IN6_IS_ADDR_V4MAPPED(&from->v6.sin6_addr)) {
        memcpy(&to->low, from->v6.sin6_addr.s6_addr + 12, 4);
        to->family = 4;
        return;
    }
    memcpy(&to->high, from->v6.sin6_addr.s6_addr, 8);
    memcpy(&to->low, from->v6.sin6_addr.s6_addr + 8, 8);
    to->family = 6;
}

static socklen_t to_sockaddr(const clinux_address *from, socket_address *to) {
    memset(to, 0, sizeof *to);
    if (from->family == 4) {
        to->v4.sin_family = AF_INET;
        to->v4.sin_port = htons(from->port);
        memcpy(&to->v4.sin_addr, &from->low, 4);
        return sizeof to->v4;
    }
    to->v6.sin6_family = AF_INET6;
    to->v6.sin6_port = htons(from->port);
    memcpy(to->v6.sin6_addr.s6_addr, &from->high, 8);
    memcpy(to->v6.sin6_addr.s6_addr + 8, &from->low, 8);
    return sizeof to->v6;
}

int clinux_parse_address(const char *text, uint16_t port, clinux_address *address) {
    socket_address parsed;
    memset(&parsed, 0, sizeof parsed);
    if (inet_pton(AF_INET, text, &parsed.v4.sin_addr) == 1) {
        parsed.v4.sin_family = AF_INET;
    } else if (inet_pton(AF_INET6, text, &parsed.v6.sin6_addr) == 1) {
        parsed.v6.sin6_family = AF_INET6;
    } else {
        return -EINVAL;
    }
    from_sockaddr(&parsed, address);
    address->port = port;
    return 0;
}

int clinux_format_address(const clinux_address *address, uint8_t *text) {
    if (address->family == 4) {
        uint8_t part[4];
        memcpy(part, &address->low, 4);
        uint8_t *out = text;
        for (int i = 0; i < 4; i++) {
            if (part[i] >= 100) *out++ = '0' + part[i] / 100;
            if (part[i] >= 10) *out++ = '0' + part[i] / 10 % 10;
            *out++ = '0' + part[i] % 10;
            if (i < 3) *out++ = '.';
        }
        return (int)(out - text);
    }
    struct in6_addr v6;
    char buffer[INET6_ADDRSTRLEN];
    memcpy(v6.s6_addr, &address->high, 8);
    memcpy(v6.s6_addr + 8, &address->low, 8);
    if (!inet_ntop(AF_INET6, &v6, buffer, sizeof buffer)) return 0;
    size_t length = strlen(buffer);
    memcpy(text, buffer, length);
    return (int)length;
}

static int fail_closing(int fd) {
    int error = errno;
    close(fd);
    return -error;
}

int clinux_listen(const clinux_address *address, int backlog) {
    socket_address storage;
    socklen_t length = to_sockaddr(address, &storage);
    int fd = socket(storage.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    int one = 1, zero = 0;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0) return fail_closing(fd);
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) < 0) return fail_closing(fd);
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0) return fail_closing(fd);
    if (storage.any.sa_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero);
    if (bind(fd, &storage.any, length) < 0) return fail_closing(fd);
    if (listen(fd, backlog) < 0) return fail_closing(fd);
    return fd;
}

int clinux_probe_listening(const clinux_address *address) {
    socket_address storage;
    socklen_t length = to_sockaddr(address, &storage);
    int fd = socket(storage.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    int one = 1, zero = 0;
    // Without SO_REUSEPORT: two sockets share a port only when both have it.
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (storage.any.sa_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero);
    if (bind(fd, &storage.any, length) < 0) return fail_closing(fd);
    close(fd);
    return 0;
}

int clinux_local_address(int fd, clinux_address *address) {
    socket_address storage;
    socklen_t length = sizeof storage;
    if (getsockname(fd, &storage.any, &length) < 0) return -errno;
    from_sockaddr(&storage, address);
    return 0;
}

int clinux_accept(int fd, clinux_address *peer) {
    socket_address storage;
    socklen_t length = sizeof storage;
    int accepted = accept4(fd, &storage.any, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (accepted < 0) return -errno;
    from_sockaddr(&storage, peer);
    return accepted;
}

int clinux_connect(const clinux_address *address, int *pending) {
    socket_address storage;
    socklen_t length = to_sockaddr(address, &storage);
    int fd = socket(storage.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    *pending = 0;
    if (connect(fd, &storage.any, length) == 0) return fd;
    if (errno != EINPROGRESS) return fail_closing(fd);
    *pending = 1;
    return fd;
}

int clinux_socket_error(int fd) {
    int error = 0;
    socklen_t length = sizeof error;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0) return errno;
    return error;
}

int64_t clinux_receive(int fd, void *buffer, size_t size) {
    ssize_t count;
    do count = recv(fd, buffer, size, 0);
    while (count < 0 && errno == EINTR);
    return count < 0 ? -errno : count;
}

int64_t clinux_peek(int fd) {
    char byte;
    ssize_t count;
    do count = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    while (count < 0 && errno == EINTR);
    return count < 0 ? -errno : count;
}

int64_t clinux_send(int fd, const void *buffer, size_t size) {
    ssize_t count;
    do count = send(fd, buffer, size, MSG_NOSIGNAL);
    while (count < 0 && errno == EINTR);
    return count < 0 ? -errno : count;
}

uint64_t clinux_unsent(int fd) {
    int count = 0;
    return ioctl(fd, SIOCOUTQ, &count) < 0 || count < 0 ? 0 : (uint64_t)count;
}

int clinux_shutdown_sending(int fd) { return shutdown(fd, SHUT_WR) < 0 ? -errno : 0; }

int clinux_close(int fd) { return close(fd) < 0 ? -errno : 0; }

int clinux_epoll_create(void) {
    int fd = epoll_create1(EPOLL_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int epoll_add(int epoll, int fd, uint32_t events, uint64_t token) {
    struct epoll_event event = {.events = events, .data.u64 = token};
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

int clinux_epoll_add_connection(int epoll, int fd, uint64_t token) {
    return epoll_add(epoll, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, token);
}

int clinux_epoll_add_listener(int epoll, int fd, uint64_t token) { return epoll_add(epoll, fd, EPOLLIN, token); }

int clinux_epoll_remove(int epoll, int fd) { return epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL) < 0 ? -errno : 0; }

int clinux_epoll_wait(int epoll, clinux_event *events, int capacity, int64_t nanoseconds) {
    struct epoll_event ready[256];
    struct timespec limit = {.tv_sec = nanoseconds / 1000000000, .tv_nsec = nanoseconds % 1000000000};
    if (capacity > 256) capacity = 256;
    int count = epoll_pwait2(epoll, ready, capacity, nanoseconds < 0 ? NULL : &limit, NULL);
    // Kernels before 5.11, and filters of system calls that do not know it: milliseconds, rounded up.
    if (count < 0 && (errno == ENOSYS || errno == EPERM))
        count = epoll_wait(epoll, ready, capacity, nanoseconds < 0 ? -1 : (int)((nanoseconds + 999999) / 1000000));
    if (count < 0) return errno == EINTR ? 0 : -errno;
    for (int i = 0; i < count; i++) {
        events[i].token = ready[i].data.u64;
        events[i].events = ready[i].events;
    }
    return count;
}

int clinux_eventfd_create(void) {
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

void clinux_eventfd_signal(int fd) {
    uint64_t one = 1;
    while (write(fd, &one, sizeof one) < 0 && errno == EINTR) {
    }
}

void clinux_eventfd_clear(int fd) {
    uint64_t count;
    while (read(fd, &count, sizeof count) < 0 && errno == EINTR) {
    }
}

uint64_t clinux_monotonic(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t clinux_realtime(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int clinux_processor_count(void) {
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) < 0) return 1;
    return CPU_COUNT(&allowed);
}

int clinux_pin_thread(unsigned n) {
    cpu_set_t allowed, chosen;
    if (sched_getaffinity(0, sizeof allowed, &allowed) < 0) return -errno;
    int left = (int)(n % (unsigned)CPU_COUNT(&allowed));
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &allowed) || left-- > 0) continue;
        CPU_ZERO(&chosen);
        CPU_SET(cpu, &chosen);
        return sched_setaffinity(0, sizeof chosen, &chosen) < 0 ? -errno : 0;
    }
    return -EINVAL;
}

struct start {
    void (*body)(void *);
    void *context;
};

static void *run_thread(void *argument) {
    struct start start = *(struct start *)argument;
    free(argument);
    // The thread that asked for this one may belong to a pool that sets its threads' nice values as it likes.
    setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, getpid()));
    start.body(start.context);
    return NULL;
}

int clinux_thread_start(uint64_t *thread, const char *name, void (*body)(void *), void *context) {
    struct start *start = malloc(sizeof *start);
    if (!start) return -ENOMEM;
    start->body = body;
    start->context = context;
    pthread_t made;
    int error = pthread_create(&made, NULL, run_thread, start);
    if (error) {
        free(start);
        return -error;
    }
    pthread_setname_np(made, name);
    *thread = (uint64_t)made;
    return 0;
}

int clinux_thread_join(uint64_t thread) { return -pthread_join((pthread_t)thread, NULL); }

uint64_t clinux_raise_file_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return 0;
    if (limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
        getrlimit(RLIMIT_NOFILE, &limit);
    }
    return limit.rlim_cur;
}

uint64_t clinux_random(void) {
    uint64_t value = 0;
    while (getrandom(&value, sizeof value, 0) < 0 && errno == EINTR) {
    }
    return value;
}

typedef union {
    struct cmsghdr header;
    char space[CMSG_SPACE(CLINUX_DESCRIPTORS_AT_ONCE * sizeof(int))];
} descriptor_message;

int clinux_send_descriptors(int socket, const int *descriptors, int count) {
    if (count < 1 || count > CLINUX_DESCRIPTORS_AT_ONCE) return -EINVAL;
    char byte = 1;
    struct iovec piece = {.iov_base = &byte, .iov_len = 1};
    descriptor_message control;
    memset(&control, 0, sizeof control);
    struct msghdr message = {
        .msg_iov = &piece,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = CMSG_SPACE((size_t)count * sizeof(int)),
    };
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
    memcpy(CMSG_DATA(header), descriptors, (size_t)count * sizeof(int));
    ssize_t sent;
    do sent = sendmsg(socket, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : 0;
}

int clinux_receive_descriptors(int socket, int *descriptors, int capacity) {
    char byte;
    struct iovec piece = {.iov_base = &byte, .iov_len = 1};
    descriptor_message control;
    struct msghdr message = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t received;
    do received = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    while (received < 0 && errno == EINTR);
    if (received < 0) return -errno;
    if (received == 0) return 0;
    int found = 0;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        int count = (int)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        for (int i = 0; i < count; i++) {
            int descriptor;
            memcpy(&descriptor, CMSG_DATA(header) + (size_t)i * sizeof(int), sizeof descriptor);
            if (found < capacity) {
                descriptors[found++] = descriptor;
            } else {
                close(descriptor);
            }
        }
    }
    return found > 0 ? found : -EBADMSG;
}

int clinux_identify_file(const char *path, clinux_file_identity *identity) {
    struct stat status;
    *identity = (clinux_file_identity){0};
    if (stat(path, &status) != 0) return -errno;
    identity->device = status.st_dev;
    identity->inode = status.st_ino;
    identity->size = status.st_size;
    identity->changed = status.st_ctim.tv_sec * 1000000000 + status.st_ctim.tv_nsec;
    return 0;
}
