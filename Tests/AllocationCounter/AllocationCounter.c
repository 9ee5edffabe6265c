#define _GNU_SOURCE
#include "AllocationCounter.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

static atomic_bool is_counting;
static pthread_t wanted;
static atomic_ullong allocations, retains;

static inline void count(atomic_ullong *counter) {
    if (__builtin_expect(atomic_load_explicit(&is_counting, memory_order_acquire), 0) &&
        pthread_equal(pthread_self(), wanted))
        atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
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
#endif

// The runtime calls its reference counting through these pointers while the flag is set.
typedef void *(*retain_function)(void *);
static retain_function *retain_pointer;
static retain_function original_retain;
static atomic_bool *swizzling;

// The runtime's own functions preserve nearly all registers on some machines, and callers count on it.
#if __has_attribute(preserve_most) && (defined(__x86_64__) || defined(__aarch64__))
__attribute__((preserve_most))
#endif
static void *counting_retain(void *object) {
    count(&retains);
    return original_retain(object);
}

void allocation_counter_start(uint64_t thread) {
    wanted = (pthread_t)thread;
    atomic_store(&allocations, 0);
    atomic_store(&retains, 0);
    if (!retain_pointer) {
        retain_pointer = (retain_function *)dlsym(RTLD_DEFAULT, "_swift_retain");
        swizzling = (atomic_bool *)dlsym(
            RTLD_DEFAULT, "_swift_enableSwizzlingOfAllocationAndRefCountingFunctions_forInstrumentsOnly");
        if (retain_pointer) original_retain = *retain_pointer;
    }
    if (retain_pointer && swizzling) {
        *retain_pointer = (retain_function)counting_retain;
        atomic_store(swizzling, true);
    }
    atomic_store(&is_counting, true);
}

allocation_counts allocation_counter_stop(void) {
    atomic_store(&is_counting, false);
    if (retain_pointer && swizzling) atomic_store(swizzling, false);
    allocation_counts counts = {
        .allocations = atomic_load(&allocations),
        .retains = atomic_load(&retains),
        .knows_retains = retain_pointer && swizzling,
    };
    return counts;
}
