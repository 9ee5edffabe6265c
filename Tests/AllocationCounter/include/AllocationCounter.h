#pragma once
#include <stdint.h>

// Counts the allocations and the retains of the Swift runtime that one thread makes. The counting replaces malloc and its like
// in the program that links this; while it is off it costs one test of a flag. One count at a time.

typedef struct {
    uint64_t allocations;
    uint64_t retains;
    /// Whether retains could be counted: not every build of the runtime lets itself be asked.
    int knows_retains;
} allocation_counts;

/// Starts counting from zero in a thread, given as its pthread_t.
void allocation_counter_start(uint64_t thread);
/// Stops counting and returns what was counted.
allocation_counts allocation_counter_stop(void);
