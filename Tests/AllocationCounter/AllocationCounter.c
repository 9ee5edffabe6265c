#define _GNU_SOURCE
#include "AllocationCounter.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

static atomic_bool is_counting;
static pthread_t wanted;
static atomic_ullong allocations, references;

static inline void count(atomic_ullong *counter) {
    if (__builtin_expect(atomic_load_explicit(&is_counting, memory_order_acquire), 0) &&
        pthread_equal(pthread_self(), wanted))
        atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

// Sanitizers replace the same functions themselves.
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
bool allocation_counter_counts(void) { return false; }
#else
bool allocation_counter_counts(void) { return true; }

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

void *malloc(size_t size) {
    count(&allocations);
    return __libc_malloc(size);
}

void *calloc(size_t number, size_t size) {
    count(&allocations);
    return __libc_calloc(number, size);
}

void *realloc(void *old, size_t size) {
    count(&allocations);
    return __libc_realloc(old, size);
}

void *memalign(size_t alignment, size_t size) {
    count(&allocations);
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

int posix_memalign(void **result, size_t alignment, size_t size) {
    void *made = memalign(alignment, size);
    if (!made) return 12;  // ENOMEM
    *result = made;
    return 0;
}

// The program's own definitions come before those of Swift's runtime, for everything that is linked with it.
#define COUNTED(type, name, parameters, arguments)                          \
    type name parameters {                                                  \
        static type(*of_runtime) parameters;                                \
        if (!of_runtime)                                                    \
            of_runtime = (type(*) parameters)dlsym(RTLD_NEXT, #name);       \
        count(&references);                                                 \
        return of_runtime arguments;                                        \
    }

COUNTED(void *, swift_retain, (void *object), (object))
COUNTED(void *, swift_retain_n, (void *object, uint32_t n), (object, n))
COUNTED(void *, swift_bridgeObjectRetain, (void *object), (object))
COUNTED(void, swift_release, (void *object), (object))
COUNTED(void, swift_release_n, (void *object, uint32_t n), (object, n))
COUNTED(void, swift_bridgeObjectRelease, (void *object), (object))
#endif

void allocation_counter_start(uint64_t thread) {
    wanted = (pthread_t)thread;
    atomic_store(&allocations, 0);
    atomic_store(&references, 0);
    atomic_store(&is_counting, true);
}

thread_costs thread_costs_stop(void) {
    atomic_store(&is_counting, false);
    return (thread_costs){.allocations = atomic_load(&allocations), .references = atomic_load(&references)};
}

uint64_t allocation_counter_stop(void) { return thread_costs_stop().allocations; }
