/*
 * Holds a pod's namespaces open and, where the pod shares one PID namespace, reaps its orphans.
 * Needs no libc: it runs from an image that holds nothing but this program.
 */
#if defined(__x86_64__)
enum { NR_rt_sigprocmask = 14, NR_wait4 = 61, NR_rt_sigtimedwait = 128, NR_exit_group = 231 };

static long call(long number, long a, long b, long c, long d) {
    long result;
    register long r10 __asm__("r10") = d;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
    return result;
}
#elif defined(__aarch64__)
enum { NR_exit_group = 94, NR_rt_sigprocmask = 135, NR_rt_sigtimedwait = 137, NR_wait4 = 260 };

static long call(long number, long a, long b, long c, long d) {
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
    return x0;
}
#else
#error "the pause program has no system calls for this machine yet"
#endif

enum { SIG_INT = 2, SIG_TERM = 15, SIG_CHLD = 17, SET_MASK = 2, NO_HANG = 1, SET_BYTES = 8 };

__attribute__((noreturn, used)) void _start(void) {
    /* Blocked signals stay pending even for PID 1, which would otherwise never see those without a handler. */
    unsigned long every = ~0UL;
    call(NR_rt_sigprocmask, SET_MASK, (long)&every, 0, SET_BYTES);
    unsigned long awaited = 1UL << (SIG_INT - 1) | 1UL << (SIG_TERM - 1) | 1UL << (SIG_CHLD - 1);
    for (;;) {
        long signal = call(NR_rt_sigtimedwait, (long)&awaited, 0, 0, SET_BYTES);
        if (signal == SIG_INT || signal == SIG_TERM)
            call(NR_exit_group, 0, 0, 0, 0);
        if (signal == SIG_CHLD)
            while (call(NR_wait4, -1, 0, NO_HANG, 0) > 0)
                ;
    }
}
