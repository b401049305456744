// Runs workgroups on the calling thread. Invocations that wait for each other are fibers: each has
// a stack and runs until it meets a barrier or hands something to its simdgroup. The order in which
// they run alternates from workgroup to workgroup, so that a barrier that is missing is seen from
// one side or the other.

#include <metal_stdlib>
#undef device
#undef constant
#undef thread
#undef threadgroup
#undef kernel

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

using namespace drift;

// Saves the registers that calls keep, changes stacks, restores them.
extern "C" void drift_switch(void **save, void *load);
#if defined(__x86_64__)
asm(R"(
.globl drift_switch
.hidden drift_switch
drift_switch:
    push %rbp
    push %rbx
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, (%rdi)
    mov %rsi, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbx
    pop %rbp
    ret
)");
constexpr int RETURN_WORD = 6;
constexpr int FRAME_WORDS = 8; // keeps the stack's alignment at the entry of a function
#elif defined(__aarch64__)
asm(R"(
.globl drift_switch
.hidden drift_switch
drift_switch:
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
)");
constexpr int RETURN_WORD = 11;
constexpr int FRAME_WORDS = 20;
#else
#error "the switch between stacks is written for x86-64 and aarch64"
#endif

namespace {

constexpr uint MOST_INVOCATIONS = 1024;
constexpr size_t STACK_BYTES = 512 << 10;
constexpr size_t GUARD_BYTES = 4096;

enum State { Ready, AtBarrier, AtExchange, Done, Failed };

struct Fiber {
    void *stack; // lowest address; reserved at the first use
    void *at;    // where it goes on
    bool started;
    State state;
    int line;
    // which of the two rounds of posts is the next
    uint round;
    Lane lane;
};

struct Engine {
    Fiber fibers[MOST_INVOCATIONS];
    void *scheduler;
    Fiber *running;
    const Kernel *kernel;
    const Dispatch *dispatch;
    Arguments arguments;
    uint invocations;
    char *memory; // of workgroups
    ulong memory_bytes;
    // two rounds: a lane may post again before the last of the others has read
    char posts[2][MOST_INVOCATIONS / SIMD_LANES][SIMD_LANES * POST_BYTES];
    uint active[MOST_INVOCATIONS / SIMD_LANES];
    char error[1024];
};

thread_local Engine *engine = nullptr;

void leave(State state) {
    Fiber *self = engine->running;
    self->state = state;
    drift_switch(&self->at, engine->scheduler);
}

// What a fiber runs: one invocation after the other, as the scheduler gives them.
void fiber_main() {
    for (;;) {
        const Lane &lane = engine->running->lane;
        if (engine->kernel->meets) {
            engine->kernel->invoke(engine->arguments, lane);
        } else {
            // nobody waits: one fiber runs them all
            for (uint i = 0; i < engine->invocations; i++) {
                Fiber &f = engine->fibers[i];
                engine->running->lane = f.lane; // fiber 0 runs first, as itself
                engine->kernel->invoke(engine->arguments, f.lane);
            }
        }
        leave(Done);
    }
}

void resume(Fiber &f) {
    if (!f.stack) {
        void *all = mmap(nullptr, STACK_BYTES + GUARD_BYTES, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (all == MAP_FAILED) {
            perror("a fiber's stack");
            abort();
        }
        mprotect(all, GUARD_BYTES, PROT_NONE);
        f.stack = (char *)all + GUARD_BYTES;
    }
    if (!f.started) {
        void **top = (void **)((char *)f.stack + STACK_BYTES) - FRAME_WORDS;
        memset(top, 0, FRAME_WORDS * sizeof(void *));
        top[RETURN_WORD] = (void *)fiber_main;
        f.at = top;
        f.started = true;
    }
    engine->running = &f;
    drift_switch(&engine->scheduler, f.at);
}

// Ends the dispatch from the scheduler's side.
bool wrong(const char *format, ...) {
    va_list list;
    va_start(list, format);
    vsnprintf(engine->error, sizeof(engine->error), format, list);
    va_end(list);
    return false;
}

// Those at a barrier go on when all are there.
bool release_barrier(bool &released) {
    uint waiting = 0, done = 0;
    int line = 0, other = 0;
    for (uint i = 0; i < engine->invocations; i++) {
        Fiber &f = engine->fibers[i];
        done += f.state == Done;
        if (f.state != AtBarrier) continue;
        if (waiting++ == 0) line = f.line;
        if (f.line != line) other = f.line;
    }
    if (waiting == 0) return true;
    if (other) return wrong("some wait at the barrier of line %d, others at line %d", line, other);
    if (waiting == engine->invocations) {
        for (uint i = 0; i < waiting; i++) engine->fibers[i].state = Ready;
        released = true;
    } else if (waiting + done == engine->invocations) {
        return wrong("%u of %u invocations do not reach the barrier of line %d", done,
                     engine->invocations, line);
    }
    return true;
}

// The lanes of a simdgroup go on when all that have not ended are there.
bool release_exchanges(bool &released) {
    for (uint first = 0; first < engine->invocations; first += SIMD_LANES) {
        uint end = first + SIMD_LANES;
        if (end > engine->invocations) end = engine->invocations;
        uint there = 0, elsewhere = 0, active = 0;
        int line = 0, other = 0;
        for (uint i = first; i < end; i++) {
            Fiber &f = engine->fibers[i];
            if (f.state == AtExchange) {
                if (there++ == 0) line = f.line;
                if (f.line != line) other = f.line;
                active |= 1u << (i - first);
            } else if (f.state != Done) {
                elsewhere++;
            }
        }
        if (there == 0) continue;
        // Metal would go on with those that are there; the IR has no such thing
        if (other) {
            return wrong("lanes of a simdgroup are apart: at line %d and at line %d", line, other);
        }
        if (elsewhere) {
            return wrong("lanes of a simdgroup are apart: some at line %d, some at a barrier", line);
        }
        engine->active[first / SIMD_LANES] = active;
        for (uint i = first; i < end; i++) {
            if (engine->fibers[i].state == AtExchange) engine->fibers[i].state = Ready;
        }
        released = true;
    }
    return true;
}

bool run_workgroup(bool backwards) {
    uint n = engine->kernel->meets ? engine->invocations : 1;
    for (uint i = 0; i < n; i++) {
        engine->fibers[i].state = Ready;
        engine->fibers[i].round = 0;
    }
    // variables of a workgroup start with anything: NaN, whose bits differ from a poisoned arena's
    memset(engine->memory, 0xfd, engine->kernel->workgroup_bytes);
    for (;;) {
        uint done = 0;
        for (uint k = 0; k < n; k++) {
            Fiber &f = engine->fibers[backwards ? n - 1 - k : k];
            if (f.state == Ready) resume(f);
            if (f.state == Failed) return false;
            done += f.state == Done;
        }
        if (done == n) return true;
        bool released = false;
        if (!release_exchanges(released) || !release_barrier(released)) return false;
        if (!released) return wrong("invocations wait for ever");
    }
}

void place(uint x, uint y, uint z) {
    const Dispatch &d = *engine->dispatch;
    uint i = 0;
    for (uint lz = 0; lz < d.size[2]; lz++) {
        for (uint ly = 0; ly < d.size[1]; ly++) {
            for (uint lx = 0; lx < d.size[0]; lx++, i++) {
                Lane &l = engine->fibers[i].lane;
                l.group = uint3(x, y, z);
                l.local = uint3(lx, ly, lz);
                l.global = l.group * uint3(d.size[0], d.size[1], d.size[2]) + l.local;
                l.index = i;
                l.simd_group = i / SIMD_LANES;
                l.simd_lane = i % SIMD_LANES;
            }
        }
    }
}

void prepare(const Kernel *k, const Dispatch *d) {
    if (!engine) engine = (Engine *)calloc(1, sizeof(Engine));
    if (!engine) abort();
    engine->kernel = k;
    engine->dispatch = d;
    engine->invocations = d->size[0] * d->size[1] * d->size[2];
    if (engine->memory_bytes < k->workgroup_bytes) {
        free(engine->memory);
        engine->memory_bytes = (k->workgroup_bytes + 4095) / 4096 * 4096;
        engine->memory = (char *)aligned_alloc(4096, engine->memory_bytes);
        if (!engine->memory) abort();
    }
    engine->arguments = {d->slots, d->slot_count, engine->memory};
}

} // namespace

extern "C" {

const char *drift_dispatch(const Kernel *k, const Dispatch *d) {
    prepare(k, d);
    if (engine->invocations == 0 || engine->invocations > MOST_INVOCATIONS) {
        wrong("%u invocations in a workgroup; Metal allows 1 to %u", engine->invocations,
              MOST_INVOCATIONS);
        return engine->error;
    }
    bool backwards = false;
    for (uint z = 0; z < d->workgroups[2]; z++) {
        for (uint y = 0; y < d->workgroups[1]; y++) {
            for (uint x = 0; x < d->workgroups[0]; x++, backwards = !backwards) {
                place(x, y, z);
                if (run_workgroup(backwards)) continue;
                // fibers that were left in the middle start anew the next time
                for (Fiber &f : engine->fibers) f.started = false;
                size_t end = strlen(engine->error);
                snprintf(engine->error + end, sizeof(engine->error) - end,
                         " (workgroup %u, %u, %u)", x, y, z);
                return engine->error;
            }
        }
    }
    return nullptr;
}

void drift_fail(const char *format, ...) {
    va_list list;
    va_start(list, format);
    vsnprintf(engine->error, sizeof(engine->error), format, list);
    va_end(list);
    size_t end = strlen(engine->error);
    snprintf(engine->error + end, sizeof(engine->error) - end, ", by invocation %u",
             engine->running->lane.index);
    leave(Failed);
    abort(); // nobody resumes what has failed
}

void drift_barrier(int line) {
    engine->running->line = line;
    leave(AtBarrier);
}

const char *drift_exchange(const void *value, ulong bytes, int line) {
    Fiber *self = engine->running;
    char *all = engine->posts[self->round & 1][self->lane.simd_group];
    self->round++;
    memcpy(all + self->lane.simd_lane * POST_BYTES, value, bytes);
    self->line = line;
    leave(AtExchange);
    return all;
}

uint drift_active() { return engine->active[engine->running->lane.simd_group]; }

const Lane *drift_lane() { return &engine->running->lane; }

void drift_check_range(const void *at, ulong bytes) {
    const char *from = (const char *)at;
    const char *memory = engine->memory;
    if (from >= memory && from + bytes <= memory + engine->kernel->workgroup_bytes) return;
    for (uint i = 0; i < engine->dispatch->slot_count; i++) {
        const Slot &s = engine->dispatch->slots[i];
        if (from >= (char *)s.at && from + bytes <= (char *)s.at + s.bytes) return;
    }
    drift_fail("a matrix lies outside of its array");
}

// Called where clang's -fsanitize finds a mistake.
struct Place {
    const char *file;
    uint line, column;
};
struct TypeName {
    ushort kind, info;
    char name[1];
};
struct OutOfBounds {
    Place place;
    const TypeName *array, *index;
};
void __ubsan_handle_out_of_bounds(OutOfBounds *data, ulong index) {
    drift_fail("line %u: element %lu of %s", data->place.line, index, data->array->name);
}
void __ubsan_handle_out_of_bounds_abort(OutOfBounds *data, ulong index) {
    __ubsan_handle_out_of_bounds(data, index);
}
void __ubsan_handle_divrem_overflow(Place *place, ulong, ulong) {
    drift_fail("line %u: division by zero", place->line);
}
void __ubsan_handle_divrem_overflow_abort(Place *place, ulong a, ulong b) {
    __ubsan_handle_divrem_overflow(place, a, b);
}

} // extern "C"
