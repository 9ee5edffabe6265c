#pragma once

#include <sys/types.h>

/// A descriptor that becomes readable when the process ends; -errno on failure.
int clinux_pidfd_open(pid_t pid);

/// Starts `program` in a session of its own with default signals, input from /dev/null, output appended to `log` and no other
/// descriptor. Returns once the program is being executed: its pid, or -errno.
pid_t clinux_spawn_detached(const char *program, char *const arguments[], char *const environment[], const char *log);

/// 0 when something listens on the Unix socket, else -errno. Never waits.
int clinux_probe_unix_socket(const char *path);

/// Makes standard output pass on every line at once, to a pipe as to a terminal.
void clinux_buffer_output_by_line(void);

/// Keeps the heap near what is in use: memory that many short-lived threads freed goes back to the system instead of to heaps of their
/// own. For the start of a process.
void clinux_keep_heap_small(void);
