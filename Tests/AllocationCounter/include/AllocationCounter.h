#pragma once
#include <stdint.h>

// Counts the allocations that one thread makes. The counting replaces malloc and its like in the program that links this; while it is
// off it costs one test of a flag. One count at a time.

/// Starts counting from zero in a thread, given as its pthread_t.
void allocation_counter_start(uint64_t thread);
/// Stops counting and returns what was counted.
uint64_t allocation_counter_stop(void);
