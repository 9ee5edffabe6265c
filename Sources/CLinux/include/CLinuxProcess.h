#pragma once

#include <spawn.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

/// A descriptor that becomes readable when the process ends; -1 with errno on failure.
static inline int sampan_pidfd_open(pid_t pid) {
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

/// The flag is hidden from Swift behind _GNU_SOURCE.
static inline int sampan_posix_spawn_setsid(void) {
    return 0x80;
}
