// What CUDA's headers would give, for clang without them. Kernels use no warp
// operations: nothing depends on how threads run in step.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long s64;

#define KERNEL extern "C" __attribute__((global)) void
#define DEVICE static DEVICE_MEMBER
#define DEVICE_MEMBER __attribute__((device)) inline __attribute__((always_inline))
#define SHARED static __attribute__((shared))

#define THREAD ((u32)__nvvm_read_ptx_sreg_tid_x())
#define BLOCK ((u32)__nvvm_read_ptx_sreg_ctaid_x())
#define BLOCKS ((u32)__nvvm_read_ptx_sreg_nctaid_x())
#define BARRIER __syncthreads()

// THREADS in every block: kernels.go says the same to the launcher.
#define THREADS 256u

// EACH is the elements of one thread in turns over the whole grid.
#define EACH(i, n) (u64 i = (u64)BLOCK * THREADS + THREAD; i < (n); i += (u64)BLOCKS * THREADS)

DEVICE u32 bits(float x) { return __builtin_bit_cast(u32, x); }
DEVICE float from_bits(u32 b) { return __builtin_bit_cast(float, b); }

// magnitude is |x| as bits, whose integer order is the order of magnitudes.
DEVICE u32 magnitude(float x) { return bits(x) & 0x7fffffffu; }

DEVICE void atomic_inc(u32 *p) { __nvvm_atom_add_gen_i((int *)p, 1); }
DEVICE void atomic_add(u64 *p, u64 v) { __nvvm_atom_add_gen_ll((s64 *)p, (s64)v); }
DEVICE u64 min64(u64 a, u64 b) { return a < b ? a : b; }
