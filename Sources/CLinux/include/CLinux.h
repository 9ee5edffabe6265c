#pragma once
#include <stddef.h>
#include <stdint.h>

#include "CLinuxProcess.h"

// The Linux calls that the data path of the gateway makes and that Swift's Glibc module does not offer, or only through macros.
// Calls that fail return -errno, so that callers never read the thread's errno.

/// An IPv4 or IPv6 address with a port, comparable byte by byte.
typedef struct {
    uint64_t high;    // the first half of an IPv6 address, zero for IPv4
    uint64_t low;     // the second half in network order; an IPv4 address stands in the first four bytes
    uint16_t port;    // host order
    uint16_t family;  // 4 or 6
} clinux_address;

typedef struct {
    uint64_t token;
    uint32_t events;
} clinux_event;

enum {
    CLINUX_READABLE = 0x001,
    CLINUX_WRITABLE = 0x004,
    CLINUX_FAILED = 0x008,
    CLINUX_HUNG_UP = 0x010,
    CLINUX_PEER_CLOSED = 0x2000,
};

/// Reads a numeric address; returns 0, or -EINVAL.
int clinux_parse_address(const char *text, uint16_t port, clinux_address *address);
/// Writes the address without its port into `text` (at least 46 bytes), without a final zero; returns the length.
int clinux_format_address(const clinux_address *address, uint8_t *text);

/// Makes a non-blocking listening socket with SO_REUSEADDR, SO_REUSEPORT and TCP_NODELAY (inherited by what it accepts).
int clinux_listen(const clinux_address *address, int backlog);
/// 0 when nothing listens on the address, -EADDRINUSE when a socket does, be it one that shares its port.
int clinux_probe_listening(const clinux_address *address);
/// The address that a socket is bound to.
int clinux_local_address(int fd, clinux_address *address);
int clinux_accept(int fd, clinux_address *peer);
/// Makes a non-blocking socket and starts to connect it. Returns the descriptor; `*pending` says whether the connection is under way.
int clinux_connect(const clinux_address *address, int *pending);
/// The pending error of a socket, zero when it is connected.
int clinux_socket_error(int fd);

int64_t clinux_receive(int fd, void *buffer, size_t size);
/// Looks without taking: 1 byte there, 0 end of stream, -EAGAIN nothing.
int64_t clinux_peek(int fd);
int64_t clinux_send(int fd, const void *buffer, size_t size);
int clinux_shutdown_sending(int fd);
/// Bytes that were sent but have not arrived at the peer; zero where that is not known.
uint64_t clinux_unsent(int fd);
int clinux_close(int fd);

int clinux_epoll_create(void);
/// Edge-triggered for reading, writing and the peer's end; never changed afterwards.
int clinux_epoll_add_connection(int epoll, int fd, uint64_t token);
/// Level-triggered for reading.
int clinux_epoll_add_listener(int epoll, int fd, uint64_t token);
int clinux_epoll_remove(int epoll, int fd);
/// At most 256 events. A negative time waits without end.
int clinux_epoll_wait(int epoll, clinux_event *events, int capacity, int64_t nanoseconds);

int clinux_eventfd_create(void);
void clinux_eventfd_signal(int fd);
void clinux_eventfd_clear(int fd);

/// Nanoseconds of the monotonic clock.
uint64_t clinux_monotonic(void);
/// Nanoseconds since 1970.
uint64_t clinux_realtime(void);
/// Binds the calling thread to the n-th processor that the process may use, modulo their number.
int clinux_pin_thread(unsigned n);
/// Processors that the process may use.
int clinux_processor_count(void);
/// Makes a thread that runs `body(context)` and names it; returns 0 or -errno. The thread is joined by `clinux_thread_join`. It has the nice
/// value of the process, that of its first thread, as far as the process may give it that.
int clinux_thread_start(uint64_t *thread, const char *name, void (*body)(void *), void *context);
int clinux_thread_join(uint64_t thread);
/// Raises the limit of open files to its hard bound; returns the limit in force.
uint64_t clinux_raise_file_limit(void);
uint64_t clinux_random(void);

// Handing sockets to another process.

enum { CLINUX_DESCRIPTORS_AT_ONCE = 64 };

/// Sends copies of at most CLINUX_DESCRIPTORS_AT_ONCE descriptors over a Unix socket, with one byte.
int clinux_send_descriptors(int socket, const int *descriptors, int count);
/// Receives what one clinux_send_descriptors sent, closed on exec. Returns the number, 0 at the end of the stream.
int clinux_receive_descriptors(int socket, int *descriptors, int capacity);

/// What changes whenever a file does: device, inode, size, and the nanosecond of the last change.
typedef struct {
    uint64_t device;
    uint64_t inode;
    int64_t size;
    int64_t changed;
} clinux_file_identity;

/// Follows links. Returns 0, or -errno with an identity of zeros.
int clinux_identify_file(const char *path, clinux_file_identity *identity);

// Memory for a library that allocates and frees the same few sizes over and over: OpenSSL, for each record. A thread that has opened its
// pool keeps what it frees, at most 64 blocks of a size (a megabyte and a half in all); for others these are malloc and free.

/// The signatures are those that CRYPTO_set_mem_functions asks for.
void *clinux_pool_allocate(size_t size, const char *file, int line);
void *clinux_pool_reallocate(void *memory, size_t size, const char *file, int line);
void clinux_pool_free(void *memory, const char *file, int line);
/// Lets the calling thread keep blocks.
void clinux_pool_open(void);
/// Gives the calling thread's blocks back.
void clinux_pool_close(void);

#include "CLinuxLoad.h"
