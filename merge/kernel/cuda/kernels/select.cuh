// Exact selection by magnitude, ties to the lowest index. By radix: mb_high and
// mb_low give the threshold's upper 15 and lower 16 bits, mb_sift_count, _scan
// and mb_nth the last of its ties. Or by a bracket of magnitudes: mb_sift_count,
// _scan and _write draw out the few elements inside.
#pragma once
#include "sums.cuh"

// WINDOW is the number of bins in shared memory: 64 powers of 2. The 48 KiB that
// every GPU has do not hold all of them.
#define WINDOW 8192u

KERNEL mb_high(u64 *h, const float *key, u64 n, u32 window) {
  SHARED u32 counts[WINDOW + 1]; // and of bin 0: zeros are many
  for (u32 b = THREAD; b <= WINDOW; b += THREADS) counts[b] = 0;
  BARRIER;
  for EACH(i, n) {
    u32 bin = magnitude(key[i]) >> 16;
    if (bin - window < WINDOW)
      atomic_inc(&counts[bin - window]);
    else if (bin == 0)
      atomic_inc(&counts[WINDOW]);
    else
      atomic_add(&h[bin], 1);
  }
  BARRIER;
  for (u32 b = THREAD; b <= WINDOW; b += THREADS)
    if (counts[b]) atomic_add(&h[b < WINDOW ? window + b : 0], counts[b]);
}

KERNEL mb_low(u64 *h, const float *key, u64 n, const u8 *slot) {
  for EACH(i, n) {
    u32 m = magnitude(key[i]), s = slot[m >> 16];
    if (s) atomic_add(&h[(s - 1) << 16 | (m & 0xffffu)], 1);
  }
}

struct Sifted {
  u32 below, found;
};
static_assert(sizeof(Sifted) == 8, "kernels.go says so");

KERNEL mb_sift_count(Sifted *out, const float *key, u64 n, u32 lo, u32 hi) {
  SHARED u32 below, found;
  for (u64 block = BLOCK; block < blocks_of(n); block += BLOCKS) {
    if (THREAD == 0) below = found = 0;
    BARRIER;
    u64 end = min64(n, (block + 1) * BLOCK_SIZE);
    for (u64 i = block * BLOCK_SIZE + THREAD; i < end; i += THREADS) {
      u32 m = magnitude(key[i]);
      if (m < lo)
        atomic_inc(&below);
      else if (m <= hi)
        atomic_inc(&found);
    }
    BARRIER;
    if (THREAD == 0) out[block] = {below, found}; // and 0 again, by the same thread
  }
}

// prefix is the sum of n over the threads before this one. All threads of a block
// must call it.
DEVICE u64 prefix(u64 n) {
  SHARED u64 sums[THREADS];
  sums[THREAD] = n;
  for (u32 step = 1; step < THREADS; step *= 2) {
    BARRIER;
    u64 left = THREAD < step ? 0 : sums[THREAD - step];
    BARRIER;
    sums[THREAD] += left;
  }
  return sums[THREAD] - n; // the thread's own: the next call may begin
}

KERNEL mb_sift_scan(u64 *starts, const Sifted *counts, u64 blocks) {
  SHARED u64 next;
  u64 start = 0;
  for (u64 first = 0; first < blocks; first += THREADS) {
    u64 block = first + THREAD, found = block < blocks ? counts[block].found : 0;
    u64 before = prefix(found);
    if (block < blocks) starts[block] = start + before;
    if (THREAD == THREADS - 1) next = start + before + found;
    BARRIER;
    start = next;
  }
  if (THREAD == 0) starts[blocks] = start;
}

// PER_THREAD elements of a block, consecutive ones, are a thread's own where the
// order matters.
#define PER_THREAD (BLOCK_SIZE / THREADS)

KERNEL mb_sift_write(u32 *keys, u32 *at, const u64 *starts, const float *key, u64 n, u32 lo, u32 hi) {
  for (u64 block = BLOCK; block < blocks_of(n); block += BLOCKS) {
    u64 first = block * BLOCK_SIZE + THREAD * PER_THREAD, end = min64(n, first + PER_THREAD);
    u32 found = 0;
    for (u64 i = first; i < end; i++) {
      u32 m = magnitude(key[i]);
      found += m >= lo && m <= hi;
    }
    u64 to = starts[block] + prefix(found);
    for (u64 i = first; i < end; i++) {
      u32 m = magnitude(key[i]);
      if (m >= lo && m <= hi) keys[to] = m, at[to] = (u32)i, to++;
    }
  }
}

KERNEL mb_nth(u64 *pos, const u64 *starts, const float *key, u64 n, u32 value, u64 skip) {
  for (u64 block = BLOCK; block < blocks_of(n); block += BLOCKS) {
    if (skip < starts[block] || skip >= starts[block + 1]) continue; // for all threads alike
    u64 first = block * BLOCK_SIZE + THREAD * PER_THREAD, end = min64(n, first + PER_THREAD);
    u32 ties = 0;
    for (u64 i = first; i < end; i++) ties += magnitude(key[i]) == value;
    u64 rank = starts[block] + prefix(ties);
    for (u64 i = first; i < end; i++)
      if (magnitude(key[i]) == value && rank++ == skip) *pos = i;
  }
}
