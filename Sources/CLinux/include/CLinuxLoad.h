#pragma once
#include <stddef.h>
#include <stdint.h>

#include "CLinux.h"

// What the load generator and its back end need beyond the data path. Calls that fail return -errno.

/// Lets the kernel wake the calling thread at most this many nanoseconds late (50,000 by default).
int clinux_set_timer_slack(unsigned long nanoseconds);
/// Takes received bytes without copying them; returns their number, 0 at the end of the stream.
int64_t clinux_discard(int fd, size_t size);
/// Closes with RST, so that the peer reads an error and not an end.
int clinux_close_with_reset(int fd);
/// The addresses of a name or a numeric address, as the resolver orders them; returns their number or -1 with `*error` as text.
int clinux_resolve(const char *host, uint16_t port, clinux_address *addresses, int capacity, const char **error);
/// Nanoseconds of processor time that the calling thread has used.
uint64_t clinux_thread_time(void);
