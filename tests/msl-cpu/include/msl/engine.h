// Between kernels and the engine that runs them: what an invocation is told of itself, the objects
// it is given, meeting the others of its workgroup, and mistakes.
#pragma once

namespace drift {

using metal::uint3;

// Lanes of a simdgroup, as on every Apple GPU.
constexpr uint SIMD_LANES = 32;
// Most bytes that a lane can hand to the others of its simdgroup at once.
constexpr uint POST_BYTES = 32;

// Of one invocation.
struct Lane {
    uint3 global, group, local;
    uint index, simd_group, simd_lane;
};

// An object bound to a slot: the bytes from the bound offset to the end of the object, or an image.
struct Slot {
    void *at;
    ulong bytes;
    uint width, height, depth;
    uint is_half;
};

struct Arguments {
    const Slot *slots;
    uint slot_count;
    char *workgroup_memory;
};

struct Kernel {
    const char *name;
    void (*invoke)(const Arguments &, const Lane &);
    // of variables shared by a workgroup
    ulong workgroup_bytes;
    // whether invocations wait for each other
    bool meets;
};

struct Dispatch {
    uint workgroups[3];
    uint size[3];
    const Slot *slots;
    uint slot_count;
};

extern "C" {
// Runs all workgroups; the text of the first mistake, or null. The text is the thread's, until the
// next dispatch.
const char *drift_dispatch(const Kernel *, const Dispatch *);
// Ends the dispatch with a message.
[[noreturn]] void drift_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
// Waits until all invocations of the workgroup wait at this line.
void drift_barrier(int line);
// Hands `bytes` bytes to the lanes of the simdgroup and waits for theirs, at this line: lane `i` has
// posted what lies at `i * POST_BYTES`, until the next exchange.
const char *drift_exchange(const void *value, ulong bytes, int line);
// Lanes that took part in the last exchange, one bit each.
uint drift_active();
// The invocation that runs.
const Lane *drift_lane();
// Ends the dispatch unless the bytes belong to a buffer of the dispatch or to workgroup memory.
void drift_check_range(const void *at, ulong bytes);
}

template <class T> MSL_INLINE T &buffer(const Arguments &a, uint slot) {
    const Slot &s = a.slots[slot];
    // what Metal's own validation refuses, too
    if (slot >= a.slot_count || s.bytes < sizeof(T)) {
        drift_fail("[[buffer(%u)]] is declared with %lu bytes, its object has %lu", slot,
                   (ulong)sizeof(T), slot < a.slot_count ? s.bytes : 0ul);
    }
    if ((ulong)s.at % alignof(T) != 0) {
        drift_fail("[[buffer(%u)]] needs an alignment of %lu bytes", slot, (ulong)alignof(T));
    }
    return *(T *)s.at;
}

} // namespace drift

namespace metal {

enum class mem_flags { mem_none, mem_device, mem_threadgroup, mem_texture };
inline mem_flags operator|(mem_flags a, mem_flags b) { return (mem_flags)((int)a | (int)b); }

inline void threadgroup_barrier(mem_flags, int line = __builtin_LINE()) {
    drift::drift_barrier(line);
}
// Lanes run to their next exchange in any order, so here they meet.
inline void simdgroup_barrier(mem_flags, int line = __builtin_LINE()) {
    char nothing = 0;
    drift::drift_exchange(&nothing, 1, line);
}

template <class T, int N>
typename vec<T, N>::lane vec<T, N>::operator[](uint i) const {
    if (i >= N) drift::drift_fail("element %u of a vector of %d", i, N);
    return v[i];
}

} // namespace metal
