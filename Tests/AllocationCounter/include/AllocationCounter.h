#pragma once
#include <stdbool.h>
#include <stdint.h>

// Counts what one thread does that costs: allocations, reference counting, system calls. One count at a time.
//
// Counting replaces malloc and swift_retain and their like in the program that links this; while it is off it costs a test of a flag.

/// What a thread did while it was watched.
typedef struct {
    uint64_t allocations;
    /// Calls of swift_retain and swift_release and their like.
    uint64_t references;
} thread_costs;

/// Whether this build counts; with a sanitizer it does not.
bool allocation_counter_counts(void);
/// Starts counting from zero in a thread, given as its pthread_t.
void allocation_counter_start(uint64_t thread);
/// Stops counting and returns the allocations.
uint64_t allocation_counter_stop(void);
/// Stops counting and returns everything.
thread_costs thread_costs_stop(void);

/// A descriptor that counts the system calls of the thread with this name in this process, or of the calling thread without a name; -errno
/// where the kernel does not let us, or where there is no such thread. The kernel counts them itself: nothing is slowed down or left out.
int syscall_counter_open(const char *thread);
/// The calls so far; -1 on failure.
int64_t syscall_counter_read(int descriptor);
void syscall_counter_close(int descriptor);
