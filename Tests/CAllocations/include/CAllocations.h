#pragma once
#include <stdint.h>

// Counts what threads take from the allocator. Linked into the tests alone: its functions take the place of the C library's.

/// Starts to count, from zero, what threads do whose names start with `prefix` (at most 15 bytes).
void callocations_start(const char *prefix);
/// Stops counting; returns how often such threads took memory.
uint64_t callocations_stop(void);
/// Whether the functions here are the ones in use; they step back for sanitizers.
int callocations_works(void);
